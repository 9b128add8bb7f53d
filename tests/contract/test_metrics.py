"""Rollups: made from what ended, the same however often; and samples of what is due."""

from __future__ import annotations

import pytest

from dutiful.model.histograms import bucket_of
from dutiful.operations import enqueue, metrics, people
from dutiful.operations.metrics import HOUR, MINUTE, Grain
from dutiful.sql import EngineName
from tests.contract.planting import Change, planted
from tests.contract.stores import APP, SECOND, new
from tests.contract.world import DAY, World


def roll(world: World) -> None:
    while world.run(metrics.roll()):
        pass


def some_minutes(world: World) -> int:
    """Three done in different minutes, one that failed once, one dead, one cancelled; the first minute."""
    world.clock.at_us -= world.clock.at_us % HOUR
    start = world.clock()
    for wait, ran in ((SECOND, 3 * SECOND), (2 * SECOND, 30 * SECOND), (7, 123_456)):
        world.run(enqueue.one(APP, new()))
        world.clock.advance(wait)
        [lease] = world.claim()
        world.clock.advance(ran)
        world.end(lease, "complete")
        world.clock.advance(MINUTE)
    for verb in ("fail", "bury"):
        world.run(enqueue.one(APP, new()))
        [lease] = world.claim()
        world.end(lease, verb)
    world.run(people.cancel(APP, world.run(enqueue.one(APP, new())).id, actor="ann"))
    world.clock.advance(MINUTE)
    return start


def check(world: World) -> None:
    start = some_minutes(world)
    expected = {"done": 3, "failed": 2, "dead": 1, "cancelled": 1}
    for _ in range(2):  # the second time makes the last minutes again
        roll(world)
        for grain in ("1m", "10m", "1h"):
            points = world.run(metrics.series(APP, grain, start, start + HOUR))
            one = metrics.total(points)
            for queue in ("", "default"):
                sums = world.run(metrics.sums(APP, grain, start, start + HOUR, queue=queue))
                assert [point.at_us for point in sums] == sorted({point.at_us for point in points})
                whole = metrics.total(sums)
                assert whole is not None and (whole.waits, whole.runs) == (
                    one and one.waits,
                    one and one.runs,
                )
                assert {name: getattr(whole, name) for name in expected} == expected, (grain, queue)
            assert one is not None and {name: getattr(one, name) for name in expected} == expected, grain
            assert one.waits == {bucket_of(SECOND): 1, bucket_of(2 * SECOND): 1, bucket_of(7): 1}
            assert one.runs == {bucket_of(3 * SECOND): 1, bucket_of(30 * SECOND): 1, bucket_of(123_456): 1}
            assert abs((one.run_us(0.5) or 0) - 3 * SECOND) <= 0.3 * SECOND
        assert len(world.run(metrics.series(APP, "1m", start, start + HOUR))) == 4
        assert len(world.run(metrics.series(APP, "1h", start, start + HOUR))) == 1
        world.clock.advance(MINUTE)


def test_every_grain_adds_up(store_world: World) -> None:
    check(store_world)
    assert store_world.run(metrics.series(APP, "1m", 0, 1 << 60, queue="other")) == []
    assert store_world.run(metrics.series("other", "1m", 0, 1 << 60)) == []


def test_after_a_pause_it_goes_on_where_it_stopped(store_world: World) -> None:
    world = store_world
    roll(world)
    start = some_minutes(world)
    world.clock.advance(5 * HOUR)
    assert world.run(metrics.roll()), "one slice at a time"
    roll(world)
    one = metrics.total(world.run(metrics.series(APP, "1h", start, start + HOUR)))
    assert one is not None and one.done == 3
    assert not world.run(metrics.roll())


def test_an_ending_that_commits_late_is_made_good(store_world: World) -> None:
    world = store_world
    start = some_minutes(world)
    roll(world)
    world.run(enqueue.one(APP, new()))
    [lease] = world.claim()
    world.clock.at_us -= MINUTE  # its statement ran in a minute that is rolled up by now
    world.end(lease, "complete")
    world.clock.advance(2 * MINUTE)
    roll(world)
    one = metrics.total(world.run(metrics.series(APP, "1m", start, start + HOUR)))
    assert one is not None and one.done == 4


@pytest.mark.parametrize("grain", ["1m", "10m", "1h"])
def test_each_grain_is_kept_for_its_time(store_world: World, grain: Grain) -> None:
    world = store_world
    some_minutes(world)
    roll(world)
    kept = metrics.KEPT[grain]
    world.clock.advance(kept - HOUR)
    world.run(metrics.forget())
    assert [row for row in world.table("rollup") if row["grain"] == metrics.GRAINS[grain]]
    world.clock.advance(3 * HOUR)
    world.run(metrics.forget())
    assert not [row for row in world.table("rollup") if row["grain"] == metrics.GRAINS[grain]]


def test_samples_tell_what_is_due_and_for_how_long(store_world: World) -> None:
    world = store_world
    world.clock.at_us -= world.clock.at_us % MINUTE
    start = world.clock()
    for _ in range(3):
        world.enqueue()
    world.enqueue(delay_us=DAY)
    world.clock.advance(MINUTE)
    for _ in range(2):
        world.run(metrics.sample())
    [one] = world.run(metrics.samples(APP, start, start + HOUR))
    assert (one.queue, one.at_us, one.depth, one.oldest_us) == ("default", start + MINUTE, 3, MINUTE)
    world.claim(limit=9)
    world.clock.advance(MINUTE)
    world.run(metrics.sample())
    assert world.run(metrics.samples(APP, start, start + HOUR))[-1].depth == 0
    world.clock.advance(15 * DAY)
    world.run(metrics.forget())
    assert world.table("sample") == []


BUGS: dict[str, dict[EngineName, dict[str, list[Change]]]] = {
    "added up instead of made anew": {
        "postgres": {"put_rollups": [("done = excluded.done", "done = dutiful.rollup.done + excluded.done")]},
        "sqlite": {"put_rollups": [("done = excluded.done", "done = done + excluded.done")]},
    },
    "coarser points miss the sums": {
        "postgres": {"rolled": [("r.at < :until", "r.at < :until AND r.task <> ''")]},
        "sqlite": {"rolled": [("r.at < :until", "r.at < :until AND r.task <> ''")]},
    },
    "the sums of one queue and of all are one": {
        "postgres": {"rolled_sums": [("r.queue = :queue AND ", "")]},
        "sqlite": {"rolled_sums": [("r.queue = :queue AND ", "")]},
    },
    "failed runs are forgotten": {
        "postgres": {"failed_between": [("WHERE f.failed_at", "WHERE false AND f.failed_at")]},
        "sqlite": {"failed_between": [("WHERE f.failed_at", "WHERE false AND f.failed_at")]},
    },
    "waits of another unit": {
        "postgres": {"ended_between": [(r"\* 100", "* 10")]},
        "sqlite": {"ended_between": [(r"\* 100", "* 10")]},
    },
    "the dead are forgotten": {
        "postgres": {"ended_between": [("WHERE d.died_at >= :since", "WHERE false AND d.died_at >= :since")]},
        "sqlite": {"ended_between": [("WHERE d.died_at >= :since", "WHERE false AND d.died_at >= :since")]},
    },
}


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_planted_bugs_are_noticed(store_world: World, bug: str) -> None:
    with planted(store_world.engine.name, BUGS[bug][store_world.engine.name]), pytest.raises(AssertionError):
        check(store_world)
