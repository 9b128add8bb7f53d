"""People's verbs on reconciliations: approve what the governor stopped, a pass now, pause, resume."""

from __future__ import annotations

from ..operations import reconcile, reconcile_verbs
from ..operations.actions import Outcome
from ..operations.reconcile import Stored
from .desk import Desk


class ReconcileOps(Desk):
    """Each asks for its permission, and is refused where everything is read-only. Raise ReconcileRefused."""

    def approve_reconcile(self, run: int, *, reason: str, action_id: str = "") -> Outcome[tuple[str, int]]:
        """A stopped pass is right: the next one enqueues as many as it found missing. Raises ReasonNeeded."""
        self.writing("approve_reconcile", queue="*", task="*")
        self.demand_reason("let so many through", reason)
        done = reconcile.approve(self.name, run, actor=self.actor.id, reason=reason)

        def said(found: tuple[str, int]) -> str:
            name, many = found
            return f"pass {run} of {name} is approved: up to {many:,} missing are enqueued by the next pass"

        return self.act("approve_reconcile", done, said, action_id)

    def run_reconcile(
        self, name: str, *, whole: bool = False, reason: str = "", action_id: str = ""
    ) -> Outcome[Stored]:
        """A pass is due now, for the next worker that looks."""
        self.writing("run_reconcile", queue="*", task="*")
        done = reconcile_verbs.run_now(self.name, name, actor=self.actor.id, reason=reason, whole=whole)
        what = "all of its window" if whole else "what is new"
        said = f"{name} looks at {what} with the next worker that comes, within about 15 s"
        return self.act("run_reconcile", done, lambda _: said, action_id)

    def pause_reconcile(
        self, name: str, *, reason: str, for_us: int | None = None, action_id: str = ""
    ) -> Outcome[Stored]:
        """No worker makes a pass, for so long or until it is resumed. Raises ReasonNeeded."""
        self.writing("pause_reconcile", queue="*", task="*")
        self.demand_reason("pause a reconciliation", reason)
        done = reconcile_verbs.pause(self.name, name, actor=self.actor.id, reason=reason, for_us=for_us)
        return self.act("pause_reconcile", done, lambda _: f"reconciliation {name} is paused", action_id)

    def resume_reconcile(self, name: str, *, reason: str = "", action_id: str = "") -> Outcome[Stored]:
        """Let it go on."""
        self.writing("resume_reconcile", queue="*", task="*")
        done = reconcile_verbs.resume(self.name, name, actor=self.actor.id, reason=reason)
        return self.act("resume_reconcile", done, lambda _: f"reconciliation {name} goes on", action_id)
