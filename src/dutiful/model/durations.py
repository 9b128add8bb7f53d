"""Durations: what people write ("5m", 30, a timedelta) as the whole microseconds that are stored.

Every public option that takes a time takes a :data:`Duration`; everything inside counts in
microseconds. ``microseconds(text(us)) == us`` for every duration there is.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta

from .errors import InvalidDuration

Duration = timedelta | int | float | str
"""A timedelta, a number of seconds, or text like "250ms", "30s", "5m", "1h30m", "7d", "2w"."""

DURATION_US_MAX = 36_525 * 86_400_000_000
"""A hundred years. What is longer is a slip of the pen, and its instants would not fit."""

_UNITS_US = {
    "w": 7 * 86_400_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
_PRINTED = ("d", "h", "m", "s", "ms", "us")  # a week reads better as "7d"
_PART = re.compile(r"\s*([0-9]{1,20})(?:\.([0-9]{1,20}))?\s*([a-zA-Z\u00b5]+)", re.ASCII)
_KNOWN = "w, d, h, m (minutes), s, ms or us"


def microseconds(value: Duration, *, what: str = "duration", zero_ok: bool = True) -> int:
    """The duration in whole microseconds, rounded half to even.

    Raises :class:`InvalidDuration`, which names ``what`` and the value: negative, NaN, infinite, a
    bool, above a hundred years, an unknown unit, or zero where ``zero_ok`` is false. Parts of a text
    go from the largest unit to the smallest, each once: "1h30m", not "30m1h".
    """
    if isinstance(value, str):
        us = _parsed(value, what)
    elif isinstance(value, timedelta):
        us = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidDuration(f"{what} is {value!r}, a {type(value).__name__} and no duration.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidDuration(f"{what} is {value!r}, which is not finite.")
        us = round(value * 1_000_000) if abs(value) < DURATION_US_MAX else DURATION_US_MAX + 1
        us = us if value >= 0 else min(us, -1)
    else:
        us = value * 1_000_000
    if us < 0:
        raise InvalidDuration(f"{what} is {_shown(value)}, which is negative.")
    if us > DURATION_US_MAX:
        raise InvalidDuration(f"{what} is {_shown(value)}, which is more than a hundred years.")
    if us == 0 and not zero_ok:
        raise InvalidDuration(f"{what} is {_shown(value)}, and must be above zero.")
    return us


def text(us: int) -> str:
    """The duration as people write it: "1h30m", "250ms", "0s"; a negative one with a minus."""
    if us == 0:
        return "0s"
    parts = ["-"] if us < 0 else []
    rest = abs(us)
    for unit in _PRINTED:
        count, rest = divmod(rest, _UNITS_US[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _parsed(value: str, what: str) -> int:
    stripped = value.strip()
    if not stripped:
        raise InvalidDuration(f"{what} is {value!r}, which is empty.")
    numerator = 0  # in parts of 10**20 µs, so that "0.1s" is exact
    position, last = 0, math.inf
    while position < len(stripped):
        part = _PART.match(stripped, position)
        if part is None:
            raise InvalidDuration(f"{what} is {_shown(value)}, which is not {_why_not(stripped)}.")
        whole, fraction, name = part.groups()
        unit_us = _UNITS_US.get("us" if name == "\u00b5s" else name)
        if unit_us is None:
            raise InvalidDuration(f"{what} is {_shown(value)}; its unit {name!r} is not {_KNOWN}.")
        if unit_us >= last:
            raise InvalidDuration(f"{what} is {_shown(value)}; its units must go down, each once.")
        numerator += int(whole + (fraction or "").ljust(20, "0")) * unit_us
        position, last = part.end(), unit_us
    us, left = divmod(numerator, 10**20)
    half = 5 * 10**19
    return us + (left > half or (left == half and us % 2 == 1))


def _why_not(stripped: str) -> str:
    if stripped.startswith(("-", "\u2212")):
        return "positive: durations are never negative"
    if re.fullmatch(r"[0-9.]+", stripped):
        return f'a number with a unit (write the number {stripped} itself for seconds, or "{stripped}s")'
    return "a number with a unit"


def _shown(value: object) -> str:
    """Its repr, short: an integer of a million digits must not become the message."""
    try:
        shown = repr(value)
    except ValueError:  # Python refuses to print more than 4300 digits
        return "an immense number"
    return shown if len(shown) <= 60 else shown[:57] + "..."
