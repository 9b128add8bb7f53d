"""What a claim must not be: forms that read well, with what each does wrong in two real sessions.

Each form goes through the same scene as ours, which does it right. The wrong ones are kept so that
nobody "simplifies" the claim into one of them.
"""

from __future__ import annotations

import json

import psycopg
import pytest

from dutiful.operations import lanes
from tests.contract.sessions import ISOLATIONS, Session, sessions
from tests.contract.stores import APP
from tests.contract.world import World

SET = (
    "UPDATE dutiful.job SET state = 'running', token = gen_random_uuid(), worker = 1, run_no = run_no + 1,"
    " attempt = attempt + 1"
)
NEXT = "SELECT id FROM dutiful.job WHERE state = 'ready' ORDER BY ready_seq LIMIT 1"

SUBSELECT = f"{SET} WHERE id = ({NEXT}) RETURNING id::text"
SUBSELECT_AND_STATE = f"{SET} WHERE id = ({NEXT}) AND state = 'ready' RETURNING id::text"
WAITING = f"WITH c AS ({NEXT} FOR UPDATE) {SET} FROM c WHERE job.id = c.id RETURNING job.id::text"
WAITING = WAITING.replace("run_no + 1", "job.run_no + 1").replace("attempt + 1", "job.attempt + 1")
JOINED = (
    f"{SET} FROM (SELECT id FROM dutiful.job WHERE state <> 'running' AND ready_seq > 0 ORDER BY ready_seq"
    " LIMIT 2 FOR UPDATE SKIP LOCKED) AS c WHERE job.id = c.id AND job.state = 'ready' RETURNING job.id::text"
).replace("run_no + 1", "job.run_no + 1")
JOINED = JOINED.replace("attempt + 1", "job.attempt + 1")
BY_COUNT = (
    f"{SET} WHERE id = ({NEXT} FOR UPDATE SKIP LOCKED)"
    " AND (SELECT count(*) FROM dutiful.job WHERE state = 'running') < 1 RETURNING id::text"
)


def claim(session: Session, limit: int = 1) -> list[str]:
    """Our own."""
    rows = session.call("claim_jobs", **ours(session.world, limit))
    return [row[2] for row in rows if row[2] is not None]


def ours(world: World, limit: int) -> dict[str, object]:
    asked = [{"lane": lane.id, "mark": 0} for lane in world.lanes()]
    known = '{"send": 1}'
    return {"worker": 1, "lanes": json.dumps(asked), "known": known, "n": limit, "promote": False}


def ids(rows: list[tuple[object, ...]]) -> list[object]:
    return [row[0] for row in rows]


@pytest.fixture
def world(pg_world: World) -> World:
    """Three jobs are ready, and worker 1 is there."""
    assert pg_world.worker() == 1
    for _ in range(3):
        pg_world.enqueue()
    return pg_world


def both(world: World, form: str) -> tuple[list[object], list[object], bool]:
    """One session claims and commits late; another claims meanwhile. Whether that one had to wait."""
    with sessions(world, 2) as [one, other]:
        one.begin()
        first = ids(one.execute(form))
        claiming = other.start_text(form)
        try:
            other.wait_until_blocked()
            waited = True
        except AssertionError:
            waited = False
        one.commit()
        return first, ids(claiming.result(20)), waited


def test_ours_gives_each_session_a_job_and_nobody_waits(world: World) -> None:
    with sessions(world, 2) as [one, other]:
        one.begin()
        [first] = claim(one)
        [second] = claim(other)  # beside the open transaction
        one.commit()
    assert first != second
    assert {row["run_no"] for row in world.table("job")} == {0, 1}
    assert world.verify() == []


def test_a_subselect_claims_one_job_twice(world: World) -> None:
    first, second, waited = both(world, SUBSELECT)
    assert first == second and waited
    assert world.row(str(first[0]))["run_no"] == 2  # two runs, and both think that it is theirs


def test_a_subselect_with_the_state_outside_finds_nothing_though_jobs_are_ready(world: World) -> None:
    first, second, waited = both(world, SUBSELECT_AND_STATE)
    assert len(first) == 1 and second == [] and waited
    assert len([row for row in world.table("job") if row["state"] == "ready"]) == 2


def test_without_skip_locked_one_claim_waits_for_the_other(world: World) -> None:
    first, second, waited = both(world, WAITING)
    assert len(first) == len(second) == 1 and first != second
    assert waited, "the claims of all workers would stand in one line"


