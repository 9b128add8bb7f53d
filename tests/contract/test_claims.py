"""Claims: who goes first, from which mark, of which tasks and apps; what was passed by is found again."""

from __future__ import annotations

from dutiful.model.jobs import Lane, Lease, NewWorker
from dutiful.model.marks import Marks
from dutiful.operations import claims, enqueue, lanes, workers
from tests.contract.sessions import gated, sessions
from tests.contract.stores import APP, SECOND, new
from tests.contract.world import KNOWN, World


def ids(leases: list[Lease]) -> list[str]:
    return [lease.job_id for lease in leases]


# ── order and number ────────────────────────────────────────────────────────────────────────


def test_lanes_in_the_order_given_and_then_by_age(world: World) -> None:
    low = [world.enqueue(priority=-5) for _ in range(3)]
    high = [world.enqueue(priority=5) for _ in range(3)]
    other = [world.enqueue(queue="zzz") for _ in range(3)]
    worker = world.worker()
    by_name = {(row.queue, row.priority): Lane(row.id) for row in world.run(lanes.lanes(APP))}
    order = [by_name["zzz", 0], by_name["default", 5], by_name["default", -5]]

    first = world.run(claims.claim(worker, order, KNOWN, 4)).leases
    second = world.run(claims.claim(worker, order, KNOWN, 100)).leases

    assert ids(first) == [*other, high[0]]
    assert ids(second) == [*high[1:], *low]


def test_no_more_than_the_limit(world: World) -> None:
    jobs = [world.enqueue(queue=f"q{number % 7}") for number in range(40)]
    taken: list[str] = []
    worker = world.worker()
    for limit in (1, 5, 30, 100):
        leases = world.claim(worker, limit)
        assert len(leases) == min(limit, 40 - len(taken))
        taken += ids(leases)
    assert sorted(taken) == sorted(jobs)
    assert world.claim(worker, 100) == []


def test_a_lease_says_all_that_a_worker_needs(world: World) -> None:
    job = world.keyed(queue="mail", priority=3, args='{"é":[1,null]}')
    world.clock.advance(SECOND)
    [lease] = world.claim(worker := world.worker())
    row = world.row(job)
    assert (lease.job_id, lease.lane, lease.ready_seq) == (job, row["lane"], row["ready_seq"])
    assert (lease.token, row["worker"]) == (row["token"], worker)
    assert (lease.run_no, lease.attempt, lease.crashes, lease.epoch) == (1, 1, 0, 1)
    assert (lease.task, lease.key, lease.args_version) == ("send", row["key"], 1)
    assert bytes(lease.args) == '{"é":[1,null]}'.encode()
    assert (lease.run_at_us, lease.enqueued_at_us) == (world.clock() - SECOND,) * 2


def test_a_claim_is_told_how_far_the_numbers_are(world: World) -> None:
    worker = world.worker()
    world.enqueue()
    reply = world.run(claims.claim(worker, world.lanes(), KNOWN, 1))
    if world.engine.name == "postgres":
        assert reply.horizon == world.run(claims.sequence_value()) >= reply.leases[0].ready_seq
        assert world.run(claims.claim(worker, world.lanes(), KNOWN, 1)).horizon == reply.horizon
    else:
        assert reply.horizon == 0  # marks are always 0 here


# ── what a worker can run ───────────────────────────────────────────────────────────────────


def test_tasks_and_versions_that_a_worker_does_not_know_stay_ready(world: World) -> None:
    known = world.enqueue(args_version=2)
    newer, unknown = world.enqueue(args_version=3), world.enqueue(task="other")
    worker = world.worker()

    reply = world.run(claims.claim(worker, world.lanes(), {"send": 2}, 100))

    assert ids(reply.leases) == [known]
    assert [world.state(job) for job in (newer, unknown)] == ["ready", "ready"]
    assert ids(world.run(claims.claim(worker, world.lanes(), {"other": 1, "send": 3}, 100)).leases) == [
        newer,
        unknown,
    ]


def test_names_of_tasks_may_hold_more_than_letters(world: World) -> None:
    names = ["a.b.c", "späť", "a.<locals>.b", "x:now", "a@b/c-d"]
    jobs = [world.enqueue(task=name) for name in names]
    reply = world.run(claims.claim(world.worker(), world.lanes(), dict.fromkeys(names, 1), 100))
    assert ids(reply.leases) == jobs


def test_several_apps_share_a_database(world: World) -> None:
    mine = world.keyed()
    theirs = world.run(enqueue.one("other", new("k1"))).id
    assert theirs != mine
    [their_lane] = [Lane(row.id) for row in world.run(lanes.lanes("other"))]
    assert ids(world.claim(limit=100)) == [mine]
    row = NewWorker("other", "here", 1, 30 * SECOND, 1, "[]", "{}")
    other = world.run(workers.register(row))
    assert ids(world.run(claims.claim(other, [their_lane], KNOWN, 100)).leases) == [theirs]
    assert world.verify() == []


