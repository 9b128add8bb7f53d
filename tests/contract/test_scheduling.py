"""The part of a worker that looks after schedules, turn by turn, on a clock that the test moves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dutiful import App
from dutiful.model.errors import InvalidSchedule
from dutiful.operations import schedule_verbs, schedules
from dutiful.worker.scheduling import LOOK_S, Scheduling
from tests.contract.world import World

START = 1_768_435_200_000_000 + 1_000_000  # a second past midnight, 15 January 2026
MINUTE = 60_000_000


def app_with(**rules: dict[str, Any]) -> App:
    app = App("shop", "sqlite://")

    @app.task(name="send", queue="q")
    def send(n: int = 1) -> None: ...

    for name, rule in rules.items():
        app.schedule(**rule, name=name)(send)
    return app


def worker_of(world: World, app: App) -> Any:
    class Engine:
        """The world's, which is woken in vain."""

        run = staticmethod(world.engine.run)
        wake = staticmethod(lambda queue: None)

    return SimpleNamespace(app=app, engine=Engine, id=world.worker(lease_us=10**15))


def states(world: World, name: str) -> list[str]:
    return [row.state for row in world.run(schedule_verbs.ledger("shop", name))]


def test_a_worker_sleeps_until_the_next_one_is_due(store_world: World) -> None:
    world = store_world
    world.clock.at_us = START
    one = Scheduling(worker_of(world, app_with(near={"every": "2s"}, far={"every": "1d"})))
    assert one.turn() == pytest.approx(1.0)  # the near one, at 00:00:02
    world.clock.at_us = START + 1_000_000
    assert one.turn() == pytest.approx(2.0)
    assert states(world, "near") == ["enqueued"] and states(world, "far") == []
    world.run(schedule_verbs.pause("shop", "near", actor="ann", reason="x"))
    assert LOOK_S * 0.8 <= one.turn() <= LOOK_S


def test_an_app_without_schedules_hardly_asks(store_world: World) -> None:
    assert Scheduling(worker_of(store_world, app_with())).turn() > 40


def test_a_release_and_its_return(store_world: World) -> None:
    world = store_world
    world.clock.at_us = START
    old_worker = worker_of(world, app_with(a={"every": "1m"}, b={"every": "1m"}))
    old = Scheduling(old_worker)
    old.turn()
    new_worker = worker_of(world, app_with(a={"every": "1h"}, c={"every": "1m"}))
    new = Scheduling(new_worker)
    new.turn()
    world.clock.at_us = START + MINUTE
    for one in (old, new, old):
        one.turn()
    # a is the new one's, b is still declared by the old one, c is the new one's.
    assert (states(world, "a"), states(world, "b"), states(world, "c")) == ([], ["enqueued"], ["enqueued"])
    world.die(old_worker.id)
    world.clock.at_us += MINUTE
    new.turn()
    gone = {one.name for one in world.run(schedules.look("shop")) if one.gone_at_us is not None}
    assert gone == {"b"} and states(world, "b") == ["skipped", "enqueued"]
    # The release is taken back: old code starts again, the new one dies.
    back = Scheduling(worker_of(world, app_with(a={"every": "1m"}, b={"every": "1m"})))
    back.turn()
    world.die(new_worker.id)
    world.clock.at_us += MINUTE
    back.turn()
    assert states(world, "a") == ["enqueued"] and states(world, "b") == ["enqueued", "skipped", "enqueued"]
    keys = [row["key"] for row in world.table("job")]
    assert len(keys) == len(set(keys))


def test_a_worker_that_was_held_for_dead_declares_anew(store_world: World) -> None:
    world = store_world
    world.clock.at_us = START
    worker = worker_of(world, app_with(a={"every": "1m"}))
    one = Scheduling(worker)
    one.turn()
    world.die(worker.id)
    worker.id = world.worker(lease_us=10**15)
    one.turn()
    [row] = world.run(schedules.look("shop"))
    assert row.live and row.current
    assert [one["worker"] for one in world.table("declared")] == [worker.id]


def test_a_schedule_without_a_task_stops_the_worker_from_starting(store_world: World) -> None:
    app = app_with()
    app.schedule(every="1m")(lambda: None)
    with pytest.raises(InvalidSchedule, match="is no task"):
        Scheduling(worker_of(store_world, app))


def test_idle_costs_one_query_a_look(store_world: World) -> None:
    world = store_world
    world.clock.at_us = START
    one = Scheduling(worker_of(world, app_with(**{f"s{n}": {"every": "1d"} for n in range(20)})))
    one.turn()
    seen: list[object] = []
    world.engine.observe = seen.append
    try:
        one.turn()
    finally:
        world.engine.observe = None
    assert len(seen) == 1
