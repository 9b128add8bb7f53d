"""Operations in the caller's transaction, on every kind of connection: they share the caller's fate."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dutiful.engines.bound import kind_of
from dutiful.engines.checkpoints import affected
from dutiful.engines.contract import Engine
from dutiful.engines.urls import open_engine
from dutiful.model.errors import (
    InvalidOption,
    KeyReused,
    NotInTransaction,
    SchemaMissing,
    StoreBusy,
    StoreUnreachable,
    TwoSqliteBuilds,
    UnsupportedConnection,
)
from dutiful.model.jobs import Enqueued
from dutiful.operations import enqueue, inspect
from dutiful.operations.plan import Step
from tests.contract import lenders
from tests.contract.lenders import Lender
from tests.contract.stores import APP, Clock, jobs, loaded, look, new, opened, write

Make = Callable[[str], Lender]

EVERY = [
    *(pytest.param(("sqlite_url", make), id=f"sqlite-{name}") for name, make in lenders.SQLITE.items()),
    *(pytest.param(("sqlite_apsw_url", make), id=name) for name, make in lenders.APSW.items()),
    *(
        pytest.param(("postgres_url", make), id=f"postgres-{name}", marks=pytest.mark.postgres)
        for name, make in lenders.POSTGRES.items()
    ),
]


class Planted(Exception):
    """What a test makes happen."""


def place(url: str) -> str:
    """Where callers open connections of their own: the path of the file, or the server's URL."""
    return url.removeprefix("sqlite:///").partition("?")[0]


@pytest.fixture(params=EVERY)
def kind(request: pytest.FixtureRequest) -> tuple[str, Make]:
    fixture, make = request.param
    return request.getfixturevalue(fixture), make


@pytest.fixture
def engine(kind: tuple[str, Make]) -> Iterator[Engine]:
    with opened(kind[0]) as engine:
        write(engine, "CREATE TABLE orders (n integer)")
        yield engine


@pytest.fixture
def lender(kind: tuple[str, Make], engine: Engine) -> Iterator[Lender]:
    lender = kind[1](place(kind[0]))
    yield lender
    lender.close()


def orders(engine: Engine) -> list[int]:
    """The caller's own data, as committed."""
    return [row[0] for row in look(engine, "SELECT n FROM orders ORDER BY n")]


def empty(engine: Engine) -> bool:
    """Whether no row of ours is committed."""
    return not any(look(engine, f"SELECT * FROM dutiful.{table}") for table in ("job", "duty", "lane"))


# ── the caller's fate ───────────────────────────────────────────────────────────────────────


def test_jobs_come_with_the_callers_commit_and_not_before(engine: Engine, lender: Lender) -> None:
    one, keyed, batch = new(), new("k"), [new(), new("l"), new("k")]
    lender.begin()
    lender.execute("INSERT INTO orders VALUES (1)")

    assert lender.run(engine, enqueue.one(APP, one)) == Enqueued(one.id, False)
    assert lender.run(engine, enqueue.one(APP, keyed)) == Enqueued(keyed.id, False)
    answers = lender.run(engine, enqueue.many(APP, batch))
    again = lender.run(engine, enqueue.one(APP, new("k")))

    assert answers == [*(Enqueued(job.id, False) for job in batch[:2]), Enqueued(keyed.id, True)]
    assert again == Enqueued(keyed.id, True)
    assert empty(engine) and orders(engine) == []
    lender.commit()
    assert jobs(engine) == sorted(job.id for job in [one, keyed, *batch[:2]])
    assert orders(engine) == [1]


def test_jobs_go_with_the_callers_rollback(engine: Engine, lender: Lender) -> None:
    lender.begin()
    lender.execute("INSERT INTO orders VALUES (1)")
    lender.run(engine, enqueue.one(APP, new()))
    lender.run(engine, enqueue.one(APP, new("k")))
    lender.run(engine, enqueue.many(APP, [new(), new("l")]))

    lender.rollback()

    assert empty(engine) and orders(engine) == []
    # The connection, and the duties, are as good as new.
    lender.begin()
    assert not lender.run(engine, enqueue.one(APP, new("k"))).duplicate
    lender.commit()
    assert len(jobs(engine)) == 1