# ── promotion ───────────────────────────────────────────────────────────────────────────────


def test_what_comes_due_is_promoted_and_then_claimed(world: World) -> None:
    late, soon = world.enqueue(delay_us=20 * SECOND), world.enqueue(delay_us=10 * SECOND)
    world.enqueue(delay_us=60 * SECOND)
    worker = world.worker()
    assert world.claim(worker, 9, promote=True) == []
    world.clock.advance(30 * SECOND)
    assert world.claim(worker, 9) == []  # nobody promoted
    taken: list[str] = []
    promoted = 0
    for _ in range(2):  # on PostgreSQL the next claim sees what this one promoted
        reply = world.run(claims.claim(worker, world.lanes(), KNOWN, 9, promote=True))
        promoted += reply.promoted
        taken += ids(reply.leases)
    assert taken == [soon, late]  # by when they came due
    assert promoted in (0, 2)
    assert world.verify() == []


def test_a_promoted_job_stands_behind_those_that_were_ready(world: World) -> None:
    late = world.enqueue(delay_us=SECOND)
    ready = world.enqueue()
    world.clock.advance(SECOND)
    world.claim(world.worker(), 1, queue="nowhere", promote=True)
    assert ids(world.claim(limit=9)) == [ready, late]


def test_many_come_due_at_once(store_world: World) -> None:
    world = store_world
    jobs = [new(delay_us=1 + number) for number in range(2500)]
    world.run(enqueue.many(APP, jobs))
    world.clock.advance(SECOND)
    worker = world.worker()
    taken: list[str] = []
    for _ in range(40):
        taken += ids(world.claim(worker, 100, promote=True))
    assert sorted(taken) == sorted(job.id for job in jobs)
    assert world.verify() == []


# ── looks ───────────────────────────────────────────────────────────────────────────────────


def test_a_look_says_what_a_claim_would_find(world: World) -> None:
    def look(*lanes_: Lane, known: dict[str, int] = KNOWN) -> tuple[bool, bool]:
        found = world.run(claims.waiting(lanes_ or world.lanes(), known))
        return found.ready, found.due

    assert look() == (False, False)
    job, later = world.enqueue(), world.enqueue(delay_us=10 * SECOND)
    assert look() == (True, False)
    [lane] = world.lanes()
    assert look(known={"other": 1}) == look(known={"send": 0}) == look(Lane(lane.id + 1)) == (False, False)
    assert look(Lane(lane.id, world.row(job)["ready_seq"])) == (False, False)
    assert ids(world.claim(limit=9)) == [job]
    assert look() == (False, False)
    world.clock.advance(10 * SECOND)
    assert look() == (False, True)
    # Who has only looked promotes with a claim in no lane, which takes nothing.
    assert world.run(claims.claim(world.worker(), [], {}, 1, promote=True)).leases == []
    assert look() == (True, False)
    world.sql("UPDATE dutiful.job SET suspect = true")
    assert look() == (False, False)
    assert ids(world.claim(limit=9)) == []
    assert world.row(later)["state"] == "ready"


def test_a_look_at_suspects_says_what_a_claim_would_find(world: World) -> None:
    def look(lanes_: list[int] | None = None, known: dict[str, int] = KNOWN) -> bool:
        asked = [lane.id for lane in world.lanes()] if lanes_ is None else lanes_
        return world.run(claims.waiting_suspect(asked, known))

    world.enqueue()
    assert not look()
    world.sql("UPDATE dutiful.job SET suspect = true")
    assert look()
    assert not look([]) and not look(known={"other": 1}) and not look(known={"send": 0})
    assert world.claim_suspect(world.worker(alone=True)) is not None
    assert not look()


# ── marks ───────────────────────────────────────────────────────────────────────────────────


def test_a_claim_begins_after_its_mark(pg_world: World) -> None:
    jobs = [pg_world.enqueue() for _ in range(5)]
    [lane] = pg_world.lanes()
    third = pg_world.row(jobs[2])["ready_seq"]
    reply = pg_world.run(claims.claim(pg_world.worker(), [Lane(lane.id, third)], KNOWN, 9))
    assert ids(reply.leases) == jobs[3:]


def check_a_mark_never_jumps_over_a_job(world: World, marks: Marks) -> None:
    """Rule (c). In the middle of a claim its job is run and handed back, behind two that were enqueued."""
    first, worker = world.enqueue(), world.worker()
    [lane] = world.lanes()
    asked = marks.lanes([lane.id], 0.0)
    marks.claimed(asked, [], 9, world.run(claims.sequence_value()), 0.0, 0.0)
    with sessions(world, 1) as [claimer]:
        with gated(world, claimer, "job"):
            asked = marks.lanes([lane.id], 0.2)
            claiming = claimer.start(
                "claim_jobs",
                worker=worker,
                lanes=f'[{{"lane": {lane.id}, "mark": {asked[0].mark}}}]',
                known='{"send": 1}',
                n=9,
                promote=False,
            )
            claimer.wait_until_blocked()
            [lease] = world.claim()
            between = [world.enqueue(), world.enqueue()]
            assert world.end(lease, "release")
        rows = claiming.result(20)
    leases = [claims._lease(row) for row in rows if row[2] is not None]
    assert ids(leases) == [first]
    assert leases[0].ready_seq > max(world.row(job)["ready_seq"] for job in between)
    marks.claimed(asked, leases, 9, rows[0][0], 0.3, 0.1)
    reply = world.run(claims.claim(worker, marks.lanes([lane.id], 0.3), KNOWN, 9))
    assert ids(reply.leases) == between, "the mark jumped over jobs"


