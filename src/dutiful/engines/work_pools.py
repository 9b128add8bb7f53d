"""Connections for the bodies of exactly_once tasks on PostgreSQL, apart from dutiful's own.

They have the planner as the user has it, wait for locks for a bounded time, and refuse to end a
transaction by text.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from ..model.errors import StoreBusy
from .lean import WorkConnection
from .work import refuse_ending

if TYPE_CHECKING:
    from .postgres import PostgresEngine

WORK_MAX = 64
"""How many work transactions one process may have open in one database."""
WAIT_S = 30.0
"""How long a run waits for one of them."""
SIZES: dict[str, Any] = {"min_size": 0, "max_size": WORK_MAX, "timeout": WAIT_S, "reconnect_timeout": 5}
LOCK_TIMEOUT_S = 5
"""How long a statement of a body (or of the ledger) waits for a lock, unless the body says otherwise."""
IDLE_TIMEOUT_S = 300
"""How long a transaction may stand still: a body that hangs must not hold its locks for ever."""


class WorkCursor(psycopg.Cursor[Any]):
    """Refuses to end the transaction by text."""

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_ending(query)
        return super().execute(query, *args, **kwargs)


class AsyncWorkCursor(psycopg.AsyncCursor[Any]):
    """The same, awaited."""

    async def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_ending(query)
        return await super().execute(query, *args, **kwargs)


def options(engine: PostgresEngine) -> dict[str, Any]:
    """How the connections of bodies are made."""
    settings = f"-c lock_timeout={LOCK_TIMEOUT_S}s -c idle_in_transaction_session_timeout={IDLE_TIMEOUT_S}s"
    if engine.pooler:
        return {"prepare_threshold": None}
    theirs = psycopg.conninfo.conninfo_to_dict(engine.conninfo).get("options") or ""
    return {"prepare_threshold": 2, "options": f"{settings} {theirs}".strip()}


class WorkPools:
    """One engine's connections for bodies: a pool for threads, one for each event loop."""

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine
        self._opening = threading.Lock()
        self._pool: ConnectionPool[WorkConnection] | None = None
        self._apools: weakref.WeakKeyDictionary[Any, AsyncConnectionPool[Any]] = weakref.WeakKeyDictionary()

    def take(self) -> WorkConnection:
        """A connection that is idle and that the server has not closed."""
        from .postgres import _hung_up

        pool = self._opened()
        while True:
            try:
                connection = pool.getconn()
            except PoolTimeout as error:
                self._engine.connect().close()  # says why, if the server is the reason
                raise StoreBusy(
                    f"All {WORK_MAX} work connections to {self._engine.shown} are in use."
                ) from error
            if not _hung_up(connection):
                return connection
            connection.close()
            pool.putconn(connection)

    def _opened(self) -> ConnectionPool[WorkConnection]:
        """The threads' pool, of which there is one, also when the first two runs ask at once."""
        with self._opening:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self._engine.conninfo,
                    connection_class=WorkConnection,
                    kwargs=options(self._engine) | {"cursor_factory": WorkCursor},
                    open=True,
                    name="dutiful-work",
                    **SIZES,
                )
            return self._pool

    def give_back(self, connection: WorkConnection) -> None:
        """After the transaction. Raises nothing: what became of a commit is being told right then."""
        pool = self._pool
        with contextlib.suppress(ValueError):  # its pool was closed meanwhile, this is the next one
            if pool is not None:
                return pool.putconn(connection)
        connection.close()

    async def atake(self) -> psycopg.AsyncConnection[Any]:
        """The same on an event loop."""
        from .postgres import _hung_up

        loop = asyncio.get_running_loop()
        pool = self._apools.get(loop)
        if pool is None:
            pool = self._apools[loop] = AsyncConnectionPool(
                self._engine.conninfo,
                kwargs=options(self._engine) | {"cursor_factory": AsyncWorkCursor},
                open=False,
                name="dutiful-work-async",
                **SIZES,
            )
            await pool.open()
        while True:
            try:
                connection: psycopg.AsyncConnection[Any] = await pool.getconn()
            except PoolTimeout as error:
                await asyncio.to_thread(lambda: self._engine.connect().close())
                raise StoreBusy(
                    f"All {WORK_MAX} work connections to {self._engine.shown} are in use."
                ) from error
            if not _hung_up(connection):
                return connection
            await connection.close()
            await pool.putconn(connection)

    async def agive_back(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """The same on an event loop."""
        pool = self._apools.get(asyncio.get_running_loop())
        with contextlib.suppress(ValueError):
            if pool is not None:
                return await pool.putconn(connection)
        await connection.close()

    def close(self) -> None:
        """Close the threads' pool; those of loops end with them."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    async def aclose(self) -> None:
        """Close the pool of the running loop."""
        pool = self._apools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.close()
