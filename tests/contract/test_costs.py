"""What the store is asked for, counted and not timed: a change that makes it dearer is noticed here.

Statements for each batch and for each minute of an idle worker; on PostgreSQL also rows and index entries for
each job, and the pages that a claim reads while dead rows cannot be vacuumed away.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import psycopg
import pytest

from dutiful import App
from dutiful.engines.drive import drive
from dutiful.engines.postgres import PostgresEngine
from dutiful.engines.postgres_transactions import OwnTransaction, filled
from dutiful.engines.urls import open_engine
from dutiful.model.gates import Gate
from dutiful.model.jobs import Ending, Lane, Lease
from dutiful.operations import claims, enqueue, numbers, settle, verify
from dutiful.operations.plan import Call, Operation, Rows, Steps, query, together
from dutiful.testing import run_all
from dutiful.worker.heart import Heart
from tests.contract.planting import planted
from tests.contract.quiet import Quiet, quiet
from tests.contract.stores import APP, Clock, new
from tests.contract.world import KNOWN, World, ending
from tests.crash.examples import World as Examples

T = TypeVar("T")
BATCH = 100
MINUTES = 2

# ── an idle worker ──────────────────────────────────────────────────────────────────────────


@contextmanager
def idle(url: str, queues: int) -> Iterator[Quiet]:
    """A worker whose queues have had a job each and have none now."""
    app = App("shop", url)
    for number in range(queues):
        task = app.task(name=f"send{number}", queue=f"q{number}")(lambda: None)
        if number == 0:
            app.engine.migrate()
        task.enqueue()
    run_all(app)
    with quiet(app) as worker:
        worker.minutes(1)
        worker.sent.clear()
        worker.names.clear()
        yield worker
    app.close()


@query
def asked_together(calls: list[Call]) -> Steps[list[Rows]]:
    return (yield from together(*calls, alone=True))


def check_idle(url: str, queues: int = 1) -> None:
    with idle(url, queues) as worker:
        worker.minutes(MINUTES)
    assert worker.names["claim_jobs"] == 60 * MINUTES and worker.names["beat"] == 20 * MINUTES
    every = sum(worker.sent.values()) / MINUTES
    assert every <= (116 if url.startswith("postgres") else 230), worker.sent


@pytest.mark.parametrize("queues", [1, 100])
def test_an_idle_worker_asks_less_than_twice_a_second(postgres_url: str, queues: int) -> None:
    check_idle(postgres_url, queues)


def test_an_idle_worker_on_sqlite_reads_no_more_than_it_did(sqlite_url: str) -> None:
    check_idle(sqlite_url)


PLANTED: dict[str, tuple[object, str, object]] = {
    "the verdict's look is a statement for each number": (OwnTransaction, "together", None),
    "what a beat tells is not used": (Heart, "told", lambda heart, within_s: None),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_an_idle_worker_that_asks_more_is_noticed(
    postgres_url: str, bug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*PLANTED[bug])  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="Counter"):
        check_idle(postgres_url)


def test_asked_together_each_statement_says_what_it_says_alone(postgres_url: str) -> None:
    """Of a store with something of everything; also the types: JSON knows fewer than the database."""
    engine = open_engine(postgres_url)
    engine.migrate()
    world = Examples(engine)
    engine.clock = Clock(time.time_ns() // 1000)  # which stands still
    calls = [Call(name, {"app": APP, **params}) for name, params in numbers._ASKED.items()]
    calls += [Call(name, verify._params(APP, True, verify.NEWEST)) for name, _, _ in verify.CHECKS]
    with engine.connect() as connection:  # type: ignore[attr-defined]
        connection.execute("DELETE FROM dutiful.duty")
        asked = OwnTransaction(connection, engine.clock, reads=True)
        alone = [list(asked.execute(call, True)) for call in calls]
    found = engine.run(asked_together(calls))
    assert found == alone and sum(map(bool, found)) > 10, world
    assert engine.run(verify.looks(APP)) == {
        name: engine.run(verify.look(name, APP)) for name, _, _ in verify.CHECKS
    }
    engine.close()


# ── a batch ─────────────────────────────────────────────────────────────────────────────────


def asked_for(world: World, operation: Operation[T]) -> tuple[T, list[str]]:
    """What it gives, and the names of its statements."""
    seen: list[str] = []
    before, world.engine.observe = world.engine.observe, lambda step: seen.append(step.name)  # type: ignore[attr-defined]
    try:
        return world.run(operation), seen
    finally:
        world.engine.observe = before  # type: ignore[attr-defined]


@pytest.mark.parametrize("key", ["k", None])
def test_a_job_at_gates_that_are_there_is_one_statement(store_world: World, key: str | None) -> None:
    gates = (Gate("order", "o", 1), Gate("lock", "l", 2))
    stored, names = asked_for(store_world, enqueue.one(APP, new(gates=gates)))
    assert not stored.duplicate and len(names) > 1  # its gates are made
    stored, names = asked_for(store_world, enqueue.one(APP, new(key, gates=gates)))
    assert not stored.duplicate and names == ["enqueue_gated_job"]
    again, names = asked_for(store_world, enqueue.one(APP, new("k", gates=gates)))
    assert again.duplicate == (key == "k")


def test_a_batch_is_one_statement_however_large(store_world: World) -> None:
    world, me = store_world, store_world.worker()
    world.enqueue()
    assert asked_for(world, enqueue.one(APP, new()))[1] == ["enqueue_job"]
    assert asked_for(world, enqueue.one(APP, new("once")))[1] == ["enqueue_keyed_job"]
    for many in (2, BATCH):
        _, names = asked_for(world, enqueue.many(APP, [new(f"{many}.{n}") for n in range(many)]))
        assert len(names) <= 4, names
    for few in (1, 2, BATCH):
        claimed, names = asked_for(world, claims.claim(me, world.lanes(), KNOWN, few, promote=True))
        assert len(claimed.leases) == few and names == ["claim_jobs"]
        done = [ending(lease, "complete") for lease in claimed.leases]
        lost, names = asked_for(world, settle.settle(done, me))
        assert lost == [] and len(names) == 1, names


# ── a job's rows ────────────────────────────────────────────────────────────────────────────

INDEXES = {"job": 8, "delta": 1, "duty": 1, "history": 3, "ledger": 2}
"""Of each table that a job goes through: what one more row costs, or an update that is not HOT."""
Touched = dict[str, tuple[int, int, int, int]]
"""By table: rows inserted, updated, of these HOT, and deleted."""


class Within(OwnTransaction):
    """In a transaction that is open, and stays so."""

    def begin(self) -> None: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...


def touched(world: World, operation: Operation[T]) -> tuple[T, Touched]:
    """What it gives, and the rows that it touched, by the server's own count."""
    connection = cast(PostgresEngine, world.engine).connect()
    try:
        connection.execute("BEGIN")
        found = drive(operation, Within(connection, world.clock, operation.reads))
        rows = connection.execute(
            "SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del FROM pg_stat_xact_user_tables"
            " WHERE n_tup_ins + n_tup_upd + n_tup_del > 0"
        ).fetchall()
        connection.execute("COMMIT")
    finally:
        connection.close()
    return found, {re.sub(r"_\w+", "", row[0]): cast(Any, row[1:]) for row in rows}


