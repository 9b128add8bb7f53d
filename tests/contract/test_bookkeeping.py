"""A worker keeps the records: deltas fold, books are counted, and each who watches says so."""

from __future__ import annotations

import logging

import pytest

from dutiful.operations import books, watchers
from dutiful.worker.bookkeeping import Bookkeeping
from tests.contract.stores import APP, SECOND
from tests.contract.world import World


def test_a_turn_folds_counts_and_says_so(store_world: World, caplog: pytest.LogCaptureFixture) -> None:
    world = store_world
    jobs = [world.enqueue() for _ in range(3)]
    keeper = Bookkeeping(world.engine, APP)
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
