"""``on_duplicate="replace"`` with arguments that make other gates: the job goes there."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from dutiful.model.gates import Gate
from dutiful.operations import enqueue, gates, verify
from tests.contract.planting import planted
from tests.contract.stores import APP, SECOND, new
from tests.contract.test_gates import LOCK, ORDER, claimed, put, rate
from tests.contract.world import World

OTHER = Gate("lock", "account:2", 1)
OTHER_ORDER = Gate("order", "customer:8", 1)


@pytest.fixture
def world(store_world: World) -> World:
    """Both faces run the same operations: one is enough here."""
    return store_world


def keyed(world: World, hash_: str, *doors: Gate, **options: Any) -> str:
    """The duty's job; with another hash its arguments are replaced."""
    job = new("duty", gates=doors, args_hash=hash_, on_duplicate="replace", **options)
    return str(world.run(enqueue.one(APP, job)).id)


def sound(world: World) -> bool:
    return world.run(verify.check(APP, full=True)) == []


@pytest.mark.parametrize(("door", "other"), [(LOCK, OTHER), (ORDER, OTHER_ORDER)])
def test_who_held_a_place_gives_it_to_the_next(world: World, door: Gate, other: Gate) -> None:
    job = keyed(world, "a", door)
    waits, taken = put(world, door), put(world, other)
    assert keyed(world, "b", other) == job
    assert claimed(world) == [taken, waits]
    assert sound(world)
    behind = {str(row["job_id"]): row["gate"] for row in world.table("place")}
    assert behind[job] == behind[taken] != behind[waits]


def test_who_waited_waits_elsewhere_and_those_behind_move_up(world: World) -> None:
    first = put(world, LOCK)
    job, last = keyed(world, "a", LOCK), put(world, LOCK)
    assert keyed(world, "b", OTHER) == job
    leases = world.claim(limit=10)
    assert [lease.job_id for lease in leases] == [first, job]
    assert world.end(leases[0], "complete")
    assert claimed(world) == [last]
    assert sound(world)


def test_the_same_gates_keep_the_place(world: World) -> None:
    first = put(world, LOCK)
    job = keyed(world, "a", LOCK)
    put(world, LOCK)
    before = world.table("place")
    assert keyed(world, "b", LOCK) == job
    assert world.table("place") == before
    [lease] = world.claim(limit=10)
    assert lease.job_id == first and world.end(lease, "complete")
    assert claimed(world) == [job]


def test_a_job_of_later_moves_too_and_comes_when_it_is_due(world: World) -> None:
    job = keyed(world, "a", ORDER, delay_us=60 * SECOND)
    behind = put(world, ORDER)
    assert keyed(world, "b", OTHER, delay_us=60 * SECOND) == job
    assert claimed(world) == [behind]
    world.clock.advance(61 * SECOND)
    assert world.run(gates.come()) == 1
    assert claimed(world) == [job]


def test_from_no_gates_to_some_and_back(world: World) -> None:
    job, taken = keyed(world, "a"), put(world, LOCK)
    keyed(world, "b", LOCK)
    assert claimed(world) == [taken]
    keyed(world, "c")
    assert claimed(world) == [job]
    assert sound(world)


def test_a_start_that_was_granted_is_another_ones(world: World) -> None:
    job = keyed(world, "a", rate(1))
    waits = put(world, rate(1))
    keyed(world, "b", OTHER)
    [gate] = world.run(gates.busy_rates())
    assert world.run(gates.grant(gate)).starts == 1, "nothing has begun at this rate"
    assert sorted(claimed(world)) == sorted([job, waits])


def test_a_place_that_stays_behind_is_noticed(world: World) -> None:
    job = keyed(world, "a", ORDER)
    waits = put(world, ORDER)
    if world.engine.name == "postgres":
        broken = {"change_gates": [(r"EXISTS \(SELECT 1 FROM left_there\)", "false")]}
    else:
        broken = {"change_gates": [(r"job_id = :id AND EXISTS", "false AND EXISTS")]}
    with planted("postgres" if world.engine.name == "postgres" else "sqlite", broken):
        keyed(world, "b", OTHER)
    assert claimed(world) == [job], "the next one waits for nobody"
    assert world.row(waits)["gate"] is not None


@pytest.mark.parametrize(
    "level", [psycopg.IsolationLevel.READ_COMMITTED, psycopg.IsolationLevel.REPEATABLE_READ]
)
def test_in_a_transaction_of_the_callers(pg_world: World, level: psycopg.IsolationLevel) -> None:
    """Nothing moves before it commits, and a ROLLBACK leaves all as it was."""
    world = pg_world
    job, waits = keyed(world, "a", LOCK), put(world, LOCK)
    put(world, OTHER)
    replaced = enqueue.one(APP, new("duty", gates=(OTHER,), args_hash="b", on_duplicate="replace"))
    with psycopg.connect(world.engine.conninfo) as caller:  # type: ignore[attr-defined]
        caller.isolation_level = level
        world.engine.bind(caller).run(replaced)
        caller.rollback()
        before = world.table("place")
        world.engine.bind(caller).run(replaced)
        assert world.table("place") == before
        caller.commit()
    world.run(gates.mend(world.run(gates.jams())))
    assert waits in claimed(world) and job not in claimed(world)
