"""A hash of what a task does: its body, and the functions of the project that it calls, three deep.

Made from the syntax tree, so that comments, docstrings and layout do not change it, and by the same reading
as the rules'. It does not depend on where one looks from: modules are found beside the outermost package (or
the file) that the task stands in, when a name leads there.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from .reading import reach
from .sources import Function, Module, Project

INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
NOT_ITS_DOING: Final = frozenset(
    {"queue", "priority", "owner", "tags", "aliases", "reconcile", "because", "fingerprint"}
)
"""What a declaration says besides how a run goes."""


class Beside(Project):
    """The modules beside a package, each looked up when a name leads into it; nothing is walked."""

    def __init__(self, path: Path) -> None:
        super().__init__(())
        top = path.resolve()
        while (top.parent / "__init__.py").exists():
            top = top.parent
        self._root = top.parent
        self._only = top.stem if self._root.name in INSTALLED else ""
        parts = path.resolve().relative_to(self._root).with_suffix("").parts
        self.own = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def name_of(self, name: str) -> str:
        """The module's name, if there is such a file."""
        if name in self.files:
            return name
        parts = name.split(".")
        if not all(one.isidentifier() for one in parts) or (self._only and parts[0] != self._only):
            return ""
        for path in (
            self._root.joinpath(*parts).with_suffix(".py"),
            self._root.joinpath(*parts, "__init__.py"),
        ):
            if path.is_file():
                self.files[name] = path
                return name
        return ""


class Hashes:
    """Hashes of several tasks; a file is read once."""

    def __init__(self) -> None:
        self._projects: dict[Path, Beside] = {}

    def of(self, function: Callable[..., Any]) -> str:
        """The hash of a function's code; "" where its source cannot be found."""
        plain = inspect.unwrap(function)
        try:
            path = Path(inspect.getsourcefile(plain) or "")
            line = plain.__code__.co_firstlineno
        except (TypeError, AttributeError):
            return ""
        return self.at(path, plain.__name__, line)

    def at(self, path: Path, name: str, line: int) -> str:
        """The hash of the function of that name whose first line (a decorator's, too) is this one."""
        if not path.is_file():
            return ""
        key = path.resolve()
        project = self._projects.get(key)
        if project is None:
            project = self._projects[key] = Beside(path)
        module = project.module(project.own)
        node = None if module is None else _found(module, name, line)
        if module is None or node is None:
            return ""
        told = hashlib.blake2b(digest_size=16)
        for scope in reach(project, module, node, lambda _: False):
            for part in _parts(scope.node, whole=scope.node is node):
                told.update(part.encode("utf-8", "surrogatepass"))
        return told.hexdigest()


def first_line(node: Function) -> int:
    """Where it begins: with its first decorator."""
    return min([node.lineno, *(one.lineno for one in node.decorator_list)])


def _found(module: Module, name: str, line: int) -> Function | None:
    named = [one for one in ast.walk(module.tree) if isinstance(one, Function) and one.name == name]
    return next((one for one in named if first_line(one) == line), named[0] if len(named) == 1 else None)


def _parts(node: Function, *, whole: bool) -> Iterator[str]:
    """A function as text: what it is given, what it does, and (of the task itself) how it is declared."""
    yield f"{type(node).__name__} {node.name}\n"
    yield _told(node.args)
    for one in node.body[_docstring(node) :]:
        yield _told(one)
    if whole:
        for decorator in node.decorator_list:
            yield _told(_behaviour(decorator))


def _docstring(node: Function) -> int:
    return int(ast.get_docstring(node, clean=False) is not None)


def _behaviour(decorator: ast.expr) -> ast.AST:
    if not isinstance(decorator, ast.Call):
        return decorator
    kept = [one for one in decorator.keywords if one.arg not in NOT_ITS_DOING]
    kept.sort(key=lambda one: one.arg or "")
    return ast.Call(decorator.func, decorator.args, kept)


def _told(value: object) -> str:
    """A tree as text, the same in every version of Python: without places, and without what is empty."""
    if isinstance(value, ast.AST):
        fields = [
            f"{name}={_told(one)}"
            for name, one in ast.iter_fields(value)
            if name not in ("ctx", "kind", "type_comment") and one is not None and one != []
        ]
        return f"{type(value).__name__}({','.join(fields)})"
    if isinstance(value, list):
        return f"[{','.join(map(_told, value))}]"
    return repr(value)
