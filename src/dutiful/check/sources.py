"""The files of a project: found, parsed when they are needed, and names followed through imports."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef

SKIPPED = frozenset(
    {"node_modules", "site-packages", "__pycache__", "build", "dist", "venv", "env", "migrations"}
)
"""Folders that are not looked into unless they are given by name, and all that begin with a dot."""
TESTS = frozenset({"test", "tests", "testing"})
LEAVES = (ast.Name, ast.Constant)
"""What has nothing of interest below it."""
STEPS_MAX = 5
"""How many modules may hand a name on before it is given up."""


class Unreadable(Exception):
    """A file that is no text or no Python; the message says where."""


class Module:
    """One file: its text, its tree, and what the names in it stand for."""

    def __init__(self, path: Path, shown: str, name: str, text: str, tree: ast.Module) -> None:
        self.path = path
        self.shown = shown
        """The path as findings show it."""
        self.name = name
        self.text = text
        self.tree = tree

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the file."""
        return self.text.splitlines()

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The node above each node."""
        found: dict[ast.AST, ast.AST] = {}
        waiting: list[ast.AST] = [self.tree]
        while waiting:
            node = waiting.pop()
            if isinstance(node, LEAVES):
                continue
            for name in node._fields:
                value = getattr(node, name, None)
                if isinstance(value, list):
                    for one in value:
                        if isinstance(one, ast.AST):
                            found[one] = node
                            waiting.append(one)
                elif isinstance(value, ast.AST):
                    found[value] = node
                    waiting.append(value)
        return found

    @cached_property
    def calls(self) -> list[ast.Call]:
        """Every call in the file, in the order of the text."""
        return sorted(
            (node for node in self.parents if isinstance(node, ast.Call)),
            key=lambda node: (node.lineno, node.col_offset),
        )

    @cached_property
    def imports(self) -> dict[str, str]:
        """What each imported name stands for, dotted; imports inside functions count as well."""
        found: dict[str, str] = {}
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        for node in sorted(
            (one for one in self.parents if isinstance(one, ast.Import | ast.ImportFrom)),
            key=lambda one: one.lineno,
        ):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.asname:
                        found[alias.asname] = alias.name
                    else:
                        found.setdefault(alias.name.partition(".")[0], alias.name.partition(".")[0])
            else:
                base = node.module or ""
                if node.level:
                    parts = package.split(".")
                    kept = parts[: len(parts) - node.level + 1]
                    base = ".".join([*kept, *([base] if base else [])])
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{base}.{alias.name}" if base else alias.name
        return found

    @cached_property
    def top(self) -> dict[str, ast.stmt]:
        """What is defined or assigned at the top of the file, by name; the last one wins."""
        found: dict[str, ast.stmt] = {}
        for node in _top_statements(self.tree.body):
            if isinstance(node, Function | ast.ClassDef):
                found[node.name] = node
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        found[target.id] = node
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = node
        return found

    def meaning(self, dotted: str) -> str:
        """A dotted name with its first part replaced by what was imported under it."""
        head, dot, rest = dotted.partition(".")
        call = head.endswith("()")
        bare = head.removesuffix("()")
        return self.imports.get(bare, bare) + ("()" if call else "") + dot + rest


class Project:
    """All files below the given paths; a file is read and parsed when something needs it."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.unreadable: dict[str, str] = {}
        """Files that could not be read, and why."""
        self.files: dict[str, Path] = {}
        """By the dotted name of the module."""
        self.given: list[str] = []
        """The names of all modules that are to be looked at, in order."""
        self._parsed: dict[str, Module | None] = {}
        self._texts: dict[str, str | None] = {}
        for root in paths:
            for path in _python_files(root):
                name = _module_name(path, root)
                if name not in self.files:
                    self.files[name] = path
                    self.given.append(name)
        self._suffixes: dict[str, str] = {}
        for name in self.files:
            parts = name.split(".")
            for start in range(1, len(parts)):
                # "app.tasks" finds "src.app.tasks"; one that fits two files fits none
                suffix = ".".join(parts[start:])
                self._suffixes[suffix] = "" if suffix in self._suffixes else name

    def text(self, name: str) -> str | None:
        """The text of a module; None for one that cannot be read, which is noted."""
        if name not in self._texts:
            path = self.files[name]
            try:
                self._texts[name] = path.read_text("utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                self._texts[name] = None
                self.unreadable[str(path)] = f"it cannot be read: {error}"
        return self._texts[name]

    def name_of(self, name: str) -> str:
        """The name under which a module is kept here; empty if the project has none of that name."""
        return name if name in self.files else self._suffixes.get(name, "")

    def module(self, name: str) -> Module | None:
        """The module of that dotted name, if the project has it and it parses."""
        name = self.name_of(name)
        if not name:
            return None
        if name not in self._parsed:
            self._parsed[name] = self._parse(name)
        return self._parsed[name]

    def _parse(self, name: str) -> Module | None:
        text = self.text(name)
        if text is None:
            return None
        path = self.files[name]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes and the like: no concern of ours
                tree = ast.parse(text, filename=str(path))
        except (SyntaxError, ValueError, RecursionError) as error:
            line = getattr(error, "lineno", None)
            what = getattr(error, "msg", None) or str(error) or type(error).__name__
            self.unreadable[str(path)] = f"line {line}: {what}" if line else what
            return None
        return Module(path, str(path), name, text, tree)

    def matching(self, pattern: re.Pattern[str]) -> Iterator[Module]:
        """The modules whose text has the pattern somewhere, in order; only they are parsed."""
        for name in self.given:
            text = self.text(name)
            if text is not None and pattern.search(text) and (module := self.module(name)) is not None:
                yield module

    def find(self, module: Module, dotted: str) -> tuple[Module, ast.stmt] | None:
        """Where a dotted name, as written in ``module``, is defined in the project, if it is."""
        for _ in range(STEPS_MAX):
            head, _, rest = dotted.partition(".")
            if head in module.top and not (head in module.imports and head not in module.top):
                node = module.top[head]
                if not rest:
                    return module, node
                if isinstance(node, ast.ClassDef):
                    method = next(
                        (one for one in node.body if isinstance(one, Function) and one.name == rest), None
                    )
                    return (module, method) if method is not None else None
                return None
            if head not in module.imports:
                return None
            full = module.imports[head] + (f".{rest}" if rest else "")
            step = self._split(full)
            if step is None:
                return None
            module, dotted = step
            if not dotted:
                return None
        return None

    def _split(self, full: str) -> tuple[Module, str] | None:
        """The longest front part that is a module of the project, and the rest."""
        parts = full.split(".")
        for size in range(len(parts) - 1, 0, -1):
            found = self.module(".".join(parts[:size]))
            if found is not None:
                return found, ".".join(parts[size:])
        return None


def _top_statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _top_statements(node.body)
            yield from _top_statements(node.orelse)
            for handler in getattr(node, "handlers", ()):
                yield from _top_statements(handler.body)


def _python_files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for path in sorted(root.iterdir()):
        if path.is_dir():
            if path.name in SKIPPED or path.name in TESTS or path.name.startswith("."):
                continue
            yield from _python_files(path)
        elif path.suffix == ".py" and not _is_test(path.name):
            yield path


def _is_test(name: str) -> bool:
    return name.startswith("test_") or name.endswith("_test.py") or name in ("conftest.py", "tests.py")


def _module_name(path: Path, root: Path) -> str:
    """Dotted, from the outermost folder that is a package or lies below the given path."""
    parts = [path.stem] if path.name != "__init__.py" else []
    folder = path.resolve().parent
    top = (root if root.is_dir() else root.parent).resolve()
    while folder != folder.parent and (
        (folder / "__init__.py").exists() or (folder != top and folder.is_relative_to(top))
    ):
        parts.append(folder.name)
        folder = folder.parent
    return ".".join(reversed(parts)) or path.resolve().parent.name
