"""Verbs on the checklist: a line of a task is waived, with owner, reason and end; and opened again."""

from __future__ import annotations

from urllib.parse import quote

from ..model.checklist import LINES
from ..model.durations import microseconds
from ..model.errors import WaiverRefused
from ..model.operators import NEEDS
from ..operations import waivers
from ..supervise.checklist_ops import ChecklistOps
from .asking import Ask
from .dialogs import REASON, Dialog, Field, Verb

WAIVE, END = "/checklist/waive", "/checklist/open"


def ops_of(ask: Ask) -> ChecklistOps:
    """The verbs of whoever asks."""
    return ChecklistOps(ask.site, ask.operator, readonly=ask.site.readonly)


def _named(ask: Ask) -> tuple[str, str]:
    """The task and the line: of the form, or of the address."""
    given = ((ask.said(one) or ask.text(one) or "") for one in ("task", "line"))
    task, line = given
    return task.strip()[:200], line.strip()[:40]


def _back(ask: Ask, task: str, line: str) -> str:
    return ask.text("back") or (ask.link(f"/tasks/{quote(task)}", line=line) if task else ask.link("/tasks"))


def _waive_dialog(ask: Ask) -> Dialog:
    task, line = _named(ask)
    ops_of(ask).writing("waive_line", queue="*", task=task or "*")
    asks = LINES[line].asks if line in LINES else "A line of the checklist needs no answer by a task."
    return Dialog(
        title="Waive it?",
        words=(
            f"{task}: {asks}" if task else asks,
            "It is shown as waived, with who answers for it and why, and counts as no failing check.",
            "That lapses by itself, and can be ended before.",
        ),
        button="Waive",
        action=ask.link(WAIVE),
        back=_back(ask, task, line),
        fields=(
            Field("task", "Task", needed=True, value=task),
            Field("line", "Line", "choice", value=line, options=_lines()),
            Field("owner", "Who answers for it", needed=True),
            Field("until", "For how long", needed=True, value="90d", hint="a year at most"),
            Field("reason", "Why", needed=True, hint="everybody who looks is told"),
        ),
    )


def _lines() -> tuple[tuple[str, str], ...]:
    return tuple((one.name, f"{one.title}: {one.asks}") for one in LINES.values())


def _waive(ask: Ask) -> str:
    task, line = _named(ask)
    ops = ops_of(ask)
    ops.writing("waive_line", queue="*", task=task or "*")
    span_us = microseconds(ask.said("until").strip() or "90d", what="For how long", zero_ok=False)
    given = {"owner": ask.said("owner"), "reason": ask.said("reason"), "action_id": ask.said("action_id")}
    return ops.waive_line(task, line, span_us=span_us, **given).said


def _end_dialog(ask: Ask) -> Dialog:
    task, line = _named(ask)
    ops_of(ask).writing("end_waiver", queue="*", task=task or "*")
    made = [one for one in ask.run(waivers.listed(ask.site.name, task or None)) if line in ("", one.line)]
    if not made:
        raise WaiverRefused("Nothing is waived here.", hint="It may have been ended already.")
    one = made[0]
    return Dialog(
        title="End the waiver?",
        words=(
            f"{one.task}: {LINES[one.line].asks if one.line in LINES else one.line}",
            f"Waived by {one.by}; {one.owner} answers for it: {one.reason}",
            "The line is open again at once.",
        ),
        button="End it",
        action=ask.link(END),
        back=_back(ask, one.task, one.line),
        fields=(REASON,),
        hidden=(("task", one.task), ("line", one.line)),
    )


def _end(ask: Ask) -> str:
    task, line = _named(ask)
    return ops_of(ask).end_waiver(task, line, reason=ask.said("reason"), action_id=ask.said("action_id")).said


CHECKLIST_VERBS: tuple[Verb, ...] = (
    Verb("waive_line", WAIVE, _waive_dialog, _waive, NEEDS["waive_line"]),
    Verb("end_waiver", END, _end_dialog, _end, NEEDS["end_waiver"]),
)
