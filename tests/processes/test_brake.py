"""Real workers fall silent at once: the others wait, once, and then take over what those held."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from dutiful.operations import workers
from tests.processes.support.workers import Place, on_postgres, place, until

__all__ = ["place"]

LEASE_S = 2.0
LEASE = ("--lease", f"{LEASE_S:g}s")


def crew(place: Place, number: int) -> list[subprocess.Popen[bytes]]:
    """So many workers, each with one body under way; at work for long enough to be heard."""
    found = []
    for n in range(number):
        place.enqueue("until_flag", ("complete",))
        found.append(place.worker("--concurrency", "1", *LEASE))
        until(lambda n=n: len(place.said("begin")) == n + 1, "each has a job")
    return found


def gone(place: Place) -> int:
    """How many workers were given up."""
    engine = place.app.engine
    with engine.connect() as connection:  # type: ignore[attr-defined]
        [row] = connection.execute(
            "SELECT count(*) FROM dutiful.worker WHERE NOT alone AND gone_how = 'lapsed'"
        ).fetchall()
    return int(row[0])


def stop(place: Place, some: list[subprocess.Popen[bytes]]) -> None:
    for worker in some:
        os.kill(worker.pid, signal.SIGSTOP)


def finish(place: Place, stopped: list[subprocess.Popen[bytes]], jobs: int) -> None:
    """Bodies end, the stopped wake; whoever owns a job ends it, once."""
    place.set("go")
    place.set("end")
    until(lambda: place.left() == 0, "all are done without the stopped ones")
    for worker in stopped:
        os.kill(worker.pid, signal.SIGCONT)
    until(lambda: len(place.said("late")) == jobs, "the stopped ones have woken")
    until(lambda: place.output().count("worker_expelled") == len(stopped), "and know that they were given up")
    ids = [line[1] for line in place.said("begin") if line[2] == "1"]
    assert len(ids) == jobs and place.states(ids) == {"performed": jobs}
    place.verified()


@pytest.mark.serial
@on_postgres
def test_two_of_three_silent_at_once_wait_for_one_more_lease(place: Place) -> None:
    all_three = crew(place, 3)
    # The third stands still, too, until both leases are over: it would reap them one by one where it looked
    # between the two, as it may on a busy machine.
    stop(place, all_three)
    time.sleep(LEASE_S * 1.5)
    os.kill(all_three[2].pid, signal.SIGCONT)
    until(lambda: "reap_braked alive=3 silent=2" in place.output(), "the third brakes")
    assert gone(place) == 0
    until(lambda: gone(place) == 2, "it goes on after one more lease")
    assert len(workers_alive(place)) == 1
    finish(place, all_three[:2], 3)


@pytest.mark.serial
@on_postgres
def test_one_of_four_is_reaped_without_the_brake(place: Place) -> None:
    all_four = crew(place, 4)
    stop(place, all_four[:1])
    until(lambda: gone(place) == 1, "it is given up")
    assert "reap_braked" not in place.output()
    finish(place, all_four[:1], 4)


def workers_alive(place: Place) -> list[int]:
    return [row.id for row in place.app.engine.run(workers.live()) if not row.alone]
