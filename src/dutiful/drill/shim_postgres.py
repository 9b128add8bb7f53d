"""The shim of psycopg, plain and async: it stands where both meet, at the generators that send a statement.

A connection to the app's own database leads to the scratch copy; one to any other is refused.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg._connection_base import BaseConnection
from psycopg._cursor_base import BaseCursor
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..engines.lean import Lean
from .boundaries import Track, UnseenIO, is_ours, kind_of, track, value
from .shim_http import put

FAILS = "DO $$ BEGIN RAISE EXCEPTION 'a fault of the drill' USING ERRCODE = '57014'; END $$"
"""In place of a statement that is to fail: the transaction is aborted by the server, as in earnest."""
GONE = "server closed the connection unexpectedly"
Place = Callable[[str], str | None]


def text_of(query: Any) -> str:
    """A statement's text, whatever psycopg takes."""
    if isinstance(query, (str, bytes)):
        return value(query)
    try:
        return str(query.as_string(None))
    except Exception:
        return repr(query)


@contextmanager
def postgres_shim(place: Place) -> Iterator[None]:
    """While it is on, psycopg tells. ``place`` maps a database's name to where it leads, None: refused."""
    with ExitStack() as stack:
        _connecting(place, stack)
        _statements(stack)
        _commits(stack)
        _pools(place, stack)
        yield


def dropping(one: Track, connection: Any) -> None:
    """Close this connection when the run is cut off, or has ended."""
    held = weakref.ref(connection)

    def drop() -> None:
        found = held()
        if found is None or found.closed:
            return
        if one.crashed or found.pgconn.transaction_status != 0:
            found.pgconn.finish()

    one.drops.append(drop)


def _connecting(place: Place, stack: ExitStack) -> None:
    real = BaseConnection.__dict__["_connect_gen"].__func__

    def connect(cls: Any, conninfo: str = "", *args: Any, **kwargs: Any) -> Any:
        given = conninfo_to_dict(conninfo)
        name = str(given.get("dbname") or "")
        led = name if is_ours() else place(name)
        one = track()
        if led is None and one is not None:
            raise UnseenIO(f"The body opened the database {name!r}, which is not that of its app.")
        target = conninfo if led is None else make_conninfo(conninfo, dbname=led)
        connection = yield from real(cls, target, *args, **kwargs)
        if one is not None:
            dropping(one, connection)
        return connection

    stack.enter_context(put(BaseConnection, "_connect_gen", classmethod(connect)))


def _statements(stack: ExitStack) -> None:
    def wrapped(name: str) -> None:
        real = getattr(BaseCursor, name)

        def send(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            one = track()
            sql = text_of(query) if one is not None else ""
            kind = kind_of(sql) if one is not None else None
            if one is None or kind is None:
                return (yield from real(self, query, *args, **kwargs))
            fault = one.at(kind, sql)
            if fault is None:
                return (yield from real(self, query, *args, **kwargs))
            if kind != "commit":
                return (yield from real(self, FAILS, *((None,) if name != "_execute_gen" else ())))
            if fault == "lost_applied":
                yield from real(self, query, *args, **kwargs)
            self._conn.pgconn.finish()
            raise psycopg.OperationalError(GONE)

        stack.enter_context(put(BaseCursor, name, send))

    wrapped("_execute_gen")
    for name in ("_executemany_gen_pipeline", "_executemany_gen_no_pipeline"):
        _many(name, stack)


def _many(name: str, stack: ExitStack) -> None:
    real = getattr(BaseCursor, name)

    def send(self: Any, query: Any, rows: Any, returning: bool) -> Any:
        one = track()
        if one is not None and (kind := kind_of(text_of(query))) is not None and one.at(kind, text_of(query)):
            return (yield from BaseCursor._execute_gen(self, FAILS))
        return (yield from real(self, query, rows, returning))

    stack.enter_context(put(BaseCursor, name, send))


def _commits(stack: ExitStack) -> None:
    real, real_lean = BaseConnection._exec_command, Lean.command

    def command(self: Any, text: Any, *args: Any, **kwargs: Any) -> Any:
        one = track()
        if one is None or kind_of(text_of(text)) != "commit":
            return (yield from real(self, text, *args, **kwargs))
        fault = one.at("commit", "COMMIT")
        if fault is None:
            return (yield from real(self, text, *args, **kwargs))
        if fault == "lost_applied":
            yield from real(self, text, *args, **kwargs)
        self.pgconn.finish()
        raise psycopg.OperationalError(GONE)

    def lean(self: Lean, text: bytes) -> str:
        one = track()
        if one is None or kind_of(text.decode()) != "commit":
            return real_lean(self, text)
        fault = one.at("commit", "COMMIT")
        if fault is None:
            return real_lean(self, text)
        if fault == "lost_applied":
            real_lean(self, text)
        self.connection.pgconn.finish()
        raise psycopg.OperationalError(GONE)

    stack.enter_context(put(BaseConnection, "_exec_command", command))
    stack.enter_context(put(Lean, "command", lean))


def _pools(place: Place, stack: ExitStack) -> None:
    """A pool of the program's keeps connections to an earlier copy: those are thrown away as they come."""
    pools = sys.modules.get("psycopg_pool")
    if pools is None:
        return
    real, areal = pools.ConnectionPool.getconn, pools.AsyncConnectionPool.getconn

    def stale(connection: Any) -> bool:
        led = place(connection.info.dbname)
        return led is not None and connection.info.dbname != led

    def getconn(self: Any, timeout: float | None = None) -> Any:
        while True:
            connection = real(self, timeout)
            if connection.closed or stale(connection):
                with contextlib.suppress(Exception):
                    connection.close()
                self.putconn(connection)
                continue
            if (one := track()) is not None:
                dropping(one, connection)
            return connection

    async def agetconn(self: Any, timeout: float | None = None) -> Any:
        while True:
            connection = await areal(self, timeout)
            if connection.closed or stale(connection):
                with contextlib.suppress(Exception):
                    await connection.close()
                await self.putconn(connection)
                continue
            if (one := track()) is not None:
                dropping(one, connection)
            return connection

    stack.enter_context(put(pools.ConnectionPool, "getconn", getconn))
    stack.enter_context(put(pools.AsyncConnectionPool, "getconn", agetconn))
