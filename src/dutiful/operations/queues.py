"""Queues: paused by people, limited across all workers by slots that these take in bulk.

A limit is kept by *shares*. A worker holds so many slots of a limited queue, in a row of its own, and
runs no more of its jobs at a time. Shares change under a lock of the queue's row, and their sum is
counted by a new statement under it: so nobody counts what another is about to change, and no job's
claim or ending writes a row that all share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from ..model.errors import QueueNotFound
from ..model.jobs import Lane
from .audit import note
from .plan import Call, Steps, as_json, operation, query


class QueueState(Struct, frozen=True):
    """What was said of a queue. ``paused_at_us`` is None where it is not paused now."""

    name: str
    target_us: int | None
    slots: int | None
    paused_at_us: int | None
    paused_until_us: int | None
    paused_by: str | None
    pause_reason: str | None
    now_us: int
    declared: int | None
    """The limit in the program; ``slots`` is that of a person, where one has set it."""
    limit_slots: int | None
    limited_at_us: int | None
    limited_by: str | None
    limit_reason: str | None


def find_queue(app: str, name: str) -> Steps[QueueState]:
    """Raises QueueNotFound."""
    rows = yield Call("find_queue", {"app": app, "name": name})
    if not rows:
        raise QueueNotFound(f"There is no queue {name!r} in app {app!r}.")
    return QueueState(*rows[0])


@operation
def pause(
    app: str, name: str, *, actor: str, reason: str, until_us: int | None = None, span_us: int | None = None
) -> Steps[QueueState]:
    """No worker claims from this queue from now on; what runs goes on. Audited.

    It ends by itself at ``until_us``, or ``span_us`` from now, by the database's clock. Raises
    QueueNotFound.
    """
    before = yield from find_queue(app, name)
    params = {"app": app, "name": name, "actor": actor, "reason": reason, "until": until_us, "span": span_us}
    yield Call("pause_queue", params)
    yield note("pause", app, actor, f"queue:{name}", _shown(before), "paused", reason)
    return (yield from find_queue(app, name))


@operation
def resume(app: str, name: str, *, actor: str, reason: str = "") -> Steps[QueueState]:
    """End a pause; nothing changes where there is none. Audited. Raises QueueNotFound."""
    before = yield from find_queue(app, name)
    yield Call("resume_queue", {"app": app, "name": name})
    yield note("resume", app, actor, f"queue:{name}", _shown(before), "open", reason)
    return (yield from find_queue(app, name))


@operation
def limit(app: str, name: str, slots: int | None, *, actor: str, reason: str) -> Steps[QueueState]:
    """No more than so many of its jobs are begun at a time, whatever the program declares; what runs goes on.

    None takes that back: the program's own limit holds again, if it declares one. Audited. Raises
    QueueNotFound.
    """
    before = yield from find_queue(app, name)
    if slots is None:
        yield Call("unlimit_queue", {"app": app, "name": name})
    else:
        params = {"app": app, "name": name, "slots": slots, "actor": actor, "reason": reason}
        yield Call("limit_queue", params)
    after = yield from find_queue(app, name)
    yield note("limit", app, actor, f"queue:{name}", _limited(before), _limited(after), reason)
    return after


def _limited(queue: QueueState) -> str:
    if queue.limit_slots is not None:
        return f"limit {queue.limit_slots}"
    return "no limit" if queue.declared is None else f"limit {queue.declared}, as declared"


def _shown(queue: QueueState) -> str:
    return "open" if queue.paused_at_us is None else "paused"


@operation
def take_share(app: str, queue: str, worker: int, want: int, held: int) -> Steps[int | None]:
    """Hold ``want`` slots of a limited queue, or as many as are free; returns how many it is now.

    Never fewer than ``held``, what this worker runs of it already. None: it has no limit.
    """
    rows = yield Call("lock_queue", {"app": app, "queue": queue})
    slots = rows[0][0] if rows else None
    who = {"app": app, "queue": queue, "worker": worker}
    yield Call("drop_shares_of_gone", {"app": app, "queue": queue})
    [(others,)] = yield Call("other_shares", who)
    mine = max(held, want if slots is None else min(want, slots - int(others)))
    if mine > 0:
        # What runs already was allowed when it began, whatever the limit is now.
        allowed = None if slots is None else max(slots, int(others) + held)
        yield Call("set_share", {**who, "slots": mine, "allowed": allowed})
    else:
        yield Call("drop_share", who)
    return None if slots is None else max(mine, 0)


@query
def oldest(lanes: Sequence[Lane], known: Mapping[str, int]) -> Steps[Mapping[int, int]]:
    """How long the first ready job of each lane has been due (microseconds); lanes with none are left out."""
    params = {
        "lanes": as_json([{"lane": lane.id, "mark": lane.mark} for lane in lanes]),
        "known": as_json(dict(known)),
    }
    rows = yield Call("oldest_ready", params, alone=True)
    return {row[0]: max(0, row[2] - row[1]) for row in rows}


class LateCounts(Struct, frozen=True):
    """Jobs of a queue: skipped as too late, begun later than its target, dead as stale."""

    queue: str
    skipped: int
    over_target: int
    stale: int


@query
def late_counts(app: str, span_us: int) -> Steps[list[LateCounts]]:
    """Of what ended within the last ``span_us``. A scan of that part of the history."""
    rows = yield Call("late_counts", {"app": app, "span": span_us}, alone=True)
    return [LateCounts(row[0], int(row[1]), int(row[2]), int(row[3])) for row in rows]
