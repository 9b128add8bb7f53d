"""at_most_once under kill -9, stops, shutdowns and time-outs: no body begins twice, none is lost unseen."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass

import pytest

from dutiful.model.errors import NotProven
from dutiful.operations import audit, doubts, inspect
from tests.processes.support.workers import Place, both, place, until
from tests.processes.test_zombies import _stop

__all__ = ["place"]

TASKS = ("letter", "aletter", "letter_apart")


@dataclass(frozen=True, slots=True)
class Count:
    """What came of it. Of the doubtful ones ``happened`` had in fact come to their end, and ``unbegun`` were
    killed between the start, which was stored, and the body's first line."""

    jobs: int
    kills: int
    done: int
    in_doubt: int
    happened: int
    unbegun: int
    doubled: int
    lost: int


def rampage(place: Place, *, jobs: int, kills: int, workers: int, every_s: float, seed: int) -> Count:
    """Letters of each kind on ``workers`` processes, one of which is killed every ``every_s``."""
    chance = random.Random(seed)
    ids: list[str] = []
    for at, name in enumerate(TASKS):
        share = jobs // len(TASKS) + (at < jobs % len(TASKS))
        ids += place.enqueue(name, *((n, chance.randrange(20, 120)) for n in range(share)))
    crew = [place.worker("--concurrency", "4") for _ in range(workers)]
    until(lambda: place.said("begin"), "a body has begun")
    killed = 0
    while killed < kills and place.left():
        time.sleep(every_s * chance.uniform(0.5, 1.5))
        at = chance.randrange(len(crew))
        place.kill(crew[at])
        killed += 1
        crew[at] = place.worker("--concurrency", "4")
    until(lambda: place.left() == 0, "everything is done, or in doubt", 180)
    found = {id: place.job(id) for id in ids}
    ended = {line[1] for line in place.said("end")}
    begun = {file.name.removeprefix("begun-") for file in place.flags.glob("begun-*")}
    lines = [line[1] for line in place.said("begin")]
    unsettled = {id for id, job in found.items() if job.state == "in_doubt"}
    return Count(
        jobs=len(ids),
        kills=killed,
        done=sum(job.outcome == "performed" for job in found.values()),
        in_doubt=len(unsettled),
        happened=len(unsettled & ended),
        unbegun=len(unsettled - begun),
        doubled=len(lines) - len(set(lines)) + len(place.said("doubled")),
        lost=sum(job.state not in ("done", "in_doubt") for job in found.values())
        + sum(job.outcome == "performed" and id not in begun & ended for id, job in found.items()),
    )


@pytest.mark.serial
@both
def test_no_body_begins_twice_under_kill_9(place: Place) -> None:
    count = rampage(place, jobs=200, kills=8, workers=3, every_s=0.5, seed=11)
    print(count)
    assert count.kills >= 3 and count.in_doubt > 0
    assert (count.doubled, count.lost) == (0, 0)
    assert count.done + count.in_doubt == count.jobs
    place.verified()


# ── alive after all ─────────────────────────────────────────────────────────────────────────


def in_doubt(place: Place, id: str) -> inspect.JobView:
    until(lambda: place.job(id).state == "in_doubt", "the job is in doubt")
    return place.job(id)


@both
@pytest.mark.parametrize("how", ["complete", "fail"])
def test_a_zombies_late_word_closes_the_doubt(place: Place, how: str) -> None:
    [id] = place.enqueue("held_letter", (how,))
    zombie = place.worker("--lease", "1s")
    until(lambda: place.said("begin", id), "the zombie has begun")
    _stop(place, zombie.pid)
    place.worker("--lease", "1s")
    job = in_doubt(place, id)
    assert (job.doubt, job.suspect, job.crashes) == ("the body was cut off: its worker fell silent", False, 0)
    with pytest.raises(NotProven, match="may only be stopped"):
        place.app.engine.run(doubts.refute("tests", id, actor="ann", quiet_us=0))
    place.set("go")
    os.kill(zombie.pid, signal.SIGCONT)
    until(lambda: place.job(id).state != "in_doubt", "its late word has closed the doubt")
    job = place.job(id)
    assert (job.state, job.outcome or job.reason) == (
        ("done", "performed") if how == "complete" else ("dead", "error")
    )
    assert len(place.said("begin", id)) == 1
    until(lambda: "worker_expelled" in place.output(), "the zombie knows that it was given up")
    place.verified()


