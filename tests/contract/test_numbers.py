"""The four numbers, from the tables: each thing is seen, named with its cause, and gone when it is mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dutiful.model.gates import Gate
from dutiful.operations import queues, workers
from tests.contract.broken import claimed, in_doubt
from tests.contract.stores import APP, SECOND
from tests.contract.test_schedules import at, begun, declared, fire
from tests.contract.watching import amounts, awake, keys, taker, target, verdict
from tests.contract.world import LEASE, World

MINUTE = 60 * SECOND


@pytest.fixture
def world(store_world: World) -> Iterator[World]:
    yield store_world


@contextmanager
def later(world: World, us: int, *but: str) -> Iterator[None]:
    """After a while; whoever watches did so all the time."""
    world.clock.advance(us)
    awake(world, but)
    yield


def test_a_store_in_which_nobody_watches_is_unknown(world: World) -> None:
    assert (verdict(world).state, amounts(world)) == ("unknown", (0, 0, 0, 0))


def test_with_all_awake_and_nothing_wrong_it_is_well(world: World) -> None:
    awake(world)
    taker(world)
    world.enqueue("a")
    found = verdict(world)
    assert (found.state, found.things) == ("well", ())
    assert found.headline.startswith("Well as far as is checked")
    assert "reconcilers" in found.unchecked


def test_lost_when_no_worker_takes_the_queue(world: World) -> None:
    world.enqueue("a", queue="pdf")
    world.enqueue("b", queue="pdf")
    with later(world, 59 * SECOND):
        assert amounts(world) == (0, 0, 0, 0)
    with later(world, 2 * SECOND):
        found = verdict(world)
    assert (keys(world), amounts(world)) == (["unserved:pdf"], (2, 0, 0, 0))
    assert found.things[0].sentence == '2 jobs in queue "pdf" have no live worker that takes it'
    assert found.state == "person"
    taker(world, '["pdf"]')
    assert amounts(world) == (0, 0, 0, 0)


def test_lost_when_no_worker_knows_the_task_or_its_version(world: World) -> None:
    world.enqueue("a", task="render")
    world.enqueue("b", args_version=2)
    world.enqueue("c")
    with later(world, 61 * SECOND):
        taker(world)
        assert keys(world) == ["unservable:default:render", "unservable:default:send"]
        one, two = verdict(world).things
    assert one.sentence == '1 job in queue "default" has no live worker that knows task render'
    assert two.sentence.endswith("knows task send with version 2 of its arguments")
    assert (one.amount, two.amount) == (1, 1)
    taker(world, tasks='{"send":2,"render":1}')
    assert amounts(world) == (0, 0, 0, 0)


def test_who_left_a_moment_ago_was_there(world: World) -> None:
    """A deploy, with a backlog from long ago, loses nothing."""
    worker = taker(world)
    world.enqueue("a")
    world.clock.advance(10 * MINUTE)
    world.run(workers.beat([worker]))
    world.run(workers.leave(worker))
    with later(world, 30 * SECOND):
        assert amounts(world) == (0, 0, 0, 0)
    with later(world, 31 * SECOND):
        assert keys(world) == ["unserved:default"]


def test_a_child_takes_nothing_by_itself(world: World) -> None:
    world.enqueue("a")
    with later(world, 2 * MINUTE):
        taker(world, alone=True, parent=7)
        assert keys(world) == ["unserved:default"]


def test_jobs_of_later_are_not_lost_and_those_whose_time_came_are(world: World) -> None:
    world.enqueue("a", delay_us=MINUTE)
    with later(world, MINUTE + 30 * SECOND):
        assert amounts(world) == (0, 0, 0, 0)
    with later(world, 31 * SECOND):
        assert keys(world) == ["unserved:default"]  # nobody has made it claimable yet


def test_lost_when_a_gone_worker_is_not_reaped(world: World) -> None:
    lease = claimed(world)
    with later(world, LEASE + 9 * SECOND):
        assert "stranded" not in "".join(keys(world))
    with later(world, 2 * SECOND):
        found = next(one for one in verdict(world).things if one.key.startswith("stranded:"))
    assert (found.number, found.amount) == ("lost", 1)
    assert "silent for 41s" in found.sentence
    [row] = world.run(workers.bury(silent=True))
    world.run(workers.lapse())
    assert world.state(lease.job_id) == "ready"
    assert "stranded" not in "".join(keys(world)) and row


def test_late_when_a_worker_misses_three_heartbeats(world: World) -> None:
    claimed(world)
    with later(world, 9 * SECOND):
        assert amounts(world) == (0, 0, 0, 0)
    with later(world, 2 * SECOND):
        [one] = verdict(world).things
    assert (one.number, one.amount, one.key.partition(":")[0]) == ("late", 1, "silent")


def test_doubled_when_a_job_is_in_doubt(world: World) -> None:
    awake(world)
    in_doubt(world)
    [one] = [thing for thing in verdict(world).things if thing.number == "doubled"]
    assert (one.key, one.amount) == ("doubt:send", 1)
    assert one.command == "dutiful doubt list --task send"


@pytest.mark.parametrize(("invariant", "number"), [("I1", "doubled"), ("I8", "lost"), ("I12", "lost")])
def test_a_broken_invariant_that_a_worker_found(world: World, invariant: str, number: str) -> None:
    awake(world)
    world.sql(
        "INSERT INTO dutiful.checked (app, name, invariant, at, found_at, count, jobs)"
        " VALUES (%s, 'verify_x', %s, 1, 1, 3, '[]')", APP, invariant,
    )  # fmt: skip
    [one] = verdict(world).things
    assert (one.number, one.amount, one.key) == (number, 3, "invariant:verify_x")
    world.sql("UPDATE dutiful.checked SET found_at = NULL, count = 0, jobs = NULL")
    assert verdict(world).things == ()


def test_late_when_a_queue_is_over_its_target(world: World) -> None:
    taker(world)
    target(world, "default", 120 * SECOND)
    world.enqueue("a")
    with later(world, 120 * SECOND):
        taker(world)
        assert amounts(world) == (0, 0, 0, 0)
    with later(world, 252 * SECOND):
        taker(world)
        [one] = verdict(world).things
    assert (one.key, one.sentence) == ("queue:default", "queue default: oldest due 6m 12s, target 2m")
    assert (one.size, verdict(world).number("late").amount) == (3, 1)


def test_late_when_a_paused_queue_holds_due_jobs(world: World) -> None:
    taker(world)
    world.enqueue("a")
    world.run(queues.pause(APP, "default", actor="ann", reason="the host is down"))
    with later(world, 5 * MINUTE):
        [one] = verdict(world).things
    assert one.sentence == "queue default is paused by ann: the host is down; its oldest due job waits 5m"
    assert amounts(world) == (0, 0, 1, 0)
    world.run(queues.resume(APP, "default", actor="ann"))
    taker(world)
    assert amounts(world) == (0, 0, 0, 0)


def test_late_when_a_job_is_past_its_deadline(world: World) -> None:
    job = world.enqueue("a")
    world.sql("UPDATE dutiful.job SET deadline = %s WHERE id = %s", world.clock() + 5 * SECOND, job)
    with later(world, 4 * SECOND):
        taker(world)
        assert amounts(world) == (0, 0, 0, 0)
    with later(world, 2 * SECOND):
        [one] = verdict(world).things
    assert one.sentence == "1 job of send in queue default is past its deadline and has not begun"


def test_late_when_nobody_makes_a_schedule_and_lost_when_its_occurrence_waits(world: World) -> None:
    one = declared(cron="0 * * * *", missed="people")
    begun(world, one)
    world.clock.at_us = at("2026-01-15T02:10")
    awake(world)
    [late] = verdict(world).things
    assert (late.key, late.number) == ("schedule:report", "late")
    assert late.sentence == "schedule report was due 1h 10m ago and nobody made it"
    fire(world, one)
    [lost] = verdict(world).things
    assert (lost.number, lost.sentence) == ("lost", "2 missed occurrences of schedule report have no job")


def test_late_when_the_first_at_a_gate_waits_too_long(world: World) -> None:
    taker(world)
    target(world, "default", 30 * SECOND)
    lock = (Gate("lock", "account:1", 1),)
    world.enqueue("a", gates=lock)
    world.enqueue("b", gates=lock)
    worker = taker(world)
    [held] = world.claim(worker)
    with later(world, 29 * SECOND):
        world.run(workers.beat([worker]))
        assert amounts(world) == (0, 0, 0, 0)
    with later(world, 2 * SECOND):
        [one] = verdict(world).things
    assert one.sentence == "lock account:1: send waits 31s, target of queue default 30s"
    world.end(held, "complete")
    assert keys(world) == ["queue:default"]  # it is through, and still not begun


def test_unseen_when_a_job_dies_and_seen_when_somebody_says_so(world: World) -> None:
    awake(world)
    taker(world)
    lease = claimed(world)
    world.end(lease, "bury")
    [one] = verdict(world).things
    assert (one.number, one.size, one.key.partition(":")[0]) == ("unseen", 1, "group")
    assert "ValueError" not in one.sentence or "no" not in one.sentence.split()
    acked(world, one.key, 1)
    assert verdict(world).things == ()
    with later(world, 3600 * SECOND):
        assert amounts(world)[3] == 1  # it lapsed


def acked(world: World, key: str, count: int, us: int = 3600 * SECOND) -> None:
    world.sql(
        "INSERT INTO dutiful.ack (app, thing, acked_by, acked_at, until, count_then, release_then)"
        " VALUES (%s, %s, 'ann', %s, %s, %s, '')", APP, key, world.clock(), world.clock() + us, count,
    )  # fmt: skip


def test_books_that_do_not_balance(world: World) -> None:
    awake(world)
    world.sql(
        "INSERT INTO dutiful.book (app, opened_at, counted_at, accepted, missing, surplus)"
        " VALUES (%s, 1, 1, 1000, 2, 1)", APP,
    )  # fmt: skip
    lost, doubled = verdict(world).things
    assert lost.sentence == "2 jobs of 1,000 accepted are nowhere to be found"
    assert doubled.sentence == "1 job is there that nobody accepted"
    assert amounts(world) == (2, 1, 0, 0)


def test_another_apps_trouble_is_not_ours(world: World) -> None:
    awake(world)
    world.sql("INSERT INTO dutiful.book (app, opened_at, missing) VALUES ('other', 1, 2)")
    world.sql(
        "INSERT INTO dutiful.checked (app, name, invariant, at, found_at, count, jobs)"
        " VALUES ('other', 'verify_x', 'I1', 1, 1, 3, '[]')"
    )
    assert verdict(world).state == "well"
