"""Who is charged when a worker dies: nobody in company, the job that was alone, and it alone."""

from __future__ import annotations

from dutiful.model.jobs import CRASHES_MAX, Lease
from dutiful.operations import people, workers
from tests.contract.stores import APP, SECOND
from tests.contract.world import LEASE, World

LOSSES_MAX = 10
"""So many times the death of a child that nobody saw is not charged to its job (SEMANTICS 2.4)."""


def suspect(world: World) -> str:
    """A job whose worker died in company."""
    job, worker = world.keyed(), world.worker()
    world.claim(worker)
    world.die(worker)
    assert world.row(job)["suspect"]
    return job


def alone(world: World, parent: int | None = None) -> tuple[int, Lease]:
    """The suspect, claimed by a child that holds nothing else."""
    child = world.worker(alone=True, parent=parent)
    lease = world.claim_suspect(child)
    assert lease is not None
    return child, lease


def check_company_is_charged_to_nobody(world: World) -> None:
    jobs = [world.keyed() for _ in range(5)]
    for lap in range(1, 6):
        worker = world.worker()
        assert len(world.claim(worker, 9)) == 5
        lapsed = world.die(worker)
        assert {job.job_id for job in lapsed} == set(jobs)
        assert all(job.begun and not job.last and job.run_no == lap for job in lapsed)
        rows = [world.row(job) for job in jobs]
        assert {(row["crashes"], row["losses"], row["attempt"], row["suspect"]) for row in rows} == {
            (0, 0, 0, 1)
        }
        world.sql("UPDATE dutiful.job SET suspect = false")
    assert world.verify() == []


def test_a_lapse_in_company_charges_nobody_and_makes_suspects(world: World) -> None:
    check_company_is_charged_to_nobody(world)


def test_suspects_are_claimed_one_at_a_time_and_only_by_who_asks_for_one(world: World) -> None:
    jobs = [world.keyed() for _ in range(3)]
    worker = world.worker()
    world.claim(worker, 9)
    world.die(worker)
    fresh = world.keyed()

    assert [lease.job_id for lease in world.claim(limit=9)] == [fresh]
    children = [world.worker(alone=True) for _ in range(4)]
    taken = [world.claim_suspect(child) for child in children]
    assert [lease and lease.job_id for lease in taken] == [*jobs, None]  # oldest first


def test_lapsed_jobs_keep_their_order(store_world: World) -> None:
    world = store_world
    jobs = [world.enqueue() for _ in range(9)]
    worker = world.worker()
    world.claim(worker, 9)
    world.die(worker)
    world.sql("UPDATE dutiful.job SET suspect = false")
    assert [lease.job_id for lease in world.claim(limit=9)] == jobs


def test_a_beat_tells_whether_suspects_wait(world: World) -> None:
    worker = world.worker()
    assert not world.run(workers.beat([worker])).suspects
    suspect(world)
    assert world.run(workers.beat([worker])).suspects
    alone(world)
    assert not world.run(workers.beat([worker])).suspects


def check_the_crash_budget(world: World) -> None:
    """Alone and reported by a living parent: charged at once; the last one makes it dead."""
    job = suspect(world)
    for crash in range(1, CRASHES_MAX + 1):
        child, lease = alone(world)
        [lapsed] = world.run(workers.report_dead(child))
        assert (lapsed.job_id, lapsed.run_no, lapsed.last) == (job, lease.run_no, crash == CRASHES_MAX)
        row = world.row(job)
        assert (row["crashes"], row["attempt"]) == (crash, 0)
    assert (row["place"], row["reason"]) == ("dead", "poison")
    assert row["last_token"].replace("-", "") == lease.token.replace("-", "")
    assert [failure["kind"] for failure in world.failures(job)] == ["WorkerLost"] * (1 + CRASHES_MAX)
    assert world.verify() == []


def test_a_crash_alone_is_charged_and_the_last_one_is_poison(world: World) -> None:
    check_the_crash_budget(world)