def check_rows(world: World) -> None:
    me = world.worker()
    world.enqueue("first")
    world.end(world.claim(me)[0], "complete")
    _, rows = touched(world, enqueue.one(APP, new()))
    assert rows == {"job": (1, 0, 0, 0), "delta": (1, 0, 0, 0)}
    _, rows = touched(world, enqueue.many(APP, [new(f"k{n}") for n in range(BATCH)]))
    assert rows == {"job": (BATCH, 0, 0, 0), "duty": (BATCH, 0, 0, 0), "delta": (1, 0, 0, 0)}
    claimed, rows = touched(world, claims.claim(me, world.lanes(), KNOWN, BATCH, promote=True))
    assert rows == {"job": (0, BATCH, BATCH, 0)}, "a claim is HOT, and touches nothing else"
    done = [ending(lease, "complete") for lease in claimed.leases]
    lost, rows = touched(world, settle.settle(done, me))
    assert lost == [] and rows == {"job": (0, 0, 0, BATCH), "history": (BATCH, 0, 0, 0)}


def test_a_job_touches_these_rows_and_no_more(pg_world: World) -> None:
    check_rows(pg_world)


def test_tables_that_jobs_go_through_have_these_indexes(pg_world: World) -> None:
    rows = pg_world.sql(
        "SELECT c.relname, count(*) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid"
        " WHERE c.relnamespace = 'dutiful'::regnamespace GROUP BY 1"
    )
    assert {name: count for name, count in rows if name in INDEXES} == INDEXES


