"""A child is ready before anything is claimed for it, and is started only for what waits."""

from __future__ import annotations

import signal

import pytest

from tests.processes.support.workers import Place, both, place, until

__all__ = ["place"]

ROUNDS = 2


def a_suspect(place: Place) -> str:
    """A job in whose body a worker was killed."""
    [id] = place.enqueue("nap", (0, 3000))
    worker = place.worker()
    until(lambda: place.said("begin", id), "its body has begun")
    place.kill(worker)
    return id


def an_isolated_one(place: Place) -> str:
    [id] = place.enqueue("nap_apart", (0, 1))
    return id


what_wants_a_child = pytest.mark.parametrize("make", [a_suspect, an_isolated_one])


@both
@what_wants_a_child
def test_a_parent_killed_while_a_child_starts_loses_nothing(place: Place, make) -> None:  # type: ignore[no-untyped-def]
    id = make(place)
    before = place.job(id).run_no
    place.set("child-hangs")
    for round in range(ROUNDS):
        worker = place.worker()
        until(lambda round=round: len(place.said("child")) > round, "a child is starting")
        place.kill(worker)
    place.unset("child-hangs")
    job = place.job(id)
    assert (job.state, job.run_no, job.losses) == ("ready", before, 0), "it was claimed too early"
    place.worker()
    until(lambda: place.job(id).state == "done", "it is done")
    assert place.job(id).run_no == before + 1
    place.verified()


@both
@what_wants_a_child
def test_nothing_is_claimed_for_a_child_that_cannot_start(place: Place, make) -> None:  # type: ignore[no-untyped-def]
    id = make(place)
    before = place.job(id).run_no
    place.set("child-fails")
    worker = place.worker()
    until(lambda: place.output().count("child_start_failed") >= 2, "it was tried again")
    job = place.job(id)
    assert (job.state, job.run_no, job.losses) == ("ready", before, 0)
    place.unset("child-fails")
    until(lambda: place.job(id).state == "done", "it is done")
    assert worker.poll() is None
    place.verified()


@both
def test_a_worker_that_drains_does_not_wait_for_a_child_that_starts(place: Place) -> None:
    id = an_isolated_one(place)
    place.set("child-hangs")
    worker = place.worker()
    until(lambda: place.said("child"), "a child is starting")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert "child_start_failed" not in place.output()
    assert (place.job(id).state, place.job(id).run_no) == ("ready", 0)


@both
def test_no_child_is_started_for_nothing(place: Place) -> None:
    """Plain jobs, some that come due later, and an isolated one for another day."""
    place.enqueue("nap", *((n, 5) for n in range(100)))
    place.enqueue_later("2s", "nap", 0, 1)
    place.enqueue_later("1d", "nap_apart", 0, 1)
    worker = place.worker()
    until(lambda: place.left() == 1, "all are done but the one of tomorrow")
    assert place.said("child") == []
    assert worker.poll() is None


@both
def test_an_isolated_job_that_comes_due_is_seen_while_all_threads_are_busy(place: Place) -> None:
    place.enqueue("nap", (0, 30_000))
    worker = place.worker("--concurrency", "1")
    until(lambda: place.said("begin"), "the only thread is busy")
    later = place.enqueue_later("1s", "nap_apart", 0, 1)
    until(lambda: place.job(later).state == "done", "the isolated one is done")
    assert worker.poll() is None


@both
def test_a_suspect_that_is_async_runs_to_its_end(place: Place) -> None:
    """(It was once taken for done without a line of it being run.)"""
    [id] = place.enqueue("anap", (0, 1500))
    worker = place.worker()
    until(lambda: place.said("begin", id), "its body has begun")
    place.kill(worker)
    place.worker()
    until(lambda: place.job(id).state == "done", "it is done")
    assert [line[2] for line in place.said("end", id)] == ["2"]
    place.verified()
