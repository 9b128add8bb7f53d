"""The protocol that is explored, and what its steps share: fences, locks, proofs, endings.

The steps themselves stand in ``producers``, ``reaper``, ``runs``, ``effects``, ``people`` and
``faults``; each is a generator of (label, next state) over one state. A rule that a mutant weakens is
asked for by name (``"no_ledger" in p.weak``), at the one place where it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol.bounds import Bounds
from tests.protocol.nouns import (
    BODY,
    CANCELLED,
    DEAD,
    DONE,
    DUPLICATE,
    EFFECT,
    IDLE,
    IN_DOUBT,
    READY,
    RUNNING,
    Duty,
    Effect,
    Job,
    Label,
    Run,
    State,
    Store,
    put,
)  # fmt: skip

Step = tuple[Label, State]
Steps = Iterator[Step]

IN_QUEUE = frozenset(("start?", "commit?", "complete?", "intend?"))
"""Where a COMMIT to the queue's database is without an answer: the job's row is locked meanwhile."""

NO_LEDGER = frozenset(("complete?", "intend?"))
"""Where a COMMIT without an answer has inserted no ledger row."""


class Protocol:
    """The bounds, and the names of the rules that are weakened (none: the protocol as it should be)."""

    def __init__(self, bounds: Bounds, weak: str = "") -> None:
        self.bounds = bounds
        self.weak = frozenset(weak.split())
        self.unfenced = frozenset(
            rule.removeprefix("no_fence_") for rule in self.weak if rule.startswith("no_fence_")
        )
        self.delivery = bounds.delivery
        self.at_most_once = bounds.delivery == "at_most_once"
        self.elsewhere = bounds.delivery == "elsewhere"
        self.provider = bounds.provider

    # ── who may write ───────────────────────────────────────────────────────────────────────

    def fence(self, verb: str, job: Job, run: Run) -> bool:
        """The job is running, and under this run's token."""
        return job.state == RUNNING and (job.token == run.token or verb in self.unfenced)

    def was_last(self, job: Job, run: Run) -> bool:
        """The job is in doubt because of this run, which was alive after all."""
        return job.state == IN_DOUBT and (job.last == run.token or "report_by_any_token" in self.weak)

    def locked(self, s: State, j: int) -> bool:
        """Another transaction holds the job's row until the server has decided about a commit."""
        return bool([run for run in s.runs if run.pending and run.job == j and run.at in IN_QUEUE])

    def cell(self, j: int, epoch: int) -> int:
        """Where the duty and epoch of a job stand in ledgers and works."""
        return self.bounds.duties[j] * self.bounds.epochs + epoch - 1

    def key_taken(self, s: State, w: int, cell: int) -> bool:
        """Another open transaction has inserted this ledger key: who inserts it too, waits."""
        for v, run in enumerate(s.runs):
            if v == w or not (run.at == "working" or (run.pending and run.at not in NO_LEDGER)):
                continue
            if self.cell(run.job, run.epoch) == cell:
                return True
        return False

    # ── proofs ──────────────────────────────────────────────────────────────────────────────

    def proven_dead(self, s: State, j: int, but: int = -1) -> bool:
        """No process has a run of this job in hand any more, and no call is under way (the quiet time)."""
        if s.world.air and "no_quiet_time" not in self.weak:
            return False
        last = s.db.effect.token or s.db.jobs[j].last
        for v, run in enumerate(s.runs):
            if run.job != j or not run.alive or v == but:
                continue
            if run.token == last or "proof_of_the_last_run_alone" not in self.weak:
                return False
        return True

    def key_is_young(self, s: State, effect: Effect) -> bool:
        """The provider will surely still know the key when a call decided now arrives."""
        provider = self.provider
        assert provider is not None
        if not provider.remembered:
            return False
        margin = 0 if "no_margin" in self.weak else provider.margin
        return s.world.clock < effect.asked + provider.remembered - margin

    def recoverable(self, s: State, effect: Effect) -> bool:
        """Whether a run can find out by itself what became of an open call."""
        assert self.provider is not None
        return self.provider.lookup or self.key_is_young(s, effect) or "resend_blindly" in self.weak

    # ── what is written ─────────────────────────────────────────────────────────────────────

    def back(self, job: Job, *, charged: bool) -> Job:
        """Running to ready. Not charged, the attempt is given back; a wish to cancel stays."""
        attempt = job.attempt if charged else job.attempt - 1
        return self.off(job)._replace(state=READY, attempt=attempt, cancel=job.cancel)

    def off(self, job: Job) -> Job:
        """No run has the job any more; whose it was stays known."""
        if "token_kept_at_the_end" in self.weak:
            return job._replace(worker=0, cancel=0)
        return job._replace(token=0, last=job.token or job.last, worker=0, cancel=0)

    def done(self, job: Job, outcome: str, same_as: int = 0) -> Job:
        return self.off(job)._replace(state=DONE, outcome=outcome, same_as=same_as, doubt="")

    def dead(self, job: Job) -> Job:
        return self.off(job)._replace(state=DEAD, doubt="")

    def doubtful(self, job: Job, why: str) -> Job:
        job = self.off(job)._replace(state=IN_DOUBT, doubt=why)
        return job._replace(last=0) if "doubt_forgets_the_run" in self.weak else job

    def why_in_doubt(self, s: State, job: Job) -> str:
        """Whether a run that ended unseen leaves a doubt: a body begun at most once, or an open call."""
        if self.at_most_once and job.started:
            return BODY
        effect = s.db.effect
        if self.provider is not None and effect.state == "intended" and not self.recoverable(s, effect):
            return EFFECT
        return ""

    def freed(self, duty: Duty) -> Duty:
        """Nobody holds the duty; its epoch stays, or a later job would repeat one."""
        return Duty() if "epoch_forgotten" in self.weak else duty._replace(holder=0)


# ── next states ─────────────────────────────────────────────────────────────────────────────────


def with_job(db: Store, j: int, job: Job) -> Store:
    return db._replace(jobs=put(db.jobs, j, job))


def with_run(s: State, w: int, run: Run) -> tuple[Run, ...]:
    runs = s.runs
    return (*runs[:w], run, *runs[w + 1 :])


def over(run: Run) -> Run:
    """The run is over: a living process registers anew if it must, and takes the next job."""
    return IDLE if run.alive or not run.listed else Run(alive=0)


__all__ = ["CANCELLED", "DUPLICATE", "Protocol", "Step", "Steps", "over", "with_job", "with_run"]
