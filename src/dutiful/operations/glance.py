"""What one screen shows at a glance: the verdict, what needs a person, queues with their trend, what runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .attention import Attention, look
from .plan import Call, Steps, query

WINDOW = 500
RUNNING_MAX = 500
SPAN_US = 600_000_000
SAMPLES_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Running:
    """A job that runs."""

    id: str
    queue: str
    task: str
    claimed_us: int
    host: str | None
    pid: int | None


@dataclass(frozen=True, slots=True)
class Glance:
    """One screen. ``depths``: how many jobs were due in a queue at each look of the sampler."""

    attention: Attention
    running: Sequence[Running]
    depths: Mapping[str, Sequence[tuple[int, int]]]
    """By queue: (instant, jobs), oldest first."""


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
    return Glance(attention, running, depths)
