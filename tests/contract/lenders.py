"""Connections as callers hold them, of every kind that an engine can be bound to, behind one small face."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from dutiful.engines.contract import Engine
from dutiful.operations.plan import Operation


def _nothing() -> None:
    """Most kinds begin by themselves."""


@dataclass
class Lender:
    """A caller with a connection; ``lent`` is what ``connection=`` gets."""

    lent: Any
    execute: Callable[[str], Any]
    commit: Callable[[], Any]
    rollback: Callable[[], Any]
    close: Callable[[], Any]
    begin: Callable[[], Any] = _nothing
    loop: asyncio.Runner | None = None
    """Where an async connection lives; None for one that blocks."""

    def run(self, engine: Engine, operation: Operation[Any]) -> Any:
        """Carry out the operation in the caller's transaction, by the twin that fits."""
        runner = engine.bind(self.lent)
        if self.loop is None:
            return runner.run(operation)
        return self.loop.run(_awaited(runner.arun(operation)))


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


# ── SQLite ──────────────────────────────────────────────────────────────────────────────────


def standard(path: str, **options: Any) -> Lender:
    raw = sqlite3.connect(path, **options)
    return Lender(raw, raw.execute, raw.commit, raw.rollback, raw.close)


def standard_rows(path: str) -> Lender:
    """With factories that change what rows look like."""
    lender = standard(path)
    lender.lent.row_factory = lambda cursor, row: {"row": row}
    lender.lent.text_factory = bytes
    return lender


def standard_manual(path: str) -> Lender:
    raw = sqlite3.connect(path, isolation_level=None)
    return _manual(raw)


def standard_pep249(path: str) -> Lender:
    if sys.version_info < (3, 12):
        pytest.skip("sqlite3 has autocommit= from Python 3.12 on")
    return standard(path, autocommit=False)


def apsw_manual(path: str) -> Lender:
    import apsw

    raw = apsw.Connection(path)
    raw.set_busy_timeout(5000)
    return _manual(raw)


def apsw_rows(path: str) -> Lender:
    lender = apsw_manual(path)
    lender.lent.row_trace = lambda cursor, row: {"row": row}
    return lender


def _manual(raw: Any) -> Lender:
    return Lender(
        raw,
        raw.execute,
        lambda: raw.execute("COMMIT"),
        lambda: raw.execute("ROLLBACK"),
        raw.close,
        begin=lambda: raw.execute("BEGIN"),
    )


# ── psycopg ─────────────────────────────────────────────────────────────────────────────────


def psycopg_plain(conninfo: str) -> Lender:
    import psycopg

    raw = psycopg.connect(conninfo)
    return Lender(raw, raw.execute, raw.commit, raw.rollback, raw.close)


def psycopg_factories(conninfo: str) -> Lender:
    """With rows as dictionaries, and parameters put in by the client."""
    import psycopg
    from psycopg.rows import dict_row

    raw = psycopg.connect(conninfo, row_factory=dict_row, cursor_factory=psycopg.ClientCursor)
    return Lender(raw, raw.execute, raw.commit, raw.rollback, raw.close)


def psycopg_block(conninfo: str) -> Lender:
    """In autocommit, with a transaction block."""
    import psycopg

    raw = psycopg.connect(conninfo, autocommit=True)
    blocks: list[Any] = []

    def begin() -> None:
        blocks.append(raw.transaction())
        blocks[-1].__enter__()

    def leave(kind: type[BaseException] | None) -> None:
        blocks.pop().__exit__(kind, kind and kind(), None)

    return Lender(
        raw, raw.execute, lambda: leave(None), lambda: leave(psycopg.Rollback), raw.close, begin=begin
    )


def psycopg_async(conninfo: str) -> Lender:
    import psycopg

    loop = asyncio.Runner()
    raw = loop.run(psycopg.AsyncConnection.connect(conninfo))

    def close() -> None:
        loop.run(raw.close())
        loop.close()

    return Lender(
        raw,
        lambda sql: loop.run(_awaited(raw.execute(sql))),
        lambda: loop.run(raw.commit()),
        lambda: loop.run(raw.rollback()),
        close,
        loop=loop,
    )


# ── SQLAlchemy ──────────────────────────────────────────────────────────────────────────────


def alchemy(what: str, driver: str) -> Callable[[str], Lender]:
    """A ``Connection``, ``Session`` or ``scoped_session`` over a driver."""

    def lend(at: str) -> Lender:
        import sqlalchemy
        from sqlalchemy import orm

        if driver == "psycopg2":
            pytest.importorskip("psycopg2")
        engine = sqlalchemy.create_engine(_alchemy_url(at, driver))
        lent: Any
        if what == "connection":
            lent = engine.connect()
        elif what == "session":
            lent = orm.Session(engine)
        else:
            lent = orm.scoped_session(orm.sessionmaker(engine))

        def close() -> None:
            lent.close()
            engine.dispose()

        return Lender(lent, lambda sql: lent.execute(_text(sql)), lent.commit, lent.rollback, close)

    return lend


