"""Deliveries through real workers: in threads, in groups, and in child processes, one job after the other."""

from __future__ import annotations

from tests.chaos.stage import Stage
from tests.processes.support.workers import Place, both, place, until

__all__ = ["place"]


def rows(place: Place, text: str) -> list[tuple[int, ...]]:
    stage = Stage.__new__(Stage)
    stage.url = place.url
    return [tuple(row) for row in stage.sql(text)]


def table(place: Place) -> None:
    place.app.migrate()
    rows(place, "CREATE TABLE works (n bigint)")


@both
def test_a_child_takes_one_exactly_once_job_after_the_other(place: Place) -> None:
    """The run commits by itself: its place must be free again all the same."""
    table(place)
    ids = place.enqueue("works_apart", *((n,) for n in range(12)))
    place.worker("--concurrency", "2")
    until(lambda: place.left() == 0, "all are done", 120)
    assert sorted(rows(place, "SELECT n FROM works")) == [(n,) for n in range(12)]
    assert place.states(ids) == {"performed": 12}


@both
def test_a_child_takes_one_at_most_once_job_after_the_other(place: Place) -> None:
    place.app.migrate()
    ids = place.enqueue("begins_apart", *((n,) for n in range(12)))
    place.worker("--concurrency", "2")
    until(lambda: place.left() == 0, "all are done", 120)
    assert len(place.said("begin")) == 12
    assert place.states(ids) == {"performed": 12}


@both
def test_groups_form_in_a_worker(place: Place) -> None:
    table(place)
    ids = place.enqueue("works_together", *((n,) for n in range(40)))
    place.worker("--concurrency", "2")
    until(lambda: place.left() == 0, "all are done", 120)
    assert sorted(rows(place, "SELECT n FROM works")) == [(n,) for n in range(40) if n != 5]
    assert place.states(ids) == {"performed": 39, "gave_up": 1}
