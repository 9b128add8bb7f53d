"""The reaper against those it thinks dead, in two real PostgreSQL sessions: no live worker's job is lapsed.

Each test lets somebody commit at the one moment that matters: while a row is locked, or in the middle of
the reaper's statement, after its snapshot and before its lock.
"""

from __future__ import annotations

import psycopg
import pytest

from dutiful.operations import workers
from dutiful.operations.workers import FRESH_US
from tests.contract.sessions import ISOLATIONS, Session, gated, sessions
from tests.contract.world import LEASE, World

BURY = {"dead": "[]", "silent": True}
LAPSE = {"recorded": "[]", "begun": "[]", "only": None}


def beat(session: Session, worker: int) -> None:
    answer = session.call("beat", ids=f"[{worker}]", marks=None, fresh=FRESH_US, looks="[]")
    assert answer, "the worker was marked gone"


def bury(session: Session) -> list[int]:
    """Marks silent workers gone. A serialization failure begins it again, as the engine does."""
    while True:
        try:
            return [row[0] for row in session.call("bury_workers", **BURY)]
        except psycopg.errors.SerializationFailure:
            continue


def check_a_beat_that_is_under_way_saves_its_worker(world: World, isolation: str) -> None:
    job, worker = world.keyed(), world.worker()
    world.claim(worker)
    world.clock.advance(LEASE + 1)
    with sessions(world, 2, isolation) as [heart, reaper]:
        heart.begin()
        beat(heart, worker)
        assert bury(reaper) == []  # the row is locked: skipped, not waited for
        heart.commit()
        assert bury(reaper) == []  # it beat
        assert reaper.call("lapse_jobs", **LAPSE) == []
    assert world.row(job)["worker"] == worker


def check_a_beat_in_the_middle_of_a_pass_saves_its_worker(world: World, isolation: str) -> None:
    job, worker = world.keyed(), world.worker()
    world.claim(worker)
    world.clock.advance(LEASE + 1)
    with sessions(world, 2, isolation) as [heart, reaper]:
        with gated(world, reaper, "worker"):
            passing = reaper.start("bury_workers", **BURY)
            reaper.wait_until_blocked()
            beat(heart, worker)
        try:
            assert passing.result(20) == [], "a worker that beat was marked gone"
        except psycopg.errors.SerializationFailure:
            assert isolation == "repeatable read"
            assert bury(reaper) == []
        assert reaper.call("lapse_jobs", **LAPSE) == []
    assert world.row(job)["worker"] == worker


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_beat_that_is_under_way_saves_its_worker(pg_world: World, isolation: str) -> None:
    check_a_beat_that_is_under_way_saves_its_worker(pg_world, isolation)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_beat_in_the_middle_of_a_pass_saves_its_worker(pg_world: World, isolation: str) -> None:
    check_a_beat_in_the_middle_of_a_pass_saves_its_worker(pg_world, isolation)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_beat_that_comes_too_late_learns_it(pg_world: World, isolation: str) -> None:
    world = pg_world
    world.keyed()
    worker = world.worker()
    world.claim(worker)
    world.clock.advance(LEASE + 1)
    with sessions(world, 2, isolation) as [heart, reaper]:
        reaper.begin()
        assert bury(reaper) == [worker]
        beating = heart.start("beat", ids=f"[{worker}]", marks=None, fresh=FRESH_US, looks="[]")
        heart.wait_until_blocked()
        reaper.commit()
        try:
            assert beating.result(20) == []
        except psycopg.errors.SerializationFailure:
            assert isolation == "repeatable read"
            assert heart.call("beat", ids=f"[{worker}]", marks=None, fresh=FRESH_US, looks="[]") == []


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_beat_whose_transaction_fails_saves_nobody(pg_world: World, isolation: str) -> None:
    world = pg_world
    worker = world.worker()
    world.clock.advance(LEASE + 1)
    with sessions(world, 2, isolation) as [heart, reaper]:
        heart.begin()
        beat(heart, worker)
        assert bury(reaper) == []
        heart.rollback()
        assert bury(reaper) == [worker]  # what was skipped follows in the next pass


