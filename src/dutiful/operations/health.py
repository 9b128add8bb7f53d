"""What ``dutiful doctor`` asks of the tables and the database: readings, not judgements."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from .plan import Call, Steps, query
from .why_facts import WorkerFact, worker_fact


class Due(Struct, frozen=True):
    """Due jobs of one queue, task and version of its arguments."""

    queue: str
    task: str
    args_version: int
    count: int
    oldest_us: int


@query
def apps() -> Steps[list[str]]:
    """The apps that share this database, by name."""
    return [row[0] for row in (yield Call("list_apps", {}, alone=True))]


@query
def readings() -> Steps[Mapping[str, str]]:
    """Settings and states of the database by name, as text; those that this user may not see are absent."""
    rows = yield Call("doctor_readings", {}, alone=True)
    return {name: str(value) for name, value in rows if value is not None}


@query
def workforce(app: str) -> Steps[tuple[list[WorkerFact], int]]:
    """The workers of an app that are not yet marked gone, and now."""
    rows = yield Call("live_workers", {}, alone=True)
    now = (yield Call("now"))[0][0]
    return [worker_fact(row) for row in rows if row[1] == app], now


@query
def due(app: str) -> Steps[list[Due]]:
    """What stands due in an app, counted: as long as there is much."""
    return [Due(*row) for row in (yield Call("due_by_task", {"app": app}, alone=True))]


@query
def now() -> Steps[int]:
    """The clock that all leases go by."""
    return int((yield Call("now", {}, alone=True))[0][0])
