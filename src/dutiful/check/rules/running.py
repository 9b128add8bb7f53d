"""Rules on how a body runs: what it catches, locks, waits for, walks over, changes, and writes to disk."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..looking import Hit, Look, hit
from ..outside import http_method, library, sql_of
from ..reading import LOOPS, Call, Scope, dotted, keyword, last, own_nodes, text_of, words
from ..registry import rule
from ..tasks import Task

SLEEPS = ("time.sleep", "gevent.sleep", "eventlet.sleep", "trio.sleep")
SHORT_S = 1
LOCKS = re.compile(r"(?:^|[._])(?:redis\w*|conn|connection|client|cache|r)(?:\(\))?\.lock$")
CHANGES = frozenset({"append", "add", "update", "extend", "insert", "remove", "pop", "clear", "setdefault"})
RUNS = ("subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output")
ENDS = (ast.Break, ast.Return, ast.Raise, ast.Yield, ast.YieldFrom)
TEMPORARY = re.compile(r"te?mp|scratch|devnull|BytesIO|StringIO", re.I)
UNLIMITED = frozenset({"celery", "huey", "dutiful"})
"""The systems in which a task has no time limit by default."""


@rule("DU011")
def catches_all(look: Look, task: Task) -> Iterator[Hit]:
    """A bare ``except:`` or ``except BaseException`` that does not raise again."""
    for scope, node in task.nodes():
        if not isinstance(node, ast.ExceptHandler) or any(
            isinstance(one, ast.Raise) for one in ast.walk(node)
        ):
            continue
        if node.type is None or dotted(node.type) == "BaseException":
            word = "a bare except" if node.type is None else "except BaseException"
            yield hit((scope, node), f"{word} also swallows the time limit and the order to stop")


@rule("DU022")
def lock_as_guard(look: Look, task: Task) -> Iterator[Hit]:
    """A lock in Redis or the cache, or an advisory lock of the session."""
    for call in task.calls:
        name = dotted(call.node.func)
        locks = [one.partition(".")[0] for one in call.scope.module.imports.values()]
        by_name = LOCKS.search(name) is not None and (
            keyword(call.node, "timeout", "expire", "blocking_timeout") is not None or "redis" in locks
        )
        if by_name or call.name in ("redis.lock.Lock", "redis_lock.Lock", "redlock.Redlock"):
            why = f"{name}() is the only guard: a holder that is paused too long works on beside the next"
            yield hit(call, why)
        elif call.name == "django.core.cache.cache.add" and _guards(call):
            yield hit(call, "cache.add() as a lock: it lapses, or is evicted, while the work goes on")
        elif re.search(r"\bpg_(?:try_)?advisory_lock\b", sql_of(call)):
            yield hit(
                call,
                "an advisory lock of the session: it is gone with the connection, while the work goes on",
            )


def _guards(call: Call) -> bool:
    """Whether what ``cache.add`` says decides a branch."""
    limit = keyword(call.node, "timeout")
    if isinstance(limit, ast.Constant) and limit.value is None:
        return False  # it never lapses: a counter, or a mark that stays
    parent = next(iter(call.scope.above(call.node)), None)
    if isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name):
        name = parent.targets[0].id
        return any(isinstance(one, ast.If) and name in set(words(one.test)) for one in call.scope.nodes())
    return isinstance(parent, ast.If | ast.UnaryOp | ast.BoolOp | ast.Return)


@rule("DU023")
def sleeps(look: Look, task: Task) -> Iterator[Hit]:
    """``time.sleep`` of a second or more."""
    for call in task.calls:
        if call.name not in SLEEPS or not call.node.args:
            continue
        value = call.node.args[0]
        if isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value < SHORT_S:
            continue
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Div):
            continue  # milliseconds, or a rate
        loop = next((one for one in call.scope.above(call.node) if isinstance(one, LOOPS)), None)
        what = "polls" if isinstance(loop, ast.While) else "sleeps"
        yield hit(call, f"it {what} ({ast.unparse(call.node)}) and holds its slot meanwhile")


@rule("DU029")
def everything(look: Look, task: Task) -> Iterator[Hit]:
    """``for x in Model.objects.all()`` that does the work itself; ``while True`` without an end."""
    for scope, node in task.nodes():
        if isinstance(node, ast.For | ast.AsyncFor):
            value = node.iter
            if isinstance(value, ast.Name) and len(values := scope.assigned(value.id)) == 1:
                value = values[0]
            if _whole_table(value) and not _hands_out(look, scope, node):
                yield hit(
                    (scope, node), f"{ast.unparse(value)[:60]} grows with the table, and one job walks it all"
                )
        elif isinstance(node, ast.While) and _without_end(node):
            yield hit((scope, node), "a loop without an end: the job never ends by itself")


def _without_end(node: ast.While) -> bool:
    return (
        isinstance(node.test, ast.Constant)
        and bool(node.test.value)
        and not any(isinstance(one, ENDS) for one in own_nodes(node))
    )


def _whole_table(value: ast.expr) -> bool:
    name = dotted(value)
    parts = name.split(".")
    if "objects" in parts and parts[parts.index("objects") - 1][:1].isupper():
        rest = parts[parts.index("objects") + 1 :]
        return rest in (["all()"], ["all()", "order_by()"], ["all()", "iterator()"])
    return name.endswith("query.all()") or bool(re.search(r"\.query\(\)\.all\(\)$", name))


def _hands_out(look: Look, scope: Scope, node: ast.AST) -> bool:
    return any(
        look.enqueued(scope.module, one) is not None
        or (
            isinstance(one, ast.Call)
            and re.search(r"delay|apply_async|enqueue|dispatch|queue|schedule|append|^send$", last(one))
            is not None
        )
        for one in own_nodes(node)
    )


@rule("DU034")
def process_state(look: Look, task: Task) -> Iterator[Hit]:
    """A global that is assigned, or a list or dict of the module that is changed."""
    for scope in task.scopes:
        if scope.depth > 1:
            break
        globals_ = {name for one in scope.nodes() if isinstance(one, ast.Global) for name in one.names}
        for node in scope.nodes():
            name = ""
            if isinstance(node, ast.Assign | ast.AugAssign):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if (
                        isinstance(target, ast.Name)
                        and target.id in globals_
                        and not _made_once(scope, node, target.id)
                    ):
                        name = target.id
                    elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                        name = _container(scope, target.value.id)
            elif isinstance(node, ast.Call) and _changes(node):
                name = _container(scope, dotted(node.func).partition(".")[0])
            if name:
                yield hit(
                    (scope, node), f"{name} belongs to this process: other workers do not see the change"
                )
                break


def _changes(node: ast.Call) -> bool:
    """``name.append(…)`` and the like."""
    return (
        isinstance(node.func, ast.Attribute)
        and node.func.attr in CHANGES
        and isinstance(node.func.value, ast.Name)
    )


def _made_once(scope: Scope, node: ast.AST, name: str) -> bool:
    """``if x is None: x = make()``: made late, or a cache; not the state of a job."""
    return (
        "cache" in name.lower()
        or any(isinstance(one, ast.If) and " is None" in ast.unparse(one.test) for one in scope.above(node))
        or any(isinstance(one, ast.If) and name in set(words(one.test)) for one in scope.nodes())
    )


def _container(scope: Scope, name: str) -> str:
    """The name, if it is a list, dict or set of the module and nothing local."""
    if scope.assigned(name) or name in {one.arg for one in scope.node.args.args + scope.node.args.kwonlyargs}:
        return ""
    local = {
        one.id for node in scope.nodes() if isinstance(node, ast.For | ast.comprehension)
        for one in ast.walk(node.target) if isinstance(one, ast.Name)
    }  # fmt: skip
    if "cache" in name.lower():
        return ""
    value = getattr(scope.module.top.get(name), "value", None)
    made = isinstance(value, ast.List | ast.Dict | ast.Set) or (
        isinstance(value, ast.Call)
        and dotted(value.func).rpartition(".")[2] in ("dict", "list", "set", "defaultdict")
    )
    return name if made and name not in local else ""


@rule("DU040")
def file_in_place(look: Look, task: Task) -> Iterator[Hit]:
    """``open(path, "w")`` without a rename after it, and copies under the final name."""
    for call in task.calls:
        place = ""
        if dotted(call.node.func) == "open" and len(call.node.args) >= 1:
            mode = (
                text_of(call.node.args[1]) if len(call.node.args) > 1 else text_of(keyword(call.node, "mode"))
            )
            place = "open()" if mode[:1] in ("w", "x") else ""
        elif call.name in ("shutil.copy", "shutil.copyfile", "shutil.copy2"):
            place = f"{last(call.node)}()"
        elif last(call.node) in ("write_text", "write_bytes") and isinstance(call.node.func, ast.Attribute):
            if not _is_path(call.scope, call.node.func.value):
                continue
            place = f"{last(call.node)}()"
        if place and not _temporary(call):
            yield hit(call, f"{place} writes under the final name: a worker that dies leaves half a file")


def _is_path(scope: Scope, node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return any(_is_path(scope, one) for one in scope.assigned(node.id) if not isinstance(one, ast.Name))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return True
    return isinstance(node, ast.Call) and scope.meaning(node.func) == "pathlib.Path"


def _temporary(call: Call) -> bool:
    """Whether it is a temporary file, or is renamed afterwards."""
    scope: Scope | None = call.scope
    while scope is not None:
        if any(
            isinstance(one, ast.Call) and (
                scope.meaning(one.func) in ("os.replace", "os.rename", "shutil.move")
                or scope.meaning(one.func).startswith("tempfile.")
                or last(one) == "TemporaryDirectory"
            ) for one in scope.nodes()
        ):  # fmt: skip
            return True
        scope = scope.caller
    text = ast.unparse(call.node)
    first = call.node.args[0] if call.node.args else None
    if isinstance(first, ast.Name):
        text += " ".join(ast.unparse(one) for one in call.scope.assigned(first.id))
    return bool(TEMPORARY.search(text))


@rule("DU041")
def no_limit(look: Look, task: Task) -> Iterator[Hit]:
    """No time limit; elsewhere than here only where something in the body can hang."""
    if task.system not in UNLIMITED or {"timeout", "time_limit", "soft_time_limit"} & set(task.options):
        return
    if task.is_ours:
        yield Hit(task.module, task.node, "a body that hangs keeps its slot for ever")
        return
    if task.system == "celery" and look.time_limit:
        return
    for call in task.calls:
        if what := _may_hang(call):
            yield Hit(task.module, task.node, f"no time limit, and {what} at {call.scope.module.shown}:"
                      f"{call.node.lineno} may hang")  # fmt: skip
            return


def _may_hang(call: Call) -> str:
    if keyword(call.node, "timeout") is not None:
        return ""
    if http_method(call) and library(call) == "requests":
        return f"{dotted(call.node.func)}()"
    if call.name in (*RUNS, "urllib.request.urlopen", "smtplib.SMTP", "smtplib.SMTP_SSL"):
        return f"{dotted(call.node.func)}()"
    return ""
