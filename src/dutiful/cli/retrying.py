"""Bringing one job back: what its duty needs to know is worked out from the task's declaration."""

from __future__ import annotations

import click

from ..model.errors import DutifulError, UnknownTask
from ..operations import inspect
from ..operations.dead_sets import Choice
from ..operations.inspect import JobView
from .exits import Refusal
from .reach import Reach
from .session import Session

choice_option = click.option(
    "--choice",
    type=click.Choice(["leave", "retry"]),
    default="leave",
    help="What of jobs of which nobody can know whether a retry is harmless (default: leave them).",
)


def retry_one(session: Session, store: Reach, job_id: str, *, reason: str, choice: Choice) -> JobView:
    """Retry a job; raises what that does, or Refusal where its app's code is needed for it."""
    job = store.run(inspect.job(store.name, job_id))
    args_hash = ""
    if job.key is not None and job.state != "dead":  # the dead keep their duty's row, others gave it up
        args_hash = _args_hash(store, job)
    done = store.ops(session).retry(job.id, reason=reason, choice=choice, args_hash=args_hash)
    assert done.value is not None
    return done.value


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