def check_a_job_claimed_anew_is_not_taken_back(world: World, isolation: str) -> None:
    """Lapsed by one reaper and claimed by a live worker in the middle of another reaper's statement."""
    job, gone = world.keyed(), world.worker()
    world.claim(gone)
    world.run(workers.bury([gone], silent=False))
    with sessions(world, 1, isolation) as [reaper]:
        with gated(world, reaper, "job"):
            passing = reaper.start("lapse_jobs", **LAPSE)
            reaper.wait_until_blocked()
            world.die()
            world.sql("UPDATE dutiful.job SET suspect = false")
            live = world.worker()
            [lease] = world.claim(live)
        try:
            assert passing.result(20) == [], "a live worker's job was lapsed"
        except psycopg.errors.SerializationFailure:
            assert isolation == "repeatable read"
    assert world.row(job)["token"] == lease.token, "a live worker's job was lapsed"
    assert world.end(lease, "complete")


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_job_that_a_live_worker_claimed_meanwhile_is_not_lapsed(pg_world: World, isolation: str) -> None:
    check_a_job_claimed_anew_is_not_taken_back(pg_world, isolation)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_run_that_ends_meanwhile_has_ended(pg_world: World, isolation: str) -> None:
    """The zombie wakes and completes, in the middle of the reaper's statement: its lease was not taken."""
    world = pg_world
    job, zombie = world.keyed(), world.worker()
    [lease] = world.claim(zombie)
    world.run(workers.bury([zombie], silent=False))
    with sessions(world, 1, isolation) as [reaper]:
        with gated(world, reaper, "job"):
            passing = reaper.start("lapse_jobs", **LAPSE)
            reaper.wait_until_blocked()
            assert world.end(lease, "complete")
        try:
            assert passing.result(20) == []
        except psycopg.errors.SerializationFailure:
            assert isolation == "repeatable read"
    assert world.state(job) == "done(performed)"
    assert world.verify() == []


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_run_that_is_ending_is_skipped_and_follows_if_it_did_not(pg_world: World, isolation: str) -> None:
    world = pg_world
    ending, other, gone = world.keyed(), world.keyed(), world.worker()
    leases = {lease.job_id: lease for lease in world.claim(gone, 2)}
    world.run(workers.bury([gone], silent=False))
    with sessions(world, 2, isolation) as [zombie, reaper]:
        zombie.begin()
        rows = f'[{{"id": "{ending}", "token": "{leases[ending].token}"}}]'
        assert zombie.call("complete_jobs", rows=rows)
        assert [row[0] for row in reaper.call("lapse_jobs", **LAPSE)] == [other]
        zombie.rollback()
        assert [row[0] for row in reaper.call("lapse_jobs", **LAPSE)] == [ending]
        assert reaper.call("lapse_jobs", **LAPSE) == []
    assert world.verify() == []


def test_two_reapers_at_once_lapse_each_job_once(pg_world: World) -> None:
    world = pg_world
    jobs = [world.enqueue() for _ in range(20)]
    gone = world.worker()
    world.claim(gone, 20)
    world.run(workers.bury([gone], silent=False))
    with sessions(world, 2) as [one, other]:
        with gated(world, other, "job"):
            second = other.start("lapse_jobs", **LAPSE)
            other.wait_until_blocked()
            first = one.call("lapse_jobs", **LAPSE)
        assert sorted(row[0] for row in first) == sorted(jobs)
        assert second.result(20) == []
    assert {row["run_no"] for row in world.table("job")} == {1}
    assert len(world.table("failure")) == 20


def check_a_gone_worker_claims_nothing(world: World) -> None:
    world.keyed()
    gone, left, child = world.worker(), world.worker(), world.worker(alone=True)
    world.run(workers.bury([gone], silent=False))
    world.run(workers.leave(left))
    world.run(workers.report_dead(child))
    world.sql("UPDATE dutiful.job SET suspect = true")
    assert world.claim_suspect(child) is None
    world.sql("UPDATE dutiful.job SET suspect = false")
    assert [world.claim(worker) for worker in (gone, left, child, 4711)] == [[], [], [], []]
    assert len(world.claim()) == 1


def test_a_gone_worker_claims_nothing(store_world: World) -> None:
    check_a_gone_worker_claims_nothing(store_world)


def test_a_gone_worker_is_looked_at_until_a_lease_has_passed(store_world: World) -> None:
    """A claim that was under way when its worker was marked gone may commit afterwards."""
    world = store_world
    job, worker = world.keyed(), world.worker()
    world.run(workers.bury([worker], silent=False))
    assert world.run(workers.lapse()) == []
    assert [row[0] for row in world.run(workers.unreaped())] == [worker]

    token = "'0123456789abcdef0123456789abcdef'"
    world.sql(
        f"UPDATE dutiful.job SET state = 'running', token = {token}, worker = %s, run_no = 1, attempt = 1,"
        " claimed_at = run_at",
        worker,
    )  # the late claim
    world.clock.advance(LEASE + 1)
    assert [lapsed.job_id for lapsed in world.run(workers.lapse())] == [job]
    assert world.run(workers.unreaped()) == []
    assert world.verify() == []


def test_a_job_whose_worker_has_no_row_lapses(store_world: World) -> None:
    world = store_world
    job, worker = world.keyed(), world.worker()
    world.claim(worker)
    world.sql("DELETE FROM dutiful.worker WHERE id = %s", worker)
    assert [lapsed.job_id for lapsed in world.run(workers.lapse())] == [job]
    assert world.row(job)["suspect"]
