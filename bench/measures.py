"""What is measured: each row of the table, the call that gives it, and the target it has.

A *call* is one child process (``enqueue_one``, ``drain``, …) and may fill several rows: a latency run gives
its p50 and its p99. What stands behind a colon in its name says how: with so many connections or queues, in
that state. Rows exist per engine, because PostgreSQL and SQLite have floors and peers of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.targets import Target

STATES = ("finished", "waiting", "scheduled", "queues", "priorities", "analysed")
STATES_OF_PEERS = ("finished", "waiting")
CONNECTIONS = (1, 4, 16)
IDLE_QUEUES = (1, 10, 100)
WORKERS = (1, 2, 4)
CALLS = (
    "enqueue_one",
    "enqueue_bulk",
    "stream",
    "drain",
    "drain_async",
    "workers",
    *(f"drain_once:{connections}" for connections in CONNECTIONS),
    "drain_group",
    "latency",
    "latency:unheard",
    "held",
    *(f"state:{state}" for state in STATES),
    "prune",
    "memory",
    "gates",
    "gates:single",
    "records",
    "verify",
    *(f"idle:{queues}" for queues in IDLE_QUEUES),
)
ENGINES = ("postgres", "sqlite")

EVERY_OTHER_PEER = 8.0
PGQUEUER = 2.0
SIDEKIQ = 4.0


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


def _wait(share: float) -> Callable[[Any], float]:
    """Milliseconds that this share of the waits did not exceed."""
    return lambda value: 1_000 * percentile(value, share)


def _part(name: str) -> Callable[[Any], float | None]:
    """One of the named figures that a call gave."""
    return lambda value: None if value[name] is None else float(value[name])


def _of(part: str, whole: str) -> Callable[[Any], float]:
    """One of the named figures as a share of another."""
    return lambda value: 100 * float(value[part]) / float(value[whole])


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


REDIS_PEERS = ("celery", "dramatiq", "rq", "arq", "saq", "taskiq")
POSTGRES_PEERS = {
    "pgqueuer": PGQUEUER,
    **dict.fromkeys(("procrastinate", "chancy", "dbos", *REDIS_PEERS), EVERY_OTHER_PEER),
    "sidekiq": SIDEKIQ,
}
SQLITE_PEERS = {"huey": EVERY_OTHER_PEER}

OF_FLOOR = Target("ratio", "≥", 0.7)
CPU, QUERIES = Target("ours", "≤", 0.5), Target("ours", "≤", 2)
P50, P99 = Target("above floor", "≤", 3), Target("above floor", "≤", 15)
POLLED = Target("ours", "≤", 1_000)
DRAIN, SQLITE_DRAIN = Target("ratio", "≥", 0.6), Target("ratio", "≥", 0.4)
ONCE, GROUP = Target("ratio", "≥", 0.8), Target("ratio", "≥", 5)
FREE = Target("ours", "≤", 130)
PRICE = Target("ours", "≤", 115)
CHECKED = Target("ours", "≤", 2)
FRESH = Target("ours", "≥", 90)
PRUNED = Target("ours", "≥", 80)
SAME = Target("ours", "≤", 110)
CONSTANT = Target("ours", "≤", 64)

TITLES = {
    "finished": "many finished",
    "waiting": "many waiting",
    "scheduled": "many scheduled",
    "queues": "100 queues",
    "priorities": "10 priorities",
    "analysed": "analysed when empty",
}


def _states(engine: str) -> Iterator[Measure]:
    for state, title in TITLES.items():
        call = f"state:{state}"
        yield Measure(engine, f"{state}_drain", f"drain, {title}", "jobs/s", call, _drained)
        yield Measure(engine, f"{state}_share", f"{title} ÷ fresh drain", "%", call, _share, FRESH)


def _onces(engine: str) -> Iterator[Measure]:
    """SQLite has one writer, so that its floor is the same for all of them."""
    for connections in CONNECTIONS if engine == "postgres" else (16,):
        call, last = f"drain_once:{connections}", connections == 16
        end, title = (
            ("", "once, a commit each") if last else (f"_{connections}", f"once, {connections} at a time")
        )
        target = ONCE if last and engine == "postgres" else None
        yield Measure(engine, f"once{end}_drain", title, "jobs/s", call, _drained, target)
        yield Measure(engine, f"once{end}_cpu", f"{title}, CPU per job", "µs", call, _per_job)


def _idles(engine: str) -> Iterator[Measure]:
    for count in IDLE_QUEUES:
        call = f"idle:{count}"
        end, title = ("", "idle worker") if count == 1 else (f"_{count}", f"idle, {count} queues")
        if engine == "postgres":
            yield Measure(engine, f"idle{end}_queries", f"{title}, queries", "1/s", call, _queries, QUERIES)
        yield Measure(engine, f"idle{end}_cpu", f"{title}, CPU", "% core", call, _cpu, CPU)
        yield Measure(engine, f"idle{end}_memory", f"{title}, memory", "MB", call, _part("resident_mb"))


def _waits(engine: str) -> Iterator[Measure]:
    limits = {50: P50, 99: P99} if engine == "postgres" else {}
    for percent in (50, 95, 99):
        title, pick = f"start latency, p{percent}", _wait(percent / 100)
        yield Measure(engine, f"latency_p{percent}", title, "ms", "latency", pick, limits.get(percent))
    for percent in (50, 95, 99) if engine == "postgres" else ():
        title, target = f"unheard of, p{percent}", POLLED if percent == 99 else None
        name = f"latency_unheard_p{percent}"
        yield Measure(engine, name, title, "ms", "latency:unheard", _wait(percent / 100), target)


def _rows(engine: str) -> Iterator[Measure]:
    def row(*values: Any) -> Measure:
        return Measure(engine, *values)

    on_postgres = engine == "postgres"
    limit, peers = (DRAIN, POSTGRES_PEERS) if on_postgres else (SQLITE_DRAIN, SQLITE_PEERS)
    # fmt: off
    yield row("enqueue_one", "enqueue, one at a time", "jobs/s", "enqueue_one", _rate, OF_FLOOR)
    yield row("enqueue_bulk", "enqueue, in bulk", "jobs/s", "enqueue_bulk", _rate, OF_FLOOR)
    yield row("stream", "bulk from a generator", "jobs/s", "stream", _part("jobs_per_s"))
    yield row("stream_memory", "bulk from a generator, growth", "MB", "stream", _part("grown_mb"), CONSTANT)
    yield row("drain", "drain", "jobs/s", "drain", _drained, limit, peers)
    yield row("drain_cpu", "drain, CPU per job", "µs", "drain", _per_job)
    yield row("drain_async", "drain, async tasks", "jobs/s", "drain_async", _drained)
    for count in WORKERS:
        title = f"drain, worker processes: {count}"
        yield row(f"workers_{count}", title, "jobs/s", "workers", _part(str(count)))
    if on_postgres:
        yield row("held_drain", "drain, held snapshot", "jobs/s", "held", _drained)
        yield row("held_share", "held ÷ fresh drain", "%", "held", _share, FRESH)
        yield row("held_cpu", "drain, held, CPU per job", "µs", "held", _per_job)
    yield from _states(engine)
    yield row("prune_drain", "drain, while pruning", "jobs/s", "prune", _part("with"))
    yield row("prune_share", "pruning ÷ fresh drain", "%", "prune", _of("with", "without"), PRUNED)
    yield row("prune_seconds", "pruning", "s", "prune", _part("seconds"))
    yield from _onces(engine)
    group = GROUP if on_postgres else None
    yield row("group_drain", "once, 50 a commit", "jobs/s", "drain_group", _drained, group)
    yield row("memory_first", "worker's memory, early", "MB", "memory", _part("first_mb"))
    yield row("memory_last", "worker's memory, late", "MB", "memory", _part("last_mb"))
    yield row("memory_share", "late ÷ early memory", "%", "memory", _of("last_mb", "first_mb"), SAME)
    yield row("gates_lock", "a free lock, cost", "% of plain", "gates", _free("lock"))
    yield row("gates_order", "a free order, cost", "% of plain", "gates", _free("order"))
    yield row("gates_rate", "a free rate, cost", "% of plain", "gates", _free("rate"))
    yield row("gates_all", "all three, cost", "% of plain", "gates", _free("all"), FREE)
    single = "all three, one enqueue each, cost"
    yield row("gates_single", single, "% of plain", "gates:single", _free("all"), FREE)
    yield row("records_cost", "records, cost", "% of without", "records", _priced, PRICE)
    yield row("verify_pass", "verify, one pass", "ms", "verify", _pass)
    yield row("verify_cpu", "a pass a minute, CPU", "% core", "verify", _pass_cpu, CHECKED)
    yield row("verify_share", "lost to a pass a minute", "%", "verify", _pass_a_minute, CHECKED)
    yield from _waits(engine)
    yield from _idles(engine)
    # fmt: on


MEASURES = tuple(measure for engine in ENGINES for measure in _rows(engine))


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
