"""People's verbs: each compares the state that was seen and leaves an audit row, in one transaction."""

from __future__ import annotations

from ..model.errors import DutyTaken, WrongState
from ..model.jobs import REMEMBER_US
from ..model.states import VERBS
from .audit import note
from .inspect import JobView, find
from .plan import Call, Steps, operation


@operation
def retry(
    app: str,
    job_id: str,
    *,
    actor: str,
    reason: str = "",
    args_hash: str = "",
    remember_us: int = REMEMBER_US,
) -> Steps[JobView]:
    """Bring a dead, cancelled or skipped job back: same id, same key, its tries counted anew.

    An at_most_once body that had begun, and ended, begins once more: in a new epoch of its duty.

    A cancelled or skipped job gave up its duty: ``args_hash`` and ``remember_us`` are what the task's
    declaration says of it. (The dead kept theirs.) Raises JobNotFound, WrongState, or DutyTaken where a
    newer job holds the duty; nothing changed then.
    """
    job = yield from find(app, job_id)
    job_id = job.id  # as it is stored, however it was typed
    _demand("retry", job)
    if job.state == "dead":
        back = yield Call("revive_dead", {"id": job_id})
    else:
        back = yield Call("revive_ended", {"id": job_id, "ended_at": job.ended_at_us})
    if not back:
        raise WrongState("retry", job_id, "not as it was seen a moment ago", "as it was seen")
    if job.key is not None:
        held = yield Call(
            "regain_duty",
            {
                "app": app,
                "task": job.task,
                "key": job.key,
                "id": job_id,
                "remember": remember_us,
                "epoch": back[0][1],
                "args_hash": args_hash,
            },
        )
        if not held:
            holders = yield Call("holder_of_duty", {"app": app, "task": job.task, "key": job.key})
            raise DutyTaken("retry", job_id, holders[0][0] if holders else "another job")
    yield note("retry", app, actor, job_id, _shown(job), "ready", reason)
    return (yield from find(app, job_id))


@operation
def cancel(app: str, job_id: str, *, actor: str, reason: str = "") -> Steps[JobView]:
    """Cancel a job that nobody has begun; its duty is free again. Raises JobNotFound, WrongState."""
    job = yield from find(app, job_id)
    job_id = job.id
    _demand("cancel", job)
    if not (yield Call("cancel_ready", {"id": job_id})):
        raise WrongState("cancel", job_id, "not as it was seen a moment ago", "ready")
    if job.key is not None:
        yield Call("free_duty", {"app": app, "task": job.task, "key": job.key, "id": job_id})
    yield note("cancel", app, actor, job_id, _shown(job), "cancelled", reason)
    return (yield from find(app, job_id))


@operation
def call_off(app: str, job_id: str, *, actor: str, reason: str = "") -> Steps[JobView]:
    """Cancel a job that nobody has begun, or ask the run of one to stop: it is running still then.

    Its worker sees to it within a beat, and what became of it is its next ending. The request stays with the
    job: if its worker dies, the next claim cancels it. Raises JobNotFound, WrongState.
    """
    job = yield from find(app, job_id)
    if job.state != "running":
        return (yield from cancel(app, job_id, actor=actor, reason=reason).begin())
    if not (yield Call("request_cancel", {"id": job.id})):
        raise WrongState("cancel", job.id, "not as it was seen a moment ago", "ready or running")
    yield note("cancel", app, actor, job.id, "running", "asked to stop", reason)
    return (yield from find(app, job.id))


def _demand(verb: str, job: JobView) -> None:
    transition = VERBS[verb]
    if not transition.allows(job.state, job.outcome):
        raise WrongState(verb, job.id, _shown(job), " or ".join(transition.sources))


def _shown(job: JobView) -> str:
    return f"{job.state}({job.outcome})" if job.outcome else job.state
