"""Rules on keys and instants: once=, follow-ups, business dates, time zones."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..looking import Hit, Look, around, hit
from ..outside import in_transaction
from ..reading import Call, Scope, dotted, keyword, last
from ..registry import place_rule, rule
from ..sources import Function, Module
from ..tasks import Task
from .calls import volatile

ROUTES = frozenset(
    {"get", "post", "put", "patch", "delete", "route", "api_route", "api_view", "websocket", "view"}
)
AMOUNTS = re.compile(
    r"^(?:amount|cents|price|total|quantity|qty|sum|currency|recipient|to|email|address|date|day|month|period)$"
)
NEVER_TWICE = re.compile(r"^(?:uuid|guid|now|timestamp|nonce|random|rand)$")
HOLE = re.compile(r"\{(\w+)[^}]*\}")
TODAY = frozenset({"datetime.date.today()", "django.utils.timezone.localdate()"})
HARMLESS = frozenset(
    {"make_aware", "localize", "replace", "astimezone", "debug", "info", "warning", "error", "timestamp"}
)
"""What gives a zone, or only shows."""
NOW = frozenset(
    {"datetime.datetime.now()", "datetime.datetime.utcnow()", "django.utils.timezone.now()",
     "django.utils.timezone.localtime()"}
)  # fmt: skip


def is_handler(node: Function) -> bool:
    """Whether a function answers requests: by its decorator, or by its first argument."""
    for decorator in node.decorator_list:
        name = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if name == "api_view" or ("." in name and name.rpartition(".")[2] in ROUTES):
            return True
    names = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
    return "request" in names[:2]


@rule("DU016")
def no_once(look: Look, task: Task) -> Iterator[Hit]:
    """No ``once=`` on a task that a request handler or another task enqueues."""
    if not task.is_ours or "once" in task.options:
        return
    for module, function, call, enqueued in look.enqueues():
        if enqueued is not task or function is None or _keyed(call):
            continue
        who = (
            "another task" if function in look.parts else "a request handler" if is_handler(function) else ""
        )
        if who:
            where = f"{module.shown}:{call.lineno}"
            first = next((one.arg for one in task.parameters), "id")
            yield Hit(task.module, task.node, f"{who} enqueues it ({where}), and nothing keeps it from being "
                      "stored twice", f'once="{task.node.name}:{{{first}}}"')  # fmt: skip
            return


def _keyed(call: ast.Call) -> bool:
    return any(
        isinstance(one, ast.Call) and last(one) == "using" and keyword(one, "once", "id") is not None
        for one in ast.walk(call.func)
    )


@rule("DU017")
def once_leaves_out(look: Look, task: Task) -> Iterator[Hit]:
    """An argument that changes the effect, and is not in ``once=``."""
    once = task.constant("once")
    if not task.is_ours or not isinstance(once, str):
        return
    holes = set(HOLE.findall(once))
    left = [one.arg for one in task.parameters if one.arg not in holes and AMOUNTS.match(one.arg)]
    if left and holes:
        why = f"{', '.join(left)} is not in {once!r}: two jobs that differ in it are one duty"
        yield Hit(task.module, task.options["once"], why)


@rule("DU018")
def volatile_once(look: Look, task: Task) -> Iterator[Hit]:
    """``once="…{uuid}"`` on a task."""
    once = task.constant("once")
    if task.is_ours and isinstance(once, str):
        for name in HOLE.findall(once):
            if NEVER_TWICE.match(name):
                yield Hit(task.module, task.options["once"], f"{{{name}}} is another value in each enqueue")


@place_rule("DU018")
def volatile_using(look: Look, module: Module) -> Iterator[Hit]:
    """``task.using(once=f"…{uuid4()}")``."""
    for node in module.calls:
        if last(node) == "using" and (value := keyword(node, "once")) is not None:
            function = around(module, node)
            outer = module.parents.get(module.parents.get(node, node), node)
            task = look.enqueued(module, outer)
            if task is None or not task.is_ours:
                continue
            scope = Scope(module, function) if function is not None else _whole(module)
            if found := volatile(scope, value):
                yield Hit(module, node, f"{found} makes each enqueue a duty of its own", task=task)


def _whole(module: Module) -> Scope:
    """The module's own statements as if they were a function."""
    return Scope(
        module, ast.FunctionDef(name="", args=_NO_ARGUMENTS, body=module.tree.body, decorator_list=[])
    )


_NO_ARGUMENTS = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])


@rule("DU020")
def follow_up(look: Look, task: Task) -> Iterator[Hit]:
    """A task that may run again enqueues another one that has no key."""
    if not task.again:
        return
    for call in task.calls:
        follows = look.enqueued(call.scope.module, call.node)
        if follows is None or follows is task or _keyed(call.node):
            continue
        if follows.is_ours and ("once" in follows.options or in_transaction(call.scope, call.node)):
            continue
        if keyword(call.node, "task_id", "job_id", "_job_id") is not None or _is_keyed_elsewhere(follows):
            continue
        if why := task.runs_again_after(call.scope, call.node, by_itself=False):
            yield hit(call, f"{follows.node.name} is enqueued once more by each repeated run, and {why}")


