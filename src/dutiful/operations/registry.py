"""Which tasks there are, as the workers' releases declare them: who owns what, and what is promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from .plan import Call, Steps, as_json, operation, query, typed

TASKS_MAX = 10_000
KEEP_US = 90 * 86_400_000_000


class Declared(Struct, frozen=True):
    """What a release says of one task. ``facts`` are the rest of its declaration, by name."""

    name: str
    version: int
    queue: str
    priority: int
    owner: str
    delivery: str
    facts: Mapping[str, Any]


class TaskRow(Struct, frozen=True):
    """The same as it is kept: by which release, first and last said when."""

    name: str
    release: str
    version: int
    queue: str
    priority: int
    owner: str
    delivery: str
    facts: Mapping[str, Any]
    first_at_us: int
    seen_at_us: int
    now_us: int


@operation
def register(app: str, release: str, tasks: Sequence[Declared]) -> Steps[None]:
    """Note what a release says of its tasks; what older ones said is kept for 90 days, the last for good."""
    rows = [
        {
            "name": one.name,
            "version": one.version,
            "queue": one.queue,
            "priority": one.priority,
            "owner": one.owner,
            "delivery": one.delivery,
            "declared": as_json(one.facts),
        }
        for one in tasks
    ]
    yield Call("register_tasks", {"app": app, "release": release, "rows": as_json(rows)})
    yield Call("forget_tasks", {"app": app, "keep": KEEP_US})


@query
def tasks(app: str) -> Steps[list[TaskRow]]:
    """What is known of an app's tasks, by name; of each the release that was seen last comes first."""
    rows = yield Call("list_tasks", {"app": app, "limit": TASKS_MAX}, alone=True)
    return [typed(TaskRow, (*row[:7], msgspec.json.decode(row[7]), *row[8:])) for row in rows]
