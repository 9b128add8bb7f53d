"""Drills: the last one of each task, by kind of scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...operations import drills, health, registry
from ...operations.drills import Drill
from ..asking import Ask
from .checklist import codes_of

PAGE = 40
NEVER_MAX = 20

KINDS: Mapping[str, str] = {
    "X1": "run twice, one after the other",
    "X2": "two runs at once",
    "X3": "cut off at every boundary, run again",
    "X4": "a COMMIT whose answer is lost",
    "X5": "overtaken by a second run",
    "X6": "every statement and call raises",
    "X7": "late, in another zone, when clocks change",
    "X8": "after a sibling instead of before it",
    "X9": "somebody else changes the numbers in between",
    "X10": "a provider that does not answer, or forgets",
    "X11": "with the arguments of an older version",
}


@dataclass(frozen=True, slots=True)
class Played:
    """How many scenarios of a kind took place, and how many of them ended otherwise than they should."""

    kind: str
    n: int
    failed: int


@dataclass(frozen=True, slots=True)
class TaskDrill:
    """The last drill of a task; ``changed``: the code that runs is another one, None if that is not known."""

    drill: Drill
    changed: bool | None
    played: list[Played]


@dataclass(frozen=True, slots=True)
class DrillList:
    """A page of them by task, and the tasks that were never drilled, the first ones by name."""

    rows: list[TaskDrill]
    kinds: Mapping[str, str]
    never: list[str]
    never_more: int
    total: int
    next: str | None
    first: str | None
    now_us: int


def drill_list(ask: Ask) -> DrillList:
    """The last drill of each task."""
    found = ask.run(drills.latest(ask.site.name))
    codes = dict(codes_of(ask.site))
    said: dict[str, str] = {}
    for row in ask.run(registry.tasks(ask.site.name)):  # of each the newest release comes first
        said.setdefault(row.name, str(row.facts.get("code") or ""))
    codes |= {name: code for name, code in said.items() if code}
    names = sorted(found)
    never = sorted(said.keys() - found.keys())
    start = ask.number("from", 0, 0, len(names))
    shown = [found[name] for name in names[start : start + PAGE]]
    rows = [
        TaskDrill(
            one,
            one.changed(codes.get(one.task)),
            [Played(kind, *one.played.get(kind, (0, 0))) for kind in KINDS],
        )
        for one in shown
    ]
    return DrillList(
        rows=rows,
        kinds=KINDS,
        never=never[:NEVER_MAX],
        never_more=max(0, len(never) - NEVER_MAX),
        total=len(names),
        next=ask.here(**{"from": start + PAGE}) if len(names) > start + PAGE else None,
        first=ask.link(ask.path) if start else None,
        now_us=shown[0].now_us if shown else ask.run(health.now()),
    )
