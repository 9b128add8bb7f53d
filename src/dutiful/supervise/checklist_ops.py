"""People's verbs over the checklist: a line that is answered by a reason, for so long; and open again."""

from __future__ import annotations

from ..operations import waivers
from ..operations.actions import Outcome
from ..operations.waivers import Waiver
from .desk import Desk


class ChecklistOps(Desk):
    """A line is named by its task and its name (``key``, ``late``…)."""

    def waive_line(
        self, task: str, line: str, *, owner: str, span_us: int, reason: str, action_id: str = ""
    ) -> Outcome[Waiver]:
        """This line needs no answer by this task, for so long. Raises WaiverRefused."""
        self.writing("waive_line", queue="*", task=task)
        done = waivers.waive(
            self.name, task, line, actor=self.actor.id, owner=owner, span_us=span_us, reason=reason
        )
        return self.act("waive_line", done, lambda one: f"{one.line} of {one.task} is waived", action_id)

    def end_waiver(self, task: str, line: str, *, reason: str = "", action_id: str = "") -> Outcome[None]:
        """The line is open again. Raises WaiverRefused where nobody waived it."""
        self.writing("end_waiver", queue="*", task=task)
        done = waivers.end(self.name, task, line, actor=self.actor.id, reason=reason)
        return self.act("end_waiver", done, lambda _: f"{line} of {task} is open again", action_id)
