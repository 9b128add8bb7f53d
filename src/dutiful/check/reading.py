"""What rules look through: a task's body and the functions of the project that it calls, three deep."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from .sources import Function, Module, Project

DEPTH = 3
LOOPS = (ast.For, ast.AsyncFor, ast.While)
LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
"""What is inside of these does not run where it stands."""


def dotted(node: ast.AST | None) -> str:
    """A name as written, ``a.b().c``; an unknown part is ``?``."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Call):
        return f"{dotted(node.func)}()"
    if isinstance(node, ast.Await):
        return dotted(node.value)
    if isinstance(node, ast.Subscript):
        return f"{dotted(node.value)}[]"
    return "?"


def last(node: ast.Call) -> str:
    """The last word of what is called."""
    return (
        node.func.attr
        if isinstance(node.func, ast.Attribute)
        else node.func.id
        if isinstance(node.func, ast.Name)
        else ""
    )


def keyword(node: ast.Call, *names: str) -> ast.expr | None:
    """The value of the first of these keyword arguments."""
    return next((one.value for one in node.keywords if one.arg in names), None)


def has_stars(node: ast.Call) -> bool:
    """Whether it is given ``**something``, in which any keyword may be."""
    return any(one.arg is None for one in node.keywords)


def text_of(node: ast.AST | None) -> str:
    """The constant text in an expression: strings, f-strings (holes are ``{}``), sums, ``text("…")``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(one) if isinstance(one, ast.Constant) else "{}" for one in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return text_of(node.left) + text_of(node.right)
    if isinstance(node, ast.Call) and (last(node) in ("text", "SQL", "format")):
        inner = (
            node.func.value
            if last(node) == "format" and isinstance(node.func, ast.Attribute)
            else (node.args[0] if node.args else None)
        )
        return text_of(inner)
    return ""


def own_nodes(body: ast.AST) -> Iterator[ast.AST]:
    """All nodes that run when this runs, in the order of the text; nothing inside nested functions."""
    waiting = list(ast.iter_child_nodes(body))[::-1]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, LATER):
            waiting.extend(list(ast.iter_child_nodes(node))[::-1])


def words(node: ast.AST) -> Iterator[str]:
    """Every name and attribute in an expression."""
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            yield one.id
        elif isinstance(one, ast.Attribute):
            yield one.attr


@dataclass(eq=False)
class Scope:
    """One function that runs as a part of a task: the body itself, or one that it calls."""

    module: Module
    node: Function
    caller: Scope | None = None
    call: ast.Call | None = None
    """Where the caller calls it."""

    @property
    def depth(self) -> int:
        """0 for the body."""
        return 0 if self.caller is None else self.caller.depth + 1

    @property
    def way(self) -> str:
        """How one gets there from the body, for people."""
        return "" if self.caller is None else f"{self.caller.way}{self.node.name}() "

    @cached_property
    def _nodes(self) -> list[ast.AST]:
        return [node for statement in self.node.body for node in (statement, *own_nodes_of(statement))]

    def nodes(self) -> list[ast.AST]:
        """What runs in this function itself, decorators and defaults left out."""
        return self._nodes

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around this one, up to the function."""
        parents = self.module.parents
        one = parents.get(node)
        while one is not None and one is not self.node:
            yield one
            one = parents.get(one)

    def all_above(self, node: ast.AST) -> Iterator[tuple[Scope, ast.AST]]:
        """The same, through the callers up to the task's body."""
        for one in self.above(node):
            yield self, one
        if self.caller is not None and self.call is not None:
            yield from self.caller.all_above(self.call)

    def anchor(self, node: ast.AST) -> ast.AST:
        """The node of the task's own body in which this happens."""
        return node if self.caller is None or self.call is None else self.caller.anchor(self.call)

    @cached_property
    def _values(self) -> dict[str, list[ast.expr]]:
        found: dict[str, list[ast.expr]] = {}
        for node in self.nodes():
            if isinstance(node, ast.Assign):
                for one in node.targets:
                    if isinstance(one, ast.Name):
                        found.setdefault(one.id, []).append(node.value)
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
                if isinstance(node.target, ast.Name) and node.value is not None:
                    found.setdefault(node.target.id, []).append(node.value)
            elif isinstance(node, ast.With | ast.AsyncWith):
                for item in node.items:
                    if isinstance(item.optional_vars, ast.Name):
                        found.setdefault(item.optional_vars.id, []).append(item.context_expr)
        return found

    def assigned(self, name: str) -> list[ast.expr]:
        """All values that a local name is given in this function."""
        return self._values.get(name, [])

    def meaning(self, node: ast.AST) -> str:
        """The dotted name with its imports followed: ``post`` is ``requests.post``."""
        return self.module.meaning(dotted(node))


def own_nodes_of(statement: ast.AST) -> Iterator[ast.AST]:
    """What runs in a statement; a nested function is one node."""
    return iter(()) if isinstance(statement, LATER) else own_nodes(statement)


@dataclass(eq=False)
class Call:
    """One call in a scope."""

    scope: Scope
    node: ast.Call
    name: str
    """What is called, imports followed: ``requests.post``, ``Order.objects.filter().update``."""


def reach(project: Project, module: Module, node: Function, stops: Callable[[str], bool]) -> list[Scope]:
    """The body and the functions it calls; those for which ``stops`` says so (other tasks) are left out."""
    scopes = [Scope(module, node)]
    seen = {node}
    for scope in scopes:  # it grows while it is walked
        if scope.depth == DEPTH:
            continue
        local = {one.name: one for one in scope.nodes() if isinstance(one, Function)}
        for call in scope.nodes():
            if not isinstance(call, ast.Call):
                continue
            found = _target(project, scope, call, local)
            if found is None or found[1] in seen or stops(f"{found[0].name}:{found[1].name}"):
                continue
            seen.add(found[1])
            scopes.append(Scope(found[0], found[1], scope, call))
    return scopes


def _target(
    project: Project, scope: Scope, call: ast.Call, local: dict[str, Function]
) -> tuple[Module, Function] | None:
    name = dotted(call.func)
    if "?" in name or "(" in name or "[" in name:
        return None
    if name in local:
        return scope.module, local[name]
    head, _, rest = name.partition(".")
    if head in ("self", "cls") and rest and "." not in rest:
        home = next(
            (one for one in _outward(scope.module, scope.node) if isinstance(one, ast.ClassDef)), None
        )
        if home is None:
            return None
        method = next((one for one in home.body if isinstance(one, Function) and one.name == rest), None)
        return None if method is None else (scope.module, method)
    if scope.assigned(head) or head in {one.arg for one in all_parameters(scope.node)}:
        return None
    found = project.find(scope.module, name)
    return (found[0], found[1]) if found is not None and isinstance(found[1], Function) else None


def _outward(module: Module, node: ast.AST) -> Iterator[ast.AST]:
    one = module.parents.get(node)
    while one is not None:
        yield one
        one = module.parents.get(one)


def all_parameters(node: Function) -> list[ast.arg]:
    """Every named parameter of a function."""
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
