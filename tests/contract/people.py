"""A world with people in it: dead jobs of several kinds, and operators who act on them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from dutiful import App
from dutiful.engines.contract import Engine
from dutiful.model.operators import Operator
from dutiful.supervise.ops import Ops, Wanted
from dutiful.worker import bulks
from tests.contract.stores import APP
from tests.contract.world import World

ANN = Operator("ann", perms="operator", how="web", address="10.0.0.7")
EVERY = Wanted()


@dataclass(frozen=True)
class Place:
    """A store for Ops, without the app's code."""

    engine: Engine
    name: str = APP
    app: App | None = None


def ops_in(world: World, actor: Operator = ANN, *, readonly: bool = False) -> Ops:
    return Ops(Place(world.engine), actor, readonly=readonly)


def dead(world: World, key: str | None = None, reason: str = "error", **options: object) -> str:
    """A job that gave up."""
    job = world.enqueue(key, **options)
    [lease] = [one for one in world.claim(limit=100) if one.job_id == job]
    assert world.end(lease, "bury", reason=reason)
    return job


def many_dead(world: World, count: int, **options: object) -> list[str]:
    """So many jobs that gave up, all at once."""
    ids = [world.enqueue(**options) for _ in range(count)]
    for lease in world.claim(limit=count, queue=str(options.get("queue", "default"))):
        assert world.end(lease, "bury", reason="error")
    return ids


def walk(ops: Ops, bulk_id: str, walker: str = "w") -> None:
    """Carry it out to its end."""
    assert bulks.walk(ops.engine, bulk_id, walker, wait)


def wait(seconds: float) -> bool:
    time.sleep(min(seconds, 0.01))
    return False
