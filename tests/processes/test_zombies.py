"""A worker that is stopped beyond its lease and wakes changes nothing that another run owns."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.processes.support.workers import Place, both, place, until

__all__ = ["place"]


@both
@pytest.mark.parametrize("how", ["complete", "fail", "bury", "snooze"])
def test_a_zombies_late_ending_is_refused(place: Place, how: str) -> None:
    [id] = place.enqueue("until_flag", (how,))
    zombie = place.worker("--lease", "1s")
    until(lambda: place.said("begin", id), "the zombie has begun")
    _stop(place, zombie.pid)
    # A second worker takes the job over (as a suspect: in a child of its own) and is in its body.
    heir = place.worker("--lease", "1s")
    until(lambda: len(place.said("begin", id)) == 2, "another run owns the job")
    owner = place.job(id)
    assert (owner.state, owner.run_no) == ("running", 2)

    place.set("go")
    os.kill(zombie.pid, signal.SIGCONT)
    until(lambda: place.said("late", id), "the zombie's body ended")
    until(lambda: "run_over" in place.output(), "the zombie's ending was refused")
    now = place.job(id)
    assert (now.state, now.run_no, now.worker) == ("running", 2, owner.worker)

    place.set("end")
    until(lambda: place.job(id).state == "done", "the owner has completed it")
    assert place.job(id).run_no == 2
    until(lambda: "worker_expelled" in place.output(), "the zombie knows that it was given up")
    place.kill(heir)
    [other] = place.enqueue("nap", (0, 1))
    until(lambda: place.job(other).state == "done", "the zombie works on, under a new id")
    place.verified()


@both
def test_a_late_release_is_refused(place: Place) -> None:
    """A stopped worker that is told to end: what it hands back on its way out is not its own any more."""
    [id] = place.enqueue("until_flag", ("complete",))
    zombie = place.worker("--lease", "1s", "--drain-timeout", "500ms")
    until(lambda: place.said("begin", id), "the zombie has begun")
    _stop(place, zombie.pid)
    place.worker("--lease", "1s")
    until(lambda: len(place.said("begin", id)) == 2, "another run owns the job")
    os.kill(zombie.pid, signal.SIGTERM)
    os.kill(zombie.pid, signal.SIGCONT)
    until(lambda: zombie.poll() is not None, "the zombie ended")
    assert (place.job(id).state, place.job(id).run_no) == ("running", 2)
    place.set("end")
    until(lambda: place.job(id).state == "done", "the owner has completed it")
    place.verified()


def _stop(place: Place, pid: int) -> None:
    """Stop the process at a moment in which it holds no lock of the store."""
    for _ in range(50):
        os.kill(pid, signal.SIGSTOP)
        try:
            if place.url.startswith("postgres") or _writable(place):
                return
        finally:
            pass
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)
    raise AssertionError("the worker held the store's lock each time")


def _writable(place: Place) -> bool:
    import sqlite3

    probe = sqlite3.connect(place.url.removeprefix("sqlite:///"), timeout=0.2, isolation_level=None)
    try:
        probe.execute("BEGIN IMMEDIATE")
        probe.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        probe.close()
    return True
