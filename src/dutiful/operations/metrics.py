"""What became of jobs over time: counts, and how long they waited and ran, by minute, ten minutes and hour.

Made from the history and the failures a moment after the fact (:func:`roll`), never by a settle. Each minute
is made anew from its rows, and the coarser grains from the finer, so that rolling twice is rolling once, and
after a pause it goes on where it stopped. The last minutes are made again each time, for endings that
committed late. It begins ten minutes before it is first called: what ended earlier has no points.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from ..model.histograms import added, quantile
from .plan import Call, Row, Steps, as_json, operation, query, together

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
Grain = Literal["1m", "10m", "1h"]
GRAINS: Mapping[Grain, int] = {"1m": MINUTE, "10m": 10 * MINUTE, "1h": HOUR}
KEPT: Mapping[Grain, int] = {"1m": 48 * HOUR, "10m": 14 * DAY, "1h": 400 * DAY}
SAMPLES_KEPT = 14 * DAY
AGAIN_US = 2 * MINUTE
"""So far back is made again each time: an ending may commit later than the instant that it carries."""
SLICE_US = 10 * MINUTE
"""So much is rolled up in one transaction."""

Key = tuple[str, int, str, str]
"""App, first instant, queue, task."""


@dataclass(frozen=True, slots=True)
class Point:
    """What became of a queue's jobs of one task from ``at_us`` on, for one grain.

    ``failed`` are runs that failed, of which ``dead`` were the last of their job and the others retried (less
    the dead that never ran). Waits (from due to claimed) and runs (from claimed to the end) are of the done.
    """

    at_us: int
    queue: str
    task: str
    done: int
    failed: int
    dead: int
    cancelled: int
    waits: Mapping[int, int] = field(repr=False)
    runs: Mapping[int, int] = field(repr=False)

    def wait_us(self, share: float) -> int | None:
        """A quantile of the waits, within a tenth; None where nothing was done."""
        return quantile(self.waits, share)

    def run_us(self, share: float) -> int | None:
        """A quantile of the run times, within a tenth."""
        return quantile(self.runs, share)


@dataclass(frozen=True, slots=True)
class Sample:
    """A queue at an instant: how many were due, and how long the oldest had been (None: nothing was)."""

    queue: str
    at_us: int
    depth: int
    oldest_us: int | None


@operation
def roll() -> Steps[bool]:
    """Roll up the next slice of whole minutes; whether there is more that could be rolled up now."""
    [(rolled, now, *_)] = yield Call("rolled_until")
    end = now - now % MINUTE
    since = end - SLICE_US if rolled is None else max(end - KEPT["1m"], rolled - AGAIN_US)
    until = min(end, max(since, rolled or since) + SLICE_US)
    if since >= until:
        return False
    span = {"since": since, "until": until}
    ended, failed = yield from together(Call("ended_between", span), Call("failed_between", span))
    if ended or failed:  # else all is as it was rolled up before: a minute is made anew, never taken away
        yield from _put("1m", _minutes(ended, failed))
        for finer, coarser in (("1m", "10m"), ("10m", "1h")):
            yield from _merge(finer, coarser, since, until)  # type: ignore[arg-type]
    yield Call("set_rolled", {"until": until})
    return bool(until < end)


@operation
def sample() -> Steps[None]:
    """Note how much is due in each queue of every app, once a minute at most."""
    yield Call("take_samples", alone=True)


@operation
def forget() -> Steps[None]:
    """Forget minutes after 48 hours, ten minutes after 14 days (samples, too), and hours after 400."""
    for grain, kept in KEPT.items():
        yield Call("forget_rollups", {"grain": GRAINS[grain], "keep": kept})
    yield Call("forget_samples", {"keep": SAMPLES_KEPT})


@query
def series(
    app: str, grain: Grain, since_us: int, until_us: int, *, queue: str | None = None, task: str | None = None
) -> Steps[list[Point]]:
    """An app's points from ``since_us`` to before ``until_us``, oldest first, none for where nothing was."""
    rows = yield from _rolled(grain, since_us, until_us, app=app, queue=queue, task=task)
    return [_point(row) for row in rows if row[3]]


