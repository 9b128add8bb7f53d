"""H4: faults injected by hand. Each changes the verdict as it should, and mending it changes it back."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from dutiful.model.verdict import WATCHERS
from dutiful.operations import books, people, verify, workers
from dutiful.worker import verifying
from tests.contract.broken import claimed
from tests.contract.planting import planted
from tests.contract.stores import APP, SECOND
from tests.contract.test_books import open_books
from tests.contract.test_planted_verify import PLANTS, a_duty_worked_twice
from tests.contract.watching import PERIOD, UNNEEDED, amounts, awake, taker, verdict
from tests.contract.world import LEASE, World


@pytest.fixture
def world(store_world: World) -> Iterator[World]:
    open_books(store_world)
    awake(store_world)
    taker(store_world)
    yield store_world


def period(world: World, *but: str) -> None:
    """A period in which every watcher does its look, but these."""
    world.clock.advance(PERIOD)
    for worker in world.run(workers.live()):
        world.run(workers.beat([worker.id]))
    if "bookkeeper" not in but:
        world.run(books.fold())
        world.run(books.keep(world.run(books.count())))
    if "checker" not in but:
        verifying.look_over(world.engine, APP, random.random())
    awake(world, but)


def test_a_job_whose_row_was_deleted_is_lost(world: World) -> None:
    job = world.enqueue("a")
    world.enqueue("b")
    period(world)
    assert (verdict(world).state, amounts(world)) == ("well", (0, 0, 0, 0))
    world.sql("DELETE FROM dutiful.job WHERE id = %s", job)
    period(world)
    found = verdict(world)
    assert (found.state, amounts(world)) == ("person", (1, 0, 0, 0))
    assert found.things[0].sentence == "1 job of 2 accepted is nowhere to be found"


def test_work_that_was_done_twice_is_doubled(world: World) -> None:
    """With the bug that lets it be done: a conflict in the ledger that is passed over."""
    [plant] = [one for one in PLANTS if one.act is a_duty_worked_twice]
    with planted(world.engine.name, plant.postgres if world.engine.name == "postgres" else plant.sqlite):
        job = a_duty_worked_twice(world)
    period(world)
    found = verdict(world)
    [thing] = [one for one in found.things if one.number == "doubled"]
    assert (found.state, thing.key) == ("person", "invariant:verify_works")
    [kept] = [one for one in world.run(verify.noted(APP)) if one.name == "verify_works"]
    assert kept.finding is not None and kept.finding.rows[0]["id"] == job


def test_when_every_worker_stops_nothing_can_be_said_and_what_waits_is_lost(world: World) -> None:
    period(world)
    assert verdict(world).state == "well"
    for worker in world.run(workers.live()):
        world.run(workers.leave(worker.id))
    world.clock.advance(3 * PERIOD + 1)
    found = verdict(world)
    assert found.state == "unknown"
    assert {one.name for one in found.watches if one.silent} == set(WATCHERS) - UNNEEDED
    assert "nobody watches" in found.headline
    world.enqueue("a")
    world.clock.advance(61 * SECOND)
    found = verdict(world)
    assert (found.state, amounts(world)[0]) == ("person", 1)
    assert found.number("doubled").sign == "?"  # needs a person, and the rest is still unknown


def test_when_one_worker_is_killed_its_job_is_late_then_lost_until_it_is_reaped(world: World) -> None:
    claimed(world)
    dead = max(worker.id for worker in world.run(workers.live()))
    seen: list[tuple[int, ...]] = []
    for wait in (LEASE // 2, LEASE // 2 + 11 * SECOND):
        world.clock.advance(wait)
        for worker in world.run(workers.live()):
            if worker.id != dead:
                world.run(workers.beat([worker.id]))
        awake(world)
        seen.append(amounts(world))
    assert seen == [(0, 0, 1, 0), (1, 0, 0, 0)]
    world.run(workers.bury(silent=True))
    world.run(workers.lapse())
    assert amounts(world) == (0, 0, 0, 0)


def test_when_the_books_stop_lost_is_unknown(world: World) -> None:
    for _ in range(3):
        period(world, "bookkeeper")
    assert verdict(world).state == "well"
    period(world, "bookkeeper")
    found = verdict(world)
    assert found.headline == "Cannot say: bookkeeper silent for 40s, so lost is unknown; the rest is well."
    period(world)
    assert verdict(world).state == "well"


@pytest.mark.parametrize("name", sorted(set(WATCHERS) - UNNEEDED))
def test_no_watcher_can_stop_unnoticed(world: World, name: str) -> None:
    world.clock.advance(4 * PERIOD)
    for worker in world.run(workers.live()):
        world.run(workers.beat([worker.id]))
    awake(world, [name])
    found = verdict(world)
    assert found.state == "unknown" and f"{name} silent for 40s" in found.headline


def test_a_job_that_a_person_cancels_is_not_lost(world: World) -> None:
    """No false alarm: whatever people do is in the books."""
    job = world.enqueue("a")
    world.run(people.cancel(APP, job, actor="ann"))
    period(world)
    assert (verdict(world).state, world.run(verify.check(APP, full=True))) == ("well", [])