@both
@pytest.mark.parametrize("how", ["complete", "fail"])
def test_a_thread_that_is_out_of_time_may_still_say_how_it_ended(place: Place, how: str) -> None:
    [id] = place.enqueue("hasty_letter", (how,))
    place.worker()
    job = in_doubt(place, id)
    assert job.doubt == "the body was cut off: it ran longer than its timeout of 200ms"
    place.set("go")
    until(lambda: place.job(id).state in ("done", "dead"), "the thread came back")
    assert place.job(id).state == ("done" if how == "complete" else "dead")
    assert len(place.said("begin", id)) == 1
    place.verified()


# ── cut off for good ────────────────────────────────────────────────────────────────────────


@both
def test_a_shutdown_leaves_what_it_cuts_off_in_doubt(place: Place) -> None:
    [thread] = place.enqueue("held_letter", ("complete",))
    [loop] = place.enqueue("aletter", (0, 60_000))
    [child] = place.enqueue("letter_apart", (0, 60_000))
    worker = place.worker("--drain-timeout", "1s", "--lease", "60s")
    until(lambda: len(place.said("begin")) == 3, "all three have begun")
    worker.send_signal(signal.SIGTERM)
    until(lambda: worker.poll() is not None, "the worker ended")
    assert worker.returncode == 0
    kinds = {}
    for id in (thread, loop, child):
        doubt, _ = place.app.engine.run(doubts.show("tests", id))
        assert doubt.doubt == "the body was cut off: its worker had to stop"
        assert doubt.last.dead_since_us is not None, "that the worker left proves it"
        kinds[id] = doubt.last.kind
    assert kinds == {thread: "CutOff", loop: "Cancelled", child: "Killed"}
    place.verified()
    job = place.app.engine.run(doubts.refute("tests", thread, actor="ann", quiet_us=0))
    assert (job.state, job.epoch) == ("ready", 2)
    place.verified()


@both
def test_a_child_that_dies_or_is_killed_leaves_a_doubt(place: Place) -> None:
    [dies] = place.enqueue("letter_exits_apart", (0,))
    [hangs] = place.enqueue("letter_hangs_apart", (0,))
    place.worker()
    for id, why in (
        (dies, "the body was cut off: its process died"),
        (hangs, "the body was cut off: it ran longer than its timeout of 300ms"),
    ):
        job = in_doubt(place, id)
        assert (job.doubt, job.crashes, job.suspect) == (why, 0, False)
        doubt, _ = place.app.engine.run(doubts.show("tests", id))
        assert doubt.last.dead_since_us is not None
    assert len(place.said("begin")) == 2
    place.verified()


@both
def test_a_lookup_closes_the_doubt_with_nobody_asked(place: Place) -> None:
    [id] = place.enqueue("looked_up", (7,))
    worker = place.worker()
    until(lambda: place.said("posted"), "the letter is posted")
    place.kill(worker)
    place.worker()
    until(lambda: place.job(id).state == "done", "its lookup was asked")
    job = place.job(id)
    assert (job.outcome, job.doubt) == ("performed", "the body was cut off: its worker died")
    assert b"posted" in (job.result or b"")
    [noted] = place.app.engine.run(audit.of(id))
    assert (noted["actor"], noted["verb"]) == ("lookup", "confirm")
    assert len(place.said("begin")) == 1
    place.verified()


@both
def test_what_had_not_begun_when_its_worker_died_is_run_by_another(place: Place) -> None:
    ids = place.enqueue("letter", *((n, 1) for n in range(20)))
    [held] = place.enqueue("held_letter", ("complete",))
    first = place.worker("--concurrency", "1")
    until(lambda: place.said("begin"), "one has begun")
    place.kill(first)
    place.set("go")
    place.worker()
    until(lambda: place.left() == 0, "everything is done, or in doubt")
    states = place.states([*ids, held])
    assert sum(states.values()) == 21 and states.get("in_doubt", 0) <= 1
    assert not place.said("doubled")
    place.verified()
