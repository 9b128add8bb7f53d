"""Spans of time as people say them: "6m 12s", "410d"; for reading, never for parsing."""

from __future__ import annotations

_UNITS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000))
SECOND_UNIT_UNTIL = 100
"""From so many of the largest unit on, the second one says nothing any more."""


def span(us: int) -> str:
    """A span in at most two units, cut, not rounded: nobody waits "1h" after 59 minutes."""
    us = abs(us)
    if us < 1_000_000:
        return f"{us // 1000}ms"
    for place, (unit, unit_us) in enumerate(_UNITS):
        if us >= unit_us:
            count, rest = divmod(us, unit_us)
            if count >= SECOND_UNIT_UNTIL or place + 1 == len(_UNITS):
                return f"{count}{unit}"
            second, second_us = _UNITS[place + 1]
            return f"{count}{unit} {rest // second_us}{second}" if rest >= second_us else f"{count}{unit}"
    raise AssertionError("a second is the smallest unit")


def ago(at_us: int, now_us: int) -> str:
    """An instant seen from now: "3m 2s ago", "in 5h", "just now"."""
    if abs(now_us - at_us) < 1_000_000:
        return "just now"
    return f"{span(now_us - at_us)} ago" if at_us < now_us else f"in {span(at_us - now_us)}"
