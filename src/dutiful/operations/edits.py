"""Edit and retry: a dead job's arguments are changed, and it comes back, in one transaction."""

from __future__ import annotations

from ..model.errors import WrongState
from . import dead_sets
from .audit import note
from .dead_sets import Choice
from .inspect import JobView, find
from .plan import Call, Steps, operation


@operation
def edit(
    app: str,
    job_id: str,
    *,
    run_no: int,
    args: bytes,
    args_version: int,
    args_hash: str,
    before: str,
    after: str,
    actor: str,
    reason: str = "",
    choice: Choice = "leave",
) -> Steps[JobView]:
    """Give a dead job these arguments and bring it back. ``run_no`` is the run after which it was looked at.

    ``before`` and ``after`` are the arguments as the audit may show them. Its key and gates must not change:
    that is its caller's to see to. Raises JobNotFound, WrongState, DutyTaken, ChoiceNeeded.
    """
    job = yield from find(app, job_id)
    if job.state != "dead":
        raise WrongState("edit", job.id, job.state, "dead")
    changed = {"id": job.id, "run_no": run_no, "args": args, "args_version": args_version}
    if not (yield Call("edit_dead", changed)):
        raise WrongState("edit", job.id, f"dead after run {job.run_no}", f"dead after run {run_no}")
    if job.key is not None:
        duty = {"app": app, "task": job.task, "key": job.key, "id": job.id, "args_hash": args_hash}
        yield Call("touch_duty", duty)
    yield note("edit", app, actor, job.id, before, after, reason)
    retry = dead_sets.retry_one(app, job.id, actor=actor, reason=reason, choice=choice)
    return (yield from retry.begin())
