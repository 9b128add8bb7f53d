"""A SQLAlchemy session in a run's transaction: its commits end savepoints, and keep nothing by themselves.

SQLAlchemy is given the driver's own connection, through dialects that leave COMMIT, ROLLBACK and the
closing of the connection to us. The session itself works in savepoints.
"""

from __future__ import annotations

import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg, PGDialectAsync_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from ..model.errors import UnsupportedConnection

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from .work import AsyncWorkTransaction, WorkTransaction


class _Lent:
    """What a dialect must not do with a connection that is lent to it."""

    supports_statement_cache = True

    def do_commit(self, connection: Any) -> None:
        return None

    def do_rollback(self, connection: Any) -> None:
        return None

    def do_close(self, connection: Any) -> None:
        return None

    def do_terminate(self, connection: Any) -> None:
        return None


class LentPsycopg(_Lent, PGDialect_psycopg):
    """psycopg, lent."""

    supports_statement_cache = True

    @classmethod
    def get_async_dialect_cls(cls, url: Any) -> Any:
        return LentAsyncPsycopg


class LentAsyncPsycopg(_Lent, PGDialectAsync_psycopg):
    """psycopg's async connection, lent."""

    supports_statement_cache = True


class LentSqlite(_Lent, SQLiteDialect_pysqlite):
    """sqlite3, lent."""

    supports_statement_cache = True


registry.register("postgresql.dutiful", __name__, "LentPsycopg")
registry.register("sqlite.dutiful", __name__, "LentSqlite")

_lending = threading.local()
_lent_async: ContextVar[Any] = ContextVar("dutiful_lent_async")
_engines: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_async_engines: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def session(work: WorkTransaction) -> Session:
    """A ``Session`` whose ``commit()`` releases a savepoint. Raises UnsupportedConnection for apsw."""
    if type(work.raw).__module__.partition(".")[0] == "apsw":
        raise UnsupportedConnection(
            "SQLAlchemy has no dialect for apsw, so there is no session in this transaction.",
            hint="Use tx.execute(…) or tx.connection, or open the file by the standard library's sqlite3.",
        )
    engine = _engines.get(work.engine)
    if engine is None:
        url = "postgresql+dutiful://" if work.engine_name == "postgres" else "sqlite+dutiful://"
        engine = sqlalchemy.create_engine(url, creator=lambda: _lending.raw, poolclass=NullPool)
        _engines[work.engine] = engine
    _lending.raw = work.raw
    try:
        connection = engine.connect()
    finally:
        _lending.raw = None
    connection.begin()
    return Session(bind=connection, join_transaction_mode="create_savepoint")


async def async_session(work: AsyncWorkTransaction) -> AsyncSession:
    """An ``AsyncSession``, see :func:`session`."""
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    engine = _async_engines.get(work.engine)
    if engine is None:

        async def creator() -> Any:
            return _lent_async.get()

        engine = create_async_engine("postgresql+dutiful://", async_creator=creator, poolclass=NullPool)
        _async_engines[work.engine] = engine
    token = _lent_async.set(work.raw)
    try:
        connection = await engine.connect()
    finally:
        _lent_async.reset(token)
    await connection.begin()
    return AsyncSession(bind=connection, join_transaction_mode="create_savepoint")
