"""The audit's chain: what was changed or removed is named (S6), whoever writes meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dutiful.operations import audit, people
from tests.contract.people import dead, ops_in
from tests.contract.stores import APP
from tests.contract.world import World, world_at


@pytest.fixture
def world(rows_url: str) -> Iterator[World]:
    with world_at(rows_url) as world:
        yield world


def acted(world: World, count: int = 5) -> None:
    """So many verbs, all in the chain."""
    ops = ops_in(world)
    for _ in range(count):
        ops.retry(dead(world), reason="mended")


def broken(world: World) -> list[tuple[int, str]]:
    return [(one.chain_no, one.problem) for one in world.run(audit.check()).broken]


def test_a_chain_that_nobody_touched_holds(world: World) -> None:
    assert world.run(audit.check()).rows == 0
    acted(world)
    found = world.run(audit.check())
    assert (found.rows, found.broken, found.waiting) == (5, (), 0)
    assert found.head == world.table("audit_chain")[0]["hash"]


@pytest.mark.parametrize("column", ["actor", "verb", "subject", "before", "after", "reason", "how"])
def test_s6_a_row_that_was_changed_is_named(world: World, column: str) -> None:
    acted(world, 3)
    world.sql(f"UPDATE dutiful.audit SET {column} = 'bob' WHERE chain_no = 2")
    [(place, problem)] = broken(world)
    assert place == 2 and "changed after it was written" in problem


def test_s6_the_instant_counts_too(world: World) -> None:
    acted(world, 3)
    world.sql("UPDATE dutiful.audit SET at = at + 1 WHERE chain_no = 3")
    assert [place for place, _ in broken(world)] == [3]


@pytest.mark.parametrize(
    ("gone", "says"), [("= 2", "row 2 of"), ("IN (1, 2)", "rows 1 to 2"), ("= 5", "row 5")]
)
def test_s6_rows_that_were_removed_are_named(world: World, gone: str, says: str) -> None:
    acted(world)
    world.sql(f"DELETE FROM dutiful.audit WHERE chain_no {gone}")
    assert [problem for _, problem in broken(world) if problem.startswith(says) and "removed" in problem]


def test_s6_who_makes_the_whole_chain_anew_cannot_make_the_hash_that_was_noted(world: World) -> None:
    acted(world)
    noted = world.run(audit.check())
    world.sql("UPDATE dutiful.audit SET actor = 'bob', chain_no = NULL, hash = NULL")
    world.sql("DELETE FROM dutiful.audit_chain")
    world.run(audit.chain())
    assert world.run(audit.check()).broken == ()
    [found] = world.run(audit.check(known_no=noted.rows, known_hash=noted.head)).broken
    assert found.chain_no == 5
    later = world.run(audit.check(known_no=9, known_hash="x")).broken
    assert [one.problem for one in later] == ["rows 6 to 9 of the chain: removed"]


def test_what_is_not_chained_yet_is_counted(world: World) -> None:
    world.run(people.retry(APP, dead(world), actor="ann"))
    found = world.run(audit.check())
    assert (found.rows, found.waiting) == (0, 1) and found.waiting_since_us is not None
    assert world.run(audit.chain()) == 1
    assert world.run(audit.check()).waiting == 0


def test_a_row_whose_transaction_ended_late_is_chained_behind(pg_world: World) -> None:
    """Its id is lower than that of rows which are in the chain already."""
    import psycopg

    world = pg_world
    with psycopg.connect(world.engine.conninfo) as late:  # type: ignore[attr-defined]
        late.execute(
            "INSERT INTO dutiful.audit (at, actor, verb, app, subject, before, after, reason)"
            " VALUES (1, 'late', 'retry', 'shop', 's', 'dead', 'ready', '')"
        )
        acted(world, 2)
        late.commit()
    assert world.run(audit.chain()) == 1
    rows = {row["chain_no"]: row["actor"] for row in world.table("audit")}
    assert rows == {1: "ann", 2: "ann", 3: "late"}
    assert broken(world) == []


def test_many_who_chain_at_once_make_one_chain(world: World) -> None:
    for _ in range(30):
        world.run(people.retry(APP, dead(world), actor="ann"))
    ends: list[int] = []

    def chain() -> None:
        while got := world.engine.run(audit.chain(limit=2)):
            ends.append(got)

    threads = [threading.Thread(target=chain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(ends) == 30
    found = world.run(audit.check())
    assert (found.rows, found.broken, found.waiting) == (30, (), 0)


def test_the_audit_is_paged_from_the_latest(world: World) -> None:
    acted(world)
    first = world.run(audit.page(APP, limit=2))
    rest = world.run(audit.page(APP, before=first[-1].id, limit=9))
    ids = [row.id for row in first + rest]
    assert len(ids) == 5 and ids == sorted(ids, reverse=True)
    assert world.run(audit.page(APP, actor="bob")) == []


def mended_by_hand(world: World) -> None:
    """Row 2 is changed, and its own hash made anew."""
    world.sql("UPDATE dutiful.audit SET actor = 'bob' WHERE chain_no = 2")
    rows = {row.chain_no: row for row in world.run(audit.page(APP))}
    own = audit.digest(rows[2], 2, str(rows[1].hash))
    world.sql("UPDATE dutiful.audit SET hash = %s WHERE chain_no = 2", own)


def test_s6_who_mends_the_hash_of_a_changed_row_breaks_the_next(world: World) -> None:
    acted(world, 3)
    mended_by_hand(world)
    assert [place for place, _ in broken(world)] == [3]
