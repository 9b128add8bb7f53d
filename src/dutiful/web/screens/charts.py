"""What became of jobs over time: points for charts, and the very same as a sentence, a table and CSV."""

from __future__ import annotations

import csv
import io
from collections import defaultdict

from msgspec import Struct

from ...model.spans import span
from ...operations import health, metrics
from ...operations.metrics import DAY, GRAINS, HOUR, Grain, Point
from ..asking import Ask

RANGES: dict[str, tuple[int, Grain, int]] = {
    "1h": (HOUR, "1m", 1),
    "6h": (6 * HOUR, "1m", 2),
    "24h": (DAY, "10m", 1),
    "7d": (7 * DAY, "1h", 1),
    "30d": (30 * DAY, "1h", 4),
}
"""How far back, the grain that is kept, and how many of these are one point: none has more than some 180."""


class PointRow(Struct, frozen=True):
    """One grain of time. Waits (due to claimed) and runs are quantiles within a tenth, in microseconds."""

    at_us: int
    done: int
    failed: int
    dead: int
    cancelled: int
    wait_p50_us: int | None
    wait_p95_us: int | None
    run_p50_us: int | None
    run_p95_us: int | None


class Charts(Struct, frozen=True):
    """The points of a range, oldest first; those in which nothing ended are left out."""

    range: str
    ranges: tuple[str, ...]
    grain: str
    filters: dict[str, str]
    rows: list[PointRow]
    summary: str
    csv: str
    now_us: int


def charts(ask: Ask) -> Charts:
    """All queues and tasks together, or those of the filter."""
    name = ask.text("range") or "6h"
    name = name if name in RANGES else "6h"
    back, grain, many = RANGES[name]
    now = ask.run(health.now())
    filters = {one: value for one in ("queue", "task") if (value := ask.text(one)) is not None}
    if "task" in filters:
        found = ask.run(metrics.series(ask.site.name, grain, now - back, now + HOUR, **filters))
    else:
        found = ask.run(metrics.sums(ask.site.name, grain, now - back, now + HOUR, **filters))
    by_time: dict[int, list[Point]] = defaultdict(list)
    for point in found:
        by_time[point.at_us - point.at_us % (many * GRAINS[grain])].append(point)
    rows = [_row(at, by_time[at]) for at in sorted(by_time)]
    return Charts(
        name,
        tuple(RANGES),
        f"{many * int(grain[:-1])}{grain[-1]}",
        filters,
        rows,
        _summary(name, found),
        ask.link("/charts.csv", range=name, **filters),
        now,
    )


def _row(at_us: int, points: list[Point]) -> PointRow:
    one = metrics.total(points)
    assert one is not None
    quantiles = (one.wait_us(0.5), one.wait_us(0.95), one.run_us(0.5), one.run_us(0.95))
    return PointRow(at_us, one.done, one.failed, one.dead, one.cancelled, *quantiles)


def _summary(name: str, points: list[Point]) -> str:
    one = metrics.total(points)
    if one is None:
        return f"Nothing ended in the last {name}, as far as a running worker has rolled it up."
    counts = f"In the last {name}: {one.done:,} done, {one.failed:,} failed runs, {one.dead:,} dead"
    wait, run = one.wait_us(0.95), one.run_us(0.95)
    times = (
        "" if wait is None or run is None else f"; 95 of 100 waited {span(wait)} at most and ran {span(run)}"
    )
    return f"{counts}, {one.cancelled:,} cancelled{times}."


def as_csv(model: Charts) -> bytes:
    """The rows, with a header; instants are microseconds since 1970, UTC."""
    names = list(PointRow.__struct_fields__)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(names)
    for row in model.rows:
        writer.writerow(["" if (value := getattr(row, name)) is None else value for name in names])
    return out.getvalue().encode()
