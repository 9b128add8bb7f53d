"""What the web page asks that nobody else does: whether anything happened, and what to mask."""

from __future__ import annotations

from collections.abc import Sequence

from . import groups
from .bulk import LAST_ID, Wanted
from .inspect import JobLine
from .plan import Call, Steps, as_json, query


@query
def pulse() -> Steps[str]:
    """A text that is another one after anything that a page shows has happened; nothing is scanned for it."""
    [row] = yield Call("pulse", {}, alone=True)
    return "-".join("" if value is None else str(value) for value in row)


@query
def args_of(ids: Sequence[str], limit: int) -> Steps[dict[str, bytes]]:
    """The arguments of these jobs, as they are stored; those longer than ``limit`` bytes are left out."""
    rows = yield Call("args_of_jobs", {"ids": as_json(list(ids)), "limit": limit}, alone=True)
    return {row[0]: bytes(row[1]) for row in rows}


@query
def dead(
    app: str, wanted: Wanted, *, after: tuple[int, str] | None = None, limit: int = 50
) -> Steps[list[JobLine]]:
    """Dead jobs that a bulk operation with this filter would mean, the latest death first."""
    if wanted == Wanted(fingerprint=wanted.fingerprint) and wanted.fingerprint is not None:
        return (yield from groups.members(app, wanted.fingerprint, after=after, limit=limit).begin())
    [(now, *_)] = yield Call("now")
    at, last = after if after is not None else (int(now) - wanted.older_us, LAST_ID)
    params = {"app": app, "after": at, "after_id": last, "limit": limit, **wanted.params}
    found = [row[0] for row in (yield Call("page_for_bulk", params))]
    if not found:
        return []
    lines = {row[0]: JobLine(*row) for row in (yield Call("dead_by_ids", {"ids": as_json(found)}))}
    return [lines[job_id] for job_id in found if job_id in lines]
