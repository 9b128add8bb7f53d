"""The work of an exactly_once run: the first and the last statement of its transaction, and the read-back.

None of these begins or commits: they are carried out in the transaction that the body works in.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from ..model.jobs import Lease
from .plan import Call, Steps, as_json, operation, query


class Begun(Struct, frozen=True):
    """The transaction of a run that has begun its work: what a read-back asks for."""

    xid: str
    pid: int


class Done(Struct, frozen=True):
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
    rows = yield Call(
        "begin_work", {**duty_of(app, lease), **fence_of(lease), "run_no": lease.run_no}, alone=True
    )
    return Begun(rows[0][0], rows[0][1]) if rows else None


@query
def find_done(app: str, lease: Lease) -> Steps[Done | None]:
    """The ledger row of this run's duty, whoever wrote it."""
    rows = yield Call("find_ledger_row", duty_of(app, lease), alone=True)
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
    return bool((yield Call(name, {**duty_of(app, lease), **fence_of(lease), "result": result}, alone=True)))


@query
def look_at_work(app: str, lease: Lease) -> Steps[tuple[bool, bool]]:
    """Whether the ledger row is still there, and whether the run still owns its job."""
    [(kept, mine)] = yield Call("look_at_work", {**duty_of(app, lease), **fence_of(lease)}, alone=True)
    return bool(kept), bool(mine)


@operation
def begin_works(app: str, leases: Sequence[Lease]) -> Steps[tuple[frozenset[str], Begun | None]]:
    """Take the keys of a group's duties: the tokens of those that were free, and the transaction."""
    rows = yield Call("begin_works", {"app": app, "rows": _rows(leases)}, alone=True)
    return frozenset(_plain(row[0]) for row in rows), (Begun(rows[0][1], rows[0][2]) if rows else None)


@operation
def forget_works(app: str, leases: Sequence[Lease]) -> Steps[int]:
    """Take these out of the group again; how many were in it."""
    params = {"app": app, "rows": _rows(leases)}
    return len((yield Call("forget_works", params, alone=True, planned_anew=True)))


@operation
def finish_works(
    app: str, done: Sequence[tuple[Lease, bytes | None]], *, elsewhere: bool
) -> Steps[frozenset[str]]:
    """Settle a group's work under its tokens; the tokens of those runs that still owned their jobs."""
    name = "finish_works_elsewhere" if elsewhere else "finish_works"
    results = [None if result is None else result.decode() for _, result in done]
    params = {"app": app, "rows": _rows([lease for lease, _ in done], results)}
    rows = yield Call(name, params, alone=True, planned_anew=True)
    return frozenset(_plain(row[0]) for row in rows)


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


def _rows(leases: Sequence[Lease], results: Sequence[str | None] = ()) -> str:
    rows: list[dict[str, object]] = [
        {
            **fence_of(lease),
            "run_no": lease.run_no,
            "task": lease.task,
            "epoch": lease.epoch,
            "key": _key(lease),
        }
        for lease in leases
    ]
    for row, result in zip(rows, results, strict=False):
        row["result"] = result
    return as_json(rows)


def _plain(token: object) -> str:
    return str(token).replace("-", "")


def _key(lease: Lease) -> str:
    # Without a declared key the job is its own duty.
    return lease.key if lease.key is not None else lease.job_id


def duty_of(app: str, lease: Lease) -> dict[str, object]:
    """The key of a run's duty in the ledger."""
    return {"app": app, "task": lease.task, "key": _key(lease), "epoch": lease.epoch}


def fence_of(lease: Lease) -> dict[str, object]:
    """The fence."""
    return {"id": lease.job_id, "token": lease.token}
