"""The start of an at_most_once run: stored for good before the first line of its body, or not begun."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..model.errors import StoreBusy
from ..model.jobs import Lease
from .plan import Call, Steps, durable
from .works import duty_of, fence_of

ROUNDS_MAX = 10


class Start(Struct, frozen=True):
    """What came of it. ``stored``: the body may begin; ``lost``: another owns the job; ``done``: the
    duty was begun before, by job ``same_as`` (None: by :func:`dutiful.once`)."""

    what: Literal["stored", "lost", "done"]
    same_as: str | None = None


@durable
def start(app: str, lease: Lease) -> Steps[Start]:
    """Write the duty's key into the ledger under the run's token, and that its body begins.

    Again after CommitUnknown it is the read-back: whatever became of the first, one start is stored, in
    a commit of which it is known that it will last.
    """
    params = {**duty_of(app, lease), **fence_of(lease)}
    epoch = params.pop("epoch")
    rows = yield Call("start_job", params, alone=True)
    for _ in range(ROUNDS_MAX):
        if rows:
            return Start("stored")
        [(mine, job_id, token)] = yield Call("look_at_start", {**params, "epoch": epoch})
        if not mine:
            return Start("lost")
        if token is not None and token.replace("-", "") != lease.token.replace("-", ""):
            return Start("done", job_id)
        # It is ours, or its owner took it back: both came to be while the first statement waited.
        rows = yield Call("start_job", params)
    raise StoreBusy(f"The start of job {lease.job_id} changed under our eyes {ROUNDS_MAX} times.")
