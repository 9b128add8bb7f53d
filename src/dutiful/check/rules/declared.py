"""Rules on what a declaration leaves open: lateness, reconciliation, names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from ..looking import Hit, Look
from ..outside import is_mail, is_post
from ..reading import dotted, last
from ..registry import rule
from ..tasks import Task
from .calls import effects

DEED = re.compile(r"^(?:send|charge|create|notify|post)(?:_|$)")
DATES = re.compile(r"(?:^|_)(?:price|date|day|due)(?:_|$)")


@rule("DU027")
def lateness(look: Look, task: Task) -> Iterator[Hit]:
    """No ``late=`` on a task with a schedule, a date or price, or mail."""
    if not task.is_ours or "late" in task.options:
        return
    mail = next((call for call in task.calls if is_mail(call)), None)
    named = next((one.arg for one in task.parameters if DATES.search(one.arg)), "")
    why = (
        "it has a schedule"
        if task.scheduled
        else f"it sends mail (line {mail.node.lineno})"
        if mail is not None
        else f"{named} is true of one time only"
        if named
        else ""
    )
    if why:
        yield Hit(task.module, task.node, f"{why}, and nothing says what becomes of a job that is late")


@rule("DU030")
def not_reconciled(look: Look, task: Task) -> Iterator[Hit]:
    """An effect, request or mail, and no ``reconcile``."""
    if not task.is_ours or "reconcile" in task.options:
        return
    if not effects(task) and not any(is_mail(call) or is_post(call) for call in task.calls):
        return
    if task.node not in _reconciled(look):
        yield Hit(
            task.module, task.node, "it has an effect in the world, and no reconciler that finds what is lost"
        )


def _reconciled(look: Look) -> set[Any]:
    found: set[Any] = set()
    for module in look.project.matching(re.compile(r"\.reconcile\(")):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and last(node) == "reconcile" and node.args:
                target = look.project.find(module, dotted(node.args[0]))
                if target is not None:
                    found.add(target[1])
    return found


@rule("DU038")
def sounds_once(look: Look, task: Task) -> Iterator[Hit]:
    """``send_…``, ``charge_…`` in at_least_once delivery, with nothing in the body that keeps it to once."""
    name = task.node.name.lstrip("_")
    if not DEED.match(name) or not task.again:
        return
    keyed = effects(task) or any(
        last(call.node) == "key" and "run" in dotted(call.node.func) for call in task.calls
    )
    once = any(call.name in ("dutiful.once", "dutiful.once_per") for call in task.calls) or any(
        dotted(one).removesuffix("()").endswith("once_per") for one in task.node.decorator_list
    )
    if not keyed and not once:
        yield Hit(
            task.module,
            task.node,
            f"{name} sounds like something that must not happen twice, and {task.again}",
        )
