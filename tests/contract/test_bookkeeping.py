"""A worker keeps the records: deltas fold, books are counted, and each who watches says so."""

from __future__ import annotations

import logging
import threading
from typing import Any, cast

import pytest

from dutiful.engines.contract import Engine
from dutiful.model.errors import StoreUnreachable
from dutiful.model.jobs import Failure
from dutiful.operations import books, enqueue, groups, metrics, watchers
from dutiful.operations.metrics import MINUTE
from dutiful.operations.plan import Operation
from dutiful.worker.bookkeeping import Bookkeeping
from tests.contract.stores import APP, SECOND, new
from tests.contract.world import World


def test_a_turn_folds_counts_and_says_so(store_world: World, caplog: pytest.LogCaptureFixture) -> None:
    world = store_world
    jobs = [world.enqueue() for _ in range(3)]
    keeper = Bookkeeping(world.engine, APP, lambda: 0.0)  # a count takes no time, however slow this machine
    keeper.turn()
    kept = world.run(books.books(APP))
    assert kept is not None and kept.accepted == kept.states["ready"] == 3 and kept.difference == 0
    assert world.table("delta") == []
    watch, sampler = world.run(watchers.watchers(APP))
    assert (sampler.name, watch.name) == ("sampler", "bookkeeper")
    assert watch.period_us >= 10 * SECOND and not watch.silent

    world.enqueue()
    keeper.turn()  # somebody has just done it
    assert len(world.table("delta")) == 1

    world.sql("DELETE FROM dutiful.job WHERE id = %s", jobs[0])
    world.clock.advance(11 * SECOND)
    with caplog.at_level(logging.ERROR):
        keeper.turn()
    kept = world.run(books.books(APP))
    assert kept is not None and kept.missing == 1 and "books_differ" in caplog.text
    world.clock.advance(3 * watch.period_us + SECOND)
    assert world.run(watchers.watchers(APP))[0].silent


def test_books_that_take_long_are_counted_more_seldom(store_world: World) -> None:
    world = store_world
    world.enqueue()
    ticks = iter((100.0, 104.0))
    world.run(books.fold())
    Bookkeeping(world.engine, APP, lambda: next(ticks)).count()
    [watch] = world.run(watchers.watchers(APP))
    assert watch.period_us == 200 * SECOND


def a_while(world: World) -> None:
    """Two are done and one dies in a minute, which is over."""
    for cause in (None, None, "f1"):
        world.run(enqueue.one(APP, new()))
        [lease] = world.claim()
        if cause is None:
            world.end(lease, "complete")
        else:
            world.end(lease, "bury", reason="error", failure=Failure("ValueError", "no", "", cause))
    world.clock.advance(MINUTE)


def check_records(world: World, whiles: int) -> None:
    """Everything was folded, rolled up and counted once, after so many of these."""
    assert world.table("delta") == world.table("death") == []
    book = world.run(books.books(APP))
    assert book is not None and (book.accepted, book.difference) == (3 * whiles, 0)
    assert (book.states["done"], book.states["dead"]) == (2 * whiles, whiles)
    [group] = world.run(groups.groups(APP))
    assert (group.n, group.deaths) == (whiles, whiles)
    points = metrics.total(world.run(metrics.series(APP, "1m", 0, 1 << 60)))
    assert points is not None and (points.done, points.dead) == (2 * whiles, whiles)


def test_two_bookkeepers_at_once_do_it_once(store_world: World) -> None:
    """Also where both believe that it is their turn: a worker that was stopped in its own goes on with it."""
    world = store_world
    for _ in range(4):
        a_while(world)
    keepers = [Bookkeeping(world.engine, APP) for _ in range(2)]
    together, errors = threading.Barrier(2), []

    def work(keeper: Bookkeeping) -> None:
        try:
            for act in (keeper.fold, keeper.roll, keeper.count):
                together.wait(30)
                act()
        except BaseException as error:
            errors.append(error)
            together.abort()

    threads = [threading.Thread(target=work, args=(keeper,)) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    keepers[0].fold()  # what the other one was at while this one looked
    keepers[0].count()
    check_records(world, 4)


class Failing:
    """An engine whose store cannot be reached once: before the operation of that number, or in its answer."""

    def __init__(self, engine: Engine, at: int, after: bool) -> None:
        self.engine, self.at, self.after, self.done = engine, at, after, 0

    def run(self, operation: Operation[Any]) -> Any:
        """As the engine does, but once."""
        self.done += 1
        if self.done == self.at and not self.after:
            raise StoreUnreachable("gone")
        found = self.engine.run(operation)
        if self.done == self.at:
            raise StoreUnreachable("gone")
        return found


@pytest.mark.parametrize("after", [False, True], ids=["before", "in the answer"])
def test_a_store_that_fails_in_a_turn_costs_no_record(store_world: World, after: bool) -> None:
    """At each operation of a turn; the next one makes it good, and nothing counts twice."""
    world, whiles, at = store_world, 0, 1
    while True:
        a_while(world)
        whiles += 1
        failing = Failing(world.engine, at, after)
        try:
            Bookkeeping(cast(Engine, failing), APP, lambda: 0.0).turn()
            failed = False
        except StoreUnreachable:
            failed = True
        world.clock.advance(MINUTE)
        Bookkeeping(world.engine, APP, lambda: 0.0).turn()
        check_records(world, whiles)
        if not failed:
            break
        at += 1
    assert at > 8, "a turn has more operations than that"
