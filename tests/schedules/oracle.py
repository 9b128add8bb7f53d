"""What schedules promise, told anew and slowly: walk the minutes and look at the zone's clock.

Nothing of ours and nothing of the cron library is used here but the zone's clock as Python shows it.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY_S = 86_400
LEAD_S = 2 * DAY_S
"""The walk begins so long before the window: whatever was shown once by then is known."""

NAMES = {
    3: ["x", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    4: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
}
RANGES = (range(60), range(24), range(1, 32), range(1, 13), range(8))


def _number(text: str, field: int) -> int:
    return NAMES[field].index(text) if field in NAMES and text in NAMES[field] else int(text)


def _plain(text: str, field: int) -> frozenset[int]:
    """What a field without specials allows."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        if span == "*":
            values = RANGES[field]
        elif high:
            values = range(_number(low, field), _number(high, field) + 1)
        else:
            first = _number(low, field)
            values = range(first, RANGES[field].stop if step else first + 1)
        found |= set(values[:: int(step or 1)])
    return frozenset(found)


@dataclass(frozen=True)
class Rule:
    """An expression of five fields, read by itself."""

    text: str

    @cached_property
    def minutes(self) -> list[int]:
        """The minutes of a day that fit, in order."""
        fields = self.text.split()
        return sorted(60 * hour + minute for hour in _plain(fields[1], 1) for minute in _plain(fields[0], 0))

    @cached_property
    def open(self) -> bool:
        """Whether it leaves the hour open."""
        return len(_plain(self.text.split()[1], 1)) == 24

    def fits(self, day: date) -> bool:
        """Whether the day fits."""
        _, _, in_month, months, weekday = self.text.split()
        if day.month not in _plain(months, 3):
            return False
        last = calendar.monthrange(day.year, day.month)[1]
        if in_month == "L":
            by_month = day.day == last
        else:
            by_month = day.day in _plain(in_month, 2)
        today = (day.weekday() + 1) % 7  # Sunday is 0, and 7
        if "#" in weekday:
            name, _, which = weekday.partition("#")
            by_week = today == _number(name, 4) % 7 and (day.day + 6) // 7 == int(which)
        elif weekday.endswith("L"):
            by_week = today == int(weekday[:-1]) % 7 and day.day + 7 > last
        else:
            by_week = today in {one % 7 for one in _plain(weekday, 4)}
        if in_month.startswith("*") or weekday.startswith("*"):
            return by_month and by_week
        return by_month or by_week


class Walk:
    """A zone's clock, minute by minute (half a minute where its offset has seconds), over a window."""

    def __init__(self, zone: ZoneInfo, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.reached: dict[datetime, int] = {}
        """Each local minute: when the clock first showed it, or was set past it."""
        self.shown: dict[datetime, list[int]] = {}
        """Each local minute: when the clock showed it."""
        offsets = []
        highest: datetime | None = None
        uneven = any(_offset(zone, at) % 60 for at in range(start - LEAD_S, end + 1, 3600))
        for at in range((start - LEAD_S) // 60 * 60, end + 1, 30 if uneven else 60):
            local = datetime.fromtimestamp(at, zone).replace(tzinfo=None)
            offsets.append(round((local - datetime(1970, 1, 1)).total_seconds()) - at)
            if not local.second:
                self.shown.setdefault(local, []).append(at)
            if highest is None:
                highest = local - MINUTE
            passed = highest.replace(second=0) + MINUTE
            while passed <= local:
                self.reached.setdefault(passed, at)
                passed += MINUTE
            highest = max(highest, local)
        self.clock = hash((start, tuple(offsets)))
        self.days = sorted({local.date() for local in self.shown} | {local.date() for local in self.reached})

    def instants(self, rule: Rule) -> list[int]:
        """When the rule is to fire within (start, end]."""
        return sorted({at for at in self._instants(rule) if self.start < at <= self.end})

    def _instants(self, rule: Rule) -> Iterator[int]:
        for day in self.days:
            if rule.fits(day):
                midnight = datetime(day.year, day.month, day.day)
                for minute in rule.minutes:
                    local = midnight + timedelta(minutes=minute)
                    if rule.open:
                        yield from self.shown.get(local, ())
                    elif local in self.reached:
                        yield self.reached[local]


def _offset(zone: ZoneInfo, at: int) -> int:
    east = datetime.fromtimestamp(at, zone).utcoffset()
    assert east is not None
    return round(east.total_seconds())


def clock_changes(zone: ZoneInfo, first_year: int, last_year: int) -> Iterator[int]:
    """Instants at which the zone's clock is set, found by looking every quarter of an hour near a change."""
    start = round(datetime(first_year, 1, 1, tzinfo=UTC).timestamp())
    end = round(datetime(last_year + 1, 1, 1, tzinfo=UTC).timestamp())
    before = _offset(zone, start)
    for hour in range(start, end, 3600):
        after = _offset(zone, hour)
        if after != before:
            yield next(at for at in range(hour - 3600, hour + 1, 30) if _offset(zone, at) == after)
            before = after
