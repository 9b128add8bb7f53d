"""Hints are lost: polling finds every job all the same, whoever enqueued it and wherever it stands."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.processes.support.workers import MODULE, ROOT, Place, both, on_postgres, place, until

__all__ = ["place"]


def idle(place: Place, *options: str, **more: str) -> subprocess.Popen[bytes]:
    """A worker that has nothing to do, and has not had for longer than its poll interval."""
    worker = place.worker("--lease", "10s", *options, **more)
    [id] = place.enqueue("nap", (0, 0))
    until(lambda: place.job(id).state == "done", "the worker works")
    time.sleep(1.5)
    return worker


def quiet(place: Place) -> int:
    """How many sessions of the workers listen for hints."""
    with place.app.engine.connect() as connection:  # type: ignore[attr-defined]
        [row] = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND query LIKE 'LISTEN%'"
        ).fetchall()
    return int(row[0])


@on_postgres
def test_a_worker_that_hears_nothing_finds_all_jobs(place: Place) -> None:
    idle(place, DUTIFUL_TEST_NO_LISTEN="1")
    assert quiet(place) == 0, "the worker is deaf indeed"
    ids = []
    for _ in range(3):
        some = place.enqueue("nap", *((n, 0) for n in range(50)))
        some += place.enqueue("anap", *((n, 0) for n in range(50)))
        until(lambda: place.left() == 0, "found by polling")
        ids += some
    assert place.states(ids) == {"performed": len(ids)}
    place.verified()


@on_postgres
def test_a_worker_listens_else(place: Place) -> None:
    idle(place)
    assert quiet(place) == 1


@both
@pytest.mark.parametrize("deaf", [{}, {"DUTIFUL_TEST_NO_LISTEN": "1"}], ids=["hears", "deaf"])
def test_what_a_caller_commits_itself_is_found(place: Place, deaf: dict[str, str]) -> None:
    """No hint is sent from a caller's own transaction."""
    idle(place, **deaf)
    task = place.app.find_task(f"{MODULE}.nap")
    ids = []
    for n in range(3):
        with own_connection(place) as (connection, commit):
            handles = place.app.enqueue_many(task, [(n, 0), (n, 1)], connection=connection)
            assert place.left() == 0, "nothing is to be seen before the commit"
            commit()
        ids += [handle.id for handle in handles]
        until(lambda: place.left() == 0, "found by polling")
    assert place.states(ids) == {"performed": 6}


class own_connection:
    """A caller's own connection, in a transaction; and how to commit that."""

    def __init__(self, place: Place) -> None:
        if place.url.startswith("postgres"):
            import psycopg

            self.raw: object = psycopg.connect(place.app.engine.conninfo)  # type: ignore[attr-defined]
            self._commit: Callable[[], None] = self.raw.commit  # type: ignore[attr-defined]
        else:
            raw = sqlite3.connect(place.url.removeprefix("sqlite:///"), timeout=10, isolation_level=None)
            raw.execute("BEGIN IMMEDIATE")
            self.raw = raw
            self._commit = raw.commit

    def __enter__(self) -> tuple[object, Callable[[], None]]:
        return self.raw, self._commit

    def __exit__(self, *failure: object) -> None:
        self.raw.close()  # type: ignore[attr-defined]


@both
def test_a_brand_new_lane_is_found_by_an_idle_worker(place: Place) -> None:
    idle(place)
    task = place.app.find_task(f"{MODULE}.nap")
    elsewhere, task.app = task.app, place.app
    try:
        for priority in (7, -7, 100):
            handle = task.using(priority=priority).enqueue(0, 0)
            until(lambda handle=handle: place.job(handle.id).state == "done", "its lane was seen", 30)
    finally:
        task.app = elsewhere
    place.verified()


@both
def test_what_another_process_enqueues_is_found(place: Place) -> None:
    idle(place)
    script = f"import {MODULE} as jobs\nfor n in range(5): print(jobs.nap.enqueue(n, 0).id)"
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=place.environment(),
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        ids = done.stdout.split()
        assert len(ids) == 5
        until(lambda ids=ids: place.states(ids) == {"performed": 5}, "found")


@both
def test_a_worker_started_late_finds_what_waits(place: Place) -> None:
    ids = place.enqueue("nap", *((n, 0) for n in range(20)))
    place.worker(DUTIFUL_TEST_NO_LISTEN="1")
    until(lambda: place.states(ids) == {"performed": 20}, "found")