def test_a_mark_never_jumps_over_a_job(pg_world: World) -> None:
    check_a_mark_never_jumps_over_a_job(pg_world, Marks())


def test_an_enqueue_that_takes_seconds_does_not_wait_for_the_sweep(pg_world: World) -> None:
    """Rule (d): a lane that came back short is looked at again from the number of 5 s ago."""
    world, marks = pg_world, Marks()
    worker = world.worker()
    world.run(lanes.declare(APP, [("default", 0)]))
    [lane] = world.lanes()

    def claim(at_s: float) -> list[str]:
        asked = marks.lanes([lane.id], at_s)
        reply = world.run(claims.claim(worker, asked, KNOWN, 9))
        marks.claimed(asked, reply.leases, 9, reply.horizon, at_s, 0.001)
        return ids(reply.leases)

    with sessions(world, 1) as [slow]:
        assert claim(0.0) == []
        slow.begin()
        late = new()
        slow.call("enqueue_job", **enqueue._single(APP, late))
        early = world.enqueue()
        assert claim(1.0) == [early]
        assert claim(2.0) == []
        slow.commit()
        assert claim(4.5) == [late.id]


def test_what_was_passed_by_is_found_by_the_sweep(pg_world: World) -> None:
    """Rule (e): an enqueue whose transaction lasted longer than anybody looks back."""
    world = pg_world
    worker = world.worker()
    world.run(lanes.declare(APP, [("default", 0), ("other", 0)]))
    with sessions(world, 1) as [slow]:
        slow.begin()
        late, unknown = new(), new(task="unknown")
        for job in (late, unknown):
            slow.call("enqueue_job", **enqueue._single(APP, job))
        early = world.enqueue()
        [lane] = world.lanes("default")
        assert ids(world.claim(worker)) == [early]
        marked = Lane(lane.id, world.row(early)["ready_seq"])
        slow.commit()
    assert world.run(claims.claim(worker, [marked], KNOWN, 9)).leases == []

    assert world.run(claims.sweep([Lane(lane.id, 0)], KNOWN)) == 0  # not below these marks
    assert world.run(claims.sweep([marked], KNOWN)) == 1
    assert ids(world.run(claims.claim(worker, [marked], KNOWN, 9)).leases) == [late.id]
    assert world.run(claims.sweep([marked], KNOWN)) == 0  # running, and unknown here
    assert world.verify() == []


def test_a_sweep_on_sqlite_has_nothing_to_do(sqlite_url: str) -> None:
    from tests.contract.world import world_at

    with world_at(sqlite_url) as world:
        world.enqueue()
        [lane] = world.lanes()
        assert world.run(claims.sweep([Lane(lane.id, 99)], KNOWN)) == 0


def test_a_sequence_that_fell_back_resets_the_marks(pg_world: World) -> None:
    """Rule (f): after a restore or a failover."""
    world, marks = pg_world, Marks()
    worker = world.worker()
    for _ in range(30):
        world.enqueue()
    [lane] = world.lanes()
    for at in range(3):
        asked = marks.lanes([lane.id], float(at))
        reply = world.run(claims.claim(worker, asked, KNOWN, 10))
        marks.claimed(asked, reply.leases, 10, reply.horizon, float(at), 0.001)
    assert marks.values[lane.id] > 10

    world.sql("SELECT setval('dutiful.ready_seq', 5)")
    world.sql("DELETE FROM dutiful.job")
    job = world.enqueue()
    asked = marks.lanes([lane.id], 4.0)
    reply = world.run(claims.claim(worker, asked, KNOWN, 10))
    marks.claimed(asked, reply.leases, 10, reply.horizon, 4.0, 0.001)
    taken = ids(reply.leases)
    taken += ids(world.run(claims.claim(worker, marks.lanes([lane.id], 4.1), KNOWN, 10)).leases)
    assert taken == [job]


# ── after a lost answer ─────────────────────────────────────────────────────────────────────


def test_a_claim_whose_answer_was_lost_can_be_asked_for(world: World) -> None:
    jobs = [world.enqueue() for _ in range(3)]
    worker = world.worker()
    leases = world.claim(worker, 2)
    world.claim()
    held = world.run(claims.held_by(worker))
    assert sorted(held) == sorted((lease.job_id, lease.token, lease.run_no) for lease in leases)
    assert {row[0] for row in held} == set(jobs[:2])
