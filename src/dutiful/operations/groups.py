"""Failure groups: the dead by cause, each with an exact count that costs no count over the dead.

Whoever moves a job to the dead, or away from them, leaves a row that says so (triggers on the table: no path
can forget it); :func:`fold` adds these up, and readers add what is not folded yet. A cause is a fingerprint
(:mod:`dutiful.model.fingerprints`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from ..model.fingerprints import masked
from .inspect import NEWEST, JobLine
from .plan import Call, Row, Steps, as_json, operation, query

PIECE = 1_000
GROUPS_MAX = 1_000
HOUR_US = 3_600_000_000
KEEP_HOURS_US = 15 * 24 * HOUR_US
KEEP_GONE_US = 400 * 24 * HOUR_US

Cursor = tuple[int, str]
"""(died_at in microseconds, id) of the last job seen."""


class Group(Struct, frozen=True):
    """Deaths with one cause: ``n`` are dead of it now, ``deaths`` ever were. ``job_id`` is one of them.

    ``kind`` and ``title`` are the exception's type and its message, masked; both "" where it had none, or is
    not folded yet. Releases are those of the workers that saw the first and the last.
    """

    fingerprint: str
    task: str
    reason: str
    kind: str
    title: str
    first_at_us: int
    last_at_us: int
    first_release: str
    last_release: str
    deaths: int
    n: int
    job_id: str
    now_us: int


@operation
def fold() -> Steps[bool]:
    """Add deaths and departures to their groups; whether more are left for another call."""
    rows = yield Call("next_deaths", {"limit": PIECE})
    if rows:
        groups, hours, lanes = _summed(rows)
        yield Call("fold_groups", {"rows": as_json(groups)})
        if hours:
            yield Call("fold_hours", {"rows": as_json(hours)})
        yield Call("fold_lanes", {"rows": as_json(lanes)})
        yield Call("drop_deaths", {"ids": as_json([row[0] for row in rows])})
    return len(rows) == PIECE


@operation
def forget() -> Steps[None]:
    """Forget hours older than 15 days, and causes of which nobody was dead for 400."""
    yield Call("forget_hours", {"keep": KEEP_HOURS_US})
    yield Call("forget_groups", {"keep": KEEP_GONE_US})


@query
def groups(
    app: str, *, task: str | None = None, gone: bool = False, limit: int = GROUPS_MAX
) -> Steps[list[Group]]:
    """The causes of which somebody is dead now (with ``gone`` also the others), the latest death first."""
    return [_group(row) for row in (yield from _listed(app, None, task, gone, limit))]


@query
def group(app: str, fingerprint: str) -> Steps[Group | None]:
    """One cause, also one of which nobody is dead any more; None where it is not known."""
    rows = yield from _listed(app, fingerprint, None, True, 1)
    return _group(rows[0]) if rows else None


@query
def hours(app: str, fingerprint: str, since_us: int) -> Steps[list[tuple[int, int]]]:
    """How many died of a cause in each hour (its first instant) since ``since_us``, at most 15 days back."""
    rows = yield Call("group_hours", {"app": app, "fingerprint": fingerprint, "since": since_us}, alone=True)
    return [(row[0], int(row[1])) for row in rows]


@query
def members(
    app: str, fingerprint: str, *, after: Cursor | None = None, limit: int = 50
) -> Steps[list[JobLine]]:
    """The dead of one cause behind a cursor, the latest death first."""
    died_at, last = after or NEWEST
    params = {"app": app, "fingerprint": fingerprint, "after": died_at, "after_id": last, "limit": limit}
    return [JobLine(*row) for row in (yield Call("dead_of_group", params, alone=True))]


@query
def of_task(app: str, task: str, *, after: Cursor | None = None, limit: int = 50) -> Steps[list[JobLine]]:
    """The dead of one task behind a cursor, the latest death first."""
    died_at, last = after or NEWEST
    params = {"app": app, "task": task, "after": died_at, "after_id": last, "limit": limit}
    return [JobLine(*row) for row in (yield Call("dead_of_task", params, alone=True))]


def _listed(
    app: str, fingerprint: str | None, task: str | None, gone: bool, limit: int
) -> Steps[Sequence[Row]]:
    params = {"app": app, "fingerprint": fingerprint, "task": task, "gone": gone, "limit": limit}
    return (yield Call("list_groups", params, alone=True))


def _group(row: Row) -> Group:
    values: list[Any] = [*row]
    values[9], values[10] = int(row[9]), int(row[10])  # sums, which PostgreSQL has as numeric
    return Group(*values)


def _summed(rows: Sequence[Row]) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, int]]]:
    """Rows of deaths, oldest first, as what they add to groups, hours and lanes."""
    lanes: dict[int, int] = {}
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    hours: dict[tuple[str, str, int], int] = {}
    for _, app, fingerprint, task, reason, at, n, job_id, release, kind, message, lane in rows:
        lanes[lane] = lanes.get(lane, 0) + n
        one = groups.setdefault(
            (app, fingerprint),
            {"app": app, "fingerprint": fingerprint, "task": task, "reason": reason, "kind": "", "title": "",
             "first_at": at, "last_at": at, "first_release": "", "last_release": "", "deaths": 0, "n": 0,
             "job_id": job_id},
        )  # fmt: skip
        one["n"] += n
        if n < 0:
            continue
        one["deaths"] += n
        one["first_at"], one["last_at"] = min(one["first_at"], at), max(one["last_at"], at)
        one["first_release"] = one["first_release"] or release or ""
        one["last_release"] = release or one["last_release"]
        one["kind"] = one["kind"] or kind or ""
        one["title"] = one["title"] or masked(message or "")
        one["job_id"] = job_id
        hour = (app, fingerprint, at // HOUR_US * HOUR_US)
        hours[hour] = hours.get(hour, 0) + n
    by_hour = [
        {"app": app, "fingerprint": fingerprint, "hour": hour, "deaths": n}
        for (app, fingerprint, hour), n in hours.items()
    ]
    return list(groups.values()), by_hour, [{"lane": lane, "n": n} for lane, n in lanes.items()]