def test_an_enqueue_may_be_the_first_thing_in_a_transaction(engine: Engine, lender: Lender) -> None:
    engine.run(enqueue.one(APP, new()))  # so that the lane is there, and one statement is all
    for end in (lender.rollback, lender.commit):
        lender.begin()
        lender.run(engine, enqueue.one(APP, new()))
        lender.execute("INSERT INTO orders VALUES (1)")
        assert len(jobs(engine)) == 1 and orders(engine) == []
        end()
    assert len(jobs(engine)) == 2 and orders(engine) == [1]


def test_the_callers_own_savepoint_takes_jobs_along(engine: Engine, lender: Lender) -> None:
    kept, undone = new(), new("k")
    lender.begin()
    lender.execute("INSERT INTO orders VALUES (1)")
    lender.run(engine, enqueue.one(APP, kept))
    lender.execute("SAVEPOINT mine")
    lender.run(engine, enqueue.one(APP, undone))
    lender.run(engine, enqueue.many(APP, [new(), new()]))
    lender.execute("ROLLBACK TO SAVEPOINT mine")
    lender.commit()

    assert jobs(engine) == [kept.id] and orders(engine) == [1]


def test_a_refused_enqueue_leaves_the_transaction_as_it_was(engine: Engine, lender: Lender) -> None:
    known = new("k")
    engine.run(enqueue.one(APP, known))
    before = new()
    lender.begin()
    lender.execute("INSERT INTO orders VALUES (1)")
    lender.run(engine, enqueue.one(APP, before))

    with pytest.raises(KeyReused) as refusal:
        lender.run(engine, enqueue.one(APP, new("k", "{}")))
    with pytest.raises(KeyReused):
        lender.run(engine, enqueue.many(APP, [new(queue="fresh"), new("l"), new("k", "{}")]))

    assert refusal.value.job_id == known.id
    lender.execute("INSERT INTO orders VALUES (2)")
    lender.commit()
    assert jobs(engine) == [known.id, before.id] and orders(engine) == [1, 2]
    assert look(engine, "SELECT key FROM dutiful.duty") == [("k",)]
    assert look(engine, "SELECT queue FROM dutiful.lane") == [("default",)]


@pytest.mark.parametrize("cut", range(1, 5))
def test_an_operation_that_is_cut_leaves_nothing(engine: Engine, lender: Lender, cut: int) -> None:
    """After each of its statements; what the caller wrote stays."""
    held = new("held")
    engine.run(enqueue.one(APP, held))
    done = 0

    def observe(step: Step) -> None:
        nonlocal done
        done += 1
        if done == cut:
            raise Planted

    before = [look(engine, f"SELECT * FROM dutiful.{table}") for table in ("duty", "job", "lane")]
    lender.begin()
    lender.execute("INSERT INTO orders VALUES (1)")
    engine.observe = observe  # type: ignore[attr-defined]
    batch = [new(queue="fresh"), new("l"), new("held")]  # add_lanes, take_duties, look_at_duties, insert
    with pytest.raises(Planted):
        lender.run(engine, enqueue.many(APP, batch))
    engine.observe = None  # type: ignore[attr-defined]
    lender.execute("INSERT INTO orders VALUES (2)")
    lender.commit()

    assert [look(engine, f"SELECT * FROM dutiful.{table}") for table in ("duty", "job", "lane")] == before
    assert orders(engine) == [1, 2]


def test_a_look_needs_no_savepoint_and_sees_the_callers_writes(engine: Engine, lender: Lender) -> None:
    job = new(args='{"n":7}')
    lender.begin()
    lender.run(engine, enqueue.one(APP, job))

    view = lender.run(engine, inspect.job(APP, job.id))

    assert (view.id, view.args, view.state, view.suspect) == (job.id, b'{"n":7}', "ready", False)
    lender.rollback()