@query
def sums(app: str, grain: Grain, since_us: int, until_us: int, *, queue: str = "") -> Steps[list[Point]]:
    """The same with all tasks of a queue together, or all of the app: one point for each instant."""
    params = {"app": app, "grain": GRAINS[grain], "since": since_us, "until": until_us, "queue": queue}
    return [_point(row) for row in (yield Call("rolled_sums", params, alone=True))]


@query
def samples(app: str, since_us: int, until_us: int, *, queue: str | None = None) -> Steps[list[Sample]]:
    """The samples of an app's queues from ``since_us`` to before ``until_us``, oldest first."""
    params = {"app": app, "since": since_us, "until": until_us, "queue": queue}
    return [Sample(*row) for row in (yield Call("list_samples", params, alone=True))]


def total(points: Iterable[Point]) -> Point | None:
    """All of them as one, with the first's instant; None of none."""
    points = list(points)
    if not points:
        return None
    queues, tasks = {one.queue for one in points}, {one.task for one in points}
    return Point(
        points[0].at_us,
        queues.pop() if len(queues) == 1 else "",
        tasks.pop() if len(tasks) == 1 else "",
        sum(one.done for one in points),
        sum(one.failed for one in points),
        sum(one.dead for one in points),
        sum(one.cancelled for one in points),
        added(one.waits for one in points),
        added(one.runs for one in points),
    )


def _rolled(
    grain: Grain,
    since: int,
    until: int,
    *,
    app: str | None = None,
    queue: str | None = None,
    task: str | None = None,
) -> Steps[Sequence[Row]]:
    params = {
        "grain": GRAINS[grain],
        "since": since,
        "until": until,
        "app": app,
        "queue": queue,
        "task": task,
    }
    return (yield Call("rolled", params))


def _point(row: Row) -> Point:
    waits, runs = (msgspec.json.decode(one, type=dict[int, int]) for one in row[8:10])
    return Point(row[1], row[2], row[3], row[4], row[5], row[6], row[7], waits, runs)


def _minutes(ended: Sequence[Row], failed: Sequence[Row]) -> dict[Key, dict[str, Any]]:
    found: dict[Key, dict[str, Any]] = defaultdict(_nothing)
    for app, queue, task, at, what, wait, ran, n in ended:
        one = found[app, at, queue, task]
        if what in one:
            one[what] += int(n)
        for name, bucket in (("waits", wait), ("runs", ran)):
            if bucket is not None:
                one[name][bucket] = one[name].get(bucket, 0) + int(n)
    for app, queue, task, at, n in failed:
        found[app, at, queue, task]["failed"] += int(n)
    return found | _summed(found)


def _summed(points: Mapping[Key, dict[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Minutes with all tasks of a queue together, and with all queues."""
    found: dict[Key, dict[str, Any]] = defaultdict(_nothing)
    for (app, at, queue, _), point in points.items():
        for one in (found[app, at, queue, ""], found[app, at, "", ""]):
            for name, value in point.items():
                one[name] = added([one[name], value]) if name in ("waits", "runs") else one[name] + value
    return found


def _nothing() -> dict[str, Any]:
    return {"done": 0, "failed": 0, "dead": 0, "cancelled": 0, "waits": {}, "runs": {}}


def _merge(finer: Grain, coarser: Grain, since: int, until: int) -> Steps[None]:
    """Make the coarser points that touch a span from the finer ones."""
    size = GRAINS[coarser]
    rows = yield from _rolled(finer, since - since % size, until - 1 - (until - 1) % size + size)
    found: dict[Key, list[Point]] = defaultdict(list)
    for row in rows:
        found[row[0], row[1] - row[1] % size, row[2], row[3]].append(_point(row))
    merged: dict[Key, dict[str, Any]] = {}
    for key, points in found.items():
        one = total(points)
        assert one is not None
        merged[key] = {name: getattr(one, name) for name in _nothing()}
    yield from _put(coarser, merged)


def _put(grain: Grain, points: Mapping[Key, dict[str, Any]]) -> Steps[None]:
    rows = [
        {"app": app, "at": at, "queue": queue, "task": task}
        | one
        | {name: as_json({str(bucket): n for bucket, n in one[name].items()}) for name in ("waits", "runs")}
        for (app, at, queue, task), one in sorted(points.items())
    ]
    if rows:
        yield Call("put_rollups", {"grain": GRAINS[grain], "rows": as_json(rows)})
