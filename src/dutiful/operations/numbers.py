"""What the verdict rests on, read in one look: the four numbers with their things, and who watches.

Every statement is bounded: by an index, by a window at the front of each lane (what no worker takes stays
there, and what is late is there), or by what is kept counted. So a look costs the same over a million jobs;
where a window was full, the amount is told as "at least".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..model.verdict import Name, Numbers, Queue, Thing, Watch
from . import drills, reconcile_things, things, unseen
from .plan import Call, Row, Rows, Steps, as_json, query, together
from .thing_facts import Channel, DueHere, QueueFact, WorkerHere

WINDOW = 200
"""So many jobs at the front of a lane are looked at."""
RUNS_WINDOW = 2_000
"""The same, for what silent workers hold."""
GATES_MAX = 300
GROUPS_MAX = 100
FRESH_MAX = 1_000
SOON_US = 86_400_000_000
"""An acknowledgement that ends within this is lapsing soon."""
LATELY_US = 60_000_000
"""A worker that left so lately still counts as taking its queues: a deploy loses nothing."""

_ASKED: Mapping[str, Mapping[str, object]] = {
    "watched_workers": {"lately": LATELY_US},
    "watched_queues": {},
    "lane_heads": {"window": WINDOW},
    "due_unpromoted": {"window": WINDOW},
    "now": {},
    "doubts_by_task": {},
    "look_at_schedules": {},
    "count_waiting_occurrences": {},
    "late_at_gates": {"limit": GATES_MAX},
    "list_checked": {},
    "read_book": {},
    "unseen_groups": {"limit": GROUPS_MAX, "fresh": FRESH_MAX},
    "fresh_deaths": {"limit": FRESH_MAX},
    "count_seen": {"soon": SOON_US},
    "task_owners": {},
    "reconcile_numbers": {},
    "count_drilled": {},
    "read_watchers": {},
    "list_channels": {},
    "count_undelivered": {"grace": unseen.DELIVERY_US},
    "read_verdict": {},
}
"""What a look reads: statements, and what they take beside the app."""

UNCHECKED = ("checks",)
"""What nobody can look at yet: what ``dutiful check`` finds in code is kept nowhere."""


@query
def numbers(app: str) -> Steps[Numbers]:
    """All of it, at one instant of the database's clock."""
    return (yield from read(app))


def read(app: str) -> Steps[Numbers]:
    """The steps of :func:`numbers`, for operations that go on from there."""
    numbers, _ = yield from read_with(app)
    return numbers


def read_with(app: str, *more: Call) -> Steps[tuple[Numbers, list[Rows]]]:
    """The same, and the replies to some more calls, all of them in one look where the engine can."""
    asked = {name: {"app": app, **params} for name, params in _ASKED.items()}
    calls = [Call(name, params) for name, params in asked.items()]
    replies = yield from together(*calls, *more, alone=True)
    rows = dict(zip(asked, replies, strict=False))
    numbers = yield from _made(app, rows)
    return numbers, replies[len(asked) :]


