"""What else the web page reads: who holds a key, what the last runs died of, how many a filter means."""

from __future__ import annotations

from .bulk import Wanted
from .inspect import FailureView, JobView, find
from .plan import Call, Steps, query

KEY_MAX = 50


@query
def by_key(app: str, key: str, limit: int = KEY_MAX) -> Steps[list[JobView]]:
    """The jobs that hold a duty of this key, of whichever task, the one taken last first."""
    rows = yield Call("holders_of_key", {"app": app, "key": key, "limit": limit})
    found = []
    for row in rows:
        if (yield Call("find_job", {"id": row[0]})):  # a duty outlives its job
            found.append((yield from find(app, row[0])))
    return found


@query
def last_failures(job_id: str, limit: int = 20) -> Steps[list[FailureView]]:
    """What a job's latest runs died of, the newest first."""
    rows = yield Call("last_failures", {"id": job_id, "limit": limit}, alone=True)
    return [FailureView(*row) for row in rows]


@query
def count(app: str, wanted: Wanted) -> Steps[int]:
    """How many dead jobs a bulk operation with this filter would mean now, exactly."""
    [(now,)] = yield Call("now")
    params = {"app": app, "bound": now - wanted.older_us, **wanted.params}
    [(many,)] = yield Call("count_for_bulk", params)
    return int(many)


@query
def begun_us(chore: str) -> Steps[int | None]:
    """When a chore that one worker does for all was last begun; None: never."""
    rows = yield Call("chore_begun", {"name": chore}, alone=True)
    return int(rows[0][0]) if rows else None
