"""Rules on transactions: who commits, who rolls back, and what an enqueue is a part of."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..looking import Hit, Look, around, hit, local_nodes
from ..outside import http_method, opens_transaction
from ..reading import LATER, Scope, dotted, keyword, last
from ..registry import place_rule, rule
from ..sources import Function, Module
from ..tasks import Task


def _ours(task: Task) -> bool:
    return task.is_ours and task.delivery == "exactly_once"


@rule("DU008")
def commit_inside(look: Look, task: Task) -> Iterator[Hit]:
    """``commit()`` in an exactly_once body."""
    if not _ours(task):
        return
    for call in task.calls:
        if last(call.node) == "commit" and not call.node.args and isinstance(call.node.func, ast.Attribute):
            yield hit(call, f"{dotted(call.node.func)}() in an exactly_once body: dutiful commits")


@rule("DU009")
def rollback_and_return(look: Look, task: Task) -> Iterator[Hit]:
    """``rollback()`` in a handler that does not raise."""
    if not _ours(task):
        return
    for call in task.calls:
        if last(call.node) != "rollback" or not isinstance(call.node.func, ast.Attribute):
            continue
        handler = next(
            (one for one in call.scope.above(call.node) if isinstance(one, ast.ExceptHandler)), None
        )
        rest = handler.body if handler is not None else call.scope.node.body
        if not any(isinstance(one, ast.Raise) for statement in rest for one in ast.walk(statement)):
            yield hit(call, "the work is rolled back, and the body then returns as if it were done")


@rule("DU021")
def other_connection(look: Look, task: Task) -> Iterator[Hit]:
    """An exactly_once body that opens a transaction of its own, or asks the outside."""
    if not _ours(task):
        return
    for scope, node in task.nodes():
        if isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                name = dotted(item.context_expr)
                if name.startswith(("run.", "tx.")) or "nested" in name or "savepoint" in name:
                    continue
                if name.endswith((".begin()", ".connect()")) or scope.meaning(item.context_expr) in (
                    "psycopg.connect()", "sqlite3.connect()", "psycopg2.connect()",
                ):  # fmt: skip
                    yield hit(
                        (scope, node), f"{name} is another connection than the task's: it commits by itself"
                    )
    for call in task.calls:
        method = http_method(call)
        if method in ("post", "put", "patch", "delete"):
            yield hit(
                call, f"a {method.upper()} is no part of the transaction: it stays when that is rolled back"
            )


@place_rule("DU019")
def enqueue_inside(look: Look, module: Module) -> Iterator[Hit]:
    """An enqueue in a ``with transaction.atomic():`` that is not handed the connection."""
    for node, task in look.enqueues_in(module):
        opened = _opened(look, module, node)
        if opened is None:
            continue
        if task.is_ours and (_bound(node) or _joins(look, module, node)):
            continue
        why = f"the transaction of line {opened} is open: the job may run before its commit, or without it"
        yield Hit(module, node, why, task=task)


def _opened(look: Look, module: Module, node: ast.AST) -> int | None:
    """The line of the transaction around a node, in its own function."""
    one = module.parents.get(node)
    while one is not None and not isinstance(one, LATER):
        if isinstance(one, ast.With | ast.AsyncWith):
            scope = _scope_of(module, one)
            for item in one.items:
                if scope is not None and opens_transaction(scope, item.context_expr):
                    return one.lineno
        one = module.parents.get(one)
    if isinstance(one, Function):
        for decorator in one.decorator_list:
            name = module.meaning(dotted(decorator)).removesuffix("()")
            if name.endswith("transaction.atomic"):
                return decorator.lineno
    return None


def _scope_of(module: Module, node: ast.AST) -> Scope | None:
    function = around(module, node)
    return None if function is None else Scope(module, function)


def _bound(node: ast.Call) -> bool:
    return keyword(node, "connection") is not None or any(
        isinstance(one, ast.Call) and last(one) == "using" and keyword(one, "connection") is not None
        for one in ast.walk(node.func)
    )


def _joins(look: Look, module: Module, node: ast.AST) -> bool:
    """Inside a task's own transaction our enqueue joins it by itself."""
    function = around(module, node)
    return function is not None and function in look.parts


@place_rule("DU039")
def on_commit_only(look: Look, module: Module) -> Iterator[Hit]:
    """``transaction.on_commit(lambda: task.enqueue(…))`` for a task of dutiful."""
    for node in module.calls:
        if last(node) != "on_commit":
            continue
        for argument in node.args[:1]:
            inner = argument
            if isinstance(argument, ast.Name) and (function := around(module, node)) is not None:
                inner = next(
                    (
                        one
                        for one in local_nodes(function)
                        if isinstance(one, Function) and one.name == argument.id
                    ),
                    argument,
                )  # type: ignore[assignment]
            for one in ast.walk(inner):
                task = look.enqueued(module, one)
                if task is None and isinstance(one, ast.Attribute) and one.attr in ("enqueue", "aenqueue"):
                    found = look.project.find(module, dotted(one.value))
                    task = look.parts.get(found[1]) if found and isinstance(found[1], Function) else None
                if task is not None and task.is_ours:
                    yield Hit(module, node, "a process that dies after the commit loses the job", task=task)
                    break
