"""People's verbs, beyond what the table says: the duty, what a second person is told, what is kept."""

from __future__ import annotations

import pytest

from dutiful.model.errors import DutyTaken, KeyReused, WrongState
from dutiful.operations import enqueue, people
from tests.contract.sessions import gated, sessions
from tests.contract.stores import APP, new
from tests.contract.world import DAY, World


def dead(world: World, key: str | None = "k") -> str:
    job = world.enqueue(key)
    [lease] = world.claim()
    assert world.end(lease, "bury")
    return job


def retry(world: World, job: str, **more: str) -> None:
    world.run(people.retry(APP, job, actor="ann", reason="mended", **more))


def test_a_retried_job_holds_its_duty(world: World) -> None:
    job = dead(world)
    retry(world, job)
    again = world.run(enqueue.one(APP, new("k")))
    assert (again.id, again.duplicate) == (job, True)
    assert [row["turn"] for row in world.table("duty")] == [2]
    assert world.verify() == []


def test_a_retried_job_stays_in_its_epoch(store_world: World) -> None:
    """Found by the stateful tests: the duty went on to the next, for SQLite's RETURNING saw no NULL."""
    world = store_world
    job = dead(world)
    retry(world, job)
    assert world.row(job)["epoch"] == 1
    assert [row["epoch"] for row in world.table("duty")] == [1]


def test_a_retry_is_refused_while_another_job_holds_the_duty(world: World) -> None:
    job = dead(world)
    other = world.enqueue("k")  # takes the duty of the dead one over
    before = world.tables()
    with pytest.raises(DutyTaken) as refused:
        retry(world, job)
    assert (refused.value.job_id, refused.value.holder) == (job, other)
    assert world.tables() == before
    [lease] = world.claim()
    world.end(lease, "complete")
    with pytest.raises(DutyTaken):  # it is done, and remembered
        retry(world, job)


def test_a_duty_whose_later_epoch_was_cancelled_does_not_begin_anew(store_world: World) -> None:
    """Found by simulation: epoch 1 was done, 2 cancelled, and the next job was given epoch 1 again."""
    world = store_world
    world.enqueue("k")
    [lease] = world.claim()
    assert world.end(lease, "complete")
    world.clock.advance(1)
    second = world.enqueue("k", again="lost in the mail")
    world.run(people.cancel(APP, second, actor="ann"))
    third = world.enqueue("k")
    assert world.row(third)["epoch"] == 2
    with pytest.raises(DutyTaken):
        retry(world, second, args_hash='{"n":1}')
    world.run(people.cancel(APP, third, actor="ann"))
    assert world.row(world.enqueue("k", again="lost once more"))["epoch"] == 3
    assert world.verify() == []


@pytest.mark.parametrize("way", ["dead", "cancelled"])
def test_a_retried_duty_is_remembered_once_it_is_done(store_world: World, way: str) -> None:
    world = store_world
    if way == "dead":
        job = dead(world)
        retry(world, job)
    else:
        job = world.enqueue("k")
        world.run(people.cancel(APP, job, actor="ann"))
        retry(world, job, args_hash='{"n":1}')
    with pytest.raises(KeyReused):
        world.run(enqueue.one(APP, new("k", '{"n":2}')))
    world.clock.advance(1)
    [lease] = world.claim()
    assert world.end(lease, "complete")
    again = world.run(enqueue.one(APP, new("k")))
    assert (again.id, again.duplicate) == (job, True), "the work would be done twice"
    world.clock.advance(8 * DAY)
    assert not world.run(enqueue.one(APP, new("k"))).duplicate
    assert world.verify() == []


def test_a_cancelled_jobs_duty_is_free(world: World) -> None:
    job = world.enqueue("k")
    world.run(people.cancel(APP, job, actor="ann"))
    assert world.table("duty") == []
    assert not world.run(enqueue.one(APP, new("k", '{"n":2}'))).duplicate
    with pytest.raises(DutyTaken):
        retry(world, job)


def test_a_second_person_is_told_that_it_was_done_already(world: World) -> None:
    job = dead(world)
    retry(world, job)
    with pytest.raises(WrongState) as refused:
        retry(world, job)
    assert refused.value.state == "ready"
    assert world.audits(job) == ["retry"]


def test_what_was_typed_in_capitals_is_audited_as_it_is_stored(pg_world: World) -> None:
    job = dead(pg_world)
    retry(pg_world, job.upper())
    pg_world.run(people.cancel(APP, job.upper(), actor="ann"))
    assert sorted(pg_world.audits(job)) == ["cancel", "retry"]
    assert pg_world.verify() == []


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_two_people_at_once(pg_world: World, verb: str) -> None:
    """The one waits for the other, in the middle of its statement, and then is refused."""
    world = pg_world
    job = dead(world) if verb == "retry" else world.enqueue("k")
    statement = "revive_dead" if verb == "retry" else "cancel_ready"
    with sessions(world, 1) as [late]:
        with gated(world, late, "dead" if verb == "retry" else "job"):
            waiting = late.start(statement, id=job)
            late.wait_until_blocked()
            world.run(getattr(people, verb)(APP, job, actor="bob"))
        assert waiting.result(20) == []
    assert world.audits(job) == [verb]
    assert world.verify() == []


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_a_person_and_a_worker_at_once(pg_world: World, verb: str) -> None:
    """What is claimed in the middle of a cancel runs; who took the duty first wins over a retry."""
    world = pg_world
    if verb == "cancel":
        job = world.enqueue("k")
        with sessions(world, 1) as [person]:
            with gated(world, person, "job"):
                cancelling = person.start("cancel_ready", id=job)
                person.wait_until_blocked()
                [lease] = world.claim()
            assert cancelling.result(20) == []
        assert world.end(lease, "complete")
        return
    job = dead(world)
    with sessions(world, 1) as [person]:
        person.begin()
        assert person.call("revive_dead", id=job)
        other = world.enqueue("k")  # it still sees a dead job
        held = {"app": APP, "task": "send", "key": "k", "id": job}
        assert person.call("regain_duty", **held, remember=0, epoch=1, args_hash="") == []
        person.rollback()
    assert [row["job_id"] for row in world.table("duty")] == [other]
    assert world.verify() == []
