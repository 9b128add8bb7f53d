"""The ledger alone: the schema's own, made in any order, as often as one likes, by URL or connection."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dutiful.engines.contract import Engine
from dutiful.engines.ledgers import PARTS, make_ledger, pending
from dutiful.engines.urls import open_engine
from dutiful.model.errors import InvalidUrl, NotInTransaction, StoreBusy, UnsupportedConnection
from dutiful.operations import verify
from tests.contract import lenders
from tests.contract.stores import look, opened, write
from tests.contract.turn_callers import place, seen

POSTGRES_SHAPE = (
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a"
    " WHERE a.attrelid = 'dutiful.ledger'::regclass AND a.attnum > 0 ORDER BY a.attnum",
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE conrelid = 'dutiful.ledger'::regclass ORDER BY 1",
    "SELECT proname, prosrc FROM pg_proc WHERE oid IN"
    " ('dutiful.ledger_settled'::regproc, 'dutiful.ledger_kept'::regproc) ORDER BY 1",
    "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'dutiful.ledger'::regclass ORDER BY 1",
    "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'dutiful.ledger'::regclass ORDER BY 1",
    "SELECT reloptions FROM pg_class WHERE oid = 'dutiful.ledger'::regclass",
)


def shape(engine: Engine) -> list[Any]:
    """All that there is about the ledger, as the database tells it."""
    if engine.name == "postgres":
        return [look(engine, question) for question in POSTGRES_SHAPE]
    rows = look(
        engine, "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 'dutiful_ledger' ORDER BY 2"
    )
    return [(kind, name, re.sub(r'--[^\n]*|\s|"', "", sql or "")) for kind, name, sql in rows]


@pytest.fixture(
    params=[
        pytest.param("sqlite_url", id="sqlite"),
        pytest.param("sqlite_apsw_url", id="sqlite-apsw"),
        pytest.param("empty_postgres_url", id="postgres", marks=pytest.mark.postgres),
    ]
)
def bare_url(request: pytest.FixtureRequest) -> str:
    """A database without any table of ours."""
    url: str = request.getfixturevalue(request.param)
    return url


@contextmanager
def full(url: str) -> Iterator[Engine]:
    """One with all tables, made by the migrations."""
    with opened(url) as engine:
        yield engine


def second(url: str, request: pytest.FixtureRequest) -> str:
    """Another bare database of the same sort."""
    if url.startswith("sqlite"):
        return url.replace("dutiful.db", "second.db")
    server = request.getfixturevalue("pg_server")
    name = f"second_{id(request)}"
    request.addfinalizer(lambda: server.drop_database(name))
    return str(server.create_database(name))


def test_it_is_the_schemas_own_whatever_came_first(bare_url: str, request: pytest.FixtureRequest) -> None:
    other = second(bare_url, request)
    with full(other) as engine:
        wanted = shape(engine)
        assert len(wanted) == (6 if engine.name == "postgres" else 3) and wanted[0]
        # beside a full schema
        assert make_ledger(other) is False
        assert shape(engine) == wanted

    with seen(bare_url) as engine:
        assert make_ledger(bare_url) is True
        assert shape(engine) == wanted
        assert make_ledger(bare_url) is False
        assert tables(engine) == ["ledger"]
        write(
            engine,
            "INSERT INTO dutiful.ledger (app, task, key, epoch, kind, at) VALUES ('', '', 'k', 0, 'once', 1)",
        )

    # before a full migration
    with full(bare_url) as engine:
        assert shape(engine) == wanted
        assert len(tables(engine)) > 10
        assert look(engine, "SELECT key FROM dutiful.ledger") == [("k",)]
        engine.check_schema()
        assert engine.run(verify.check(None, full=True)) == []


def tables(engine: Engine) -> list[str]:
    if engine.name == "postgres":
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'dutiful'"
    else:
        sql = "SELECT substr(name, 9) FROM sqlite_master WHERE type = 'table' AND name LIKE 'dutiful%'"
    return sorted(row[0] for row in look(engine, sql))


@pytest.mark.postgres
@pytest.mark.parametrize(
    "lost",
    [
        "TRIGGER ledger_settled ON dutiful.ledger",
        "TRIGGER ledger_result ON dutiful.ledger",
        "INDEX dutiful.ledger_at",
    ],
)
def test_what_was_lost_of_it_is_made_again(empty_postgres_url: str, lost: str) -> None:
    make_ledger(empty_postgres_url)
    with seen(empty_postgres_url) as engine:
        whole = shape(engine)
        write(engine, f"DROP {lost}")
        assert shape(engine) != whole
        assert make_ledger(empty_postgres_url) is True
        assert shape(engine) == whole


@pytest.mark.parametrize("number", range(len(PARTS["postgres"])))
@pytest.mark.postgres
def test_it_is_made_whole_or_not_at_all(
    empty_postgres_url: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Planted(Exception):
        pass

    from dutiful.engines import bound_runner

    done = 0

    def observe(step: object) -> None:
        nonlocal done
        done += 1
        if done == number + 2:  # the first is a look
            raise Planted

    with seen(empty_postgres_url) as engine:
        with monkeypatch.context() as patch:
            patch.setattr(bound_runner, "observer", lambda engine: observe)
            with pytest.raises(Planted):
                make_ledger(empty_postgres_url)
        assert look(engine, "SELECT 1 FROM pg_namespace WHERE nspname = 'dutiful'") == []
        assert make_ledger(empty_postgres_url) is True


EVERY = [
    *(
        pytest.param(("sqlite_url", make), id=f"sqlite-{name}")
        for name, make in lenders.SQLITE.items()
        if "async" not in name
    ),
    *(pytest.param(("sqlite_apsw_url", make), id=name) for name, make in lenders.APSW.items()),
    *(
        pytest.param(("empty_postgres_url", make), id=f"postgres-{name}", marks=pytest.mark.postgres)
        for name, make in lenders.POSTGRES.items()
        if "async" not in name
    ),
]


@pytest.mark.parametrize("kind", EVERY)
def test_it_is_made_in_the_callers_transaction(kind: Any, request: pytest.FixtureRequest) -> None:
    fixture, make = kind
    url = request.getfixturevalue(fixture)
    lender = make(place(url))
    other = second(url, request)
    make_ledger(other)
    with seen(url) as engine, seen(other) as reference:
        lender.begin()
        assert make_ledger(lender.lent) is True
        lender.rollback()
        assert tables(engine) == [] if engine.name == "sqlite" else not _there(engine)
        lender.begin()
        assert make_ledger(lender.lent) is True
        assert make_ledger(lender.lent) is False
        lender.commit()
        assert shape(engine) == shape(reference)
        lender.begin()
        assert make_ledger(lender.lent) is False
        lender.rollback()
    lender.close()


def _there(engine: Engine) -> bool:
    return bool(look(engine, "SELECT 1 FROM pg_namespace WHERE nspname = 'dutiful'"))


@pytest.mark.parametrize("driver", ["aiosqlite", "psycopg", "asyncpg"])
def test_on_sqlalchemys_async_connections_it_is_run_sync(driver: str, request: pytest.FixtureRequest) -> None:
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    pytest.importorskip(driver)
    url = request.getfixturevalue("sqlite_url" if driver == "aiosqlite" else "empty_postgres_url")

    async def both() -> list[bool]:
        engine = create_async_engine(lenders._alchemy_url(place(url), driver))
        async with engine.begin() as connection:
            with pytest.raises(UnsupportedConnection, match="async connection"):
                make_ledger(connection)
            first = await connection.run_sync(make_ledger)
        async with AsyncSession(engine) as session:
            second = await session.run_sync(make_ledger)
        await engine.dispose()
        return [first, second]

    assert asyncio.run(both()) == [True, False]


def test_a_connection_that_commits_by_itself_is_refused(sqlite_url: str) -> None:
    connection = sqlite3.connect(place(sqlite_url), isolation_level=None)
    with pytest.raises(NotInTransaction):
        make_ledger(connection)
    connection.close()


def test_a_plan_makes_no_file_and_memory_is_no_place(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    assert pending(engine) == ["ledger"]
    with pytest.raises(FileNotFoundError), open(place(sqlite_url)):
        pass
    make_ledger(sqlite_url)
    assert pending(engine) == []
    with pytest.raises(InvalidUrl, match="in memory"):
        make_ledger("sqlite:///:memory:")


def test_many_make_it_at_once(bare_url: str) -> None:
    answers: list[object] = []

    def make() -> None:
        try:
            answers.append(make_ledger(bare_url))
        except Exception as error:
            answers.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answer in (True, False) for answer in answers), answers
    assert answers.count(True) >= 1


@pytest.mark.postgres
def test_it_waits_for_a_migrator_but_not_for_ever(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    from dutiful.engines import bound_block, ledgers, postgres_schema

    monkeypatch.setattr(ledgers, "LOCK_TIMEOUT", "20ms")
    monkeypatch.setattr(postgres_schema, "TRIES_MAX", 2)
    monkeypatch.setattr(bound_block, "WAIT_S", 0.02)
    with psycopg.connect(empty_postgres_url) as holder, psycopg.connect(empty_postgres_url) as mine:
        holder.execute("SELECT pg_advisory_xact_lock(%s, 1)", [postgres_schema.LOCK_CLASS])
        with pytest.raises(StoreBusy, match="no lock"):
            make_ledger(empty_postgres_url)
        with pytest.raises(StoreBusy):
            make_ledger(mine)
        holder.rollback()
        assert make_ledger(mine) is True
        assert mine.execute("SHOW lock_timeout").fetchall() == [("0",)]


@pytest.mark.postgres
def test_who_may_not_make_it_may_find_it(empty_postgres_url: str) -> None:
    import psycopg

    make_ledger(empty_postgres_url)
    with psycopg.connect(empty_postgres_url) as connection:
        connection.execute("CREATE ROLE dutiful_guest_of_ledger")
        connection.execute("GRANT USAGE ON SCHEMA dutiful TO dutiful_guest_of_ledger")
        connection.execute("SET ROLE dutiful_guest_of_ledger")
        assert make_ledger(connection) is False
        connection.rollback()


def test_a_row_is_never_changed_once_it_is_written(bare_url: str) -> None:
    make_ledger(bare_url)
    engine = open_engine(bare_url)
    try:
        write(
            engine,
            "INSERT INTO dutiful.ledger (app, task, key, epoch, kind, at) VALUES ('', '', 'k', 0, 'once', 1)",
        )
        write(engine, "UPDATE dutiful.ledger SET result = %s WHERE key = 'k'", b"1")
        for change in ("at = 2", "epoch = 1", "key = 'other'", "result = NULL", "request = 'x'"):
            with pytest.raises(Exception, match="a row of the ledger is never changed"):
                write(engine, f"UPDATE dutiful.ledger SET {change}")
        [(key, at, result)] = look(engine, "SELECT key, at, result FROM dutiful.ledger")
        assert (key, at, bytes(result)) == ("k", 1, b"1")
    finally:
        engine.close()