def test_reading_first_and_writing_by_id_claims_one_job_twice(world: World) -> None:
    with sessions(world, 2) as [one, other]:
        [seen], [seen_too] = ids(one.execute(NEXT)), ids(other.execute(NEXT))
        for session in (one, other):
            assert session.execute(f"{SET} WHERE id = $1 RETURNING id", seen)
    assert seen == seen_too
    assert world.row(str(seen))["run_no"] == 2


def test_a_limit_in_a_joined_subselect_is_no_limit(world: World) -> None:
    """The planner may ask the sub-select anew for each row of the other side, and each time it locks more."""
    for _ in range(5):
        world.enqueue()
    with sessions(world, 1) as [session]:
        off = ("indexscan", "bitmapscan", "material", "hashjoin", "mergejoin")
        for setting, value in (*((name, "off") for name in off), ("seqscan", "on")):
            session.execute(f"SET enable_{setting} = {value}")
        taken = ids(session.execute(JOINED))
        assert len(taken) > 2, "the planner found another way: this test shows nothing any more"
        world.sql("UPDATE dutiful.job SET state = 'ready', token = NULL, worker = NULL")
        assert len(claim(session, 2)) == 2


def test_a_limit_by_counting_lets_two_run(world: World) -> None:
    """Each counts before the other has committed. A limit needs a row to lock."""
    with sessions(world, 2) as [one, other]:
        one.begin(), other.begin()
        taken = ids(one.execute(BY_COUNT)) + ids(other.execute(BY_COUNT))
        one.commit(), other.commit()
    assert len(set(taken)) == 2
    assert len([row for row in world.table("job") if row["state"] == "running"]) == 2


def test_a_limit_with_a_row_to_lock_lets_one_run(world: World) -> None:
    world.run(lanes.declare(APP, [], [("default", 1)]))
    locked = "SELECT 1 FROM dutiful.queue WHERE name = 'default' FOR UPDATE"
    with sessions(world, 2) as [one, other]:
        one.begin(), other.begin()
        one.execute(locked)
        first = ids(one.execute(BY_COUNT))
        waiting = other.start_text(locked)
        other.wait_until_blocked()
        one.commit()
        waiting.result(20)
        assert len(first) == 1 and other.execute(BY_COUNT) == []
        other.commit()


def check_a_claim_locks_only_what_it_takes(world: World) -> None:
    """A sort above the lanes would lock a whole batch of each lane, and take one job."""
    jobs = [world.enqueue(queue=f"q{number % 3}") for number in range(9)] + world_jobs(world)
    with sessions(world, 2) as [one, other]:
        one.begin()
        [first] = claim(one)
        rest = claim(other, 100)
        one.commit()
    assert sorted([first, *rest]) == sorted(set(jobs))


def world_jobs(world: World) -> list[str]:
    return [str(row["id"]) for row in world.table("job") if row["state"] == "ready"]


def test_a_claim_locks_only_what_it_takes(world: World) -> None:
    check_a_claim_locks_only_what_it_takes(world)


def test_a_sort_above_the_lanes_locks_jobs_that_it_does_not_take(world: World) -> None:
    text = (
        "SELECT j.id::text FROM unnest($1::int[]) AS w(lane) CROSS JOIN LATERAL (SELECT id, ready_seq"
        " FROM dutiful.job AS j WHERE j.lane = w.lane AND j.state = 'ready' ORDER BY ready_seq"
        " LIMIT 1 FOR UPDATE SKIP LOCKED) AS j ORDER BY j.ready_seq LIMIT 1"
    )
    for number in range(6):
        world.enqueue(queue=f"q{number % 3}")
    asked = [lane.id for lane in world.lanes()]
    with sessions(world, 2) as [one, other]:
        one.begin()
        assert len(one.execute(text, asked)) == 1
        left = claim(other, 100)
        one.commit()
    assert len(left) == 9 - len(asked)  # one of each lane is locked, and one of them taken


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_two_claims_in_one_moment_never_take_one_job(world: World, isolation: str) -> None:
    """Ours, while the other is in the middle of its statement or its transaction."""
    jobs = world_jobs(world)
    with sessions(world, 2, isolation) as [one, other]:
        one.begin(), other.begin()
        taken = claim(one, 2)
        try:
            taken += claim(other, 2)
        except psycopg.errors.SerializationFailure:
            assert isolation == "repeatable read"
        one.commit(), other.rollback() if len(taken) == 2 else other.commit()
    assert len(set(taken)) == len(taken) and set(taken) <= set(jobs)
