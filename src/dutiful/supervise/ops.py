"""What people do, whoever asks for it: web page, command line and terminal stand on these verbs.

Each asks for its permission, is refused where everything is read-only, takes a one-time action id, compares
the row with what its person saw, and leaves an audit row in the transaction that acts. Plain calls; from an
event loop they belong into a thread (``await asyncio.to_thread(ops.retry, …)``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..app.bulk import Made, Streamed, Told, named, stream
from ..app.task import Task, Using, repeated
from ..model.errors import CommitUnknown
from ..model.jobs import Enqueued, NewJob
from ..model.operators import Operator, preset
from ..operations import audit as audits
from ..operations import dead_sets, doubts, enqueue, inspect, locks, people, queues, schedule_verbs
from ..operations.actions import Action, Outcome, Seen
from ..operations.audit import AuditRow, Checked
from ..operations.bulk import Wanted
from ..operations.dead_sets import Choice
from ..operations.inspect import JobView
from ..operations.plan import Operation
from ..operations.schedules import Stored
from .bulk_ops import Preflight
from .dead_ops import DeadOps
from .desk import Store, action_id

__all__ = [
    "Action",
    "Operator",
    "Ops",
    "Outcome",
    "Preflight",
    "Seen",
    "Store",
    "Wanted",
    "action_id",
    "preset",
]


class Ops(DeadOps):
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
        choice: Choice = "leave",
        args_hash: str = "",
        seen: Seen | str | None = None,
        action_id: str = "",
    ) -> Outcome[JobView]:
        """Bring a dead, cancelled or skipped job back; one that is done already is ended as a duplicate.

        Raises ChoiceNeeded where nobody can know whether that is harmless, unless ``choice`` says so.
        """
        job = self.look(inspect.job(self.name, job_id))
        if job.key is not None and job.state != "dead" and not args_hash and self.app is not None:
            args_hash = self.app.find_task(job.task).codec.args_hash(job.args)
        done = dead_sets.retry_one(
            self.name, job.id, actor=self.actor.id, reason=reason, args_hash=args_hash, choice=choice
        )
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

    def enqueue(
        self,
        wanted: Task[..., Any] | Using[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        reason: str = "",
        action_id: str = "",
    ) -> Outcome[Enqueued]:
        """Store a job of a task, or of ``task.using(…)``. Its value is the job that satisfies the request.

        Raises EnqueueError as a call in the program does.
        """
        using = wanted.using() if isinstance(wanted, Task) else wanted
        job = using.new_job(tuple(args), kwargs or {})
        self.writing("enqueue", queue=job.queue, task=job.task)

        def said(done: Enqueued) -> str:
            return f"job {done.id} was there already" if done.duplicate else f"job {done.id} is enqueued"

        def act(job: NewJob) -> Outcome[Enqueued]:
            verb = enqueue.by_person(self.name, job, actor=self.actor.id, reason=reason)
            return self.act("enqueue", verb, said, action_id)

        try:
            outcome = act(job)
        except CommitUnknown:
            outcome = act(repeated(job))  # its id is ours: asked for once more, it is one job
        self.engine.wake(job.queue)
        return outcome

    def enqueue_stream(
        self,
        wanted: Task[..., Any] | Using[..., Any],
        rows: Iterable[Any],
        *,
        reason: str = "",
        told: Told | None = None,
    ) -> Streamed:
        """Store jobs for rows as :meth:`App.enqueue_stream` does; each batch is an audited act of its own."""
        using = named(wanted)
        queue, task = using.queue, using.task.name
        self.writing("enqueue", queue=queue, task=task)

        def store(made: Made) -> list[Enqueued]:
            def act(verb: Operation[list[Enqueued]]) -> list[Enqueued]:
                done = self.act("enqueue", verb, lambda done: f"{len(done):,} rows of {task}").value
                assert done is not None  # without an action id it is never a replay
                return done

            person = {"actor": self.actor.id, "reason": reason}
            try:
                done = act(made.store(self.name, self.engine, **person))
            except CommitUnknown:
                done = act(made.store_again(self.name, **person))
            self.engine.wake(queue)
            return done

        return stream(using, rows, store, told)

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

    def limit_queue(
        self, queue: str, slots: int | None, *, reason: str, action_id: str = ""
    ) -> Outcome[queues.QueueState]:
        """So many of a queue's jobs at a time, whatever the program declares; None takes that back.

        Raises ReasonNeeded.
        """
        self.writing("limit_queue", queue=queue, task="*")
        self.demand_reason("limit a queue", reason)
        done = queues.limit(self.name, queue, slots, actor=self.actor.id, reason=reason)
        return self.act("limit_queue", done, limit_said, action_id)

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


def limit_said(queue: queues.QueueState) -> str:
    """How many of a queue's jobs may run at a time now, in words."""
    if queue.limit_slots is not None:
        instead = "" if queue.declared is None else f" instead of {queue.declared} as declared"
        return f"queue {queue.name} runs {queue.limit_slots} at a time{instead}"
    if queue.declared is not None:
        return f"queue {queue.name} runs {queue.declared} at a time, as declared"
    return f"queue {queue.name} has no limit"
