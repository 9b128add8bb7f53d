"""``once_per``: a decorated function runs once per key, whatever gives it its connection."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dutiful.app.once_per import once_per
from dutiful.model.errors import (
    InvalidOption,
    InvalidTask,
    InvalidTemplate,
    NotInTransaction,
    RequestChanged,
    RunError,
    UnsupportedConnection,
)
from tests.contract import lenders
from tests.contract.ledger_stores import (
    apsw_ledger_url,
    ledger_url,
    postgres_ledger_url,
    shared_ledger_url,
    sqlite_ledger_url,
)
from tests.contract.turn_callers import keys, orders, place

__all__ = ["apsw_ledger_url", "ledger_url", "postgres_ledger_url", "shared_ledger_url", "sqlite_ledger_url"]


class Planted(Exception):
    """What a test makes happen."""


Execute = Callable[[Any, str], Any]
Ways = dict[str, Callable[[str, contextlib.ExitStack], tuple[Callable[[], Any], Execute]]]
"""How a user may say ``connect=``, and how SQL is executed on what it gives."""


def _run(connection: Any, sql: str) -> Any:
    return connection.execute(sql)


def _run_alchemy(connection: Any, sql: str) -> Any:
    return connection.execute(lenders._text(sql))


def _run_django(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _alchemy_engine(url: str, stack: contextlib.ExitStack) -> Any:
    import sqlalchemy

    driver = "pysqlite" if url.startswith("sqlite") else "psycopg"
    engine = sqlalchemy.create_engine(lenders._alchemy_url(place(url), driver))
    stack.callback(engine.dispose)
    return engine


def _sessions(url: str, stack: contextlib.ExitStack) -> Any:
    from sqlalchemy.orm import sessionmaker

    return sessionmaker(_alchemy_engine(url, stack))


def _scoped(url: str, stack: contextlib.ExitStack) -> Any:
    from sqlalchemy.orm import scoped_session

    scoped = scoped_session(_sessions(url, stack))
    stack.callback(scoped.remove)
    return lambda: scoped


def _django(url: str, stack: contextlib.ExitStack) -> Any:
    lender = lenders.django(place(url))
    stack.callback(lender.close)
    return lambda: lender.lent


def _pool(url: str, stack: contextlib.ExitStack) -> Any:
    from psycopg_pool import ConnectionPool

    pool = stack.enter_context(ConnectionPool(url, min_size=1))
    return pool.connection


def _psycopg(url: str, stack: contextlib.ExitStack) -> Any:
    import psycopg

    return lambda: psycopg.connect(url)


def _psycopg_autocommit(url: str, stack: contextlib.ExitStack) -> Any:
    import psycopg

    return lambda: psycopg.connect(url, autocommit=True)


def _lasting(make: Any) -> Any:
    def way(url: str, stack: contextlib.ExitStack) -> Any:
        connection = make(url, stack)()
        stack.callback(connection.close)
        return lambda: contextlib.nullcontext(connection)

    return way


def _sqlite(url: str, stack: contextlib.ExitStack) -> Any:
    return lambda: sqlite3.connect(place(url))


def _sqlite_manual(url: str, stack: contextlib.ExitStack) -> Any:
    return lambda: sqlite3.connect(place(url), isolation_level=None)


def _sqlite_closing(url: str, stack: contextlib.ExitStack) -> Any:
    return lambda: contextlib.closing(sqlite3.connect(place(url)))


def _apsw(url: str, stack: contextlib.ExitStack) -> Any:
    import apsw

    return lambda: apsw.Connection(place(url))


BOTH: dict[str, tuple[Any, Execute]] = {
    "engine.connect": (lambda url, stack: _alchemy_engine(url, stack).connect, _run_alchemy),
    "engine.begin": (lambda url, stack: _alchemy_engine(url, stack).begin, _run_alchemy),
    "sessionmaker": (_sessions, _run_alchemy),
    "sessionmaker.begin": (lambda url, stack: _sessions(url, stack).begin, _run_alchemy),
    "scoped_session": (_scoped, _run_alchemy),
    "django": (_django, _run_django),
}
SQLITE = {
    "sqlite3": (_sqlite, _run),
    "sqlite3 manual": (_sqlite_manual, _run),
    "sqlite3 closing": (_sqlite_closing, _run),
    "sqlite3 lasting": (_lasting(_sqlite), _run),
    "sqlite3 manual lasting": (_lasting(_sqlite_manual), _run),
    **BOTH,
}
APSW = {"apsw": (_apsw, _run), "apsw lasting": (_lasting(_apsw), _run)}
POSTGRES = {
    "psycopg": (_psycopg, _run),
    "psycopg autocommit": (_psycopg_autocommit, _run),
    "psycopg lasting": (_lasting(_psycopg), _run),
    "psycopg autocommit lasting": (_lasting(_psycopg_autocommit), _run),
    "pool.connection": (_pool, _run),
    **BOTH,
}


@pytest.fixture(
    params=[
        *(pytest.param(("sqlite_ledger_url", *way), id=f"sqlite-{name}") for name, way in SQLITE.items()),
        *(pytest.param(("apsw_ledger_url", *way), id=name) for name, way in APSW.items()),
        *(
            pytest.param(("postgres_ledger_url", *way), id=f"postgres-{name}", marks=pytest.mark.postgres)
            for name, way in POSTGRES.items()
        ),
    ]
)
def way(request: pytest.FixtureRequest) -> Iterator[tuple[str, Callable[[], Any], Execute]]:
    fixture, make, execute = request.param
    url = request.getfixturevalue(fixture)
    with contextlib.ExitStack() as stack:
        yield url, make(url, stack), execute


def test_it_runs_once_and_gives_the_stored_result(way: tuple[str, Callable[[], Any], Execute]) -> None:
    url, connect, execute = way
    ran = []

    @once_per("charge:{order_id}", connect=connect, into="conn")
    def charge(order_id: int, cents: int = 100, *, conn: Any) -> dict[str, int]:
        """Charge it."""
        ran.append(order_id)
        execute(conn, f"INSERT INTO orders VALUES ({order_id})")
        if cents < 0:
            raise Planted
        return {"charged": order_id * 10 + cents}

    with pytest.raises(Planted):
        charge(7, -1)
    assert keys(url) == [] and orders(url) == []
    assert charge(7) == {"charged": 170}
    assert keys(url) == ["charge:7"] and orders(url) == [7]  # committed
    assert charge(order_id=7) == charge(7, 100) == {"charged": 170}
    with pytest.raises(RequestChanged):
        charge(7, cents=99)
    assert charge(8, cents=1) == {"charged": 81}
    assert ran == [7, 7, 8] and orders(url) == [7, 8]
    assert str(inspect.signature(charge)) == "(order_id: 'int', cents: 'int' = 100) -> 'dict[str, int]'"
    assert (charge.__name__, charge.__doc__) == ("charge", "Charge it.")


def test_a_crowd_in_threads(ledger_url: str) -> None:
    made = []

    def connect() -> Any:
        from tests.contract.once_crowd import patient

        return patient(ledger_url).lent

    @once_per("k", connect=connect)
    def act() -> int:
        made.append(threading.get_ident())
        return made[-1]

    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(act())) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and answers == made * 12


# ── async ───────────────────────────────────────────────────────────────────────────────────


async def _async_ways(url: str) -> list[tuple[str, Any, bool]]:
    """Each with whether its SQL is SQLAlchemy's."""
    from sqlalchemy.ext.asyncio import async_scoped_session, async_sessionmaker, create_async_engine

    driver = "aiosqlite" if url.startswith("sqlite") else "asyncpg"
    engine = create_async_engine(lenders._alchemy_url(place(url), driver))
    sessions = async_sessionmaker(engine)
    scoped = async_scoped_session(sessions, lambda: 1)
    found: list[tuple[str, Any, bool]] = [
        ("engine.connect", engine.connect, True),
        ("engine.begin", engine.begin, True),
        ("sessionmaker", sessions, True),
        ("sessionmaker.begin", sessions.begin, True),
        ("scoped", lambda: scoped, True),
    ]
    if not url.startswith("sqlite"):
        import psycopg
        from psycopg_pool import AsyncConnectionPool

        pool = AsyncConnectionPool(url, min_size=1, open=False)
        await pool.open()
        found += [
            ("psycopg", lambda: psycopg.AsyncConnection.connect(url), False),
            ("psycopg autocommit", lambda: psycopg.AsyncConnection.connect(url, autocommit=True), False),
            ("pool", pool.connection, False),
            ("close", pool.close, False),
        ]
    return [*found, ("close", engine.dispose, False)]


