"""Take jobs, with leases; bring due ones into line; give passed ones a new place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..model.jobs import Claimed, Lane, Lease, Waiting
from .plan import Call, Row, Steps, as_json, operation, query

LIMIT_MAX = 100


@operation
def claim(
    worker: int, lanes: Sequence[Lane], known: Mapping[str, int], limit: int, *, promote: bool = False
) -> Steps[Claimed]:
    """Claim up to ``limit`` due jobs, lane by lane in the order given.

    ``known`` maps the tasks that this worker knows to the newest version of their arguments that it
    can read; jobs of others stay ready. The order of the reply is the order to run in.
    """
    assert 0 < limit <= LIMIT_MAX
    params = {
        "worker": worker,
        "lanes": as_json([{"lane": lane.id, "mark": lane.mark} for lane in lanes]),
        "known": as_json(known),
        "n": limit,
        "promote": promote,
    }
    rows = yield Call("claim_jobs", params, alone=True)
    leases = [_lease(row) for row in rows if row[2] is not None]
    assert len(leases) <= limit, "the planner took more rows than the limit"
    place = {lane.id: at for at, lane in enumerate(lanes)}
    leases.sort(key=lambda lease: (place[lease.lane], lease.ready_seq))
    horizon, promoted = (rows[0][0], rows[0][1]) if rows else (0, 0)
    return Claimed(leases, promoted, horizon)


@operation
def claim_suspect(worker: int, lanes: Sequence[int], known: Mapping[str, int]) -> Steps[Lease | None]:
    """Claim one suspect for a child (``worker``) that holds nothing else."""
    params = {"worker": worker, "lanes": as_json(list(lanes)), "known": as_json(known)}
    rows = yield Call("claim_suspect", params, alone=True)
    return _lease(rows[0]) if rows else None


@query
def waiting(lanes: Sequence[Lane], known: Mapping[str, int]) -> Steps[Waiting]:
    """What :func:`claim` would find there: a look before a child is started to be claimed for."""
    params = {
        "lanes": as_json([{"lane": lane.id, "mark": lane.mark} for lane in lanes]),
        "known": as_json(known),
    }
    [(horizon, ready, due)] = yield Call("waiting_jobs", params, alone=True)
    return Waiting(bool(ready), bool(due), horizon)


@query
def waiting_suspect(lanes: Sequence[int], known: Mapping[str, int]) -> Steps[bool]:
    """Whether :func:`claim_suspect` would find one."""
    rows = yield Call("waiting_suspect", {"lanes": as_json(list(lanes)), "known": as_json(known)}, alone=True)
    return bool(rows)


@operation
def sweep(
    lanes: Sequence[Lane], known: Mapping[str, int], turn: str | None = None, period_us: int = 0
) -> Steps[int]:
    """Give ready jobs below the marks a new number; returns how many were passed by.

    ``turn``: only where the turn of that name is due, which is taken by the same statement.
    """
    params: dict[str, object] = {
        "turn": turn,
        "period": period_us,
        "lanes": as_json([{"lane": lane.id, "mark": lane.mark} for lane in lanes]),
        "known": as_json(known),
    }
    return len((yield Call("sweep_ready", params, alone=True)))


@query
def held_by(worker: int) -> Steps[list[tuple[str, str, int]]]:
    """What the store says this worker runs: (job id, token, run_no). A scan; after a lost answer only."""
    return [(row[0], row[1], row[2]) for row in (yield Call("held_by", {"worker": worker}, alone=True))]


@query
def sequence_value() -> Steps[int]:
    """How far the numbers given to ready jobs are."""
    [(value,)] = yield Call("sequence_value", {}, alone=True)
    return int(value)


def _lease(row: Row) -> Lease:
    return Lease(
        row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10], row[11], row[12],
        row[13], row[14], row[15], row[16], row[17], row[18], row[19],
    )  # fmt: skip
