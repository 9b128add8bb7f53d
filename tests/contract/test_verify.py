"""The checker: silent while all is well, also in the middle of things, and each broken invariant is named."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dutiful.model.jobs import Lease
from dutiful.operations import enqueue, people, verify
from dutiful.operations.verify import Finding
from tests.contract.stores import APP, new
from tests.contract.world import World, world_at

numbers = itertools.count(1)

OTHER = "018f0000-0000-7000-8000-000000000000"
TOKEN = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def store_world(store_url: str) -> Iterator[World]:
    """Of its own: constraints are dropped."""
    with world_at(store_url) as world:
        yield world


# ── one job of each kind ────────────────────────────────────────────────────────────────────


def ready(world: World) -> str:
    return world.keyed()


def claimed(world: World) -> Lease:
    """A job of its own queue, so that no other is claimed in its place."""
    queue = f"q{next(numbers)}"
    world.keyed(queue=queue)
    [lease] = world.claim(queue=queue)
    return lease


def running(world: World) -> str:
    return claimed(world).job_id


def ended(verb: str) -> Callable[[World], str]:
    def make(world: World) -> str:
        lease = claimed(world)
        assert world.end(lease, verb)
        return lease.job_id

    return make


tried, done, dead = ended("fail"), ended("complete"), ended("bury")


def cancelled(world: World) -> str:
    job = world.keyed()
    world.run(people.cancel(APP, job, actor="ann"))
    return job


def retried(way: Callable[[World], str]) -> Callable[[World], str]:
    def make(world: World) -> str:
        job = way(world)
        world.clock.advance(1)
        world.run(people.retry(APP, job, actor="ann"))
        return job

    return make


def copied(source: str, target: str) -> str:
    """An INSERT that copies a job's row into another of the three tables."""
    names = (
        "id, lane, run_at, enqueued_at, claimed_at, run_no, attempt, epoch, args_version, crashes,"
        " crashes_max, delivery, task, key, args, last_token"
    )
    more = {
        "job": ("state, ready_seq", "'ready', NULL"),
        "dead": ("died_at, reason", "1, 'error'"),
        "history": ("finished_at, state, outcome", "1, 'done', 'performed'"),
    }[target]
    return (
        f"INSERT INTO dutiful.{target} ({names}, {more[0]}) SELECT {names}, {more[1]}"
        f" FROM dutiful.{source} WHERE id = %s"
    )


