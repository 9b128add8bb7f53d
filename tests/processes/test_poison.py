"""A job that kills its worker ends dead after few deaths, and nobody else pays."""

from __future__ import annotations

import pytest

from tests.processes.support.workers import MODULE, Place, both, place, until

__all__ = ["place"]


@both
@pytest.mark.parametrize("how", ["exits", "segfaults", "overflows"])
def test_poison_ends_dead_and_its_neighbours_pay_nothing(place: Place, how: str) -> None:
    neighbours = place.enqueue("nap", *((n, 3) for n in range(100)))
    [poison] = place.enqueue(how, (0,))
    neighbours += place.enqueue("nap", *((n, 3) for n in range(100)))
    deaths = 0
    worker = place.worker()

    def over() -> bool:
        nonlocal worker, deaths
        if worker.poll() is not None:
            deaths += 1
            worker = place.worker()
        return place.job(poison).state == "dead" and place.left() == 0

    until(over, "the poison is dead and its neighbours are done", 100)
    job = place.job(poison)
    assert (job.reason, job.crashes) == ("poison", 3)
    assert deaths <= 1
    assert len(place.said("begin", poison)) <= 4
    assert place.states(neighbours) == {"performed": 200}
    assert {place.job(id).crashes for id in neighbours} == {0}
    place.verified()


@both
def test_kills_from_outside_bury_nobody(place: Place) -> None:
    ids = place.enqueue("nap", *((n, 400) for n in range(12)))
    for round in (1, 2, 3):
        worker = place.worker("--concurrency", "4")
        until(lambda round=round: len(place.said("begin")) >= round, "a body has begun")
        place.kill(worker)
    place.worker("--concurrency", "4")
    until(lambda: place.left() == 0, "all are done", 100)
    assert place.states(ids) == {"performed": 12}
    assert {place.job(id).crashes for id in ids} == {0}


@both
def test_an_isolated_task_is_charged_at_once_while_its_worker_lives(place: Place) -> None:
    neighbours = place.enqueue("nap", *((n, 3) for n in range(50)))
    [poison] = place.enqueue("exits_apart", (0,))
    worker = place.worker()
    until(lambda: place.job(poison).state == "dead", "the poison is dead")
    assert place.job(poison).reason == "poison"
    assert len(place.said("begin", poison)) == 3
    until(lambda: place.left() == 0, "all are done")
    assert place.states(neighbours) == {"performed": 50}
    assert worker.poll() is None


@both
def test_a_time_out_kills_the_child_and_charges_an_attempt(place: Place) -> None:
    [id] = place.enqueue("hangs_apart", (0,))
    worker = place.worker()
    until(lambda: place.job(id).state == "dead", "it is out of time")
    job = place.job(id)
    assert (job.reason, job.attempt, job.crashes) == ("error", 1, 0)
    assert worker.poll() is None


@both
def test_what_had_not_begun_is_no_suspect(place: Place) -> None:
    quick = place.enqueue("nap", *((n, 1) for n in range(400)))  # sets the pace, so that more is claimed
    slow = place.enqueue("nap", *((n, 1500) for n in range(60)))
    worker = place.worker("--concurrency", "2")
    until(lambda: {line[1] for line in place.said("begin")} & set(slow), "a slow one has begun")
    place.kill(worker)
    begun = {line[1] for line in place.said("begin")} - {line[1] for line in place.said("end")}
    place.worker("--concurrency", "20")
    until(
        lambda: (
            not any(place.job(id).run_no and place.job(id).state == "running" for id in begun)
            or all(place.job(id).suspect or place.job(id).state == "done" for id in begun)
        ),
        "the begun lapsed",
    )
    suspects = {id for id in slow + quick if place.job(id).suspect}
    assert suspects <= begun
    until(lambda: place.left() == 0, "all are done", 100)


def test_the_module_is_named_as_the_workers_know_it() -> None:
    from tests.processes.support import jobs

    assert jobs.nap.name == f"{MODULE}.nap"
