"""What jobs and duties do, as simply as it can be said: plain Python, no transactions, nobody dies by chance.

It is the reference for both stores: after each step it must say of each job what they say.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.stateful.shop import ASK_S, KEEP_S, KEYED, REMEMBER_S, RETRIES, SNOOZE_S, delay_s

SECOND = 1_000_000

OPEN = ("ready", "running", "in_doubt")


@dataclass
class Job:
    """One job. ``state`` is ready, in_doubt, dead, done, cancelled, or pruned."""

    id: str
    task: str
    n: int
    plan: str
    note: str
    run_at: int
    epoch: int = 1
    state: str = "ready"
    outcome: str | None = None
    reason: str | None = None
    run_no: int = 0
    attempt: int = 0
    started: bool = False
    suspect: bool = False
    was_in_doubt: bool = False
    endings: list[tuple[int, str | None]] = field(default_factory=list)
    """In the history, with their outcomes; they stay when it comes back."""

    @property
    def key(self) -> str | None:
        return str(self.n) if self.task in KEYED else None

    @property
    def duty(self) -> str:
        return self.key if self.key is not None else self.id

    @property
    def args(self) -> tuple[int, str, str]:
        return self.n, self.plan, self.note


@dataclass
class Duty:
    """The row of a duty."""

    job: Job
    args: tuple[int, str, str]
    taken_at: int
    epoch: int = 1


class Refused(Exception):
    """By the name of the error that the product raises."""


class Model:
    """All jobs and duties of the app."""

    def __init__(self) -> None:
        self.now = 0
        self.jobs: dict[str, Job] = {}
        self.duties: dict[tuple[str, str], Duty] = {}
        self.ledger: dict[tuple[str, str, int], str] = {}
        """Done (exactly_once) or begun (at_most_once), by which job."""
        self.works: dict[str, int] = {}
        self.audits: list[tuple[str, str]] = []

    # ── enqueue ─────────────────────────────────────────────────────────────────────────────

    def enqueue(
        self,
        id: str,
        task: str,
        n: int,
        plan: str,
        note: str,
        *,
        run_in_s: int = 0,
        on_duplicate: str = "raise",
        again: bool = False,
    ) -> tuple[str, bool]:
        """The job that satisfies the request, and whether it was there."""
        job = Job(id, task, n, plan, note, self.now + run_in_s * SECOND)
        if id in self.jobs:  # an id of the caller's, once more
            return id, True
        if job.key is None:
            self.jobs[id] = job
            return id, False
        duty = self.duties.get((task, job.key))
        if duty is None:
            self.duties[task, job.key] = Duty(job, job.args, self.now)
            self.jobs[id] = job
            return id, False
        holder = duty.job
        if holder.state in OPEN or (holder.state != "dead" and self._remembered(holder) and not again):
            if duty.args != job.args and on_duplicate != "keep":
                if on_duplicate == "raise" or holder.state != "ready":
                    raise Refused("KeyReused")
                holder.n, holder.plan, holder.note = job.args
                duty.args = job.args
            return holder.id, True
        if holder.state == "dead" and task == "most":
            return holder.id, True
        if again:
            self.audits.append(("again", id))
        duty.epoch += again
        duty.job, duty.args, duty.taken_at = job, job.args, self.now
        job.epoch = duty.epoch
        self.jobs[id] = job
        return id, False

    def enqueue_many(self, ids: list[str], task: str, given: list[tuple[int, str]]) -> list[tuple[str, bool]]:
        """All of them, or (Refused) none, which is the caller's to see to."""
        first: dict[int, str] = {}
        if task in KEYED and any(first.setdefault(n, plan) != plan for n, plan in given):
            raise Refused("KeyReused")  # by this very batch, whatever is stored
        return [self.enqueue(id, task, n, plan, "") for id, (n, plan) in zip(ids, given, strict=True)]

    def _remembered(self, holder: Job) -> bool:
        if not holder.endings or holder.endings[-1][1] is None:
            return False  # a cancelled job did nothing
        return holder.endings[-1][0] + REMEMBER_S * SECOND > self.now

    # ── running ─────────────────────────────────────────────────────────────────────────────

    def run_all(self) -> list[tuple[str, int, int, str]]:
        """Run what is due; (job, run_no, attempt, verb) of each run, sorted."""
        told = []
        while due := [job for job in self.jobs.values() if job.state == "ready" and job.run_at <= self.now]:
            for job in due:
                job.run_no += 1
                job.attempt += 1
                attempt = job.attempt
                told.append((job.id, job.run_no, attempt, self._run(job)))
        return sorted(told)

    def _run(self, job: Job) -> str:
        job.suspect = False
        mark = job.task, job.duty, job.epoch
        if job.task in ("exact", "most") and mark in self.ledger:
            self._end(job, "done", "duplicate")
            return "duplicate"
        if job.task == "most":
            self.ledger[mark] = job.id
            job.started = True
        plan = job.plan
        if plan == "fail" or (plan == "second" and job.attempt == 1):
            return self._failed(job, delay_s(job.attempt))
        if plan == "retry_in":
            return self._failed(job, ASK_S)
        if plan == "give_up":
            return self._bury(job, "gave_up")
        if plan == "snooze" and job.attempt == 1:
            return self._snooze(job)
        if job.task == "exact":
            self.ledger[mark] = job.id
            self.works[job.duty] = self.works.get(job.duty, 0) + 1
        self._end(job, "done", "performed")
        return "committed" if job.task == "exact" else "complete"

    def _failed(self, job: Job, after_s: int) -> str:
        if job.task == "most":
            return self._bury(job, "error")
        if job.attempt > RETRIES:
            return self._bury(job, "exhausted")
        job.run_at = self.now + after_s * SECOND
        return "fail"

    def _snooze(self, job: Job) -> str:
        if job.task == "most":
            return self._bury(job, "error")
        job.attempt -= 1
        job.run_at = self.now + SNOOZE_S * SECOND
        return "snooze"

    def _bury(self, job: Job, reason: str) -> str:
        job.state, job.reason = "dead", reason
        return "bury"

    def _end(self, job: Job, state: str, outcome: str | None) -> None:
        job.state, job.outcome = state, outcome
        job.endings.append((self.now, outcome))

    def crash(self, begins: bool) -> list[str]:
        """A worker claims all that is due but suspects, begins the at_most_once ones or not, and dies."""
        taken = []
        for job in self.jobs.values():
            if job.state == "ready" and job.run_at <= self.now and not job.suspect:
                job.run_no += 1
                job.suspect = True
                taken.append(job.id)
                mark = job.task, job.duty, job.epoch
                if job.task == "most" and begins and mark not in self.ledger:
                    self.ledger[mark] = job.id
                    job.started = True
                    job.state = "in_doubt"
                    job.attempt += 1
        return sorted(taken)

    # ── people ──────────────────────────────────────────────────────────────────────────────

    def cancel(self, job: Job) -> None:
        if job.state != "ready":
            raise Refused("WrongState")
        self._end(job, "cancelled", None)
        duty = self._held(job)
        if duty is not None and duty.epoch == 1:
            del self.duties[job.task, job.duty]
        self.audits.append(("cancel", job.id))

    def retry(self, job: Job) -> None:
        if job.state not in ("dead", "cancelled"):
            raise Refused("WrongState")
        epoch = job.epoch + (job.state == "dead" and job.started)
        self._regain(job, epoch)
        self._ready(job, epoch)
        job.run_at, job.attempt = self.now, 0
        self.audits.append(("retry", job.id))

    def waive(self, job: Job) -> None:
        if job.state not in ("dead", "in_doubt"):
            raise Refused("WrongState")
        job.was_in_doubt = job.state == "in_doubt"
        self._end(job, "done", "waived")
        self.audits.append(("waive", job.id))

    def unwaive(self, job: Job) -> None:
        if job.outcome != "waived" or job.state != "done":
            raise Refused("WrongState")
        self._regain(job, job.epoch)
        job.outcome = None
        job.state = "in_doubt" if job.was_in_doubt else "dead"
        self.audits.append(("unwaive", job.id))

    def confirm(self, job: Job) -> None:
        if job.state != "in_doubt":
            raise Refused("WrongState")
        self._end(job, "done", "performed")
        self.audits.append(("confirm", job.id))

    def refute(self, job: Job) -> None:
        if job.state != "in_doubt":
            raise Refused("WrongState")
        self._regain(job, job.epoch + 1)
        self._ready(job, job.epoch + 1)
        job.attempt = max(job.attempt - 1, 0)
        self.audits.append(("refute", job.id))

    def _ready(self, job: Job, epoch: int) -> None:
        job.state, job.outcome, job.reason, job.epoch = "ready", None, None, epoch
        job.started, job.suspect = False, False

    def _held(self, job: Job) -> Duty | None:
        duty = None if job.key is None else self.duties.get((job.task, job.key))
        return duty if duty is not None and duty.job is job else None

    def _regain(self, job: Job, epoch: int) -> None:
        if job.key is None:
            return
        duty = self.duties.get((job.task, job.key))
        if duty is None:
            duty = self.duties[job.task, job.key] = Duty(job, job.args, self.now, epoch)
        if duty.job is not job:
            raise Refused("DutyTaken")
        duty.epoch = max(duty.epoch, epoch)

    # ── forgetting ──────────────────────────────────────────────────────────────────────────

    def prune(self) -> None:
        """Endings older than the app keeps them, and duties that are remembered no longer."""
        for job in self.jobs.values():
            job.endings = [end for end in job.endings if end[0] >= self.now - KEEP_S * SECOND]
            if job.state in ("done", "cancelled") and not job.endings:
                job.state = "pruned"
        for name, duty in list(self.duties.items()):
            ended = duty.job.endings[-1][0] if duty.job.endings else 0
            over = self.now - REMEMBER_S * SECOND
            if duty.job.state in ("done", "cancelled", "pruned") and duty.taken_at < over and ended < over:
                del self.duties[name]
