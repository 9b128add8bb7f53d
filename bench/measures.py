"""What is measured: each row of the table, the call that gives it, and the target it has.

A *call* is one child process (``enqueue_one``, ``drain``, …) and may fill several rows: a latency run gives
its p50 and its p99. Rows exist per engine, because PostgreSQL and SQLite have floors and peers of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.targets import Target

CALLS = (
    "enqueue_one",
    "enqueue_bulk",
    "drain",
    "drain_once",
    "drain_group",
    "latency",
    "held",
    "gates",
    "records",
    "verify",
    "idle",
)
ENGINES = ("postgres", "sqlite")

EVERY_OTHER_PEER = 8.0
PGQUEUER = 2.0


@dataclass(frozen=True)
class Measure:
    """One row. ``pick`` takes its figure out of what the call returned; None where it has none."""

    engine: str
    name: str
    title: str
    unit: str
    call: str
    pick: Callable[[Any], float | None]
    target: Target | None = None
    peer_targets: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.engine}.{self.name}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _rate(value: Any) -> float:
    return float(value)


def _p50(value: Any) -> float:
    return 1_000 * percentile(value, 0.50)


def _p99(value: Any) -> float:
    return 1_000 * percentile(value, 0.99)


def _queries(value: Any) -> float | None:
    return None if value["queries_per_s"] is None else float(value["queries_per_s"])


def _cpu(value: Any) -> float:
    return float(value["cpu_percent"])


def _drained(value: Any) -> float:
    return float(value["jobs_per_s"])


def _share(value: Any) -> float:
    return 100 * float(value["share"])


def _per_job(value: Any) -> float | None:
    return None if value["cpu_us"] is None else float(value["cpu_us"])


def _pass(value: Any) -> float:
    return 1_000 * float(value["pass_s"])


def _pass_cpu(value: Any) -> float | None:
    return None if value["cpu_s"] is None else 100 * float(value["cpu_s"]) / 60


def _pass_a_minute(value: Any) -> float:
    return 100 * float(value["lost_s"]) / 60


def _free(kind: str) -> Callable[[Any], float]:
    """What a job with this free gate costs, as a share of one without."""
    return lambda value: 100 * float(value[kind]) / float(value["plain"])


def _priced(value: Any) -> float:
    """What a job costs with records, as a share of one without."""
    return 100 * float(value["with"]) / float(value["without"])


POSTGRES_PEERS = {
    "pgqueuer": PGQUEUER,
    "procrastinate": EVERY_OTHER_PEER,
    "celery": EVERY_OTHER_PEER,
    "dramatiq": EVERY_OTHER_PEER,
}
SQLITE_PEERS = {"huey": EVERY_OTHER_PEER}

OF_FLOOR = Target("ratio", "≥", 0.7)
CPU, QUERIES = Target("ours", "≤", 0.5), Target("ours", "≤", 2)
P50, P99 = Target("above floor", "≤", 3), Target("above floor", "≤", 15)
DRAIN, SQLITE_DRAIN = Target("ratio", "≥", 0.4, later=0.6), Target("ratio", "≥", 0.4)
ONCE, GROUP = Target("ratio", "≥", 0.8), Target("ratio", "≥", 5)
FREE = Target("ours", "≤", 130)
PRICE = Target("ours", "≤", 115)
CHECKED = Target("ours", "≤", 2)
FRESH = Target("ours", "≥", 80, later=90)

# fmt: off
MEASURES = (
    Measure("postgres", "enqueue_one", "enqueue, one at a time", "jobs/s", "enqueue_one", _rate, OF_FLOOR),
    Measure("postgres", "enqueue_bulk", "enqueue, in bulk", "jobs/s", "enqueue_bulk", _rate, OF_FLOOR),
    Measure("postgres", "drain", "drain", "jobs/s", "drain", _drained, DRAIN, POSTGRES_PEERS),
    Measure("postgres", "drain_cpu", "drain, CPU per job", "µs", "drain", _per_job),
    Measure("postgres", "held_drain", "drain, held snapshot", "jobs/s", "held", _drained),
    Measure("postgres", "held_share", "held ÷ fresh drain", "%", "held", _share, FRESH),
    Measure("postgres", "held_cpu", "drain, held, CPU per job", "µs", "held", _per_job),
    Measure("postgres", "once_drain", "once, a commit each", "jobs/s", "drain_once", _drained, ONCE),
    Measure("postgres", "once_cpu", "once, CPU per job", "µs", "drain_once", _per_job),
    Measure("postgres", "group_drain", "once, 50 a commit", "jobs/s", "drain_group", _drained, GROUP),
    Measure("postgres", "gates_lock", "a free lock, cost", "% of plain", "gates", _free("lock")),
    Measure("postgres", "gates_order", "a free order, cost", "% of plain", "gates", _free("order")),
    Measure("postgres", "gates_rate", "a free rate, cost", "% of plain", "gates", _free("rate")),
    Measure("postgres", "gates_all", "all three, cost", "% of plain", "gates", _free("all"), FREE),
    Measure("postgres", "records_cost", "records, cost", "% of without", "records", _priced, PRICE),
    Measure("postgres", "verify_pass", "verify, one pass", "ms", "verify", _pass),
    Measure("postgres", "verify_cpu", "a pass a minute, CPU", "% core", "verify", _pass_cpu, CHECKED),
    Measure("postgres", "verify_share", "lost to a pass a minute", "%", "verify", _pass_a_minute, CHECKED),
    Measure("postgres", "latency_p50", "start latency, p50", "ms", "latency", _p50, P50),
    Measure("postgres", "latency_p99", "start latency, p99", "ms", "latency", _p99, P99),
    Measure("postgres", "idle_queries", "idle worker, queries", "1/s", "idle", _queries, QUERIES),
    Measure("postgres", "idle_cpu", "idle worker, CPU", "% core", "idle", _cpu, CPU),
    Measure("sqlite", "enqueue_one", "enqueue, one at a time", "jobs/s", "enqueue_one", _rate, OF_FLOOR),
    Measure("sqlite", "enqueue_bulk", "enqueue, in bulk", "jobs/s", "enqueue_bulk", _rate, OF_FLOOR),
    Measure("sqlite", "drain", "drain", "jobs/s", "drain", _drained, SQLITE_DRAIN, SQLITE_PEERS),
    Measure("sqlite", "drain_cpu", "drain, CPU per job", "µs", "drain", _per_job),
    Measure("sqlite", "once_drain", "once, a commit each", "jobs/s", "drain_once", _drained, None),
    Measure("sqlite", "once_cpu", "once, CPU per job", "µs", "drain_once", _per_job),
    Measure("sqlite", "group_drain", "once, 50 a commit", "jobs/s", "drain_group", _drained, None),
    Measure("sqlite", "gates_lock", "a free lock, cost", "% of plain", "gates", _free("lock")),
    Measure("sqlite", "gates_order", "a free order, cost", "% of plain", "gates", _free("order")),
    Measure("sqlite", "gates_rate", "a free rate, cost", "% of plain", "gates", _free("rate")),
    Measure("sqlite", "gates_all", "all three, cost", "% of plain", "gates", _free("all"), FREE),
    Measure("sqlite", "records_cost", "records, cost", "% of without", "records", _priced, PRICE),
    Measure("sqlite", "verify_pass", "verify, one pass", "ms", "verify", _pass),
    Measure("sqlite", "verify_cpu", "a pass a minute, CPU", "% core", "verify", _pass_cpu, CHECKED),
    Measure("sqlite", "verify_share", "lost to a pass a minute", "%", "verify", _pass_a_minute, CHECKED),
    Measure("sqlite", "latency_p50", "start latency, p50", "ms", "latency", _p50),
    Measure("sqlite", "latency_p99", "start latency, p99", "ms", "latency", _p99),
    Measure("sqlite", "idle_cpu", "idle worker, CPU", "% core", "idle", _cpu, CPU),
)
# fmt: on


def chosen(engines: Sequence[str], names: Sequence[str]) -> list[Measure]:
    """The rows of these engines whose call, name or key begins with one of ``names``; all without names."""
    return [
        measure
        for measure in MEASURES
        if measure.engine in engines
        and (not names or any(candidate.startswith(name) for name in names for candidate in _names(measure)))
    ]


def _names(measure: Measure) -> tuple[str, ...]:
    return measure.name, measure.key, measure.call
