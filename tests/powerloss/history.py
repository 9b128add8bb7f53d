"""What was done, in order, and what of it a power loss may take back. Pure.

After each operation the whole store was looked at; so what is found on an image must be exactly what
stood after one of them: then every operation is there whole or not at all, and none without all those
before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.powerloss.disk import Event, Sync

Rows = dict[str, list[tuple[Any, ...]]]
"""Table → its rows."""

Mode = Literal["full", "normal"]

ROWS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One operation that was acknowledged; places are numbers of events."""

    name: str
    begun: int
    acknowledged: int
    after: Rows
    durable: bool = False
    """Promised to outlast a power loss in every mode."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an image holds, or why it could not be read."""

    rows: Rows = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    made_at: int = 0
    """When the store was made; another time than in the history: it was made anew, for there was none."""


@dataclass(slots=True)
class History:
    """The steps; the first of them made the store."""

    mode: Mode
    steps: list[Step] = field(default_factory=list)
    made_at: int = 0
    syncs: list[int] = field(default_factory=list)
    """After how many events the log was synced."""

    def note_syncs(self, events: Sequence[Event], logs: Collection[int]) -> None:
        """Take down when one of the write-ahead ``logs`` was synced."""
        self.syncs = [
            n for n, event in enumerate(events, 1) if isinstance(event, Sync) and event.file in logs
        ]

    def least(self, events: int) -> int:
        """The last step that must be there if the power went after so many events; -1: none.

        ``full``: all that was acknowledged. ``normal``: what was acknowledged before the log was last
        synced, and what is durable, with all before it.
        """
        synced = max((at for at in self.syncs if at <= events), default=0)
        sure = -1
        for number, step in enumerate(self.steps):
            firm_at = events if self.mode == "full" or step.durable else synced
            if step.acknowledged <= firm_at:
                sure = number
        return sure

    def most(self, events: int) -> int:
        """The last step that can be there."""
        return max((n for n, step in enumerate(self.steps) if step.begun < events), default=-1)

    def judge(self, seen: Seen, events: int) -> tuple[list[str], int]:
        """What is wrong with an image of a power loss after so many events, and how many acknowledged
        steps it is without."""
        if seen.problems:
            return list(seen.problems), 0
        least_made = self.least(events) >= 0
        least, most = max(0, self.least(events)), max(0, self.most(events))
        if seen.made_at != self.made_at and least_made:
            return ["lost: the store itself had to be there"], 0
        matching = [number for number, step in enumerate(self.steps) if step.after == seen.rows]
        if not matching:
            return [f"no prefix: {self._nearest(seen.rows, least, most)}"], 0
        acknowledged = sum(step.acknowledged <= events for step in self.steps)
        missing = max(0, acknowledged - 1 - matching[-1])
        if matching[-1] < least:
            names = [step.name for step in self.steps[matching[-1] + 1 : least + 1]]
            return [
                f"lost: {', '.join(names)} had to be there (steps {matching[-1] + 1} to {least})"
            ], missing
        if matching[0] > most:
            return [f"ahead: {self.steps[matching[0]].name} had not begun"], missing
        return [], missing

    def _nearest(self, rows: Rows, least: int, most: int) -> str:
        """How it differs from the step that it is most like."""
        near = min(range(max(0, least - 1), most + 1), key=lambda n: _distance(self.steps[n].after, rows))
        changes = [
            f"{table}: {len(gone)} rows less {gone[:ROWS_SHOWN]}, {len(more)} more {more[:ROWS_SHOWN]}"
            for table, gone, more in differences(self.steps[near].after, rows)
        ]
        return f"unlike any step, most like after step {near} ({self.steps[near].name}) but for " + "; ".join(
            changes or ["the order of rows"]
        )


def differences(wanted: Rows, found: Rows) -> list[tuple[str, list[Any], list[Any]]]:
    """Per table that differs: the rows that are missing, and those that should not be there."""
    changes = []
    for table in sorted(wanted.keys() | found.keys()):
        a, b = Counter(wanted.get(table, ())), Counter(found.get(table, ()))
        if a != b or (table in wanted) != (table in found):
            changes.append((table, list((a - b).elements()), list((b - a).elements())))
    return changes


def _distance(wanted: Rows, found: Rows) -> int:
    return sum(1 + len(gone) + len(more) for _, gone, more in differences(wanted, found))