@pytest.mark.parametrize(
    "fixture", ["sqlite_ledger_url", pytest.param("postgres_ledger_url", marks=pytest.mark.postgres)]
)
def test_async_functions_want_async_connections(fixture: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(fixture)
    pytest.importorskip("aiosqlite" if url.startswith("sqlite") else "asyncpg")

    async def act() -> None:
        for number, (name, connect, alchemy) in enumerate(await _async_ways(url)):
            if name == "close":
                await connect()
                continue

            @once_per("{n}", connect=connect, into="conn")
            async def insert(n: int, fail: bool = False, *, conn: Any, alchemy: bool = alchemy) -> date:
                sql = f"INSERT INTO orders VALUES ({n})"
                await conn.execute(lenders._text(sql) if alchemy else sql)
                if fail:
                    raise Planted
                return date(2024, 1, n + 1)

            with pytest.raises(Planted):
                await insert(number, fail=True)
            assert number not in orders(url), name
            for _ in range(2):
                assert await insert(number) == date(2024, 1, number + 1), name
            assert orders(url) == list(range(number + 1)), name

    asyncio.run(act())


def test_the_wrong_kind_of_connection_is_refused(sqlite_ledger_url: str) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(lenders._alchemy_url(place(sqlite_ledger_url), "aiosqlite"))

    @once_per("k", connect=lambda: sqlite3.connect(place(sqlite_ledger_url)))
    async def awaited() -> None: ...

    @once_per("k", connect=engine.connect)
    def plain() -> None: ...

    @once_per("k", connect=lambda: object())
    def nothing() -> None: ...

    @once_per("k", connect=lambda: contextlib.nullcontext(3))
    def three() -> None: ...

    with pytest.raises(UnsupportedConnection, match=r"sqlite3\.Connection"):
        asyncio.run(awaited())
    for function in (plain, nothing, three):
        with pytest.raises(UnsupportedConnection):
            function()


# ── transactions that are not ours ──────────────────────────────────────────────────────────


def test_a_transaction_that_is_open_already_is_not_committed(ledger_url: str) -> None:
    from tests.contract.once_crowd import patient

    lender = patient(ledger_url)
    lender.begin()
    lender.execute("INSERT INTO orders VALUES (1)")

    @once_per("k", connect=lambda: contextlib.nullcontext(lender.lent))
    def left_open() -> None: ...

    with pytest.raises(NotInTransaction, match="did not end"):
        left_open()
    assert orders(ledger_url) == []

    @once_per("k", connect=lambda: lender.lent)
    def given_open() -> None: ...

    lender.execute("INSERT INTO orders VALUES (1)")
    with pytest.raises(InvalidOption, match="not ours to commit"):
        given_open()
    assert orders(ledger_url) == [] and keys(ledger_url) == []


def test_in_djangos_atomic_block_the_outermost_commits(ledger_url: str) -> None:
    if ledger_url.endswith("apsw"):
        pytest.skip("Django has no backend for apsw")
    lender = lenders.django(place(ledger_url))

    @once_per("k", connect=lambda: lender.lent, into="conn")
    def act(*, conn: Any) -> str:
        _run_django(conn, "INSERT INTO orders VALUES (1)")
        return "done"

    for end, kept in ((lender.rollback, []), (lender.commit, [1])):
        lender.begin()
        assert act() == act() == "done"
        end()
        assert orders(ledger_url) == kept
    lender.close()


# ── declarations and arguments ──────────────────────────────────────────────────────────────


@pytest.fixture
def connect(sqlite_ledger_url: str) -> Callable[[], Any]:
    return lambda: sqlite3.connect(place(sqlite_ledger_url))


def test_what_cannot_work_is_refused_when_it_is_declared(connect: Callable[[], Any]) -> None:
    def plain(order_id: int) -> None: ...

    def generator(order_id: int) -> Iterator[int]:
        yield order_id

    class Task:
        def delay(self, order_id: int) -> None: ...

        def __call__(self, order_id: int) -> None: ...

    with pytest.raises(InvalidTemplate, match="did you mean order_id"):
        once_per("k:{order}", connect=connect)(plain)
    with pytest.raises(InvalidTask, match="given by name"):
        once_per("k:{order_id}", connect=connect, into="conn")(plain)
    with pytest.raises(InvalidTask, match="no one result"):
        once_per("k:{order_id}", connect=connect)(generator)
    with pytest.raises(InvalidTask, match="no plain function") as refusal:
        once_per("k:{order_id}", connect=connect)(Task())
    assert "below the job system's decorator" in refusal.value.hint
    with pytest.raises(InvalidTemplate):
        once_per("k:{conn}", connect=connect, into="conn")(lambda order_id, conn: None)


def test_arguments_are_compared_but_for_self_and_defaults(connect: Callable[[], Any]) -> None:
    class Jobs:
        @once_per("a:{n}", connect=connect)
        def act(self, n: int, *rest: int, flag: bool = False, **more: int) -> int:
            return n

    assert Jobs().act(1) == Jobs().act(1, flag=False) == 1
    for args, kwargs in (((1, 2), {}), ((1,), {"flag": True}), ((1,), {"other": 1})):
        with pytest.raises(RequestChanged):
            Jobs().act(*args, **kwargs)
    with pytest.raises(TypeError, match="missing a required argument"):
        Jobs().act()  # type: ignore[call-arg]

    @once_per("b:{n}", connect=connect, compare=False)
    def careless(n: int, thing: object = None) -> str:
        return str(thing)

    assert careless(1, 2) == careless(1, object()) == "2"

    @once_per("c:{n}", connect=connect)
    def strict(n: int, thing: object = None) -> None: ...

    with pytest.raises(InvalidOption, match="no plain data") as refusal:
        strict(1, object())
    assert "compare=False" in refusal.value.hint


def test_scopes_are_apart_and_results_typed(connect: Callable[[], Any]) -> None:
    def made(scope: str) -> Callable[[], tuple[date, str]]:
        @once_per("k", connect=connect, scope=scope)
        def act() -> tuple[date, str]:
            return date(2024, 2, 29), scope

        return act

    for scope in ("", "one", "two"):
        for _ in range(2):
            assert made(scope)() == (date(2024, 2, 29), scope)

    @once_per("nothing", connect=connect)
    def nothing() -> None: ...

    assert nothing() is nothing() is None

    @once_per("odd", connect=connect)
    def odd() -> object:
        return object()

    for _ in range(2):
        with pytest.raises(RunError):
            odd()


def test_a_factorys_connection_is_closed(sqlite_ledger_url: str, tmp_path: Path) -> None:
    made: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        made.append(sqlite3.connect(place(sqlite_ledger_url)))
        return made[-1]

    @once_per("k:{n}", connect=connect)
    def act(n: int) -> None:
        if n == 2:
            raise Planted

    act(1)
    with pytest.raises(Planted):
        act(2)
    assert len(made) == 2
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_celery_checks_arguments_as_callers_see_them(connect: Callable[[], Any]) -> None:
    pytest.importorskip("celery")
    from celery import Celery

    celery = Celery("shop", broker="memory://", set_as_current=False)

    @celery.task
    @once_per("k:{n}", connect=connect, into="conn")
    def act(n: int, *, conn: Any) -> str:
        return f"{n} {type(conn).__name__}"

    assert act.delay(1).id
    for args, kwargs in (((), {}), ((1, 2), {}), ((1,), {"conn": 3})):
        with pytest.raises(TypeError):
            act.apply_async(args, kwargs)
    assert act(1) == act(1) == "1 Connection"
    with pytest.raises(InvalidTask, match="no plain function"):
        once_per("k:{n}", connect=connect)(act)