def alchemy_async(what: str, driver: str) -> Callable[[str], Lender]:
    """An ``AsyncConnection``, ``AsyncSession`` or ``async_scoped_session`` over a driver."""

    def lend(at: str) -> Lender:
        from sqlalchemy.ext import asyncio as alchemy

        pytest.importorskip(driver)
        loop = asyncio.Runner()
        engine = alchemy.create_async_engine(_alchemy_url(at, driver))
        lent: Any
        if what == "connection":
            lent = loop.run(_awaited(engine.connect()))
        elif what == "session":
            lent = alchemy.AsyncSession(engine)
        else:
            make = alchemy.async_sessionmaker(engine)
            lent = alchemy.async_scoped_session(make, scopefunc=lambda: 1)

        def close() -> None:
            loop.run(lent.close())
            loop.run(engine.dispose())
            loop.close()

        return Lender(
            lent,
            lambda sql: loop.run(lent.execute(_text(sql))),
            lambda: loop.run(lent.commit()),
            lambda: loop.run(lent.rollback()),
            close,
            loop=loop,
        )

    return lend


def _alchemy_url(at: str, driver: str) -> str:
    if driver in ("pysqlite", "aiosqlite"):
        return f"sqlite+{driver}:///{at}"
    return at.replace("postgresql", f"postgresql+{driver}", 1)


def _text(sql: str) -> Any:
    import sqlalchemy

    return sqlalchemy.text(sql)


# ── Django ──────────────────────────────────────────────────────────────────────────────────

aliases = itertools.count(1)


def django(at: str) -> Lender:
    """``django.db.connection``, as it is for the alias of this database."""
    import django as library
    from django.conf import settings

    if not settings.configured:
        settings.configure(DATABASES={}, USE_TZ=True)
        library.setup()
    from django.db import connections, transaction
    from django.utils.connection import ConnectionProxy

    alias = f"db{next(aliases)}"
    given = {"default": {}, alias: django_settings(at)}
    connections.settings[alias] = connections.configure_settings(given)[alias]
    lent = ConnectionProxy(connections, alias)
    blocks: list[Any] = []

    def begin() -> None:
        blocks.append(transaction.atomic(using=alias))
        blocks[-1].__enter__()

    def leave(rollback: bool) -> None:
        if rollback:
            transaction.set_rollback(True, using=alias)
        blocks.pop().__exit__(None, None, None)

    def execute(sql: str) -> None:
        with lent.cursor() as cursor:
            cursor.execute(sql)

    def close() -> None:
        lent.close()
        del connections.settings[alias], connections[alias]

    return Lender(lent, execute, lambda: leave(False), lambda: leave(True), close, begin=begin)


def django_settings(at: str) -> dict[str, Any]:
    if not at.startswith("postgresql"):
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": at}
    import psycopg

    info = psycopg.conninfo.conninfo_to_dict(at)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": info["dbname"],
        "HOST": info.get("host", ""),
        "PORT": info.get("port", ""),
        "USER": info.get("user", ""),
    }


SQLITE: dict[str, Callable[[str], Lender]] = {
    "sqlite3": standard,
    "sqlite3-factories": standard_rows,
    "sqlite3-manual": standard_manual,
    "sqlite3-autocommit-off": standard_pep249,
    "sqlalchemy-connection": alchemy("connection", "pysqlite"),
    "sqlalchemy-session": alchemy("session", "pysqlite"),
    "sqlalchemy-scoped": alchemy("scoped", "pysqlite"),
    "sqlalchemy-async-connection": alchemy_async("connection", "aiosqlite"),
    "sqlalchemy-async-session": alchemy_async("session", "aiosqlite"),
    "sqlalchemy-async-scoped": alchemy_async("scoped", "aiosqlite"),
    "django": django,
}
APSW: dict[str, Callable[[str], Lender]] = {"apsw": apsw_manual, "apsw-row-trace": apsw_rows}
POSTGRES: dict[str, Callable[[str], Lender]] = {
    "psycopg": psycopg_plain,
    "psycopg-factories": psycopg_factories,
    "psycopg-block": psycopg_block,
    "psycopg-async": psycopg_async,
    "sqlalchemy-connection": alchemy("connection", "psycopg"),
    "sqlalchemy-session": alchemy("session", "psycopg"),
    "sqlalchemy-scoped": alchemy("scoped", "psycopg"),
    "sqlalchemy-session-psycopg2": alchemy("session", "psycopg2"),
    "sqlalchemy-async-connection": alchemy_async("connection", "psycopg"),
    "sqlalchemy-async-session": alchemy_async("session", "psycopg"),
    "sqlalchemy-async-connection-asyncpg": alchemy_async("connection", "asyncpg"),
    "sqlalchemy-async-session-asyncpg": alchemy_async("session", "asyncpg"),
    "django": django,
}
