"""Time zones: from a local clock to instants, also on the days when it is set forward or back.

Instants are whole seconds since 1970, UTC; local times are datetimes without a zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

EPOCH = datetime(1970, 1, 1)
PROBE_S = 6 * 3600
"""No zone sets its clock twice within so long, back to where it was (tests/schedules looks at all)."""


class Change(Struct, frozen=True):
    """A clock is set at the instant ``at``: from ``before`` to ``after`` seconds east of UTC."""

    at: int
    before: int
    after: int

    @property
    def forward(self) -> bool:
        """Local times are left out; else some come twice."""
        return self.after > self.before

    @property
    def local(self) -> tuple[datetime, datetime]:
        """What the clock would have shown at that instant, and what it shows."""
        return naive(self.at + self.before), naive(self.at + self.after)


def naive(seconds: int) -> datetime:
    """A clock that many seconds past 1970, without a zone."""
    return EPOCH + timedelta(seconds=seconds)


def clock(local: datetime) -> int:
    """The other way round."""
    return round((local - EPOCH).total_seconds())


def offset(zone: tzinfo, at: int) -> int:
    """How far east of UTC the zone's clock is at an instant, in seconds."""
    found = datetime.fromtimestamp(at, zone).utcoffset()
    assert found is not None
    return round(found.total_seconds())


def changes(zone: tzinfo, start: int, end: int) -> Iterator[Change]:
    """When the clock is set within (start, end], in order."""
    if zone is UTC:
        return
    year = datetime.fromtimestamp(start, UTC).year
    while _year(year) <= end:
        for change in _changes(zone, year):
            if start < change.at <= end:
                yield change
        year += 1


def segments(zone: tzinfo, start: int) -> Iterator[tuple[int, int, int]]:
    """Spans without a change: (from, until and not at, offset), the first from ``start`` on, for ever."""
    first = start
    east = offset(zone, start)
    year = datetime.fromtimestamp(start, UTC).year
    while True:
        for change in [] if zone is UTC else _changes(zone, year):
            if change.at > first:
                yield first, change.at, east
                first, east = change.at, change.after
        year += 1
        yield first, _year(year), east
        first = _year(year)


def resolve(zone: tzinfo, local: datetime) -> int:
    """The first instant at which the zone's clock shows this time, or, if it never does, a later one.

    A time that comes twice is the first of the two; one that is left out is the moment at which the clock
    was set forward.
    """
    early, late = sorted(round(local.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
    wanted = clock(local)
    if early == late or early + offset(zone, early) == wanted:
        return early
    low, high = early, late  # before the clock was set forward, and after
    while high - low > 1:
        middle = (low + high) // 2
        if middle + offset(zone, middle) >= wanted:
            high = middle
        else:
            low = middle
    return high


def _year(year: int) -> int:
    return round(datetime(year, 1, 1, tzinfo=UTC).timestamp())


@lru_cache(maxsize=4096)
def _changes(zone: ZoneInfo, year: int) -> tuple[Change, ...]:
    """The changes of one year, in UTC: (its first instant, the next one's]."""
    found = []
    start, end = _year(year), _year(year + 1)
    before = offset(zone, start)
    for at in [*range(start + PROBE_S, end, PROBE_S), end]:
        after = offset(zone, at)
        if after != before:
            found.append(_between(zone, at - PROBE_S, at, before, after))
            before = after
    return tuple(found)


def _between(zone: ZoneInfo, low: int, high: int, before: int, after: int) -> Change:
    while high - low > 1:
        middle = (low + high) // 2
        if offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return Change(high, before, after)