# What a hand, or a bug, could do: (name, the job, statements about it, the invariant that names it).
BROKEN: list[tuple[str, Callable[[World], str], list[str], str]] = [
    ("done by no run", done, ["UPDATE dutiful.history SET run_no = 0, attempt = 0 WHERE id = %s"], "I4"),
    ("done with no token", done, ["UPDATE dutiful.history SET last_token = NULL WHERE id = %s"], "I4"),
    (
        "a duplicate of nothing",
        done,
        ["UPDATE dutiful.history SET outcome = 'duplicate' WHERE id = %s"],
        "I4",
    ),
    ("more tries than runs, dead", dead, ["UPDATE dutiful.dead SET attempt = 5 WHERE id = %s"], "I7"),
    ("more tries than runs, done", done, ["UPDATE dutiful.history SET attempt = 5 WHERE id = %s"], "I7"),
    ("runs counted back", retried(cancelled), ["UPDATE dutiful.history SET run_no = 7 WHERE id = %s"], "I7"),
    ("a duty without a row", ready, ["DELETE FROM dutiful.duty WHERE job_id = %s"], "I8"),
    ("a duty of another", ready, [f"UPDATE dutiful.duty SET job_id = '{OTHER}' WHERE job_id = %s"], "I8"),
    ("running with no token", running, ["UPDATE dutiful.job SET token = NULL WHERE id = %s"], "I9"),
    ("ready with a token", ready, [f"UPDATE dutiful.job SET token = '{TOKEN}' WHERE id = %s"], "I9"),
    ("running for nobody", running, ["UPDATE dutiful.job SET worker = NULL WHERE id = %s"], "I9"),
    ("running uncounted", running, ["UPDATE dutiful.job SET run_no = 0, attempt = 0 WHERE id = %s"], "I9"),
    ("tried, token lost", tried, ["UPDATE dutiful.job SET last_token = NULL WHERE id = %s"], "I9"),
    ("dead, token lost", dead, ["UPDATE dutiful.dead SET last_token = NULL WHERE id = %s"], "I9"),
    ("done, token lost", done, ["UPDATE dutiful.history SET last_token = NULL WHERE id = %s"], "I9"),
    ("back from the dead", retried(dead), ["DELETE FROM dutiful.audit WHERE subject = %s"], "I12"),
    ("back from an ending", retried(cancelled), ["DELETE FROM dutiful.audit WHERE subject = %s"], "I12"),
    ("live and dead", dead, [copied("dead", "job")], "place"),
    ("live and done", done, [copied("history", "job")], "place"),
    ("dead and done", done, [copied("history", "dead")], "place"),
    ("done twice", done, [copied("history", "history")], "place"),
    ("no lane, live", ready, ["UPDATE dutiful.job SET lane = 999 WHERE id = %s"], "lane"),
    ("no lane, dead", dead, ["UPDATE dutiful.dead SET lane = 999 WHERE id = %s"], "lane"),
    ("no lane, done", done, ["UPDATE dutiful.history SET lane = 999 WHERE id = %s"], "lane"),
    ("running, never ready", running, ["UPDATE dutiful.job SET ready_seq = NULL WHERE id = %s"], "ready"),
    ("a number not given", ready, ["UPDATE dutiful.job SET ready_seq = 1000000 WHERE id = %s"], "ready"),
    (
        "an unknowing gate",
        ready,
        ["UPDATE dutiful.job SET gate = 1, ready_seq = NULL WHERE id = %s"],
        "ready",
    ),
]


def unguarded(world: World) -> None:
    """Without the constraints of the schema, which would refuse most of it."""
    if world.engine.name == "postgres":
        for name in ("job_token", "job_worker", "job_numbers"):
            world.sql(f"ALTER TABLE dutiful.job DROP CONSTRAINT {name}")
    else:
        world.sql("PRAGMA ignore_check_constraints = ON")


def emptied(world: World) -> None:
    for table in ("job", "dead", "history", "duty", "failure", "audit"):
        world.sql(f"DELETE FROM dutiful.{table}")


def named(findings: list[Finding], invariant: str) -> set[object]:
    return {row["id"] for finding in findings if finding.invariant == invariant for row in finding.rows}


def test_each_broken_invariant_is_named(store_world: World) -> None:
    world = store_world
    unguarded(world)
    for name, make, statements, invariant in BROKEN:
        emptied(world)
        done(world), dead(world), ready(world), running(world), retried(cancelled)(world)
        job = make(world)
        assert world.verify() == [], name
        for statement in statements:
            world.sql(statement, job)
        for full in (False, True):
            findings = world.run(verify.check(APP, full=full))
            assert job in named(findings, invariant), f"{name}: {findings}"
            assert all(finding.count == 1 and finding.summary for finding in findings), name
        assert invariant == "lane" or world.run(verify.check("other", full=True)) == [], name


def test_a_token_that_was_given_twice_is_named(store_world: World) -> None:
    world = store_world
    unguarded(world)
    for one, other, table in ((done, done, "history"), (done, dead, "dead"), (done, running, "job")):
        emptied(world)
        first, second = one(world), other(world)
        column = "token" if table == "job" else "last_token"
        world.sql(
            f"UPDATE dutiful.{table} SET {column} = (SELECT last_token FROM dutiful.history WHERE id = %s)"
            " WHERE id = %s",
            first,
            second,
        )
        [finding] = world.verify()
        assert (finding.invariant, finding.count) == ("I7", 1)
        assert first in str(finding.rows) and second in str(finding.rows)

    emptied(world)
    job = retried(dead)(world)
    assert world.claim()
    assert world.verify() == []  # its last token is that of its life before
    world.sql("UPDATE dutiful.job SET token = last_token WHERE id = %s", job)
    assert named(world.verify(), "I7") == {job}


