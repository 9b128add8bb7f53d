"""A store in which all watchers are awake, and short words for its verdict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from dutiful.model.jobs import NewWorker
from dutiful.model.verdict import WATCHERS, Verdict, judge
from dutiful.operations import numbers, workers
from tests.contract.stores import APP, SECOND
from tests.contract.world import LEASE, World

PERIOD = 10 * SECOND
UNNEEDED = {"prover", "reconcilers"}
"""They watch what is declared, and here nothing is."""


def awake(world: World, but: Iterable[str] = ()) -> None:
    """Every watcher looked just now, but these."""
    for name in set(WATCHERS) - UNNEEDED - set(but):
        world.sql(
            "INSERT INTO dutiful.watcher (app, name, period, last_at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (app, name) DO UPDATE SET last_at = excluded.last_at",
            APP, name, PERIOD, world.clock(),
        )  # fmt: skip


def verdict(world: World) -> Verdict:
    """The verdict now."""
    return judge(world.run(numbers.numbers(APP)))


def amounts(world: World) -> tuple[int, ...]:
    """Lost, doubled, late, unseen."""
    return tuple(one.amount for one in verdict(world).numbers)


def keys(world: World) -> list[str]:
    """The things' keys, in order."""
    return [one.key for one in verdict(world).things]


def taker(world: World, queues: str = '["default"]', tasks: str = '{"send":1}', **more: Any) -> int:
    """A worker that takes these queues and knows these tasks."""
    row = NewWorker(
        app=APP, host="here", pid=1, lease_us=LEASE, concurrency=10, queues=queues, tasks=tasks, **more
    )
    return cast(int, world.run(workers.register(row)))


def target(world: World, queue: str, us: int) -> None:
    """A queue's target."""
    world.sql(
        "INSERT INTO dutiful.queue (app, name, target) VALUES (%s, %s, %s)"
        " ON CONFLICT (app, name) DO UPDATE SET target = excluded.target",
        APP, queue, us,
    )  # fmt: skip
