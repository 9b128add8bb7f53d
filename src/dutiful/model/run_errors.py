"""The errors of runs and their results, and of people's verbs; the whole tree is in :mod:`.errors`."""

from __future__ import annotations

from collections.abc import Sequence

from .error_root import DutifulError

# ── runs ────────────────────────────────────────────────────────────────────────────────────


class RunError(DutifulError):
    """Something about a run or its result."""

    code = "DE400"


class LeaseLost(RunError):
    """Another run owns the job now. Stop the task; whatever it still writes is refused."""

    code = "DE401"
    hint = "If this is frequent, raise the worker's lease above its longest pause."

    def __init__(self, *, job_id: str, run_no: int) -> None:
        self.job_id, self.run_no = job_id, run_no
        super().__init__(f"run {run_no} of job {job_id} is over: another run owns it")


class TimedOut(RunError):
    """The task ran longer than its own ``timeout=``."""

    code = "DE402"
    hint = 'Give the task more time (timeout="5m"), or make it do less in one job.'


class ResultNotReady(RunError):
    """The job had not ended when the wait was over. It goes on."""

    code = "DE403"


class JobFailed(RunError):
    """The job ended without a result: dead, cancelled, skipped or given up."""

    code = "DE404"


class InsideTransaction(RunError):
    """This must not be called while the run's own transaction is open; it was not begun."""

    code = "DE405"
    hint = (
        "Call it before the transaction: take run: Run, and open `with run.transaction() as tx:` afterwards."
    )


class WorkRolledBack(RunError):
    """The body rolled back its transaction and returned as if all were well. Nothing of it is kept."""

    code = "DE406"
    hint = "Raise the error instead of swallowing it, or use a savepoint for the part that may fail."


class TransactionOver(RunError):
    """``tx`` was used after the body had returned. Nothing was carried out."""

    code = "DE416"
    hint = "Use tx inside the body only, not in a thread of its own that goes on."


class WorkNotFinished(RunError):
    """The body tried to commit, or to check deferred constraints, before it returned. Nothing is kept."""

    code = "DE407"
    hint = "Leave COMMIT, ROLLBACK and SET CONSTRAINTS ALL away: dutiful commits when the body returns."


class WrongDelivery(RunError):
    """The task's delivery has no such thing as was asked for; nothing was done."""

    code = "DE408"


class EffectRefused(RunError):
    """The other side refused the call for good: it was surely not applied. An ordinary error of the task.

    Raised by ``do=`` of an effect, which may be called again then, under the same key.
    """

    code = "DE409"


class EffectNotSent(EffectRefused):
    """The call never left this machine, so it was surely not applied."""

    code = "DE412"


class EffectUnknown(RunError):
    """Nobody knows whether the call was applied; its effect stays intended, and is asked for again.

    ``retry_after`` is how many seconds the other side asked to be left alone; the next try waits so long.
    """

    code = "DE410"

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message, hint=hint)


class EffectChanged(RunError):
    """An open effect was called again with another request: the code or the data changed under it."""

    code = "DE411"
    hint = "Settle the effect by hand, then retry the job: dutiful doubt --help"


class InvalidEffect(RunError):
    """What ``run.effect(…)`` was given cannot work. Nothing was called, and nothing stored."""

    code = "DE413"


class ResultNotKept(RunError):
    """The effect was done, but what its call returned cannot be stored. It is never called again.

    A body that can do without the result catches this and goes on. ``do=`` may raise it, too, where it
    knows that the call was applied and cannot read the answer.
    """

    code = "DE414"
    hint = "Let do= return what is small and plain, such as the other side's id."


class Unsure(RunError):
    """Raised by ``lookup=`` of an effect: it cannot tell whether the call was applied."""

    code = "DE415"

    def __init__(self, message: str = "the lookup cannot tell", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)


class JobCancelled(RunError):
    """Somebody asked the job to stop, and ``run.check()`` says so. Let it go through: it is cancelled."""

    code = "DE460"
    hint = "Leave it uncaught, after cleaning up; what an exactly_once body wrote is taken back."

    def __init__(self, *, job_id: str, run_no: int) -> None:
        self.job_id, self.run_no = job_id, run_no
        super().__init__(f"run {run_no} of job {job_id} was asked to stop")


# ── people's verbs ──────────────────────────────────────────────────────────────────────────


class StateError(DutifulError):
    """A person's verb was refused. Nothing changed."""

    code = "DE500"


class JobNotFound(StateError):
    """No job of this id is live, dead or in the history."""

    code = "DE501"
    hint = "Finished jobs leave the history after 7 days. Search: dutiful job list --help"


class WrongState(StateError):
    """The job is not in a state that allows the verb; it may have changed since it was seen."""

    code = "DE502"

    def __init__(self, verb: str, job_id: str, state: str, allowed: str) -> None:
        self.verb, self.job_id, self.state = verb, job_id, state
        super().__init__(f"Cannot {verb} job {job_id}: it is {state}, and {verb} needs it to be {allowed}.")


class DutyTaken(StateError):
    """Another job holds this job's duty, so it cannot come back to life."""

    code = "DE503"
    hint = "The other job does the same work; look at it first: dutiful job show ID"

    def __init__(self, verb: str, job_id: str, holder: str) -> None:
        self.verb, self.job_id, self.holder = verb, job_id, holder
        super().__init__(f"Cannot {verb} job {job_id}: job {holder} holds its duty now.")


class NotProven(StateError):
    """Nothing shows that the old run is dead, so that a second one could do the work twice.

    ``missing`` says what would show it.
    """

    code = "DE504"

    def __init__(self, job_id: str, missing: Sequence[str]) -> None:
        self.job_id, self.missing = job_id, tuple(missing)
        super().__init__(
            f"Cannot refute job {job_id}: {'; '.join(missing)}.",
            hint="Wait, or see to it that the old process is gone and take the risk: --accept-risk",
        )


class DoubtRefused(StateError):
    """A doubt is not closed in this way. Nothing changed."""

    code = "DE505"


class ScheduleRefused(StateError):
    """A schedule, or its occurrence, is not there or not as the verb wants it. Nothing changed."""

    code = "DE506"
    hint = "What there is: dutiful schedule list; dutiful schedule show NAME"


class ReconcileRefused(StateError):
    """A reconciliation is not there, or none of its passes waits to be approved. Nothing changed."""

    code = "DE507"
    hint = "What there is: dutiful reconcile --list"


class QueueNotFound(StateError):
    """The app has no queue of this name."""

    code = "DE560"
    hint = "They are listed by: dutiful queue list"
