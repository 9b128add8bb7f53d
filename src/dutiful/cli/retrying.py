"""Bringing one job back: what its duty needs to know is worked out from the task's declaration."""

from __future__ import annotations

from ..model.errors import DutifulError, UnknownTask
from ..operations import inspect, people
from ..operations.inspect import JobView
from .exits import Refusal
from .reach import Reach


def retry_one(store: Reach, job_id: str, *, actor: str, reason: str) -> JobView:
    """Retry a job; raises JobNotFound, WrongState, DutyTaken, or Refusal where its app is needed for it."""
    job = store.run(inspect.job(store.name, job_id))
    args_hash = ""
    if job.key is not None and job.state != "dead":  # the dead keep their duty's row, others gave it up
        args_hash = _args_hash(store, job)
    return store.run(people.retry(store.name, job_id, actor=actor, reason=reason, args_hash=args_hash))


def _args_hash(store: Reach, job: JobView) -> str:
    if store.app is None:
        raise Refusal(
            f"Job {job.id} takes its duty {job.key!r} anew, which needs the declaration of {job.task}.",
            "Give --app MODULE:VAR instead of --store.",
        )
    try:
        return store.app.find_task(job.task).codec.args_hash(job.args)
    except UnknownTask:
        raise
    except DutifulError as error:
        raise Refusal(error.message, error.hint) from None
