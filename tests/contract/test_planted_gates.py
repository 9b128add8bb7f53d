"""Planted bugs of gates: each rule is broken on purpose, and a test or the checker must notice."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from dutiful.engines.urls import open_engine
from dutiful.model.gates import Gate
from dutiful.operations import enqueue, gates, verify
from dutiful.sql import schema
from tests.contract import test_gates as sound
from tests.contract.planting import planted
from tests.contract.stores import APP, new
from tests.contract.world import World

ORDER, LOCK, put = sound.ORDER, sound.LOCK, sound.put


@pytest.fixture
def world(store_url: str) -> Iterator[World]:
    """A store whose schema may be broken."""
    engine = open_engine(store_url)
    engine.migrate()
    world = World(engine)
    yield world
    world.close()
    engine.close()


def break_schema(world: World, pattern: str, instead: str, name: str) -> None:
    """Put the function or trigger ``name`` in once more, with a bug."""
    text = schema("postgres" if world.engine.name == "postgres" else "sqlite")
    if world.engine.name == "postgres":
        [part] = re.findall(rf"^CREATE FUNCTION dutiful\.{name}\b.*?^END \$\$;", text, re.S | re.M)
        part = part.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    else:
        [part] = re.findall(rf"^CREATE TRIGGER dutiful_{name}\b.*?^END;", text, re.S | re.M)
        world.sql(f"DROP TRIGGER dutiful_{name}")
    broken, count = re.subn(pattern, instead, part)
    assert count, "what was to be broken is not there any more"
    if world.engine.name == "postgres":
        with psycopg.connect(world.engine.conninfo, autocommit=True) as connection:  # type: ignore[attr-defined]
            connection.execute(broken)
    else:
        world.sql(broken)


def found(world: World) -> set[str]:
    return {one.invariant for one in world.run(verify.check(APP, full=True))}


def fails(check: Callable[[World], None], world: World) -> bool:
    try:
        check(world)
    except (AssertionError, ValueError):
        return True
    return False


def test_more_than_the_slots_is_noticed_by_the_checker(world: World) -> None:
    if world.engine.name == "postgres":
        tail = r"\) AS p\n            \), stays"
        break_schema(world, rf"LIMIT g\.slots({tail})", r"LIMIT g.slots + 1\1", "pass_gates")
    else:
        break_schema(world, r"(SELECT x\.slots .*\n.*)\)\) < g\.slots", r"\1)) <= g.slots", "gate_stepped")
    for _ in range(2):
        put(world, LOCK)
    assert len(world.claim(limit=10)) == 2
    assert found(world) == {"I13"}


def test_more_than_the_slots_at_once_is_noticed_by_the_checker(world: World) -> None:
    if world.engine.name == "postgres":
        break_schema(world, r"a\.n > g\.slots", "a.n > 1 + g.slots", "pass_free")
    else:
        break_schema(world, r"x\.slots = 1 THEN EXISTS .*", "x.slots = 1 THEN 0", "gates_came")
    for _ in range(2):
        put(world, LOCK)
    assert len(world.claim(limit=10)) == 2
    assert found(world) == {"I13"}


def test_a_free_rate_that_forgets_what_it_granted_is_noticed(world: World) -> None:
    rate = sound.rate(2)
    if world.engine.name == "postgres":
        break_schema(world, r"AND p\.granted IS NOT NULL LIMIT", "AND false LIMIT", "pass_free")
    else:
        break_schema(world, r"x\.id AND p\.granted IS NOT NULL\)", "x.id AND false)", "gates_came")
    for _ in range(6):
        put(world, rate)
    assert len(world.claim(limit=10)) > 2


def test_out_of_turn_is_noticed_by_the_checker(world: World) -> None:
    put(world, ORDER)
    second = put(world, ORDER)
    world.sql("UPDATE dutiful.job SET gate = NULL, gate_seq = NULL, ready_seq = 1 WHERE id = %s", second)
    world.claim(limit=10)
    assert "I13" in found(world)


def test_a_lost_place_is_noticed_by_the_checker(world: World) -> None:
    put(world, LOCK)
    world.claim(limit=10)
    assert found(world) == set()
    world.sql("DELETE FROM dutiful.place")
    assert found(world) == {"I13"}


def test_leaving_without_letting_the_next_through_is_noticed(world: World) -> None:
    if world.engine.name == "postgres":
        break_schema(world, r"j\.gate_seq > 0 AND j\.state = 'ready'", "false", "pass_gates")
    else:
        world.sql("DROP TRIGGER dutiful_place_left")
    assert fails(lambda world: sound.test_one_at_a_time_and_in_turn(world, LOCK), world)


def test_a_rate_that_counts_starts_from_zero_is_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "granted", lambda level, at, per, burst, begun, open_, now: (level, burst))
    assert fails(sound.test_no_window_has_more_starts_than_the_rate_and_its_burst, world)


def test_a_rate_that_forgets_what_it_granted_is_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = gates.granted
    monkeypatch.setattr(
        gates,
        "granted",
        lambda level, at, per, burst, begun, _, now: real(level, at, per, burst, begun, 0, now),
    )
    assert fails(sound.test_no_window_has_more_starts_than_the_rate_and_its_burst, world)


def test_a_place_that_is_taken_beside_others_is_noticed_by_the_checker(world: World) -> None:
    for _ in range(2):
        put(world)
    engine = "postgres" if world.engine.name == "postgres" else "sqlite"
    with planted(engine, {"places_taken": [("LIMIT :limit", "LIMIT 0")]}):
        for lease in world.claim(limit=10):
            assert sound.taken(world, lease, LOCK).busy is None
    assert found(world) == {"I13"}


# ── two sessions ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def two(postgres_url: str) -> Iterator[World]:
    engine = open_engine(postgres_url)
    engine.migrate()
    world = World(engine)
    put(world, Gate("lock", "other", 1))  # the lane and the gates are there already
    for door in (ORDER, LOCK):
        job = put(world, door)
        [lease] = [lease for lease in world.claim(limit=10) if lease.job_id == job]
        world.end(lease, "complete")
    yield world
    world.close()
    engine.close()


def overtaken(world: World, door: Gate, *, at_once: bool) -> list[str]:
    """A stores first, B commits first (or, ``at_once``, finds A at its commit): the jobs let through."""
    conninfo = world.engine.conninfo  # type: ignore[attr-defined]
    first, second = new(None, gates=(door,)), new(None, gates=(door,))
    with psycopg.connect(conninfo) as a, psycopg.connect(conninfo) as b, psycopg.connect(conninfo) as eye:
        eye.autocommit = True
        world.engine.bind(a).run(enqueue.one(APP, first))
        if at_once:
            a.execute("SET CONSTRAINTS ALL IMMEDIATE")
        world.engine.bind(b).run(enqueue.one(APP, second))
        pid = b.info.backend_pid
        commit = threading.Thread(target=b.commit)
        commit.start()
        waiting = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
        while commit.is_alive() and not eye.execute(waiting, [pid]).fetchall():
            time.sleep(0.005)
        a.commit()
        commit.join()
    names = {first.id: "first", second.id: "second"}
    return [names[lease.job_id] for lease in world.claim(limit=10) if lease.job_id in names]


def test_an_order_is_that_of_the_commits(two: World) -> None:
    assert overtaken(two, ORDER, at_once=False) == ["second"]


def test_two_commits_at_once_let_one_through(two: World) -> None:
    assert overtaken(two, LOCK, at_once=True) == ["first"]


def test_a_gate_that_is_not_locked_is_noticed(two: World) -> None:
    break_schema(two, r"ORDER BY g\.id FOR NO KEY UPDATE", "ORDER BY g.id", "pass_gates")
    break_schema(two, r"ORDER BY g\.id FOR NO KEY UPDATE\n", "ORDER BY g.id\n", "pass_free")
    assert overtaken(two, LOCK, at_once=True) == ["first", "second"]
    assert found(two) == {"I13"}


def test_taking_places_at_the_enqueue_is_noticed(two: World) -> None:
    two.sql("UPDATE pg_trigger SET tginitdeferred = false WHERE tgname = 'gates_in'")
    two.sql("UPDATE pg_constraint SET condeferred = false WHERE conname = 'gates_in'")
    conninfo = two.engine.conninfo  # type: ignore[attr-defined]
    with psycopg.connect(conninfo) as a, psycopg.connect(conninfo) as b:
        two.engine.bind(a).run(enqueue.one(APP, new(None, gates=(ORDER,))))
        b.execute("SET lock_timeout = '100ms'")
        with pytest.raises(Exception, match=r"lock|busy|waited"):
            two.engine.bind(b).run(enqueue.one(APP, new(None, gates=(ORDER,))))


def test_an_old_snapshot_lets_nobody_through(two: World) -> None:
    """It does not see who is in there; the place in the order is taken all the same."""
    conninfo = two.engine.conninfo  # type: ignore[attr-defined]
    with psycopg.connect(conninfo) as a:
        a.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        a.execute("SELECT 1 FROM dutiful.job")
        held = put(two, LOCK)
        two.engine.bind(a).run(enqueue.one(APP, new(None, gates=(LOCK,))))
        a.commit()
    assert [lease.job_id for lease in two.claim(limit=10)][-1] == held
    assert two.run(gates.come()) == 1
    assert two.claim(limit=10) == []


def took_at_once(two: World) -> list[bool]:
    """Two runs that take one place, the second while the first has not committed: who was told it has it."""
    for _ in range(2):
        put(two)
    first, second = (lease for lease in two.claim(limit=10))
    conninfo = two.engine.conninfo  # type: ignore[attr-defined]
    told: dict[str, bool] = {}
    with psycopg.connect(conninfo) as a, psycopg.connect(conninfo) as b, psycopg.connect(conninfo) as eye:
        eye.autocommit = True
        take = gates.take(APP, first.job_id, first.token, [LOCK])
        told["first"] = two.engine.bind(a).run(take).busy is None

        def later() -> None:
            take = gates.take(APP, second.job_id, second.token, [LOCK])
            told["second"] = two.engine.bind(b).run(take).busy is None
            b.commit()

        thread = threading.Thread(target=later)
        thread.start()
        waiting = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
        while thread.is_alive() and not eye.execute(waiting, [b.info.backend_pid]).fetchall():
            time.sleep(0.005)
        a.commit()
        thread.join()
    return [told["first"], told["second"]]


def test_two_who_do_not_wait_never_take_one_place(two: World) -> None:
    assert took_at_once(two) == [True, False]


def test_taking_without_the_gates_lock_is_noticed(two: World) -> None:
    with planted("postgres", {"hold_gates": [("FOR NO KEY UPDATE", "")]}):
        assert took_at_once(two) == [True, True]
    assert found(two) == {"I13"}