def test_a_test_clock_counts_there_too(engine: Engine, lender: Lender) -> None:
    engine.clock = clock = Clock()
    lender.begin()
    lender.run(engine, enqueue.one(APP, new()))
    clock.advance(5)
    lender.run(engine, enqueue.many(APP, [new("k", delay_us=100)]))
    lender.commit()

    rows = look(engine, "SELECT enqueued_at, run_at FROM dutiful.job ORDER BY enqueued_at")
    at = clock.at_us
    assert rows == [(at - 5, at - 5), (at, at + 100)]


def test_odd_values_arrive_as_they_are(engine: Engine, lender: Lender) -> None:
    args = '{"text":"50 % of \\"é\\" \\u0000 %s :now ? $1 \'; --"}'
    key = "50% 'é' :now ? $1 %s %(x)s \\"
    batch = [new(key, args, queue="a%s"), new(key + "2", args, queue="a%s", run_at_us=2**60)]
    lender.begin()
    lender.run(engine, enqueue.one(APP, batch[0]))
    lender.run(engine, enqueue.many(APP, batch[1:]))
    lender.commit()

    rows = look(engine, "SELECT key, args, run_at = 1152921504606846976 FROM dutiful.job ORDER BY id")
    assert [tuple(row) for row in rows] == [(key, args.encode(), False), (key + "2", args.encode(), True)]


def test_many_jobs_in_one_call(engine: Engine, lender: Lender) -> None:
    batch = [new(f"k{n}" if n % 2 else None) for n in range(2500)]
    lender.begin()
    lender.run(engine, enqueue.many(APP, batch))
    assert jobs(engine) == []
    lender.commit()
    assert jobs(engine) == sorted(job.id for job in batch)


def test_only_the_fitting_twin_works(engine: Engine, lender: Lender) -> None:
    runner = engine.bind(lender.lent)
    assert runner.name == engine.name
    lender.begin()

    with pytest.raises(UnsupportedConnection) as refusal:
        if lender.loop is None:
            asyncio.run(runner.arun(enqueue.one(APP, new())))
        else:
            runner.run(enqueue.one(APP, new()))

    fitting, other = (".enqueue(", ".aenqueue(") if lender.loop is None else (".aenqueue(", ".enqueue(")
    assert f"Call {'' if lender.loop is None else 'await …'}{fitting}…) instead of {other}" in str(
        refusal.value
    )
    lender.rollback()
    assert empty(engine)


# ── the right database ──────────────────────────────────────────────────────────────────────


@pytest.fixture
def elsewhere(kind: tuple[str, Make], engine: Engine, request: pytest.FixtureRequest) -> Iterator[str]:
    """Another database of the same sort, with tables of ours in it."""
    if engine.name == "postgres":
        server, template = (request.getfixturevalue(name) for name in ("pg_server", "migrated_template"))
        name = f"elsewhere_{jobs.__name__}_{id(engine)}"
        yield server.create_database(name, template=template)
        server.drop_database(name)
        return
    url = kind[0].replace("dutiful.db", "elsewhere.db")
    with opened(url) as other:
        other.run(enqueue.one(APP, new()))
    yield place(url)


def test_a_connection_to_another_database_is_refused(
    kind: tuple[str, Make], engine: Engine, elsewhere: str
) -> None:
    stray = kind[1](elsewhere)
    try:
        stray.begin()
        for _ in range(2):  # that it was refused once must not be taken for a check
            with pytest.raises(InvalidOption, match="elsewhere"):
                stray.run(engine, enqueue.one(APP, new("stray")))
        stray.rollback()
    finally:
        stray.close()
    assert empty(engine)


@pytest.mark.postgres
def test_a_database_of_the_same_name_on_another_server_is_refused(
    postgres_url: str, own_pg_server: Any
) -> None:
    name = postgres_url.rpartition("/")[2]
    other = own_pg_server.create_database(name)
    with opened(postgres_url) as engine, opened(other):
        stray = lenders.psycopg_plain(other)
        with pytest.raises(InvalidOption, match="another server"):
            stray.run(engine, enqueue.one(APP, new()))
        stray.close()


