"""Limits under kills, pauses, starvation and cancelling, with real workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dutiful.operations import people, queues
from tests.processes.limits import MODULE, most_at_once, rampage
from tests.processes.support.limited import LIMIT
from tests.processes.support.workers import Place, both, until


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    url = request.getfixturevalue(request.param)
    found = Place(url, tmp_path, MODULE)
    found.app.engine.check_schema() if url.startswith("postgres") else found.app.migrate()
    try:
        yield found
    finally:
        found.close()
        print(found.output()[-4000:])


@pytest.mark.serial
@both
def test_no_more_run_than_the_limit_under_kill_9(place: Place) -> None:
    seen = rampage(place, jobs=120, kills=3, workers=4, every_s=1.0, seed=7)
    print(seen)
    assert (seen.done, seen.jobs) == (120, 120)
    assert max(seen.most_looked, seen.most_by_history) == LIMIT
    place.verified()


def test_spans_at_once_are_counted() -> None:
    assert most_at_once([(0, 2), (1, 3), (2, 4), (3, 5)]) == 2


@both
def test_a_pause_holds_all_workers_and_lapses_by_itself(place: Place) -> None:
    run = place.app.engine.run
    crew = [place.worker() for _ in range(2)]
    place.enqueue("high", (0,))
    until(lambda: place.said("high"), "a worker works")
    run(queues.pause("tests", "high", actor="ann", reason="work on it", span_us=4_000_000))
    ids = place.enqueue("high", *((n,) for n in range(1, 20)))
    place.enqueue("low", (0,))
    until(lambda: place.said("low"), "another queue goes on")
    assert place.states(ids) == {"ready": 19}
    until(lambda: place.states(ids) == {"performed": 19}, "the pause has lapsed")
    assert len(crew) == 2


@both
def test_strict_queues_do_not_let_the_last_one_starve(place: Place) -> None:
    """No claim finds the first queue empty; what waits in the second beyond its target comes all the same."""
    place.enqueue("high", *((n,) for n in range(4000)))
    place.enqueue("low", *((n,) for n in range(3)))
    place.worker("-q", "high,low", "--concurrency", "1")
    until(lambda: len(place.said("low")) == 3, "those of the second queue have run")
    said = [line[0] for line in place.lines()]
    assert said.count("high") < 4000
    assert said.index("low") > 0


STOPPED = ("looks", "works", "sleeps", "sleeps_once", "hangs_apart")


@pytest.mark.serial
@both
def test_what_becomes_of_a_run_that_is_asked_to_stop(place: Place) -> None:
    place.worker()
    ids = {name: place.enqueue(name, (1,))[0] for name in STOPPED if name != "works"}
    until(lambda: len(place.said("begin")) == len(ids), "all have begun")
    for id in ids.values():
        asked = place.app.engine.run(people.call_off("tests", id, actor="ann", reason="no need"))
        assert asked.state == "running" and asked.cancel_at_us is not None
    wanted = dict.fromkeys(ids, "cancelled") | {"sleeps_once": "in_doubt"}
    until(lambda: {name: place.job(id).state for name, id in ids.items()} == wanted, "all have stopped")
    assert "asked to stop" in (place.job(ids["sleeps"]).reason or "")
    place.verified()


@both
def test_exactly_once_work_that_is_asked_to_stop_is_taken_back(place: Place) -> None:
    place.worker()
    [id] = place.enqueue("works", (1,))
    until(lambda: place.said("begin"), "it has begun")
    if place.url.startswith("sqlite"):
        pytest.skip("its open transaction is the one writer of the file: nobody can ask meanwhile")
    place.app.engine.run(people.call_off("tests", id, actor="ann"))
    until(lambda: place.job(id).state == "cancelled", "it has stopped")
    [again] = place.enqueue("works", (1,))
    assert again != id  # its duty is free
    place.verified()


@both
def test_a_request_outlives_the_worker(place: Place) -> None:
    worker = place.worker()
    [id] = place.enqueue("looks", (1,))
    until(lambda: place.said("begin"), "it has begun")
    place.kill(worker)
    place.app.engine.run(people.call_off("tests", id, actor="ann"))
    place.worker()
    until(lambda: place.job(id).state == "cancelled", "nobody began it again")
    assert len(place.said("begin")) == 1
