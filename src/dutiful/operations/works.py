"""The work of an exactly_once run: the first and the last statement of its transaction, and the read-back.

None of these begins or commits: they are carried out in the transaction that the body works in.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..model.jobs import Lease
from .plan import Call, Steps, operation, query


@dataclass(frozen=True, slots=True)
class Begun:
    """The transaction of a run that has begun its work: what a read-back asks for."""

    xid: str
    pid: int


@dataclass(frozen=True, slots=True)
class Done:
    """The ledger row of a duty: who did it, and what came of it (kept there only if the job is elsewhere)."""

    job_id: str | None
    token: str | None
    kind: str
    run_no: int | None
    at_us: int
    result: bytes | None


@operation
def begin_work(app: str, lease: Lease) -> Steps[Begun | None]:
    """Take the duty's key in the ledger; None if the duty is done already."""
    rows = yield Call("begin_work", {**_duty(app, lease), **_run(lease), "run_no": lease.run_no}, alone=True)
    return Begun(rows[0][0], rows[0][1]) if rows else None


@query
def find_done(app: str, lease: Lease) -> Steps[Done | None]:
    """The ledger row of this run's duty, whoever wrote it."""
    rows = yield Call("find_ledger_row", _duty(app, lease), alone=True)
    if not rows:
        return None
    job_id, token, kind, run_no, at, result = rows[0]
    return Done(job_id, token, kind, run_no, at, None if result is None else bytes(result))


@operation
def finish_work(app: str, lease: Lease, result: bytes | None, *, elsewhere: bool) -> Steps[bool]:
    """Settle the work under the token; False if the run is over or the work was taken back.

    In the queue's own database the job is done with it; elsewhere the ledger keeps the result.
    """
    name = "finish_work_elsewhere" if elsewhere else "finish_work"
    return bool((yield Call(name, {**_duty(app, lease), **_run(lease), "result": result}, alone=True)))


@query
def look_at_work(app: str, lease: Lease) -> Steps[tuple[bool, bool]]:
    """Whether the ledger row is still there, and whether the run still owns its job."""
    [(kept, mine)] = yield Call("look_at_work", {**_duty(app, lease), **_run(lease)}, alone=True)
    return bool(kept), bool(mine)


@query
def fate_of(begun: Begun) -> Steps[str | None]:
    """What PostgreSQL knows of a transaction: committed, aborted, "in progress", None if too old."""
    [(status,)] = yield Call("fate_of_transaction", {"xid": begun.xid}, alone=True)
    return status  # type: ignore[no-any-return]


@operation
def end_backend(begun: Begun) -> Steps[bool]:
    """End the session of a transaction that is still under way; False if there is none, or we may not."""
    rows = yield Call("end_backend", {"pid": begun.pid, "xid": begun.xid}, alone=True)
    return bool(rows and rows[0][0])


def _duty(app: str, lease: Lease) -> dict[str, object]:
    # Without a declared key the job is its own duty.
    key = lease.key if lease.key is not None else lease.job_id
    return {"app": app, "task": lease.task, "key": key, "epoch": lease.epoch}


def _run(lease: Lease) -> dict[str, object]:
    return {"id": lease.job_id, "token": lease.token}
