"""Tasks, as workers' releases declare them: who knows each, what it promises, and how it went of late."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from ...model.spans import span
from ...operations import groups, health, inspect, metrics, registry
from ...operations.metrics import DAY, HOUR, Point
from ...operations.registry import TaskRow
from ...operations.why_facts import WorkerFact
from ..asking import Ask
from ..guard import Refused
from .checklist import DrillRow, LineCell, Matrix, drills_of, matrix, of_task
from .groups import GroupRow, rows_of_task
from .rows import JobRow, rows_of

LISTED_MAX = 80
CHECKED_MAX = 30
"""So many tasks with all their cells are a page of at most 120 KB."""
LATEST = 10


class Known(Struct, frozen=True):
    """What one release says of a task, and how many live workers of that release know it."""

    release: str
    version: int
    queue: str
    priority: int
    delivery: str
    first_us: int
    seen_us: int
    workers: int


class TaskLine(Struct, frozen=True):
    """A task, as the release seen last declares it. Counts are of the last 24 hours, ``dead`` of now."""

    name: str
    queue: str
    delivery: str
    version: int
    owner: str
    tags: tuple[str, ...]
    releases: list[Known]
    workers: int
    """Live workers that know it."""
    seen_us: int
    done: int
    failed: int
    dead: int
    groups: int
    run_p95_us: int | None
    here: bool | None
    """Whether this process's code has it; None where only a store is known."""


class TaskList(Struct, frozen=True):
    """A page of tasks by name; ``new`` are in this process's code, and no worker has said them yet.

    ``runs``: how they go is shown, in ``rows``; else the checklist.
    """

    rows: list[TaskLine]
    checklist: Matrix | None
    runs: bool
    new: list[str]
    total: int
    next: str | None
    first: str
    deep: bool
    now_us: int


class TaskPage(Struct, frozen=True):
    """One task: how it answers the checklist, its declaration, its drills, what died of it, its latest jobs.

    ``line`` is the one that somebody came for.
    """

    task: TaskLine
    lines: list[LineCell]
    line: str
    drills: list[DrillRow]
    facts: list[tuple[str, str]]
    groups: list[GroupRow]
    jobs: list[JobRow]
    now_us: int


def task_list(ask: Ask) -> TaskList:
    """All tasks that a worker ever declared."""
    known = _known(ask)
    names = sorted(known)
    runs = ask.text("runs") is not None
    size = LISTED_MAX if runs else CHECKED_MAX
    start = ask.number("from", 0, 0, len(names))
    shown = names[start : start + size]
    rows, now = _lines(ask, known, shown) if runs else ([], ask.run(health.now()))
    more = ask.here(**{"from": start + size}) if len(names) > start + size else None
    new = sorted({task.name for task in ask.site.tasks.values()} - set(names))[:LISTED_MAX]
    first = ask.link(ask.path, runs=ask.text("runs"))
    lines = None if runs else matrix(ask, shown)
    return TaskList(rows, lines, runs, new, len(names), more, first, start > 0, now)


def _lines(ask: Ask, known: Mapping[str, list[TaskRow]], shown: Sequence[str]) -> tuple[list[TaskLine], int]:
    """How they go, and now."""
    workforce, now = ask.run(health.workforce(ask.site.name))
    points, dead = _lately(ask, now), _dead(ask)
    return [_line(ask, known[name], workforce, points[name], dead[name]) for name in shown], now


def one_task(ask: Ask) -> TaskPage:
    """One of them. Raises Refused where no worker has declared it."""
    name = ask.names["name"]
    known = _known(ask)
    if name not in known:
        raise Refused(
            404,
            "Not found",
            f"No worker of {ask.site.name} has declared a task {name[:200]!r}.",
            "It is known once a worker with this code has started.",
        )
    workforce, now = ask.run(health.workforce(ask.site.name))
    found = ask.run(groups.groups(ask.site.name, task=name))
    dead = (sum(one.n for one in found), len(found))
    jobs = ask.run(inspect.jobs(ask.site.name, task=name, limit=LATEST))
    line = _line(ask, known[name], workforce, _lately(ask, now, name)[name], dead)
    return TaskPage(
        task=line,
        lines=of_task(ask, name),
        line=ask.text("line") or "",
        drills=drills_of(ask, name, str(known[name][0].facts.get("code") or "")),
        facts=_facts(known[name][0].facts),
        groups=rows_of_task(ask, found),
        jobs=rows_of(ask, jobs),
        now_us=now,
    )


def _known(ask: Ask) -> dict[str, list[TaskRow]]:
    """By name; of each what was seen last comes first."""
    found: dict[str, list[TaskRow]] = {}
    for row in ask.run(registry.tasks(ask.site.name)):
        found.setdefault(row.name, []).append(row)
    return found


def _lately(ask: Ask, now: int, task: str | None = None) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = defaultdict(list)
    for point in ask.run(metrics.series(ask.site.name, "1h", now - DAY, now + HOUR, task=task)):
        found[point.task].append(point)
    return found


def _dead(ask: Ask) -> dict[str, tuple[int, int]]:
    """By task: how many are dead now, of how many causes."""
    found: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for one in ask.run(groups.groups(ask.site.name)):
        jobs, causes = found[one.task]
        found[one.task] = (jobs + one.n, causes + 1)
    return found


def _line(
    ask: Ask,
    rows: Sequence[TaskRow],
    workforce: Sequence[WorkerFact],
    points: Sequence[Point],
    dead: tuple[int, int],
) -> TaskLine:
    last = rows[0]
    live = [one for one in workforce if not (one.silent or one.gone or one.alone) and last.name in one.tasks]
    total = metrics.total(points)
    return TaskLine(
        name=last.name,
        queue=last.queue,
        delivery=last.delivery,
        version=last.version,
        owner=last.owner,
        tags=tuple(str(one) for one in last.facts.get("tags") or ()),
        releases=[
            Known(
                row.release,
                row.version,
                row.queue,
                row.priority,
                row.delivery,
                row.first_at_us,
                row.seen_at_us,
                sum(1 for one in live if one.release == row.release),
            )
            for row in rows
        ],
        workers=len(live),
        seen_us=last.seen_at_us,
        done=0 if total is None else total.done,
        failed=0 if total is None else total.failed,
        dead=dead[0],
        groups=dead[1],
        run_p95_us=None if total is None else total.run_us(0.95),
        here=None if ask.site.app is None else last.name in ask.site.tasks,
    )


WORDS = {
    "once": "once",
    "retry": "retries",
    "timeout_us": "timeout",
    "crashes": "crashes before it is dead",
    "late": "when late",
    "isolation": "runs in a",
    "database": "works in database",
    "lookup": "has a lookup",
    "order": "runs in an order",
    "lock": "has a lock",
    "rate": "has a rate",
    "fair": "shares fairly",
    "group": "group",
    "batch": "batch",
    "aliases": "also called",
}


def _facts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The declaration in words; what is not declared is left out."""
    found = []
    for name, words in WORDS.items():
        value = facts.get(name)
        if value in (None, False, [], ""):
            continue
        said = span(value) if name.endswith("_us") else "yes" if value is True else None
        said = said or (", ".join(map(str, value)) if isinstance(value, list) else str(value))
        found.append((words, said))
    return found
