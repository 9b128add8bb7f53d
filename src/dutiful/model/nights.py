"""What a schedule does on the nights when clocks change: said beforehand, for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import takewhile

from msgspec import Struct

from .schedules import Spec, local_times, open_hours
from .zones import Change, changes, clock, resolve

TIMES_MAX = 60
"""So many local times of one night are named at most."""


class Night(Struct, frozen=True):
    """A clock is set, and these local times of the schedule are left out, or come twice.

    ``fires`` are the instants (in seconds) at which they fire; none where they are left out altogether.
    """

    change: Change
    times: tuple[datetime, ...]
    fires: tuple[int, ...]

    @property
    def words(self) -> str:
        """What happens, in a sentence."""
        came = "are left out" if self.change.forward else "come twice"
        if not self.times:
            return f"none of its times {came}"
        shown = ", ".join(f"{one:%H:%M}" for one in self.times[:4]) + (", …" if len(self.times) > 4 else "")
        came = came if len(self.times) > 1 else "is left out" if self.change.forward else "comes twice"
        if not self.fires:
            return f"{shown} {came}; nothing fires: that hour never was"
        if self.change.forward:
            return f"{shown} {came}; fires when the clock is set"
        if len(self.fires) > len(self.times):
            return f"{shown} {came}; fires both times, for every hour counts"
        return f"{shown} {came}; fires the first time only"


def nights(spec: Spec, start: int, end: int) -> Iterator[Night]:
    """The changes of the clock within (start, end] seconds, and what they do to this schedule."""
    if spec.cron is None:
        return
    hours = open_hours(spec.cron)
    for change in changes(spec.zone, start, end):
        low, high = sorted(change.local)
        found = takewhile(lambda one: one < high, local_times(spec.cron, low))  # noqa: B023
        times = tuple(one for one, _ in zip(found, range(TIMES_MAX), strict=False))
        fires: set[int] = set()
        for one in times:
            if not hours:
                fires.add(resolve(spec.zone, one))
            elif not change.forward:
                fires |= {clock(one) - change.before, clock(one) - change.after}
        yield Night(change, times, tuple(sorted(fires)))