def test_two_jobs_with_one_number_are_named(store_world: World) -> None:
    world = store_world
    one, other = world.keyed(), world.keyed()
    elsewhere = world.keyed(queue="elsewhere")
    world.sql("UPDATE dutiful.job SET ready_seq = 1 WHERE id <> %s", OTHER)
    assert named(world.verify(), "ready") == {one, other}
    world.sql("DELETE FROM dutiful.job WHERE id = %s", one)
    assert world.verify() == []
    assert world.state(elsewhere) == "ready"


def test_twenty_rows_are_shown_and_all_are_counted(store_world: World) -> None:
    world = store_world
    for _ in range(25):
        ready(world)
    world.sql("DELETE FROM dutiful.duty")
    [finding] = world.run(verify.check(None))
    assert (finding.invariant, finding.count, len(finding.rows)) == ("I8", 25, verify.ROWS_MAX)
    assert finding.summary.startswith("25 jobs ")
    assert set(finding.rows[0]) == {"id", "place", "problem", "seen"}


def test_the_quick_look_is_at_the_newest_rows(store_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = store_world
    monkeypatch.setattr(verify, "WINDOW", 3)
    ready(world), done(world), dead(world)
    world.sql("DELETE FROM dutiful.duty")
    world.sql("UPDATE dutiful.history SET attempt = 5")
    world.sql("UPDATE dutiful.dead SET lane = 999")
    found = {finding.invariant for finding in world.run(verify.check(None))}
    assert found == {"I7", "I8", "lane"}
    for _ in range(3):
        done(world), dead(world)
    for _ in range(3):
        ready(world)
    assert world.run(verify.check(None)) == []
    found = {finding.invariant for finding in world.run(verify.check(None, full=True))}
    assert found == {"I7", "I8", "lane"}


def test_nothing_is_found_while_jobs_are_on_the_move(store_world: World) -> None:
    """Two threads do all that can be done, and the checker looks all the time."""
    world = store_world
    stop = threading.Event()
    failed: list[BaseException] = []

    def churn(seed: int) -> None:
        chance = random.Random(seed)
        try:
            worker = world.worker()
            while not stop.is_set():
                world.run(enqueue.many(APP, [new(f"{seed}-{chance.random()}") for _ in range(5)]))
                for lease in world.claim(worker, 4):
                    verb = chance.choice(["complete", "complete", "bury", "release", "fail"])
                    world.end(lease, verb)
                for job in [row[0] for row in world_ids(world, "dead")][:2]:
                    _try(lambda job=job: world.run(people.retry(APP, str(job), actor="ann")))
                for job in [row[0] for row in world_ids(world, "job")][:1]:
                    _try(lambda job=job: world.run(people.cancel(APP, str(job), actor="ann")))
        except BaseException as error:
            failed.append(error)

    world.engine.clock = world.clock = Ticking()
    threads = [threading.Thread(target=churn, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(60):
            findings = world.run(verify.check(None, full=number % 4 == 0))
            assert findings == []
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert len(world.table("history")) > 10


class Ticking:
    """A clock on which no two instants are the same."""

    def __init__(self) -> None:
        self.at_us = 1_800_000_000_000_000
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            self.at_us += 1
            return self.at_us

    def advance(self, by_us: int) -> None:
        self.at_us += by_us


def world_ids(world: World, table: str) -> list[tuple[Any, ...]]:
    from tests.contract.stores import look

    return look(world.engine, f"SELECT id FROM dutiful.{table} LIMIT 5")


def _try(act: Callable[[], Any]) -> None:
    from dutiful.model.errors import StateError

    try:
        act()
    except StateError:
        pass  # somebody else was faster
