"""Is every instant of a schedule in the ledger, and none but them? Told by the schedule's rule (I14)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from ..model.errors import InvalidSchedule
from ..model.schedules import Spec, instant_text, occurrence_key
from .plan import Row, Rows

KEEP_US = 90 * 86_400_000_000
"""How long the ledger of occurrences is kept."""
LOOK_BACK_US = KEEP_US - 86_400_000_000
"""Rows that are older may be forgotten by now."""
LACKING_MAX = 1_000
"""So many instants without a row are looked for in one schedule; then nobody doubts it any more."""


def judged(rows: Rows, most: int) -> list[Row]:
    """The rows of ``verify_windows`` as findings: count, occurrence, place, problem, seen."""
    wrong = [
        (occurrence_key(name, at), "occurrence", problem, seen)
        for (_, name), group in groupby(rows, key=lambda row: (row[0], row[1]))
        for at, problem, seen in _wrong(list(group))
    ]
    return [(len(wrong), *one) for one in wrong[:most]]


def _wrong(rows: list[Row]) -> Iterator[tuple[int, str, str]]:
    _, _, text, changed, covered, now, *_, full = rows[0]
    try:
        spec = Spec.read(text)
    except InvalidSchedule:
        return  # a zone that is not known here: another host can tell
    made = {row[6] for row in rows if row[6] is not None and not row[8]}
    own = sorted(row[6] for row in rows if row[6] is not None and row[9] is None and not row[8])
    spans = sorted((row[6], row[7]) for row in rows if row[6] is not None and row[8])
    start = max(changed, now - LOOK_BACK_US)
    if full:  # older rows were not asked for
        known = [row[6] for row in rows if row[6] is not None and row[9] is None]
        start = max(start, min(known) - 1 if known else covered)
    named, lacking = set[int](), 0
    at: int | None = spec.next(start)
    while at is not None and at <= covered and lacking < LACKING_MAX:
        span = next((upto for low, upto in spans if low <= at <= upto), None)
        if span is not None:
            at = spec.next(span)
            continue
        named.add(at)
        if at not in made:
            lacking += 1
            yield (
                at,
                "neither made nor recorded as skipped",
                f"{spec.words}, covered to {instant_text(covered)}",
            )
        at = spec.next(at)
    if lacking < LACKING_MAX:
        for at in own:
            in_span = any(low <= at <= upto for low, upto in spans)
            if start < at and at not in named and not in_span:
                yield at, "made at an instant that the schedule does not name", spec.words
