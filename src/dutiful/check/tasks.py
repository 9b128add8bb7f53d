"""A task as it was found: its function, what is declared about it, and when its body runs again."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .reading import Call, Scope, all_parameters, dotted, last, reach
from .sources import Function, Module, Project

GIVEN = frozenset({"Run", "Transaction", "AsyncTransaction"})
"""Parameters of these types are given by the worker."""
BROAD = frozenset({"Exception", "BaseException"})
QUIET = frozenset(
    {"debug", "info", "warning", "warn", "error", "exception", "critical", "log", "print", "getLogger", "str",
     "capture_exception", "format", "repr", "len", "int", "bool", "isinstance", "monotonic", "time", "gauge",
     "perf_counter", "incr", "increment", "timing", "inc", "observe"}
)  # fmt: skip
"""Calls after which nothing is tried again: they do not raise, or nobody would notice."""


@dataclass(eq=False)
class Task:
    """One task of one job system."""

    system: str
    """dutiful, celery, rq, dramatiq, huey, arq or django."""
    name: str
    module: Module
    node: Function
    options: dict[str, ast.expr] = field(default_factory=dict)
    """The keywords of its declaration."""
    project: Project | None = None
    stops: Any = None
    redelivered: bool = False
    """Whether a run whose worker died is begun again."""
    retried: bool = False
    """Whether a body that raised anything runs again."""
    narrow: tuple[str, ...] = ()
    """The exceptions after which it runs again, where they are named."""
    enqueued_by: list[str] = field(default_factory=list)
    """Who enqueues it, as far as is seen: "a request handler", "another task", "code"."""
    scheduled: bool = False
    app: str = ""
    """The name of the variable with its app, as resolved."""

    @property
    def is_ours(self) -> bool:
        """Whether it is a task of dutiful."""
        return self.system == "dutiful"

    @property
    def delivery(self) -> str:
        """The declared delivery; others than dutiful have at_least_once or less."""
        return str(self.constant("delivery", "at_least_once"))

    def constant(self, option: str, default: Any = None) -> Any:
        """The value of an option that is written as a constant; ``default`` for none or another."""
        value = self.options.get(option)
        if value is None:
            return default
        try:
            return ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return default

    @cached_property
    def scopes(self) -> list[Scope]:
        """Its body and what that calls."""
        assert self.project is not None
        return reach(self.project, self.module, self.node, self.stops)

    @cached_property
    def calls(self) -> list[Call]:
        """Every call in them."""
        return [
            Call(scope, node, scope.meaning(node.func))
            for scope in self.scopes
            for node in scope.nodes()
            if isinstance(node, ast.Call)
        ]

    def nodes(self) -> Iterator[tuple[Scope, ast.AST]]:
        """Every node in them."""
        for scope in self.scopes:
            for node in scope.nodes():
                yield scope, node

    @cached_property
    def parameters(self) -> list[ast.arg]:
        """The arguments of the job: not what the worker gives (self, ctx, run, tx)."""
        found = all_parameters(self.node)
        if found and (found[0].arg in ("self", "cls") or (self.system == "arq") or self._bound):
            found = found[1:]
        return [
            one
            for one in found
            if not (self.is_ours and one.annotation is not None and _type(one.annotation) in GIVEN)
        ]

    @property
    def _bound(self) -> bool:
        return self.system in ("celery", "django") and (
            self.constant("bind") is True or self.constant("takes_context") is True
        )

    @cached_property
    def again(self) -> str:
        """Why its body may run again at all; empty if it surely does not."""
        if self.is_ours:
            if self.delivery != "at_least_once":
                return ""
            if self.retried:
                return "it is retried"
            return "it runs again if its worker dies" if self.redelivered else ""
        if self.retried or self.narrow:
            return "it is retried"
        if self._retry_calls:
            return "it retries itself"
        return "its message is delivered again if its worker dies" if self.redelivered else ""

    @cached_property
    def _retry_calls(self) -> list[ast.Call]:
        if self.system != "celery":
            return []
        head = [one.arg for one in all_parameters(self.node)][:1]
        own = {*head, self.node.name, "current_task"}
        return [
            node
            for node in self.scopes[0].nodes()
            if isinstance(node, ast.Call) and last(node) == "retry" and dotted(node.func).split(".")[0] in own
        ]

    def runs_again_after(self, scope: Scope, node: ast.AST, *, by_itself: bool = True) -> str:
        """Why the body may run again after this was carried out; empty if that cannot be shown.

        ``by_itself``: the thing itself may raise after it took effect, as a call that gets no answer.
        """
        if self.is_ours or self.redelivered:
            return self.again
        anchor = scope.anchor(node)
        line = getattr(anchor, "end_lineno", 0)
        follows = by_itself or self._may_raise_after(line)
        if self.retried:
            return self.again if follows else ""
        if self.narrow and (self._may_raise_after(line) or (by_itself and _outside(self.narrow))):
            return f"it is retried after {', '.join(self.narrow)}"
        for call in self._retry_calls:
            if self._covers(call, anchor, by_itself):
                return self.again
        return ""

    def _may_raise_after(self, line: int, until: int = 1 << 30) -> bool:
        return any(
            isinstance(one, ast.Call) and line < one.lineno < until and last(one) not in QUIET
            for one in self.scopes[0].nodes()
        )

    def _covers(self, retry: ast.Call, anchor: ast.AST, by_itself: bool) -> bool:
        """Whether this call of ``retry()`` may come after the anchor was carried out."""
        line = getattr(anchor, "end_lineno", 0)
        body = self.scopes[0]
        handler = next((one for one in body.above(retry) if isinstance(one, ast.ExceptHandler)), None)
        if handler is None:
            return retry.lineno > line and not _apart(body, retry, anchor)
        tried = body.module.parents[handler]
        assert isinstance(tried, ast.Try)
        ends = max(getattr(one, "end_lineno", 0) or 0 for one in tried.body)
        if line > ends:
            return False
        if any(one is anchor or anchor in set(ast.walk(one)) for one in tried.handlers):
            return False
        inside = line >= tried.body[0].lineno
        if not inside:
            return not _apart(body, retry, anchor)
        wide = handler.type is None or _outside([dotted(one) for one in _each(handler.type)])
        return (by_itself and wide) or (wide and self._may_raise_after(line, ends + 1))


def _apart(body: Scope, one: ast.AST, other: ast.AST) -> bool:
    """Whether the two are in different branches, or the first ends in a return before the second matters."""
    branches = [node for node in body.above(other) if isinstance(node, ast.If)]
    for branch in branches:
        inside = set(ast.walk(branch))
        if one not in inside:
            side = branch.body if any(other in set(ast.walk(x)) for x in branch.body) else branch.orelse
            if side and isinstance(side[-1], ast.Return | ast.Raise):
                return True
            continue
        in_body = [any(x in set(ast.walk(s)) for s in branch.body) for x in (one, other)]
        if in_body[0] != in_body[1]:
            return True
    return False


def _each(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple | ast.List) else [node]


def _outside(names: list[str] | tuple[str, ...]) -> bool:
    """Whether one of these exceptions is what a call to the outside raises when it gets no answer."""
    for name in names:
        short = name.rpartition(".")[2].removesuffix("()")
        if short in BROAD or short in ("OSError", "IOError", "HTTPError", "SMTPException", "TransientError"):
            return True
        if any(part in short for part in ("RequestException", "Timeout", "Connection", "Transport", "Retry")):
            return True
    return False


def _type(annotation: ast.expr) -> str:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value.rpartition(".")[2]
    return dotted(annotation).rpartition(".")[2]
