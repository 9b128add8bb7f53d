"""What is forgotten, and when: endings after their time, duties after theirs, the dead never."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dutiful.engines.contract import host_now
from dutiful.engines.postgres import LOCK_TIMEOUT_S
from dutiful.model.errors import StoreBusy
from dutiful.model.ids import make_id
from dutiful.operations import enqueue, people, retention, workers
from dutiful.worker.chores import Chores
from tests.contract.sessions import gated, sessions
from tests.contract.stores import APP, SECOND, Clock, new, pruned
from tests.contract.world import DAY, LEASE, World

KEEP = 7 * DAY


def finished(world: World, verb: str = "complete", **options: object) -> str:
    job = world.keyed(**options)
    [lease] = world.claim()
    assert world.end(lease, verb)
    return job


def prune(world: World, keep_us: int = KEEP) -> int:
    """All chores that forget; returns how many duties were forgotten."""
    pruned(world.run, keep_us)
    for what in retention.RUNS:
        after: int | None = -1
        while after is not None:
            after = world.run(retention.prune_runs(what, keep_us, after))
    cursor, duties = retention.START, 0
    while True:
        piece = world.run(retention.prune_duties(cursor))
        cursor, duties = piece.cursor, duties + piece.duties
        if cursor == retention.START:
            return duties


def test_endings_are_kept_for_their_time_and_then_forgotten(world: World) -> None:
    old = finished(world)
    cancelled = world.keyed()
    world.run(people.cancel(APP, cancelled, actor="ann"))
    world.clock.advance(4 * DAY)
    young = finished(world)
    prune(world)
    assert [world.state(job) for job in (old, cancelled, young)] == [
        "done(performed)",
        "cancelled",
        "done(performed)",
    ]
    world.clock.advance(4 * DAY)
    prune(world)
    assert [world.state(job) for job in (old, cancelled, young)] == [None, None, "done(performed)"]
    world.clock.advance(4 * DAY)
    prune(world)
    assert world.table("history") == []
    assert world.verify() == []


def old_failures(world: World, count: int, kept: str | None = None) -> None:
    """What so many runs died of, one after the other, long ago; of forgotten jobs, or one that is kept."""
    rows = (f"('{kept or make_id()}', {no}, 1, {no // 3}, 'E', 'no')" for no in range(9, count + 9))
    columns = "job_id, run_no, attempt, failed_at, kind, message"
    world.sql(f"INSERT INTO dutiful.failure ({columns}) VALUES {', '.join(rows)}")


def old_endings(world: World, count: int) -> None:
    """Copies of the one ending that is there, as old."""
    columns = [
        row[1]
        for row in world.sql("PRAGMA table_info(dutiful_history)")
        if row[1] not in ("id", "last_token")
    ]
    names = ", ".join(columns)
    numbers = f"SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}"
    world.sql(
        f"WITH RECURSIVE s(n) AS ({numbers}) INSERT INTO dutiful.history (id, last_token, {names})"
        f" SELECT lower(hex(randomblob(16))), lower(hex(randomblob(16))), {names} FROM dutiful.history, s"
    )


def test_of_endings_more_than_a_piece_is_said_to_be_left(store_world: World) -> None:
    world = store_world
    finished(world)
    if world.engine.name == "sqlite":
        old_endings(world, retention.HISTORY_PIECE)
    world.clock.advance(9 * DAY)
    left = [world.run(retention.prune(KEEP)) for _ in range(2)]
    assert left == [world.engine.name == "sqlite", False]
    assert world.table("history") == []


def test_what_is_known_of_runs_is_walked_piece_by_piece(store_world: World) -> None:
    """What belongs to the dead is passed by, and not looked at again and again."""
    world = store_world
    dead = finished(world, "bury")
    old_failures(world, 3 * retention.PIECE // 2, dead)
    old_failures(world, 2 * retention.PIECE)
    after: int | None = -1
    looked = []
    while after is not None:
        looked.append(after)
        after = world.run(retention.prune_runs("failures", KEEP, after))
    assert len(looked) == 4 and looked == sorted(looked)
    rows = world.table("failure")
    assert len(rows) == 3 * retention.PIECE // 2 + 1 and {row["job_id"] for row in rows} == {dead}


def test_a_worker_goes_on_until_nothing_is_left_and_rests_between(store_world: World) -> None:
    """However many end in ten minutes: a piece each time would fall behind."""
    world = store_world
    old_failures(world, 3 * retention.PIECE // 2)

    def chores() -> Any:
        worker = SimpleNamespace(app=SimpleNamespace(keep_us=KEEP), engine=world.engine)
        one = SimpleNamespace(_worker=worker, _pieces=None)
        one._forget = lambda: Chores._forget(cast(Any, one))
        return one

    mine, another = chores(), chores()
    pauses = []
    while True:
        began = time.monotonic()
        pause = Chores.prune(mine)
        if pause is None:
            break
        assert 0.1 <= pause <= max(0.1, 4 * (time.monotonic() - began))
        pauses.append(pause)
        assert Chores.prune(another) is None  # it is not its turn
    assert len(pauses) == 3  # after the endings, and after each of two pieces of failures
    assert world.table("failure") == []
    assert Chores.prune(mine) is None  # not its turn any more


def test_the_dead_and_the_living_are_never_pruned(world: World) -> None:
    dead, ready, running = finished(world, "bury"), world.keyed(delay_us=999 * DAY), world.keyed()
    world.claim()
    world.clock.advance(500 * DAY)
    prune(world)
    assert [world.state(job) for job in (dead, ready, running)] == ["dead", "ready", "running"]
    assert len(world.table("duty")) == 3
    assert [row["kind"] for row in world.failures(dead)] == ["ValueError"]


def test_what_runs_died_of_is_kept_as_long_as_the_job(world: World) -> None:
    job = world.keyed()
    for _ in range(3):
        [lease] = world.claim()
        assert world.end(lease, "fail", delay_us=0)
    world.clock.advance(20 * DAY)
    prune(world)
    assert len(world.failures(job)) == 3  # the job is open
    [lease] = world.claim()
    assert world.end(lease, "complete")
    world.clock.advance(5 * DAY)
    prune(world)
    assert len(world.failures(job)) == 3  # its ending is kept
    world.clock.advance(5 * DAY)
    prune(world), prune(world)
    assert world.failures(job) == []


def test_a_duty_is_forgotten_only_after_it_was_remembered(world: World) -> None:
    job = finished(world, remember_us=5 * DAY)
    [duty] = world.table("duty")
    world.clock.advance(5 * DAY - 1)
    assert prune(world) == 0
    again = world.run(enqueue.one(APP, new(duty["key"])))
    assert (again.id, again.duplicate) == (job, True)
    world.clock.advance(2)
    assert prune(world) == 1
    assert not world.run(enqueue.one(APP, new(duty["key"]))).duplicate


def check_a_duty_is_remembered_for_longer_than_its_job(world: World) -> None:
    job = finished(world, remember_us=30 * DAY)
    [duty] = world.table("duty")
    for _ in range(6):  # the history forgets the job in the meantime
        world.clock.advance(4 * DAY)
        prune(world)
        again = world.run(enqueue.one(APP, new(duty["key"])))
        assert (again.id, again.duplicate) == (job, True), "the duty was forgotten with its job"
    assert world.state(job) is None
    assert world.table("job") == []
    world.clock.advance(7 * DAY)
    assert prune(world) == 1
    assert not world.run(enqueue.one(APP, new(duty["key"]))).duplicate


def test_a_duty_is_remembered_for_longer_than_its_job(world: World) -> None:
    check_a_duty_is_remembered_for_longer_than_its_job(world)


def test_a_duty_that_took_long_is_remembered_from_its_end(store_world: World) -> None:
    world = store_world
    job = world.keyed(remember_us=5 * DAY)
    world.clock.advance(20 * DAY)
    [lease] = world.claim()
    assert prune(world) == 0
    assert world.end(lease, "complete")
    world.clock.advance(4 * DAY)
    assert prune(world) == 0
    assert [row["job_id"] for row in world.table("duty")] == [job]
    world.clock.advance(2 * DAY)
    assert prune(world) == 1


def test_duties_are_walked_a_piece_at_a_time(store_world: World) -> None:
    world = store_world
    jobs = [new(f"k{number}", task=f"t{number % 3}") for number in range(2 * retention.PIECE + 7)]
    world.run(enqueue.many(APP, jobs))
    world.sql("DELETE FROM dutiful.job")  # as if all had been done and pruned
    world.sql("UPDATE dutiful.duty SET done_at = taken_at")
    world.clock.advance(8 * DAY)
    steps = []
    cursor = retention.START
    while not steps or cursor != retention.START:
        piece = world.run(retention.prune_duties(cursor))
        cursor = piece.cursor
        steps.append(piece.duties)
    assert steps == [1000, 1000, 7, 0]
    assert world.table("duty") == []


def check_a_duty_that_is_taken_anew_stays(world: World) -> None:
    """In the middle of the walk, after it saw that the duty is remembered no longer."""
    finished(world)
    [duty] = world.table("duty")
    world.clock.advance(30 * DAY)
    with sessions(world, 1) as [walker]:
        with gated(world, walker, "duty"):
            walking = walker.start("prune_duties", app="", task="", key="", limit=100)
            walker.wait_until_blocked()
            job = world.run(enqueue.one(APP, new(duty["key"])))
            assert not job.duplicate
        assert walking.result(20)[0][3] == 0
    assert [row["job_id"] for row in world.table("duty")] == [job.id], "an open job lost its duty"
    assert world.verify() == []


def test_a_duty_that_is_taken_anew_meanwhile_stays(pg_world: World) -> None:
    check_a_duty_that_is_taken_anew_stays(pg_world)


def test_workers_rows_are_forgotten_a_day_after_they_were_reaped(world: World) -> None:
    gone, live = world.worker(), world.worker()
    world.run(workers.bury([gone], silent=False))
    world.clock.advance(LEASE + 1)
    world.run(workers.lapse())
    world.clock.advance(DAY - SECOND)
    prune(world)
    assert len(world.table("worker")) == 2
    world.clock.advance(2 * SECOND)
    prune(world)
    assert [row["id"] for row in world.table("worker")] == [live]
    assert world.worker() > live, "an id is never given again"


def test_a_workers_id_is_never_given_again(store_world: World) -> None:
    world = store_world
    last = world.worker()
    world.run(workers.bury([last], silent=False))
    world.clock.advance(LEASE + 1)
    world.run(workers.lapse())
    world.clock.advance(2 * DAY)
    prune(world)
    assert world.table("worker") == []
    assert world.worker() > last


# ── days, on PostgreSQL ─────────────────────────────────────────────────────────────────────


def days(world: World) -> list[str]:
    rows = world.sql(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'dutiful.history'::regclass AND c.relname <> 'history_rest' ORDER BY 1"
    )
    return [row[0].removeprefix("history_") for row in rows]


def day(at_us: int) -> str:
    return time.strftime("%Y%m%d", time.gmtime(at_us / SECOND))


@pytest.fixture
def today(pg_world: World) -> World:
    """Its clock stands at noon of the real day, for which there are partitions."""
    pg_world.clock = pg_world.engine.clock = Clock(host_now() // DAY * DAY + DAY // 2)
    return pg_world


def test_days_are_made_ahead(today: World) -> None:
    now = today.clock()
    assert days(today) == [day(now + n * DAY) for n in range(retention.DAYS_AHEAD)]
    today.run(retention.prepare())
    assert len(days(today)) == retention.DAYS_AHEAD  # nothing to do
    today.clock.advance(3 * DAY)
    today.run(retention.prepare())
    assert days(today) == [day(now + n * DAY) for n in range(retention.DAYS_AHEAD + 3)]


def test_endings_go_into_their_day_and_are_dropped_with_it(today: World) -> None:
    world, start = today, today.clock()
    jobs = []
    for _ in range(4):
        jobs.append(finished(world))
        world.run(retention.prepare())
        world.clock.advance(DAY)
    assert world.sql("SELECT count(*) FROM dutiful.history_rest") == [(0,)]
    assert [world.sql(f"SELECT count(*) FROM dutiful.history_{name}") for name in days(world)[:4]] == [
        [(1,)]
    ] * 4

    world.clock.at_us = start + 7 * DAY + DAY // 4  # 7 days after the first ending, within its day
    world.run(retention.prune(KEEP))
    assert days(world)[0] == day(start)  # a day is dropped as a whole, when all of it is older
    assert [world.state(job) for job in jobs] == ["done(performed)"] * 4
    world.clock.at_us = start + 9 * DAY
    assert world.run(retention.prune(KEEP))  # a day at a time
    assert days(world)[0] == day(start + DAY)
    prune(world)
    assert days(world)[0] == day(start + 2 * DAY)
    assert [world.state(job) for job in jobs] == [None, None, "done(performed)", "done(performed)"]


def test_an_ending_whose_day_is_not_there_goes_into_the_rest(today: World) -> None:
    world = today
    world.clock.advance(30 * DAY)
    job = finished(world)
    assert world.sql("SELECT count(*) FROM dutiful.history_rest") == [(1,)]
    world.run(retention.prepare())  # its own day cannot be made any more, the others can
    assert day(world.clock()) not in days(world) and day(world.clock() + DAY) in days(world)
    assert world.state(job) == "done(performed)"
    world.clock.advance(8 * DAY)
    prune(world)
    assert world.state(job) is None


def test_making_and_dropping_days_does_not_wait_for_endings_for_ever(today: World) -> None:
    """An ending that is under way holds its day: the chore gives up with an error, and comes again."""
    world = today
    world.keyed()
    [lease] = world.claim()
    with sessions(world, 1) as [slow]:
        slow.begin()
        assert slow.call("complete_jobs", rows=f'[{{"id": "{lease.job_id}", "token": "{lease.token}"}}]')
        world.clock.advance(20 * DAY)
        began = time.monotonic()
        with pytest.raises(StoreBusy):
            world.run(retention.prune(KEEP))
        assert time.monotonic() - began < 0.9 * LOCK_TIMEOUT_S  # all others wait behind it
        slow.commit()
    prune(world)
    assert world.table("history") == []