def _is_keyed_elsewhere(task: Task) -> bool:
    """``@dutiful.once_per`` on the follow-up."""
    return any(
        task.module.meaning(dotted(one)).removesuffix("()").endswith("once_per")
        for one in task.node.decorator_list
    )


@rule("DU012")
def business_date(look: Look, task: Task) -> Iterator[Hit]:
    """``date.today()`` in a body, not only to look for what is old."""
    for call in task.calls:
        name = f"{call.name}()"
        is_date = name in TODAY or (
            last(call.node) == "date"
            and isinstance(call.node.func, ast.Attribute)
            and f"{call.scope.meaning(call.node.func.value)}" in NOW
        )
        if is_date and not _only_compared(call):
            yield hit(call, f"{dotted(call.node.func)}() is the day of the run, not the day that was meant")


def _only_compared(call: Call) -> bool:
    """Whether it is a limit (``created < today - 30 days``), or only shown."""
    for one in call.scope.above(call.node):
        if isinstance(one, ast.Compare) or (_names_file(one) and not isinstance(one, ast.Assign)):
            return True
        if isinstance(one, ast.Attribute) and one.attr == "replace":
            return True
        if isinstance(one, ast.JoinedStr):
            return True  # a label, in a name or a message
        if (
            isinstance(one, ast.keyword)
            and one.arg
            and re.search(r"__(?:lt|lte|gt|gte|range|date)$", one.arg)
        ):
            return True
        if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub):
            return True
        if isinstance(one, ast.Call) and last(one) in ("debug", "info", "warning", "error", "timedelta"):
            return True
        if isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name):
            return _is_limit(call.scope, one.targets[0].id)
    return False


def _is_limit(scope: Scope, name: str) -> bool:
    """Whether every use of a local name is a comparison or a subtraction."""
    uses = [one for one in scope.nodes() if isinstance(one, ast.Name) and one.id == name
            and isinstance(one.ctx, ast.Load)]  # fmt: skip
    limits = 0
    for use in uses:
        for one in scope.above(use):
            if isinstance(one, ast.JoinedStr) or (isinstance(one, ast.Call) and last(one) in HARMLESS):
                limits += 1
                break
            if isinstance(one, ast.Compare) or (isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub)):
                limits += 1
                break
            if isinstance(one, ast.keyword) and one.arg and re.search(r"__(?:lt|lte|gt|gte|range)$", one.arg):
                limits += 1
                break
            if isinstance(one, ast.stmt):
                break
    return limits == len(uses)


@rule("DU013")
def naive_instant(look: Look, task: Task) -> Iterator[Hit]:
    """``datetime.now()`` without a zone, and ``utcnow()``, where the value is kept or sent."""
    for call in task.calls:
        short = call.name.removeprefix("datetime.")
        naive = (
            (short == "datetime.now" and not call.node.args and not call.node.keywords)
            or short == "datetime.today"
            or (short in ("datetime.utcnow", "datetime.utcfromtimestamp") and _is_written(call))
            or (short == "datetime.fromtimestamp" and len(call.node.args) == 1 and not call.node.keywords)
        )
        if naive and call.name.startswith("datetime.") and not _measures(call):
            yield hit(call, f"{dotted(call.node.func)}() has no time zone")


def _is_written(call: Call) -> bool:
    """Whether an instant in UTC leaves the process as text or number, without its zone."""
    parent = next(iter(call.scope.above(call.node)), None)
    return isinstance(parent, ast.FormattedValue) or (
        isinstance(parent, ast.Attribute) and parent.attr in ("isoformat", "strftime", "timestamp")
    )


def _names_file(one: ast.AST) -> bool:
    """Whether it is made into the name of a file or the like, which means nothing."""
    if isinstance(one, ast.Assign):
        return any(re.search(r"file|name|path|key|dir", dotted(target), re.I) for target in one.targets)
    return isinstance(one, ast.keyword) and re.search(r"file|name|path|index", one.arg or "") is not None


def _measures(call: Call) -> bool:
    """Whether it is only the beginning or end of a time that is measured, or is given a zone at once."""
    for one in call.scope.above(call.node):
        if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub):
            return True
        if isinstance(one, ast.Call) and last(one) in HARMLESS:
            return True
        if _names_file(one) and not isinstance(call.scope.module.parents.get(call.node), ast.Assign):
            return True
        if isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name):
            name = one.targets[0].id
            return re.search(r"start|begin|end|finish|t0|t1|tic|toc", name, re.I) is not None and _is_limit(
                call.scope, name
            )
        if isinstance(one, ast.stmt):
            return False
    return False
