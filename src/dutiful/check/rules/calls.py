"""Rules on calls to the world outside: requests, mail, effects, their keys, timeouts and retries."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..looking import Hit, Look, hit
from ..outside import (
    has_key,
    http_method,
    is_mail,
    is_outward,
    is_post,
    is_write,
    library,
    nodes_in,
    swallows,
)
from ..reading import LOOPS, Call, Scope, dotted, has_stars, keyword, last, text_of, words
from ..registry import rule
from ..tasks import Task

VOLATILE = (
    "uuid.uuid1()", "uuid.uuid4()", "time.time()", "time.time_ns()", "time.monotonic()", "random.random()",
    "random.randint()", "secrets.token_hex()", "secrets.token_urlsafe()", "secrets.token_bytes()",
    "datetime.datetime.now()", "datetime.now()", "datetime.datetime.utcnow()", "django.utils.timezone.now()",
    "os.urandom()",
)  # fmt: skip
WITHOUT_TIMEOUT = {
    "urllib.request.urlopen": 2,
    "smtplib.SMTP": 3,
    "smtplib.SMTP_SSL": 5,
    "socket.create_connection": 1,
}
"""Calls that wait for ever by default, and where their timeout stands as a positional argument."""
RETRIERS = ("tenacity.retry", "backoff.on_exception", "backoff.on_predicate", "retrying.retry", "retry.retry",
            "stamina.retry")  # fmt: skip


@rule("DU004")
def request_without_key(look: Look, task: Task) -> Iterator[Hit]:
    """POST or PATCH in a task that may run again, without a key."""
    for call in task.calls:
        if is_post(call) and not has_key(call) and not has_stars(call.node):
            why = task.runs_again_after(call.scope, call.node)
            if why:
                yield hit(call, f"{http_method(call).upper()} without an idempotency key, and {why}")


@rule("DU005")
def unstable_key(look: Look, task: Task) -> Iterator[Hit]:
    """An idempotency key made of a clock, chance, or the number of the run."""
    for call in task.calls:
        for value in _keys(call):
            found = volatile(call.scope, value)
            if found and (task.again or task.is_ours):
                yield hit(call, f"the key is made of {found}: another one in each run")
                break


def _keys(call: Call) -> Iterator[ast.expr]:
    given = keyword(call.node, "idempotency_key")
    if given is not None:
        yield given
    for one in ast.walk(call.node):
        if isinstance(one, ast.Dict):
            for key, value in zip(one.keys, one.values, strict=True):
                if text_of(key).lower() in ("idempotency-key", "x-idempotency-key", "idempotency_key"):
                    yield value


def volatile(scope: Scope, value: ast.expr, depth: int = 2) -> str:
    """What in an expression is another value each time; empty if nothing is seen."""
    for one in ast.walk(value):
        if isinstance(one, ast.Call) and (name := f"{scope.meaning(one.func)}()") in VOLATILE:
            return name
        if isinstance(one, ast.Attribute):
            name = dotted(one)
            if name in ("run.run_no", "run.attempt", "run.id", "self.request.retries"):
                return name
        if isinstance(one, ast.Name) and depth:
            values = scope.assigned(one.id)
            if values and all(found := [volatile(scope, each, depth - 1) for each in values]):
                return found[0]
    return ""


@rule("DU006")
def mail_again(look: Look, task: Task) -> Iterator[Hit]:
    """Mail in a task that may run again."""
    for call in task.calls:
        if is_mail(call) and (why := task.runs_again_after(call.scope, call.node)):
            yield hit(call, f"{last(call.node)}() in a task that may run again: {why}")


@rule("DU010")
def swallowed(look: Look, task: Task) -> Iterator[Hit]:
    """``except Exception`` that only logs, around a request, mail or write."""
    for scope, node in task.nodes():
        if not isinstance(node, ast.Try) or any(isinstance(one, LOOPS) for _, one in scope.all_above(node)):
            continue
        effect = next(
            (
                kind
                for one in nodes_in(node.body)
                if isinstance(one, ast.Call) and (kind := _effect(Call(scope, one, scope.meaning(one.func))))
            ),
            "",
        )
        if not effect:
            continue
        for handler in node.handlers:
            if _is_broad(handler) and swallows(handler):
                yield hit((scope, handler), f"{effect} may fail here, and the task then counts as done")


def _effect(call: Call) -> str:
    if kind := is_outward(call):
        return kind
    table = is_write(call)
    return f"the write of {table}" if table else ""


def _is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(dotted(one) in ("Exception", "BaseException") for one in types)


@rule("DU024")
def no_timeout(look: Look, task: Task) -> Iterator[Hit]:
    """A request that waits for ever."""
    for call in task.calls:
        if http_method(call) and library(call) == "requests":
            if keyword(call.node, "timeout") is None and not has_stars(call.node) and not _adapted(call):
                yield hit(call, f"{dotted(call.node.func)}() waits for ever by default")
        elif call.name in WITHOUT_TIMEOUT:
            place = WITHOUT_TIMEOUT[call.name]
            if (
                keyword(call.node, "timeout") is None
                and len(call.node.args) <= place
                and not has_stars(call.node)
            ):
                yield hit(call, f"{dotted(call.node.func)}() waits for ever by default")
        elif http_method(call):
            given = keyword(call.node, "timeout")
            if isinstance(given, ast.Constant) and given.value is None:
                yield hit(call, "timeout=None waits for ever")


def _adapted(call: Call) -> bool:
    """Whether the session it goes through may have a timeout of its own."""
    function = call.node.func
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
        return False
    name = function.value.id
    return any(
        isinstance(one, ast.Call) and dotted(one.func) == f"{name}.mount" for one in call.scope.nodes()
    )


@rule("DU025")
def loop_of_retries(look: Look, task: Task) -> Iterator[Hit]:
    """A retry loop or decorator inside a task that is retried."""
    if not (task.retried or task.narrow):
        return
    for scope in task.scopes:
        for decorator in scope.node.decorator_list:
            name = scope.meaning(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if name in RETRIERS:
                yield hit((scope, decorator), f"{name} retries inside a task that is retried itself")
        for node in scope.nodes():
            if isinstance(node, ast.For | ast.While) and _tries(node):
                yield hit((scope, node), "a loop of tries inside a task that is retried itself")


def _tries(loop: ast.For | ast.While) -> bool:
    """``for attempt in range(n): try … break/return … except``."""
    if isinstance(loop, ast.For):
        if not isinstance(loop.target, ast.Name) or not any(
            part in loop.target.id.lower() for part in ("attempt", "retry", "retries", "tries")
        ):
            return False
        if not (isinstance(loop.iter, ast.Call) and last(loop.iter) == "range"):
            return False
    elif not any(
        part in word.lower() for word in words(loop.test) for part in ("attempt", "retries", "tries")
    ):
        return False
    return any(isinstance(one, ast.Try) for one in loop.body)


@rule("DU026")
def retry_unsaid(look: Look, task: Task) -> Iterator[Hit]:
    """``retry=`` is left away on a task with a request or mail that is no effect."""
    if not task.is_ours or "retry" in task.options or task.delivery != "at_least_once":
        return
    for call in task.calls:
        if is_mail(call) or (is_post(call) and not has_key(call)):
            yield Hit(task.module, task.node, f"retry= is not said, and line {call.node.lineno} sends "
                      f"{'mail' if is_mail(call) else 'a request'} that cannot be taken back")  # fmt: skip
            return


def effects(task: Task) -> list[Call]:
    """The calls of ``run.effect`` and ``run.aeffect``."""
    given = {one.arg for one in task.node.args.kwonlyargs + task.node.args.args} - {
        one.arg for one in task.parameters
    } | {"run"}
    return [
        call
        for call in task.calls
        if last(call.node) in ("effect", "aeffect") and dotted(call.node.func).split(".")[0] in given
    ]


@rule("DU031")
def effect_in_doubt(look: Look, task: Task) -> Iterator[Hit]:
    """``run.effect`` with neither ``remembered=`` nor ``lookup=``."""
    if task.is_ours:
        for call in effects(task):
            if keyword(call.node, "remembered", "lookup") is None and not has_stars(call.node):
                yield hit(
                    call, "neither remembered= nor lookup=: each answer that is lost waits for a person"
                )


@rule("DU032")
def lookup_without_key(look: Look, task: Task) -> Iterator[Hit]:
    """``run.effect(do=lambda key: …)`` with a lookup, whose call does not pass the key on."""
    if not task.is_ours:
        return
    for call in effects(task):
        given = keyword(call.node, "do") or (call.node.args[1] if len(call.node.args) > 1 else None)
        if keyword(call.node, "lookup") is None or keyword(call.node, "remembered", "quiet") is not None:
            continue
        if isinstance(given, ast.Lambda) and given.args.args:
            name = given.args.args[0].arg
            if name not in set(words(given.body)):
                yield hit(call, f"the call does not pass {name} on, so the other side cannot tell a repeat")
