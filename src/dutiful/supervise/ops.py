"""What people do, whoever asks for it: web page, command line and terminal stand on these verbs.

Each asks for its permission, is refused where everything is read-only, takes a one-time action id, compares
the row with what its person saw, and leaves an audit row in the transaction that acts. Plain calls; from an
event loop they belong into a thread (``await asyncio.to_thread(ops.retry, …)``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from ..app.app import App
from ..engines.contract import Engine
from ..model.errors import DutifulError, NotAllowed, ReadOnly, ReasonNeeded
from ..model.ids import make_id
from ..model.operators import NEEDS, Operator, preset
from ..operations import actions, doubts, inspect, locks, people, queues, schedule_verbs
from ..operations import audit as audits
from ..operations.actions import Action, Outcome, Seen
from ..operations.audit import AuditRow, Checked
from ..operations.inspect import JobView
from ..operations.plan import Operation
from ..operations.schedules import Stored

T = TypeVar("T")

__all__ = ["Action", "Desk", "Operator", "Ops", "Outcome", "Seen", "Store", "action_id", "preset"]


class Store(Protocol):
    """An engine and the name of an app in it, where the app's code is not at hand."""

    @property
    def engine(self) -> Engine: ...

    @property
    def name(self) -> str: ...

    @property
    def app(self) -> App | None: ...


def action_id() -> str:
    """A one-time id for an action: put into a form, it makes the second sending of it do nothing."""
    return make_id()


class Desk:
    """Who sits here and what that one may do; the verbs are in the rooms that build on it."""

    def __init__(self, target: App | Store, actor: Operator, *, readonly: bool = False) -> None:
        self.app: App | None = target if isinstance(target, App) else target.app
        self.engine: Engine = target.engine
        self.name: str = target.name
        self.actor = actor
        self.readonly = readonly

    def may(self, permission: str, *, queue: str | None = None, task: str | None = None) -> bool:
        """Whether a button may be shown: what it does is checked again."""
        if self.readonly and permission not in ("view", "view_args", "reveal_secrets"):
            return False
        return self.actor.may(permission, queue=queue, task=task)

    def demand(self, permission: str, *, queue: str | None = None, task: str | None = None) -> None:
        """Raises NotAllowed."""
        if not self.actor.may(permission, queue=queue, task=task):
            what = " in ".join(part for part in (task and f"task {task}", queue and f"queue {queue}") if part)
            raise NotAllowed(self.actor.id, permission, what if self.actor.scoped else "")

    def writing(self, verb: str, *, queue: str | None = None, task: str | None = None) -> None:
        """Raises ReadOnly or NotAllowed unless this verb may be done here."""
        if self.readonly:
            raise ReadOnly(f"Cannot {verb}: this was opened read-only.")
        self.demand(NEEDS[verb], queue=queue, task=task)

    def look(self, operation: Operation[T]) -> T:
        """Carry out an operation that only reads."""
        return self.engine.run(operation)

    def job(self, job_id: str) -> JobView:
        """One job; raises JobNotFound, NotAllowed."""
        job = self.look(inspect.job(self.name, job_id))
        self.demand("view", queue=job.queue, task=job.task)
        return job

    def act(
        self, verb: str, operation: Operation[T], say: Callable[[T], str], action_id: str = ""
    ) -> Outcome[T]:
        """Carry it out as this operator's action, and let the audit's chain grow."""
        action = Action(self.actor.id, self.actor.how, self.actor.address, action_id)
        done = self.engine.run(actions.act(self.name, verb, operation, action, say))
        self.chain()
        return done

    def chain(self) -> None:
        """Put what was done into the audit's chain; if that fails now, a worker does it later."""
        try:
            while self.engine.run(audits.chain()) == audits.PIECE:
                pass
        except DutifulError:
            pass

    def on_job(
        self,
        verb: str,
        job_id: str,
        operation: Operation[JobView],
        seen: Seen | str | None,
        action_id: str,
        needs: str = "",
    ) -> Outcome[JobView]:
        """A verb on one job that is still as it was seen."""
        job = self.look(inspect.job(self.name, job_id))
        self.writing(needs or verb, queue=job.queue, task=job.task)
        known = Seen.parse(seen) if isinstance(seen, str) else seen
        guarded = actions.guarded(self.name, verb, job.id, known, operation)
        done = self.act(verb, guarded, job_said, action_id)
        if done.value is not None and done.value.state == "ready":
            self.engine.wake(done.value.queue)
        return done