def test_a_poison_costs_one_death_in_company_and_then_its_budget(store_world: World) -> None:
    """20 neighbours of the poison: charged with nothing, and all complete."""
    world = store_world
    jobs = [world.keyed() for _ in range(21)]
    poison = jobs[7]
    deaths = 0
    worker = world.worker()
    while True:
        leases = world.claim(worker, 30)
        if any(lease.job_id == poison for lease in leases):
            deaths += 1
            world.die(worker)
            worker = world.worker()
            continue
        child = world.worker(alone=True)
        lease = world.claim_suspect(child)
        if lease is None:
            break
        if lease.job_id == poison:
            deaths += 1
            world.run(workers.report_dead(child))
        else:
            assert world.end(lease, "complete")
    assert deaths == 1 + CRASHES_MAX
    assert world.row(poison)["reason"] == "poison"
    others = [world.row(job) for job in jobs if job != poison]
    assert {(row["outcome"], row["crashes"], row["attempt"]) for row in others} == {("performed", 0, 1)}
    assert world.verify() == []


def test_a_loss_that_nobody_reports_is_not_charged_ten_times_and_then_it_is(store_world: World) -> None:
    """Parent and child are gone together: a deploy's kill -9, or the job's doing? Ten times: the former."""
    world = store_world
    job = suspect(world)
    for loss in range(1, LOSSES_MAX + 1):
        child, _ = alone(world)
        [lapsed] = world.die(child)
        row = world.row(job)
        assert (row["losses"], row["crashes"], lapsed.last) == (loss, 0, False)
    for crash in range(1, CRASHES_MAX + 1):
        child, _ = alone(world)
        [lapsed] = world.die(child)
        assert (world.row(job)["crashes"], lapsed.last) == (crash, crash == CRASHES_MAX)
    assert world.row(job)["reason"] == "poison"
    assert world.verify() == []


def test_three_kills_of_a_whole_worker_bury_nobody(store_world: World) -> None:
    world = store_world
    jobs = [world.keyed() for _ in range(6)]
    for _ in range(3):
        parent = world.worker()
        child = world.worker(alone=True, parent=parent)
        world.claim(parent, 3)
        world.claim_suspect(child)
        world.die(parent, child)
    rows = [world.row(job) for job in jobs]
    assert {(row["state"], row["crashes"], row["attempt"]) for row in rows} == {("ready", 0, 0)}
    assert world.verify() == []


def test_a_silent_parent_loses_its_children_with_it(store_world: World) -> None:
    """They are beaten for by it, so their leases end together, and no crash is charged."""
    world = store_world
    job = suspect(world)
    parent = world.worker()
    child, _ = alone(world, parent)
    world.clock.advance(LEASE + 1)
    assert {row[0] for row in world.run(workers.bury())} >= {parent, child}
    world.run(workers.lapse())
    assert (world.row(job)["losses"], world.row(job)["crashes"]) == (1, 0)


def test_a_suspect_whose_body_ended_is_no_suspect_any_more(world: World) -> None:
    for verb in ("fail", "snooze"):
        job = suspect(world)
        _, lease = alone(world)
        assert world.end(lease, verb, delay_us=0)
        assert not world.row(job)["suspect"]
        [lease] = world.claim()
        assert world.end(lease, "complete")


def test_a_suspect_that_is_handed_back_before_it_began_stays_one(store_world: World) -> None:
    world = store_world
    job = suspect(world)
    _, lease = alone(world)
    assert world.end(lease, "release")
    assert world.row(job)["suspect"]
    fresh = world.keyed()
    [lease] = world.claim()
    assert world.end(lease, "release")
    assert not world.row(fresh)["suspect"]


def test_a_prefetched_job_that_had_not_begun_is_no_suspect(world: World) -> None:
    """The worker's record says what had begun; where it cannot be read, all count as begun."""
    begun, waiting = world.keyed(), world.keyed()
    worker = world.worker()
    assert len(world.claim(worker, 9)) == 2
    lapsed = world.die(worker, recorded=[worker], begun=[begun])
    assert {job.job_id: job.begun for job in lapsed} == {begun: True, waiting: False}
    assert [bool(world.row(job)["suspect"]) for job in (begun, waiting)] == [True, False]
    assert [len(world.failures(job)) for job in (begun, waiting)] == [1, 0]
    assert {(world.row(job)["attempt"], world.row(job)["run_no"]) for job in (begun, waiting)} == {(0, 1)}


def test_one_workers_record_says_nothing_of_anothers_jobs(store_world: World) -> None:
    world = store_world
    jobs = [world.keyed(), world.keyed()]
    recorded, other = world.worker(), world.worker()
    world.claim(recorded), world.claim(other)
    world.die(recorded, other, recorded=[recorded], begun=[])
    assert [bool(world.row(job)["suspect"]) for job in jobs] == [False, True]


