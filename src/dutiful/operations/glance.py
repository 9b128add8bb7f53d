"""What one screen shows at a glance: the verdict, what needs a person, queues with their trend, what runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct, field

from ..model.histograms import added, quantile
from .attention import Attention, look
from .plan import Call, Row, Steps, query

WINDOW = 500
RUNNING_MAX = 500
SPAN_US = 600_000_000
MINUTE_US = 60_000_000
SAMPLES_MAX = 5_000


class Running(Struct, frozen=True):
    """A job that runs."""

    id: str
    queue: str
    task: str
    claimed_us: int
    host: str | None
    pid: int | None


class Rate(Struct, frozen=True):
    """A queue in the last ten minutes, as far as they are rolled up: what left it a minute, and waits."""

    out_per_min: float
    wait_p95_us: int | None


class Glance(Struct, frozen=True):
    """One screen. ``depths``: how many jobs were due in a queue at each look of the sampler."""

    attention: Attention
    running: Sequence[Running]
    depths: Mapping[str, Sequence[tuple[int, int]]]
    """By queue: (instant, jobs), oldest first."""
    rates: Mapping[str, Rate] = field(default_factory=dict)
    """By queue; those that nothing left are not in it."""


@query
def glance(app: str) -> Steps[Glance]:
    """Look now."""
    attention = yield from look(app).begin()
    rows = yield Call("running_heads", {"app": app, "window": WINDOW, "limit": RUNNING_MAX})
    running = [Running(*row) for row in rows]
    depths: dict[str, list[tuple[int, int]]] = {}
    for queue, at, depth in (
        yield Call("recent_samples", {"app": app, "span": SPAN_US, "limit": SAMPLES_MAX})
    ):
        depths.setdefault(queue, []).append((at, depth))
    rows = yield Call("recent_rollups", {"app": app, "span": SPAN_US, "limit": SAMPLES_MAX})
    return Glance(attention, running, depths, _rates(rows))


def _rates(rows: Sequence[Row]) -> dict[str, Rate]:
    left: dict[str, int] = {}
    waits: dict[str, list[dict[int, int]]] = {}
    minutes = 1.0
    for queue, n, told, rolled, now in rows:
        minutes = max(1.0, ((rolled or now) - (now - SPAN_US)) / MINUTE_US)
        left[queue] = left.get(queue, 0) + int(n)
        waits.setdefault(queue, []).append(msgspec.json.decode(told, type=dict[int, int]))
    return {queue: Rate(n / minutes, quantile(added(waits[queue]), 0.95)) for queue, n in left.items()}