def test_a_claim_that_writes_an_indexed_column_is_noticed(pg_world: World) -> None:
    bug = [(r"run_no = j\.run_no \+ 1,", "run_no = j.run_no + 1, ready_seq = nextval('dutiful.ready_seq'),")]
    with planted("postgres", {"claim_jobs": bug}), pytest.raises(AssertionError, match="a claim is HOT"):
        check_rows(pg_world)


# ── dead rows ───────────────────────────────────────────────────────────────────────────────

GONE = 20_000
SPARE = 2 * BATCH
"""Pages that a claim may read beyond those of a fresh table: an index over 20,000 entries, in which each job
is looked up, is a page deeper. Walking over what is dead reads thousands."""


def pages(world: World, me: int, mark: int) -> int:
    """How many pages a claim of a batch reads; it is taken back."""
    steps = claims.claim(me, [Lane(lane.id, mark) for lane in world.lanes()], KNOWN, BATCH).begin()
    call = cast(Call, next(steps))
    with (
        cast(PostgresEngine, world.engine).connect() as connection,
        connection.transaction(force_rollback=True),
    ):
        text, params = filled(call.name, call.params, world.clock)
        explained = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {text}"
        [(plan,)] = connection.execute(cast(Any, explained), params).fetchall()
    root = plan[0]["Plan"]
    assert root["Actual Rows"] == BATCH
    return int(root["Shared Hit Blocks"]) + int(root["Shared Read Blocks"])


def put(world: World) -> None:
    world.run(enqueue.many(APP, [new() for _ in range(BATCH)]))


def check_dead_rows(world: World) -> None:
    me = world.worker()
    put(world)
    fresh = pages(world, me, 0)
    with psycopg.connect(cast(PostgresEngine, world.engine).conninfo) as snapshot:
        snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        snapshot.execute("SELECT count(*) FROM dutiful.job")  # nothing that goes from now on can be vacuumed
        leases: list[Lease] = world.run(claims.claim(me, world.lanes(), KNOWN, BATCH)).leases
        world.run(settle.settle([cast(Ending, ending(lease, "complete")) for lease in leases], me))
        # as a claim and an ending leave them, by hand, for it is quicker
        world.sql(
            "INSERT INTO dutiful.job (id, lane, run_at, enqueued_at, delivery, crashes_max, task,"
            " args_version, args, ready_seq)"
            " SELECT gen_random_uuid(), 1, 0, 0, 'at_least_once', 3, 'send', 1, '{}',"
            " nextval('dutiful.ready_seq') FROM generate_series(1, %s)",
            GONE,
        )
        world.sql("UPDATE dutiful.job SET run_no = run_no + 1")
        world.sql("DELETE FROM dutiful.job")
        [(mark,)] = world.sql("SELECT last_value FROM dutiful.ready_seq")
        put(world)
        late = pages(world, me, mark)
        assert late <= fresh + SPARE, f"{late} pages, {fresh} when the table was fresh"


def test_dead_rows_do_not_slow_a_claim(pg_world: World) -> None:
    check_dead_rows(pg_world)


def test_a_claim_that_does_not_begin_at_its_mark_is_noticed(pg_world: World) -> None:
    with (
        planted("postgres", {"claim_jobs": [(r"j\.ready_seq > w\.mark", "j.ready_seq > 0 * w.mark")]}),
        pytest.raises(AssertionError, match="when the table was fresh"),
    ):
        check_dead_rows(pg_world)
