"""Rates read from the times at which jobs began: the course of a rate, and that of the middle of a run."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

PIECES = 8
MIDDLE = (0.3, 0.9)
"""Workers that start together are not there at the same moment: by then all are, and none is idle yet."""


def course(times: Sequence[float], since: float, pieces: int = PIECES) -> list[tuple[float, float]]:
    """Jobs a second over each of so many equal parts of these sorted times, and seconds since ``since``."""
    size = max(2, len(times) // pieces)
    parts = [times[start : start + size] for start in range(0, len(times) - size + 1, size)]
    return [
        (part[-1] - since, (len(part) - 1) / (part[-1] - part[0])) for part in parts if part[-1] > part[0]
    ]


def middle(times: Sequence[float]) -> float:
    """Jobs a second between the third and the ninth tenth of these sorted times."""
    first, last = (int(share * (len(times) - 1)) for share in MIDDLE)
    return (last - first) / (times[last] - times[first])


def between(times: Sequence[float], began: float, ended: float) -> float:
    """Jobs a second of these sorted times between two moments, or until the last if that is sooner."""
    ended = min(ended, times[-1])
    return (bisect_right(times, ended) - bisect_left(times, began)) / (ended - began)
