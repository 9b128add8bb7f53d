"""The checker: silent while all is well, also in the middle of things, and each broken invariant is named."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator

import pytest

from dutiful.operations import enqueue, verify
from dutiful.operations.verify import Finding
from tests.contract import deliveries
from tests.contract.broken import BROKEN, OTHER, cancelled, dead, done, ready, retried, running
from tests.contract.stores import APP
from tests.contract.world import World, world_at


@pytest.fixture
def store_world(store_url: str) -> Iterator[World]:
    """Of its own: constraints are dropped."""
    with world_at(store_url) as world:
        yield world


def unguarded(world: World) -> None:
    """Without the constraints of the schema, which would refuse most of it."""
    if world.engine.name == "postgres":
        for name in ("job_token", "job_worker", "job_numbers", "job_doubt"):
            world.sql(f"ALTER TABLE dutiful.job DROP CONSTRAINT {name}")
        world.sql("ALTER TABLE dutiful.effect DROP CONSTRAINT effect_settled")
        world.sql("ALTER TABLE dutiful.ledger DISABLE TRIGGER ledger_kept")
    else:
        world.sql("PRAGMA ignore_check_constraints = ON")
        world.sql("DROP TRIGGER main.dutiful_ledger_kept")


def emptied(world: World) -> None:
    for table in ("job", "dead", "history", "duty", "failure", "audit", "ledger", "effect"):
        world.sql(f"DELETE FROM dutiful.{table}")


def named(findings: list[Finding], invariant: str) -> set[object]:
    return {row["id"] for finding in findings if finding.invariant == invariant for row in finding.rows}


def test_each_broken_invariant_is_named(store_world: World) -> None:
    world = store_world
    unguarded(world)
    for name, make, invariant, statements in BROKEN:
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
                world.run(enqueue.many(APP, [deliveries.some(chance, seed) for _ in range(5)]))
                for lease in world.claim(worker, 4):
                    deliveries.carry_out(world, lease, chance)
                deliveries.decide(world, chance)
        except BaseException as error:
            failed.append(error)

    world.engine.clock = world.clock = Ticking()
    threads = [threading.Thread(target=churn, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    try:
        for number in itertools.count():
            findings = world.run(verify.check(None, full=number % 4 == 0))
            assert findings == []
            if number >= 60 and len(world.table("history")) > 100:
                break
            assert all(thread.is_alive() for thread in threads)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []


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
