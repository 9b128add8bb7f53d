"""The shim of asyncpg: at the methods by which a connection or a prepared statement sends something.

As that of psycopg: the app's own database leads to the scratch copy, any other is refused. Cursors and COPY
are refused, too: what they send cannot be cut off in the middle here.
"""

from __future__ import annotations

import socket
import sys
import weakref
from contextlib import ExitStack, suppress
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from .boundaries import Track, UnseenIO, kind_of, through, track
from .shim_http import put
from .shim_postgres import FAILS, GONE, Place


def asyncpg_shim(place: Place, stack: ExitStack) -> None:
    """While the stack is open, asyncpg tells; ``place`` is as for psycopg."""
    asyncpg: Any = sys.modules.get("asyncpg")
    if asyncpg is None:
        return
    prepared: Any = sys.modules["asyncpg.prepared_stmt"].PreparedStatement
    _connecting(asyncpg, place, stack)
    _statements(asyncpg, prepared, stack)
    for holder, name in (
        (asyncpg.Connection, "_copy_in"),
        (asyncpg.Connection, "_copy_out"),
        (asyncpg.Connection, "cursor"),
        (prepared, "cursor"),
    ):
        stack.enter_context(put(holder, name, _refusing(name.strip("_"), getattr(holder, name))))


def _connecting(asyncpg: Any, place: Place, stack: ExitStack) -> None:
    real = asyncpg.connection.connect

    async def connect(dsn: Any = None, **given: Any) -> Any:
        one = track()
        if one is None:
            return await real(dsn, **given)
        name = given.get("database") or (conninfo_to_dict(str(dsn)).get("dbname") if dsn else None)
        led = place(str(name))
        if led is None:
            raise UnseenIO(f"The body opened the database {name!r}, which is not that of its app.")
        before = through.set(True)
        try:
            connection = await real(dsn, **{**given, "database": led})
        finally:
            through.reset(before)
        dropping(one, connection)
        return connection

    stack.enter_context(put(asyncpg.connection, "connect", connect))
    stack.enter_context(put(asyncpg, "connect", connect))


def _statements(asyncpg: Any, prepared: Any, stack: ExitStack) -> None:
    real, real_do = asyncpg.Connection.execute, asyncpg.Connection._do_execute
    real_bound, real_many = prepared._PreparedStatement__bind_execute, prepared.executemany

    async def told(connection: Any, query: str, act: Any) -> Any:
        """Let it through, or what the plan says instead."""
        one = track()
        kind = kind_of(query) if one is not None else None
        fault = one.at(kind, query) if one is not None and kind is not None else None
        if fault is None:
            return await act()
        if kind != "commit":
            return await real(connection, FAILS)
        if fault == "lost_applied":
            await act()
        connection.terminate()
        raise asyncpg.ConnectionDoesNotExistError(GONE)

    async def execute(self: Any, query: str, *args: Any, **given: Any) -> Any:
        if args:  # comes to _do_execute
            return await real(self, query, *args, **given)
        return await told(self, query, lambda: real(self, query, **given))

    async def do_execute(self: Any, query: str, *args: Any, **given: Any) -> Any:
        return await told(self, query, lambda: real_do(self, query, *args, **given))

    async def bound(self: Any, *args: Any, **given: Any) -> Any:
        return await told(self._connection, self._query, lambda: real_bound(self, *args, **given))

    async def many(self: Any, *args: Any, **given: Any) -> Any:
        return await told(self._connection, self._query, lambda: real_many(self, *args, **given))

    stack.enter_context(put(asyncpg.Connection, "execute", execute))
    stack.enter_context(put(asyncpg.Connection, "_do_execute", do_execute))
    stack.enter_context(put(prepared, "_PreparedStatement__bind_execute", bound))
    stack.enter_context(put(prepared, "executemany", many))


def _refusing(what: str, real: Any) -> Any:
    def refuse(*args: Any, **given: Any) -> Any:
        if track() is not None:
            raise UnseenIO(f"The body used {what} of asyncpg, which a drill does not see into.")
        return real(*args, **given)

    return refuse


def dropping(one: Track, connection: Any) -> None:
    """Close this connection when the run is cut off, or if a transaction is open when it has ended."""
    held = weakref.ref(connection)

    def drop() -> None:
        found = held()
        if found is None or found.is_closed() or not (one.crashed or found.is_in_transaction()):
            return
        raw = found._transport.get_extra_info("socket")
        with suppress(OSError, RuntimeError, AttributeError):  # its loop may have ended before
            raw.shutdown(socket.SHUT_RDWR)
        with suppress(RuntimeError):
            found.terminate()

    one.drops.append(drop)


def is_current(connection: Any, database: str | None) -> bool:
    """Whether a connection leads to this copy, and is open."""
    return not connection.is_closed() and connection._params.database == database