class Ops(Desk):
    """People's verbs. ``seen`` is how the job was when it was looked at (``Seen.of(job)``, or its ``rev``).

    All raise NotAllowed, ReadOnly, Changed where ``seen`` does not hold any more, and ActionReused; with an
    ``action_id`` that was used before they do nothing and return what was said then, ``replayed``. Besides,
    each raises what its operation does. Whatever is raised: nothing was changed.
    """

    # ── one job ─────────────────────────────────────────────────────────────────────────────

    def cancel(
        self, job_id: str, *, reason: str = "", seen: Seen | str | None = None, action_id: str = ""
    ) -> Outcome[JobView]:
        """Cancel a job that nobody has begun, or ask its run to stop."""
        done = people.call_off(self.name, job_id, actor=self.actor.id, reason=reason)
        return self.on_job("cancel", job_id, done, seen, action_id)

    def retry(
        self,
        job_id: str,
        *,
        reason: str = "",
        args_hash: str = "",
        seen: Seen | str | None = None,
        action_id: str = "",
    ) -> Outcome[JobView]:
        """Bring a dead, cancelled or skipped job back."""
        job = self.look(inspect.job(self.name, job_id))
        if job.key is not None and job.state != "dead" and not args_hash and self.app is not None:
            args_hash = self.app.find_task(job.task).codec.args_hash(job.args)
        done = people.retry(self.name, job_id, actor=self.actor.id, reason=reason, args_hash=args_hash)
        return self.on_job("retry", job_id, done, seen, action_id)

    def discard(
        self, job_id: str, *, reason: str, seen: Seen | str | None = None, action_id: str = ""
    ) -> Outcome[JobView]:
        """Give up a dead job, or one in doubt; :meth:`undo` takes that back. Raises ReasonNeeded."""
        self.demand_reason("discard", reason)
        done = doubts.waive(self.name, job_id, actor=self.actor.id, reason=reason)
        return self.on_job("discard", job_id, done, seen, action_id)

    def undo(
        self, job_id: str, *, reason: str = "", seen: Seen | str | None = None, action_id: str = ""
    ) -> Outcome[JobView]:
        """Take a discard back: the job is again what it was, with its key."""
        done = doubts.unwaive(self.name, job_id, actor=self.actor.id, reason=reason)
        return self.on_job("undo", job_id, done, seen, action_id)

    # ── doubts ──────────────────────────────────────────────────────────────────────────────

    def confirm(
        self,
        job_id: str,
        *,
        reason: str = "",
        result: bytes | None = None,
        seen: Seen | str | None = None,
        action_id: str = "",
    ) -> Outcome[JobView]:
        """An at_most_once body in doubt was found finished."""
        done = doubts.confirm(self.name, job_id, actor=self.actor.id, reason=reason, result=result)
        return self.on_job("confirm", job_id, done, seen, action_id)

    def resume(
        self,
        job_id: str,
        *,
        reason: str = "",
        result: bytes | None = b"null",
        effect: str | None = None,
        seen: Seen | str | None = None,
        action_id: str = "",
    ) -> Outcome[JobView]:
        """The effect in doubt was applied; the job goes on with its result."""
        done = doubts.resume(
            self.name, job_id, actor=self.actor.id, reason=reason, result=result, effect=effect
        )
        return self.on_job("resume", job_id, done, seen, action_id)

    def refute(
        self,
        job_id: str,
        *,
        reason: str = "",
        effect: str | None = None,
        new_key: bool = False,
        accept_risk: bool = False,
        seen: Seen | str | None = None,
        action_id: str = "",
    ) -> Outcome[JobView]:
        """What is in doubt was surely not done; the job does it now."""
        more = {"new_key": new_key, "accept_risk": accept_risk}
        done = doubts.refute(self.name, job_id, actor=self.actor.id, reason=reason, effect=effect, **more)
        return self.on_job("refute", job_id, done, seen, action_id)

    # ── queues, schedules, locks ────────────────────────────────────────────────────────────

    def pause_queue(
        self,
        queue: str,
        *,
        reason: str,
        until_us: int | None = None,
        span_us: int | None = None,
        action_id: str = "",
    ) -> Outcome[queues.QueueState]:
        """No worker claims from this queue, until then or until it is resumed. Raises ReasonNeeded."""
        self.writing("pause_queue", queue=queue, task="*")
        self.demand_reason("pause a queue", reason)
        done = queues.pause(
            self.name, queue, actor=self.actor.id, reason=reason, until_us=until_us, span_us=span_us
        )
        return self.act("pause_queue", done, lambda _: f"queue {queue} is paused", action_id)

    def resume_queue(
        self, queue: str, *, reason: str = "", action_id: str = ""
    ) -> Outcome[queues.QueueState]:
        """End a queue's pause."""
        self.writing("resume_queue", queue=queue, task="*")
        done = queues.resume(self.name, queue, actor=self.actor.id, reason=reason)
        outcome = self.act("resume_queue", done, lambda _: f"queue {queue} is open", action_id)
        self.engine.wake(queue)
        return outcome

    def pause_schedule(
        self, schedule: str, *, reason: str, for_us: int | None = None, action_id: str = ""
    ) -> Outcome[Stored]:
        """Pause a schedule, for so long or until it is resumed. Raises ReasonNeeded."""
        self.writing("pause_schedule", queue="*", task="*")
        self.demand_reason("pause a schedule", reason)
        done = schedule_verbs.pause(self.name, schedule, actor=self.actor.id, reason=reason, for_us=for_us)
        return self.act("pause_schedule", done, lambda _: f"schedule {schedule} is paused", action_id)

    def resume_schedule(self, schedule: str, *, reason: str = "", action_id: str = "") -> Outcome[Stored]:
        """Let a schedule go on."""
        self.writing("resume_schedule", queue="*", task="*")
        done = schedule_verbs.resume(self.name, schedule, actor=self.actor.id, reason=reason)
        return self.act("resume_schedule", done, lambda _: f"schedule {schedule} is active", action_id)

    def skip_schedule(self, schedule: str, at_us: int, *, reason: str, action_id: str = "") -> Outcome[None]:
        """Leave out an occurrence that waits for a person. Raises ReasonNeeded."""
        self.writing("skip_schedule", queue="*", task="*")
        self.demand_reason("leave out an occurrence", reason)
        done = schedule_verbs.skip(self.name, schedule, at_us, actor=self.actor.id, reason=reason)
        return self.act("skip_schedule", done, lambda _: f"schedule {schedule} leaves it out", action_id)

    def break_lock(
        self, lock: str, *, reason: str, grant_no: int | None = None, action_id: str = ""
    ) -> Outcome[list[tuple[int, str]]]:
        """Take a lock from those who hold it, or from that grant alone. Raises ReasonNeeded."""
        self.writing("break_lock", queue="*", task="*")
        self.demand_reason("break a lock", reason)
        done = locks.break_lock(self.name, lock, actor=self.actor.id, reason=reason, grant_no=grant_no)
        return self.act("break_lock", done, lambda broken: f"{len(broken)} grants were ended", action_id)

    # ── the audit ───────────────────────────────────────────────────────────────────────────

    def audit(
        self,
        *,
        actor: str | None = None,
        verb: str | None = None,
        subject: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[AuditRow]:
        """What people did, the latest first."""
        self.demand("view", queue="*", task="*")
        return self.look(
            audits.page(self.name, actor=actor, verb=verb, subject=subject, before=before, limit=limit)
        )

    def audit_check(self, *, known_no: int | None = None, known_hash: str = "") -> Checked:
        """Look over the audit's chain."""
        self.demand("view", queue="*", task="*")
        return self.look(audits.check(known_no=known_no, known_hash=known_hash))

    def demand_reason(self, what: str, reason: str) -> None:
        """Raises ReasonNeeded where none is given."""
        if not reason.strip():
            raise ReasonNeeded(f"A reason is needed to {what}.")


def job_said(job: JobView) -> str:
    """What became of a job, in words that are kept."""
    state = f"{job.state} ({job.outcome})" if job.outcome else job.state
    return f"job {job.id} is {state}"
