"""What a store says to the check: which jobs are open, and how long they took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..engines.contract import Engine
from ..model.histograms import quantile
from ..operations import health, metrics
from .findings import Finding
from .tasks import Task

DAYS = 14
RATIO = 100
RUNS_MIN = 20
"""With fewer runs a p95 says nothing."""
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Timing:
    """How long the runs of one task on one queue took."""

    queue: str
    task: str
    runs: int
    p95_us: float


def open_jobs(engine: Engine, app: str) -> dict[str, int]:
    """How many due jobs there are of each task, by the name they carry."""
    found: dict[str, int] = {}
    for one in engine.run(health.due(app)):
        found[one.task] = found.get(one.task, 0) + one.count
    return found


def timings(engine: Engine, app: str) -> list[Timing]:
    """The p95 of each task on each queue over the last days, from the rollups by the hour."""
    now = engine.run(health.now())
    runs: dict[tuple[str, str], list[metrics.Point]] = {}
    for point in engine.run(metrics.series(app, "1h", now - DAYS * DAY_US, now)):
        runs.setdefault((point.queue, point.task), []).append(point)
    found = []
    for (queue, task), points in runs.items():
        whole = metrics.total(points)
        if whole is None or (count := sum(whole.runs.values())) < RUNS_MIN:
            continue
        p95 = quantile(whole.runs, 0.95)
        if p95 is not None:
            found.append(Timing(queue, task, count, p95))
    return found


def shared_queues(tasks: list[Task], timed: list[Timing]) -> Iterator[Finding]:
    """Queues whose slowest task takes more than a hundred times as long as its quickest."""
    places = {task.name: task for task in tasks if task.is_ours}
    for queue in sorted({one.queue for one in timed}):
        own = sorted((one for one in timed if one.queue == queue), key=lambda one: one.p95_us)
        quick, slow = own[0], own[-1]
        if slow.p95_us <= RATIO * max(quick.p95_us, 1):
            continue
        task = places.get(slow.task)
        where = ("(store)", 1) if task is None else (task.module.shown, task.node.lineno)
        yield Finding(
            "DU037", "W", *where, 1, slow.task, "dutiful",
            f"on queue {queue} the p95 of {slow.task} is {slow.p95_us / 1e6:,.1f} s, that of {quick.task} "
            f"{quick.p95_us / 1e6:,.3f} s: the short ones wait behind the long ones",
            f'queue="{slow.task.rpartition(".")[2]}" on {slow.task}', source=slow.task,
        )  # fmt: skip