def _made(app: str, rows: Mapping[str, Rows]) -> Steps[Numbers]:
    workers = [WorkerHere.of(row) for row in rows["watched_workers"]]
    queues = {row[0]: QueueFact(*row) for row in rows["watched_queues"]}
    heads = [DueHere.of(row) for row in (*rows["lane_heads"], *rows["due_unpromoted"])]
    now = int(rows["now"][0][0])

    found: list[Thing] = []
    found += things.unservable(heads, workers, queues, now)
    found += things.of_queues(heads, queues, now)
    found += things.past_their_time(heads)
    held: Mapping[int, Row] = {}
    if silent := [one.id for one in workers if one.silent(now)]:
        params = {"app": app, "ids": as_json(silent), "window": RUNS_WINDOW}
        held = {row[0]: row for row in (yield Call("held_by_silent", params))}
        found += things.of_silent(workers, held, now)
    found += things.of_doubts(rows["doubts_by_task"])
    found += things.of_schedules(rows["look_at_schedules"], now)
    found += things.of_occurrences(rows["count_waiting_occurrences"])
    found += things.of_gates(rows["late_at_gates"], now)
    found += things.of_checks(rows["list_checked"])
    book = rows["read_book"]
    found += things.of_books(book[0] if book else None)
    groups = rows["unseen_groups"]
    fresh = rows["fresh_deaths"]
    found += unseen.of_groups(groups, fresh)
    [seen] = rows["count_seen"]
    said = {row[0]: row for row in rows["task_owners"]}
    owners = {name: row[1] for name, row in said.items() if row[1]}
    reconciled = reconcile_things.judged(rows["reconcile_numbers"], now)
    found += reconciled.things

    unread: dict[Name, str] = {}
    if reconciled.unread:
        unread |= {"lost": reconciled.unread, "doubled": reconciled.unread}
    waived = {name for name, row in said.items() if reconcile_things.waived(row[2])}
    covered = len((reconciled.tasks | waived) & said.keys())
    uncovered = reconcile_things.unchecked(len(said), covered)
    [(drilled, bad)] = rows["count_drilled"]
    undrilled = drills.undrilled(len(said), int(drilled or 0))
    unchecked = [*(one for one in (uncovered, undrilled) if one), *UNCHECKED]
    watches = [Watch(name, period, max(0, age), note) for name, period, age, note in rows["read_watchers"]]
    channels = [Channel(*row) for row in rows["list_channels"]]
    [(undelivered, oldest)] = rows["count_undelivered"]
    if undelivered:
        unread["unseen"] = unseen.undelivered(undelivered, oldest, now)
    if not channels:
        unchecked.append("alerts (no channel is set up)")
    watches += [unseen.prover(channels, now), reconciled.watch]
    kept = rows["read_verdict"]
    state, since, *_ = kept[0] if kept else (None, None)
    found = unseen.owned(found, owners, _tasks(found, groups, fresh) | reconciled.task_of)
    facts = _facts(heads, queues, workers, found, now) | _counted(book, seen) | reconciled.facts
    facts |= {"tasks": len(said), "tasks_unreconciled_by_choice": len(waived - reconciled.tasks)}
    facts |= {"tasks_drilled": int(drilled or 0), "tasks_with_drill_findings": int(bad or 0)}
    lines = _queues(heads, queues, now)
    return Numbers(app, now, found, watches, unread, unchecked, facts, lines, state, since)


def _queues(heads: Sequence[DueHere], queues: Mapping[str, QueueFact], now: int) -> list[Queue]:
    lines = []
    for name, fact in queues.items():
        here = [one for one in heads if one.queue == name]
        oldest = max(0, now - min(one.oldest_us for one in here)) if here else None
        paused = fact.paused_by if fact.paused_us is not None else None
        due = sum(one.count for one in here)
        lines.append(Queue(name, due, oldest, fact.target_us, paused, fact.depth, fact.sampled_us))
    return lines


def _tasks(found: Sequence[Thing], groups: Sequence[Row], fresh: Sequence[Row]) -> dict[str, str]:
    """The task of each thing that has one."""
    tasks = {f"group:{row[0]}": row[1] for row in (*groups, *fresh)}
    for one in found:
        kind, _, rest = one.key.partition(":")
        if kind == "doubt":
            tasks[one.key] = rest
        elif kind in ("unservable", "deadline"):
            tasks[one.key] = rest.partition(":")[2]
    return tasks


def _counted(book: Sequence[Row], seen: Row) -> dict[str, int | None]:
    """What is kept counted."""
    accepted, _, _, counted, recounted, accounted, dead = book[0] if book else (None,) * 7
    return {
        "accepted": accepted,
        "accounted": accounted,
        "counted_at_us": counted,
        "recounted_at_us": recounted,
        "dead": dead,
        "seen_groups": int(seen[0]),
        "seen_dead": int(seen[1]),
        "lapsing_soon": int(seen[2]),
    }


def _facts(
    heads: Sequence[DueHere],
    queues: Mapping[str, Any],
    workers: Sequence[WorkerHere],
    found: Sequence[Thing],
    now: int,
) -> dict[str, int | None]:
    """The lines beside the numbers, by name; spans in microseconds."""
    oldest = [one.oldest_us for one in heads]
    return {
        "stranded": sum(one.amount for one in found if one.key.startswith("stranded:")),
        "unservable": sum(one.amount for one in found if one.key.startswith(("unservable:", "unserved:"))),
        "in_doubt": sum(one.amount for one in found if one.key.startswith("doubt:")),
        "stuck": sum(one.amount for one in found if one.key.startswith("silent:")),
        "occurrences_waiting": sum(one.amount for one in found if one.key.startswith("occurrences:")),
        "paused_with_due": sum(1 for one in found if one.key.startswith("paused:")),
        "oldest_due_us": max(0, now - min(oldest)) if oldest else None,
        "targets": sum(1 for one in queues.values() if one.target_us is not None),
        "queues": len(queues),
        "workers": sum(1 for one in workers if one.lives(now)),
    }
