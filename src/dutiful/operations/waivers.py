"""Waivers: lines of the checklist that a person answers for a task by a reason, for so long; audited."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ..model.checklist import LINES
from ..model.errors import WaiverRefused
from ..model.keys import near
from ..model.spans import span as shown_span
from .audit import note
from .plan import Call, Steps, operation, query

SPAN_US_MAX: Final = 366 * 86_400_000_000
"""Nothing is waived for longer than a year."""
KEEP_US: Final = 90 * 86_400_000_000
"""For so long it is told that a waiver has lapsed."""


class Waiver(Struct, frozen=True):
    """A line that is waived for a task; it holds until then."""

    task: str
    line: str
    owner: str
    by: str
    reason: str
    made_us: int
    until_us: int
    now_us: int

    @property
    def holds(self) -> bool:
        """Whether it has not lapsed."""
        return self.until_us > self.now_us


@query
def listed(app: str, task: str | None = None) -> Steps[list[Waiver]]:
    """What was waived, also what has lapsed."""
    return [Waiver(*row) for row in (yield Call("list_waivers", {"app": app, "task": task}, alone=True))]


@operation
def waive(
    app: str, task: str, line: str, *, actor: str, owner: str, span_us: int, reason: str
) -> Steps[Waiver]:
    """The line needs no answer by this task from now on, for so long; a waiver before it is replaced.

    Raises WaiverRefused: for a line or a task that is not known, without owner or reason, or for too long.
    """
    _demand_line(line)
    if not owner.strip() or not reason.strip():
        missing = "an owner" if not owner.strip() else "a reason"
        raise WaiverRefused(
            f"{line} of {task} is not waived without {missing}.",
            hint='Say who answers for it, until when and why: --owner NAME --until 90d --because "…"',
        )
    if not 0 < span_us <= SPAN_US_MAX:
        raise WaiverRefused(f"A line can be waived for {shown_span(SPAN_US_MAX)} at most, not for ever.")
    known = [row[0] for row in (yield Call("list_tasks", {"app": app, "limit": 10_000}))]
    if task not in known:
        raise WaiverRefused(
            f"No worker of {app!r} has declared a task {task!r}{near(task, known)}.",
            hint="A task is known once a worker with its code has started.",
        )
    said = {"app": app, "task": task, "line": line, "owner": owner.strip(), "by": actor, "reason": reason}
    yield Call("waive_line", {**said, "span": span_us})
    yield Call("forget_waivers", {"app": app, "keep": KEEP_US})
    after = f"waived for {shown_span(span_us)}, owner {owner.strip()}"
    yield note("waive_line", app, actor, f"task {task} line {line}", "open", after, reason)
    rows = yield Call("list_waivers", {"app": app, "task": task})
    return next(Waiver(*row) for row in rows if row[1] == line)


@operation
def end(app: str, task: str, line: str, *, actor: str, reason: str = "") -> Steps[None]:
    """The line is open again. Raises WaiverRefused where nobody waived it."""
    _demand_line(line)
    rows = yield Call("end_waiver", {"app": app, "task": task, "line": line})
    if not rows:
        raise WaiverRefused(f"Nobody has waived {line} of {task}.")
    before = f"waived, owner {rows[0][0]}"
    yield note("end_waiver", app, actor, f"task {task} line {line}", before, "open", reason)


def _demand_line(line: str) -> None:
    if line not in LINES:
        raise WaiverRefused(
            f"The checklist has no line {line!r}{near(line, LINES)}.", hint=f"Lines: {', '.join(LINES)}."
        )