@pytest.mark.postgres
def test_a_restarted_server_is_the_same_database(own_pg_server: Any) -> None:
    url = own_pg_server.create_database("shop")
    with opened(url) as engine:
        for _ in range(2):
            lender = lenders.psycopg_plain(url)
            lender.run(engine, enqueue.one(APP, new()))
            lender.commit()
            lender.close()
            own_pg_server.stop()
            own_pg_server.start()
        assert len(jobs(engine)) == 2


def test_a_database_in_memory_is_another_one(sqlite_url: str) -> None:
    with opened(sqlite_url) as engine:
        lender = lenders.standard(":memory:")
        with pytest.raises(InvalidOption, match="a database in memory"):
            lender.run(engine, enqueue.one(APP, new()))
        assert not lender.lent.in_transaction
        lender.close()
    with opened("sqlite:///:memory:") as engine:
        lender = lenders.standard(":memory:")
        with pytest.raises(InvalidOption, match="in memory"):
            lender.run(engine, enqueue.one(APP, new()))
        lender.close()


@pytest.mark.parametrize("how", ["link", "hard link", "relative"])
def test_a_file_is_known_by_any_of_its_names(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with opened(sqlite_url) as engine:
        path, name = Path(place(sqlite_url)), tmp_path / "other.db"
        if how == "link":
            name.symlink_to(path)
        elif how == "relative":
            monkeypatch.chdir(tmp_path)
            name = Path(path.name)
        else:
            engine.close()  # SQLite keeps no log beside a hard link's name
            name.hardlink_to(path)
        lender = lenders.standard(str(name))
        lender.run(engine, enqueue.one(APP, new()))
        lender.commit()
        lender.close()


def test_the_other_sqlite_library_is_refused(sqlite_url: str, sqlite_apsw_url: str) -> None:
    path = place(sqlite_url)
    with opened(sqlite_url):
        pass
    stray = lenders.apsw_manual(path)
    stray.begin()
    engine = open_engine(sqlite_url)
    with pytest.raises(TwoSqliteBuilds):
        stray.run(engine, enqueue.one(APP, new()))
    stray.rollback()
    stray.close()
    engine.close()

    other = lenders.standard(path)
    engine = open_engine(sqlite_apsw_url)
    with pytest.raises(TwoSqliteBuilds):
        other.run(engine, enqueue.one(APP, new()))
    assert not other.lent.in_transaction
    other.close()
    engine.close()


@pytest.mark.parametrize("make", lenders.SQLITE.values(), ids=lenders.SQLITE)
def test_a_connection_of_an_old_build_takes_no_checkpoints(sqlite_url: str, make: Make) -> None:
    """See engines/checkpoints.py: its own could lose commits."""
    with opened(sqlite_url) as engine:
        lender = make(place(sqlite_url))
        lender.begin()
        lender.run(engine, enqueue.one(APP, new()))
        lender.commit()
        kept = _setting(lender, "wal_autocheckpoint")
        assert kept == (0 if affected(sqlite3.sqlite_version_info) else 1000)
        lender.rollback() if lender.begin is lenders._nothing else None
        lender.close()


def _setting(lender: Lender, name: str) -> int:
    """A PRAGMA's value, asked on the caller's own connection."""
    lent = lender.lent
    if lender.loop is not None:
        from sqlalchemy import text

        async def ask() -> int:
            return int((await lent.execute(text(f"PRAGMA {name}"))).scalar())

        return lender.loop.run(ask())
    if hasattr(lent, "vendor"):
        lent = lent.connection
    if isinstance(lent, sqlite3.Connection):
        cursor = lent.cursor()
        cursor.row_factory = None
        return int(cursor.execute(f"PRAGMA {name}").fetchone()[0])
    return int(lender.execute(f"PRAGMA {name}").scalar())


# ── connections that commit by themselves ───────────────────────────────────────────────────


def _autocommitting(url: str) -> Iterator[tuple[str, Lender]]:
    at = place(url)
    if url.endswith("apsw"):
        yield "apsw", lenders.apsw_manual(at)
    elif url.startswith("sqlite"):
        yield "sqlite3", lenders.standard_manual(at)
        if sys.version_info >= (3, 12):
            yield "sqlite3-autocommit", lenders.standard(at, autocommit=True)
        yield "django", lenders.django(at)
        for driver in ("pysqlite", "aiosqlite"):
            yield driver, _alchemy_autocommit(at, driver)
    else:
        yield "psycopg", lenders.psycopg_block(at)
        loop_lender = lenders.psycopg_async(at)
        assert loop_lender.loop is not None
        loop_lender.loop.run(loop_lender.lent.set_autocommit(True))
        yield "psycopg-async", loop_lender
        yield "django", lenders.django(at)
        yield "sqlalchemy", _alchemy_autocommit(at, "psycopg")
        yield "sqlalchemy-async", _alchemy_autocommit(at, "psycopg", asynchronous=True)
        for driver, asynchronous in (("psycopg2", False), ("asyncpg", True)):
            if _installed(driver):
                yield driver, _alchemy_autocommit(at, driver, asynchronous=asynchronous)


def _alchemy_autocommit(at: str, driver: str, asynchronous: bool | None = None) -> Lender:
    if asynchronous or driver == "aiosqlite":
        lender = lenders.alchemy_async("connection", driver)(at)
        assert lender.loop is not None
        lender.loop.run(lender.lent.execution_options(isolation_level="AUTOCOMMIT"))
    else:
        lender = lenders.alchemy("connection", driver)(at)
        lender.lent.execution_options(isolation_level="AUTOCOMMIT")
    return lender


def _installed(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


def test_a_connection_that_commits_by_itself_is_refused(store_url: str) -> None:
    with opened(store_url) as engine:
        names = []
        for name, lender in _autocommitting(store_url):
            for operation in (enqueue.one(APP, new()), enqueue.many(APP, [new(), new("k")])):
                with pytest.raises(NotInTransaction) as refusal:
                    lender.run(engine, operation)
                assert refusal.value.hint, name
            lender.close()
            assert empty(engine), name
            names.append(name)
        assert names


# ── sqlite3's own habits ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("level", ["", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"])
def test_a_transaction_is_begun_as_sqlite3_would_at_the_next_write(sqlite_url: str, level: str) -> None:
    with opened(sqlite_url) as engine:
        lender = lenders.standard(place(sqlite_url), isolation_level=level)
        begun: list[str] = []
        lender.lent.set_trace_callback(begun.append)

        lender.run(engine, enqueue.one(APP, new()))

        assert [text for text in begun if text.startswith("BEGIN")] == [f"BEGIN {level}".rstrip()]
        assert lender.lent.in_transaction and jobs(engine) == []
        lender.commit()
        assert len(jobs(engine)) == 1
        lender.close()


def test_a_transaction_that_was_begun_for_a_refused_enqueue_is_undone(sqlite_url: str) -> None:
    with opened(sqlite_url) as engine:
        engine.run(enqueue.one(APP, new("k")))
        lender = lenders.standard(place(sqlite_url))

        with pytest.raises(KeyReused):
            lender.run(engine, enqueue.one(APP, new("k", "{}")))

        assert not lender.lent.in_transaction  # it would keep all writers waiting
        assert not engine.run(enqueue.one(APP, new("l"))).duplicate
        lender.close()


def test_a_file_that_is_new_gets_its_tables_before_the_transaction(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    lender = lenders.standard(place(sqlite_url))

    lender.run(engine, enqueue.one(APP, new()))

    lender.commit()
    assert len(jobs(engine)) == 1
    lender.close()
    engine.close()


def test_a_file_whose_tables_the_transaction_keeps_from_being_made(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url + "?timeout=0.1")
    lender = lenders.standard(place(sqlite_url))
    lender.execute("CREATE TABLE orders (n)")
    lender.execute("INSERT INTO orders VALUES (1)")

    with pytest.raises(StoreBusy, match="dutiful migrate"):
        lender.run(engine, enqueue.one(APP, new()))

    lender.commit()
    lender.run(engine, enqueue.one(APP, new()))
    lender.commit()
    assert len(jobs(engine)) == 1
    lender.close()
    engine.close()


def test_a_locked_file_is_said_to_be_busy(sqlite_url: str) -> None:
    with opened(sqlite_url) as engine:
        holder = lenders.standard(place(sqlite_url))
        holder.lent.execute("BEGIN IMMEDIATE")
        lender = lenders.standard(place(sqlite_url), timeout=0.05)
        with pytest.raises(StoreBusy):
            lender.run(engine, enqueue.one(APP, new()))
        assert not lender.lent.in_transaction
        holder.rollback()
        lender.run(engine, enqueue.one(APP, new()))
        lender.commit()
        holder.close()
        lender.close()


# ── PostgreSQL's ────────────────────────────────────────────────────────────────────────────


@pytest.mark.postgres
def test_a_database_error_in_our_savepoint_spares_the_transaction(postgres_url: str) -> None:
    """One outside of it aborts the transaction, as any statement's error does there."""
    import psycopg

    with opened(postgres_url) as engine:
        engine.run(enqueue.one(APP, new()))
        write(engine, "ALTER TABLE dutiful.job ADD CONSTRAINT planted CHECK (task <> 'bad')")
        lender = lenders.psycopg_plain(postgres_url)

        kept = new()
        lender.run(engine, enqueue.one(APP, kept))
        with pytest.raises(psycopg.errors.CheckViolation):
            lender.run(engine, enqueue.many(APP, [new(), new("k", task="bad")]))
        lender.commit()
        assert kept.id in jobs(engine)
        assert look(engine, "SELECT * FROM dutiful.duty") == []

        with pytest.raises(psycopg.errors.CheckViolation):
            lender.run(engine, enqueue.one(APP, new(task="bad")))
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            lender.run(engine, enqueue.one(APP, new()))
        lender.rollback()
        lender.close()


@pytest.mark.postgres
def test_a_cancelled_statement_is_no_lost_server(postgres_url: str) -> None:
    import psycopg

    with opened(postgres_url) as engine:
        holder, lender = lenders.psycopg_plain(postgres_url), lenders.psycopg_plain(postgres_url)
        holder.run(engine, enqueue.one(APP, new("held")))
        lender.execute("SET LOCAL statement_timeout = '50ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            lender.run(engine, enqueue.one(APP, new("held")))
        lender.close()

        gone = lenders.psycopg_plain(postgres_url)
        gone.execute("SELECT 1")
        write(engine, "SELECT pg_terminate_backend(%s)", gone.lent.info.backend_pid)
        with pytest.raises(StoreUnreachable):
            gone.run(engine, enqueue.many(APP, [new()]))
        gone.close()
        holder.close()


@pytest.mark.postgres
@pytest.mark.parametrize("name", ["psycopg", "psycopg-async"])
def test_a_load_goes_with_the_caller(postgres_url: str, name: str) -> None:
    with opened(postgres_url) as engine:
        lender = lenders.POSTGRES[name](postgres_url)
        assert engine.bind(lender.lent).can_copy
        for end, number in ((lender.rollback, 0), (lender.commit, 1200)):
            lender.run(engine, loaded(1200))
            assert jobs(engine) == []
            end()
            assert len(jobs(engine)) == number
        lender.close()


def test_other_kinds_have_no_copy(store_url: str) -> None:
    with opened(store_url) as engine:
        assert engine.can_copy == (engine.name == "postgres")
        make = (
            lenders.APSW["apsw"]
            if store_url.endswith("apsw")
            else lenders.django
            if engine.name == "sqlite"
            else lenders.POSTGRES["sqlalchemy-session"]
        )
        lender = make(place(store_url))
        assert not engine.bind(lender.lent).can_copy
        lender.begin()
        with pytest.raises(TypeError, match="batches"):
            lender.run(engine, loaded(1))
        lender.rollback()
        lender.close()
        assert empty(engine)


@pytest.mark.postgres
def test_without_tables_it_says_so(empty_postgres_url: str) -> None:
    engine = open_engine(empty_postgres_url)
    for make in (lenders.psycopg_plain, lenders.psycopg_async):
        lender = make(empty_postgres_url)
        with pytest.raises(SchemaMissing):
            lender.run(engine, enqueue.one(APP, new()))
        lender.close()
    engine.close()


@pytest.mark.postgres
def test_a_cancelled_enqueue_leaves_nothing_and_the_connection_whole(postgres_url: str) -> None:
    """P32: cancelled while it waits for another transaction's duty."""
    import psycopg

    with opened(postgres_url) as engine:
        write(engine, "CREATE TABLE orders (n integer)")
        holder = lenders.psycopg_plain(postgres_url)
        holder.run(engine, enqueue.one(APP, new("held")))

        async def go() -> None:
            async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
                await connection.execute("INSERT INTO orders VALUES (1)")
                batch = enqueue.many(APP, [new(queue="fresh"), new("held")])
                task = asyncio.create_task(engine.bind(connection).arun(batch))
                pid = connection.info.backend_pid
                while not await asyncio.to_thread(_waits, engine, pid):
                    await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await connection.execute("INSERT INTO orders VALUES (2)")

        asyncio.run(go())
        holder.rollback()
        holder.close()
        assert empty(engine) and orders(engine) == [1, 2]


def _waits(engine: Engine, pid: int) -> bool:
    return look(engine, "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", pid) == [("Lock",)]


# ── what is no connection ───────────────────────────────────────────────────────────────────


def test_what_is_no_connection_is_named(sqlite_url: str) -> None:
    import sqlalchemy

    with opened(sqlite_url) as engine:
        alchemy = sqlalchemy.create_engine("sqlite://")
        for thing, name in ((object(), "a object"), (None, "a NoneType"), (alchemy, "sqlalchemy.engine")):
            with pytest.raises(UnsupportedConnection, match=name) as refusal:
                engine.bind(thing)
            assert "Known are" in refusal.value.hint


@pytest.mark.postgres
def test_a_connection_of_the_other_sort_of_database_is_named(postgres_url: str, sqlite_url: str) -> None:
    with opened(postgres_url) as server, opened(sqlite_url) as file:
        lender = lenders.standard(place(sqlite_url))
        with pytest.raises(UnsupportedConnection, match="PostgreSQL"):
            server.bind(lender.lent)
        lender.close()
        lender = lenders.psycopg_plain(postgres_url)
        with pytest.raises(UnsupportedConnection, match="SQLite"):
            file.bind(lender.lent)
        lender.close()
        for engine, at, make in (
            (server, place(sqlite_url), lenders.django),
            (server, place(sqlite_url), lenders.SQLITE["sqlalchemy-session"]),
            (file, postgres_url, lenders.django),
            (file, postgres_url, lenders.POSTGRES["sqlalchemy-session"]),
        ):
            lender = make(at)
            lender.begin()
            with pytest.raises(InvalidOption, match="leads to"):
                lender.run(engine, enqueue.one(APP, new()))
            lender.rollback()
            lender.close()


def test_a_session_without_one_database_is_told_what_to_give(sqlite_url: str) -> None:
    from sqlalchemy import orm

    with opened(sqlite_url) as engine:
        with pytest.raises(UnsupportedConnection, match="bind_arguments"):
            engine.bind(orm.Session()).run(enqueue.one(APP, new()))


def test_kinds_are_told_by_inheritance() -> None:
    class Mine(sqlite3.Connection):
        pass

    mine = Mine(":memory:")
    assert kind_of(mine) == "sqlite3"
    mine.close()


def test_binding_loads_no_library_of_another_kind() -> None:
    program = """
import sqlite3, sys, tempfile
from dutiful.engines.urls import open_engine
from dutiful.operations import enqueue
from tests.contract.stores import new
engine = open_engine("sqlite:///" + tempfile.mkdtemp() + "/jobs.db")
connection = sqlite3.connect(engine.path)
try:
    engine.bind(object())
except Exception:
    pass
engine.bind(connection).run(enqueue.one("shop", new()))
print(sorted({"psycopg", "apsw", "sqlalchemy", "django"} & set(sys.modules)))
"""
    # The tests' own module for engines imports both; the program needs only its makers of jobs.
    program = program.replace("from tests.contract.stores import new", _NEW)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


_NEW = """
from dutiful.model.ids import make_id
from dutiful.model.jobs import NewJob
new = lambda: NewJob(make_id(), "send", "default", 0, b"{}")
"""