def test_a_worker_that_left_leaves_no_suspects(world: World) -> None:
    job, worker = world.keyed(), world.worker()
    world.claim(worker)
    assert world.run(workers.leave(worker))
    row = world.row(job)
    assert (row["state"], row["suspect"], row["attempt"], world.failures(job)) == ("ready", 0, 0, [])
    assert not world.run(workers.leave(worker)), "it had left"
    [lease] = world.claim()
    assert lease.attempt == 1


def test_a_child_that_left_is_no_loss_however_often(world: World) -> None:
    """A long job that runs alone, and is cut short by one deploy after the other."""
    job = suspect(world)
    for _ in range(LOSSES_MAX + CRASHES_MAX + 1):
        child, _ = alone(world)
        world.run(workers.leave(child))
    row = world.row(job)
    assert (row["state"], row["losses"], row["crashes"], row["attempt"]) == ("ready", 0, 0, 0)
    assert row["suspect"], "what is known of it is as before"


def test_leaving_takes_back_only_what_the_worker_held(store_world: World) -> None:
    world = store_world
    mine, others = world.keyed(), world.keyed()
    worker, other = world.worker(), world.worker()
    world.claim(worker), world.claim(other)
    world.run(workers.leave(worker))
    assert [world.state(job) for job in (mine, others)] == ["ready", "running"]


def test_a_poison_that_a_person_retries_is_still_run_alone(store_world: World) -> None:
    world = store_world
    job = suspect(world)
    for _ in range(CRASHES_MAX):
        child, _ = alone(world)
        world.run(workers.report_dead(child))
    world.run(people.retry(APP, job, actor="ann"))
    row = world.row(job)
    assert (row["state"], row["suspect"], row["crashes"]) == ("ready", 1, 0)
    assert world.claim(limit=9) == []
    _, lease = alone(world)
    assert world.end(lease, "complete")
    assert world.verify() == []


def test_a_suspect_that_is_not_due_waits(store_world: World) -> None:
    world = store_world
    suspect(world)
    _, lease = alone(world)
    assert world.end(lease, "snooze", delay_us=10 * SECOND, begun=False)
    world.sql("UPDATE dutiful.job SET suspect = true")
    assert world.claim_suspect(world.worker(alone=True)) is None
    world.clock.advance(10 * SECOND)
    world.claim(promote=True)  # whoever promotes makes suspects claimable, too
    assert world.claim_suspect(world.worker(alone=True)) is not None


def test_the_brake_may_spare_the_silent_but_not_the_dead(store_world: World) -> None:
    world = store_world
    silent, dead, fresh = world.worker(), world.worker(), 0
    world.clock.advance(LEASE + 1)
    fresh = world.worker()
    due = world.run(workers.due())
    assert (due.alive, due.silent, due.braked_us) == (3, 2, None)
    assert [row[0] for row in world.run(workers.bury([dead], silent=False))] == [dead]
    assert [row[0] for row in world.run(workers.bury())] == [silent]
    assert [row.id for row in world.run(workers.live())] == [fresh]


def test_a_brake_is_noted_once_until_it_is_let_go_or_old(store_world: World) -> None:
    world = store_world
    assert world.run(workers.due()).braked_us is None
    assert world.run(workers.brake(3 * LEASE))
    world.clock.advance(LEASE)
    assert not world.run(workers.brake(3 * LEASE)), "the wait of the first goes on"
    assert world.run(workers.due()).braked_us == LEASE
    world.clock.advance(2 * LEASE)
    assert world.run(workers.brake(3 * LEASE)), "that was another mass"
    assert world.run(workers.due()).braked_us == 0
    world.run(workers.let_go())
    assert world.run(workers.due()).braked_us is None


def test_a_beat_tells_the_same_of_the_others(pg_world: World) -> None:
    world = pg_world
    world.run(workers.report_dead(world.worker()))
    for _ in range(2):
        world.worker()
    world.clock.advance(LEASE + 1)
    own = world.worker()
    alone = world.worker(alone=True, parent=own)
    world.run(workers.brake(LEASE))
    world.clock.advance(SECOND)
    told = world.run(workers.beat([own, alone])).due
    assert told == world.run(workers.due())
    assert told is not None and (told.alive, told.silent, told.unreaped, told.braked_us) == (3, 2, 1, SECOND)
