"""Schedules: which instants an expression or an interval names. No I/O, no clock.

An expression that leaves the hour open (``*``, or all 24) follows the hours as they really pass: it fires
whenever the zone's clock shows a time that fits, in both of two hours of the same name, and not in one that
is left out. Any other expression names times of day, and each of them fires **once**: at the first of two
instants of that name, and, if the clock was set forward over it, at the moment when it was set. Several
times that fall on one instant are one occurrence. Intervals are real time, counted from 1970 (UTC).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError
from msgspec import Struct

from .durations import text as duration_text
from .errors import InvalidSchedule
from .keys import near
from .zones import clock, naive, resolve, segments

Missed = Literal["run_last", "run_all", "skip", "people"]
GRACE_US = 60_000_000
"""An occurrence that is made no later than this is not missed, only a little late."""
ALL_MAX = 100
"""So many missed occurrences are made at most, or wait for people; those before are recorded as skipped."""
YEARS_MAX = 50
"""An expression that names no day in so many years never fires."""

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
NAME = re.compile(r"[A-Za-z0-9_.:<>@-]{1,200}")


class Spec(Struct, frozen=True):
    """What decides when a schedule fires, checked; ``every_us`` or ``cron`` with its zone.

    Its text is what is stored, and what tells whether a schedule was changed.
    """

    task: str
    cron: str | None = None
    tz: str = "UTC"
    every_us: int | None = None
    missed: Missed = "run_last"
    grace_us: int = GRACE_US
    args: str = ""

    def __post_init__(self) -> None:
        if (self.cron is None) == (self.every_us is None):
            raise InvalidSchedule('A schedule has an expression ("0 8 * * *") or every="15m": one of them.')
        if self.missed not in get_args(Missed):
            raise InvalidSchedule(f"missed= is {', '.join(get_args(Missed))}, not {self.missed!r}.")
        if self.every_us is not None and (self.every_us < 1_000_000 or self.every_us % 1_000_000):
            raise InvalidSchedule(
                f"every= is {duration_text(self.every_us)}; it is whole seconds, at least one."
            )
        zone_of(self.tz)
        if next(iter(self.after(0)), None) is None:
            raise InvalidSchedule(f"{self.cron!r} never fires: there is no such day.")

    @property
    def text(self) -> str:
        """As it is stored."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def read(cls, text: str) -> Spec:
        """What was stored. Raises InvalidSchedule, also where this host does not know the zone."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as error:
            raise InvalidSchedule(f"A stored schedule cannot be read: {error}.") from error

    @property
    def words(self) -> str:
        """The rule, for people."""
        if self.every_us is not None:
            return f"every {duration_text(self.every_us)}"
        return f"{self.cron} {self.tz}"

    @property
    def zone(self) -> tzinfo:
        """The zone whose clock the expression is about; an interval has UTC's."""
        return zone_of(self.tz)

    def after(self, at_us: int, until_us: int | None = None) -> Iterator[int]:
        """Its instants after ``at_us``, in order, in microseconds; up to and with ``until_us`` if given."""
        if self.every_us is not None:
            found = _every(self.every_us, at_us)
        else:
            seconds = _cron(expand(self.cron or ""), self.zone, at_us // 1_000_000)
            found = (one * 1_000_000 for one in seconds)
        for one in found:
            if until_us is not None and one > until_us:
                return
            yield one

    def next(self, at_us: int) -> int | None:
        """The first instant after ``at_us``; None if there is none in many years."""
        return next(iter(self.after(at_us)), None)

    def fires_at(self, at_us: int) -> bool:
        """Whether it names this very instant."""
        return next(iter(self.after(at_us - 1)), None) == at_us


def zone_of(name: str) -> tzinfo:
    """A zone of the tz database by its name; raises InvalidSchedule."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        from zoneinfo import available_timezones

        known = available_timezones()
        close = get_close_matches(str(name), known, n=1)
        raise InvalidSchedule(
            f"tz={name!r} is no time zone that is known here{near(str(name), close) if close else ''}.",
            hint='Zones have names as "Europe/Vienna".'
            if known
            else "This host has no time zones: pip install tzdata",
        ) from None


def checked_name(name: object) -> str:
    """A schedule's name; raises InvalidSchedule."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidSchedule(
            f"{name!r} is no name of a schedule: letters, digits and _.:<>@- only, at most 200."
        )
    return name


def expand(expression: str) -> str:
    """An expression of five or six fields, aliases spelt out; raises InvalidSchedule."""
    if not isinstance(expression, str):
        raise InvalidSchedule(f"A cron expression is text, not {type(expression).__name__}.")
    short = " ".join(expression.split())
    if short.startswith("@"):
        if short.lower() not in ALIASES:
            raise InvalidSchedule(f"There is no {short}; there are {', '.join(ALIASES)}.")
        return ALIASES[short.lower()]
    _parsed(short)
    return short


def occurrence_key(schedule: str, at_us: int) -> str:
    """The key of an occurrence's duty: ``report/2026-01-15T02:00Z``."""
    return f"{schedule}/{instant_text(at_us)}"


def instant_text(at_us: int) -> str:
    """An instant of a schedule, in UTC: ``2026-01-15T02:00Z``, with seconds only where there are any."""
    at = datetime.fromtimestamp(at_us // 1_000_000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ" if at.second else "%Y-%m-%dT%H:%MZ")


def open_hours(cron: str) -> bool:
    """Whether an expression leaves the hour open, and so follows the hours as they pass."""
    return len(_parsed(expand(cron)).hours) == 24


def local_times(cron: str, first: datetime) -> Iterator[datetime]:
    """Local times that an expression names, from ``first`` on, on a clock that is never set."""
    yield from CronSim(expand(cron), first - timedelta(seconds=1))


def _every(every_us: int, at_us: int) -> Iterator[int]:
    at = (at_us // every_us + 1) * every_us
    while True:
        yield at
        at += every_us


def _cron(expression: str, zone: tzinfo, after: int) -> Iterator[int]:
    """Instants above ``after``, in seconds."""
    if open_hours(expression):
        return _real_hours(expression, zone, after)
    return _times_of_day(expression, zone, after)


def _times_of_day(expression: str, zone: tzinfo, after: int) -> Iterator[int]:
    # The clock's first instant at or after a local time grows with it, so that no earlier one is missed.
    start = datetime.fromtimestamp(after, zone).replace(tzinfo=None)
    last = after
    for local in local_times(expression, start):
        at = resolve(zone, local)
        if at > last:
            yield at
            last = at


def _real_hours(expression: str, zone: tzinfo, after: int) -> Iterator[int]:
    end = after + YEARS_MAX * 366 * 86_400
    for first, until, east in segments(zone, after + 1):
        if first > end:
            return
        for local in local_times(expression, naive(first + east)):
            at = clock(local) - east
            if at >= until:
                break
            yield at


@lru_cache(maxsize=512)
def _parsed(expression: str) -> CronSim:
    try:
        found = CronSim(expression, datetime(1970, 1, 1))
    except CronSimError as error:
        raise InvalidSchedule(
            f"{expression!r} is no cron expression: {error}.",
            hint='Five fields: minute, hour, day of month, month, day of week; "0 8 * * MON-FRI".',
        ) from None
    return found


def first(instants: Iterator[int], count: int) -> list[int]:
    """So many of them at most."""
    return list(islice(instants, count))
