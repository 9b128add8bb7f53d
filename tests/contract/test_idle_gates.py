"""Gates that nobody has used for hours are forgotten, and nobody can tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from dutiful.engines.urls import open_engine
from dutiful.model.gates import Gate
from dutiful.operations import doubts, enqueue, gates, people, verify
from tests.contract.planting import planted
from tests.contract.stores import APP, SECOND, Clock, new
from tests.contract.test_gates import LOCK, ORDER, claimed, lease_of, put
from tests.contract.world import World

HOUR = 3600 * SECOND
SLOW = Gate("rate", "host:x", 0, per_us=4 * HOUR, burst=1)


@pytest.fixture
def world(store_world: World) -> World:
    """Both faces run the same operations: one is enough here."""
    return store_world


def keys(world: World) -> set[str]:
    return {row["key"] for row in world.table("gate")}


def forget(world: World) -> None:
    world.run(gates.forget())


def ran(world: World, *doors: Gate) -> None:
    put(world, *doors)
    assert world.end(lease_of(world), "complete")


def test_a_gate_of_old_is_forgotten_and_made_anew(world: World) -> None:
    ran(world, LOCK)
    [before] = world.table("gate")
    world.clock.advance(2 * HOUR)
    forget(world)
    assert keys(world) == {LOCK.key}, "it was used two hours ago, and no longer"
    world.clock.advance(SECOND)
    forget(world)
    assert keys(world) == set()
    jobs = [put(world, LOCK) for _ in range(2)]
    assert world.table("gate")[0]["id"] != before["id"]
    assert claimed(world) == jobs[:1]
    assert world.run(verify.check(APP, full=True)) == []


def test_who_uses_it_now_and_then_keeps_it(world: World) -> None:
    for _ in range(5):
        ran(world, LOCK)
        world.clock.advance(HOUR + HOUR // 2)
        forget(world)
    assert keys(world) == {LOCK.key}


def waits_at(world: World) -> Callable[[], None]:
    put(world, LOCK)
    return lambda: ran_later(world)


def comes_later(world: World) -> Callable[[], None]:
    """It stands nowhere yet."""
    put(world, LOCK, delay_us=100 * HOUR)
    return lambda: world.clock.advance(100 * HOUR)


def stands_before_another(world: World) -> Callable[[], None]:
    """It has a place in its order, and none at its lock."""
    put(world, ORDER)
    put(world, ORDER, LOCK)
    return lambda: ran_later(world)


def is_dead(world: World) -> Callable[[], None]:
    dead = put(world, LOCK)
    assert world.end(lease_of(world), "bury")
    return lambda: world.run(people.retry(APP, dead, actor="ann"))


def is_cancelled(world: World) -> Callable[[], None]:
    cancelled = put(world, LOCK)
    world.run(people.cancel(APP, cancelled, actor="ann"))
    return lambda: world.run(people.retry(APP, cancelled, actor="ann"))


def is_skipped(world: World) -> Callable[[], None]:
    skipped = put(world, LOCK)
    assert world.end(lease_of(world), "skip")
    return lambda: world.run(people.retry(APP, skipped, actor="ann"))


def is_waived(world: World) -> Callable[[], None]:
    waived = put(world, LOCK)
    assert world.end(lease_of(world), "bury")
    world.run(doubts.waive(APP, waived, actor="ann", reason="enough"))

    def back() -> None:
        world.run(doubts.unwaive(APP, waived, actor="ann"))
        world.run(people.retry(APP, waived, actor="ann"))

    return back


def ran_later(world: World) -> None:
    assert world.end(lease_of(world), "complete")


@pytest.mark.parametrize(
    "known", [waits_at, comes_later, stands_before_another, is_dead, is_cancelled, is_skipped, is_waived]
)
def test_a_gate_that_a_job_may_come_to_stays(
    world: World, known: Callable[[World], Callable[[], None]]
) -> None:
    go_on = known(world)
    for _ in range(3):
        world.clock.advance(3 * HOUR)
        forget(world)
    assert LOCK.key in keys(world)
    go_on()
    assert world.run(verify.check(APP, full=True)) == []


def test_a_bucket_is_kept_until_it_is_full(world: World) -> None:
    ran(world, SLOW)
    world.run(gates.grant(world.run(gates.busy_rates())[0]))
    world.clock.advance(2 * HOUR + SECOND)
    forget(world)
    assert starts_at_once(world) == 0
    for job in [row["id"] for row in world.table("job")]:
        world.run(people.cancel(APP, str(job), actor="ann"))
    world.sql("DELETE FROM dutiful.history")
    world.clock.advance(5 * HOUR)
    forget(world)
    assert keys(world) == set()
    assert starts_at_once(world) == 1


def starts_at_once(world: World) -> int:
    for _ in range(2):
        put(world, SLOW)
    return sum(row["ready_seq"] is not None for row in world.table("job"))


# ── planted ─────────────────────────────────────────────────────────────────────────────────


def engine_of(world: World) -> Any:
    return "postgres" if world.engine.name == "postgres" else "sqlite"


def test_a_bucket_that_is_not_looked_at_is_noticed(world: World) -> None:
    if world.engine.name == "postgres":
        change = (r"AND \(g\.kind <> 'rate' OR", "AND (true OR")
    else:
        change = (r"OR kind = 'rate' AND", "OR false AND")
    with planted(engine_of(world), {"forget_gates": [change]}), pytest.raises(AssertionError):
        test_a_bucket_is_kept_until_it_is_full(world)


def test_a_job_that_is_not_asked_for_is_noticed(world: World) -> None:
    """The dead are overlooked, and a lock lets through whoever comes back."""
    if world.engine.name == "postgres":
        change = (r"WHERE d\.gates IS NOT NULL", "WHERE false")
    else:
        change = (r"WHERE d\.gates IS NOT NULL", "WHERE 0")
    with planted(engine_of(world), {"forget_gates": [change]}), pytest.raises(AssertionError):
        test_a_gate_that_a_job_may_come_to_stays(world, is_dead)


def test_a_gate_that_is_gone_under_a_run_is_noticed_by_the_checker(world: World) -> None:
    put(world, LOCK)
    assert len(claimed(world)) == 1
    assert world.run(verify.check(APP, full=True)) == []
    world.sql("DELETE FROM dutiful.gate")
    assert "I13" in {one.invariant for one in world.run(verify.check(APP, full=True))}


# ── two sessions ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def idle(postgres_url: str) -> Iterator[World]:
    """A gate that nobody has used for hours."""
    engine = open_engine(postgres_url)
    engine.migrate()
    engine.clock = Clock()
    world = World(engine)
    ran(world, LOCK)
    world.clock.advance(3 * HOUR)
    yield world
    world.close()
    engine.close()


LEVELS = [psycopg.IsolationLevel.READ_COMMITTED, psycopg.IsolationLevel.REPEATABLE_READ]


def two_come(world: World) -> None:
    """One is there and another comes: one is let through."""
    put(world, LOCK)
    world.run(gates.come())
    world.run(gates.mend(world.run(gates.jams())))
    assert len(claimed(world)) == 1
    assert world.run(verify.check(APP, full=True)) == []


@pytest.mark.parametrize("level", LEVELS)
def test_who_arrives_at_this_moment_keeps_it(idle: World, level: psycopg.IsolationLevel) -> None:
    with psycopg.connect(idle.engine.conninfo) as caller:  # type: ignore[attr-defined]
        caller.isolation_level = level
        idle.engine.bind(caller).run(enqueue.one(APP, new(None, gates=(LOCK,))))
        forget(idle)
        caller.commit()
    assert keys(idle) == {LOCK.key}
    two_come(idle)


def test_forgetting_without_a_lock_is_noticed(idle: World) -> None:
    with (
        planted("postgres", {"hold_stale_gates": [("FOR UPDATE SKIP LOCKED", "")]}),
        planted("postgres", {"keep_gates": [("FOR KEY SHARE", "")]}),
        pytest.raises((AssertionError, psycopg.Error)),
    ):
        test_who_arrives_at_this_moment_keeps_it(idle, psycopg.IsolationLevel.READ_COMMITTED)


@pytest.mark.parametrize("level", LEVELS)
def test_who_arrives_while_it_is_forgotten_makes_it_anew(idle: World, level: psycopg.IsolationLevel) -> None:
    """It waits for who forgets; in an older snapshot it fails, and nothing is stored."""
    conninfo = idle.engine.conninfo  # type: ignore[attr-defined]
    with psycopg.connect(conninfo) as a, psycopg.connect(conninfo) as b, psycopg.connect(conninfo) as eye:
        eye.autocommit = True
        b.isolation_level = level
        b.execute("SELECT 1 FROM dutiful.gate")
        assert idle.engine.bind(a).run(gates.forget()).gone == 1
        failed: list[Exception] = []

        def later() -> None:
            try:
                idle.engine.bind(b).run(enqueue.one(APP, new(None, gates=(LOCK,))))
                b.commit()
            except Exception as error:
                failed.append(error)
                b.rollback()

        thread = threading.Thread(target=later)
        thread.start()
        waiting = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
        while thread.is_alive() and not eye.execute(waiting, [b.info.backend_pid]).fetchall():
            time.sleep(0.005)
        a.commit()
        thread.join()
    if level is psycopg.IsolationLevel.READ_COMMITTED:
        assert failed == []
    else:
        assert len(failed) == 1 and idle.table("job") == []
        put(idle, LOCK)
    two_come(idle)


def test_a_transaction_of_hours_fails_rather_than_go_without_its_gate(idle: World) -> None:
    ran(idle, LOCK)
    with psycopg.connect(idle.engine.conninfo) as caller:  # type: ignore[attr-defined]
        idle.engine.bind(caller).run(enqueue.one(APP, new(None, gates=(LOCK,))))
        idle.clock.advance(3 * HOUR)
        forget(idle)
        with pytest.raises(psycopg.errors.SerializationFailure, match="was forgotten"):
            caller.commit()
    put(idle, LOCK)
    two_come(idle)
