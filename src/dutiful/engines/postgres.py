"""Jobs in PostgreSQL: an operation is one transaction, on the server's clock.

Promises: whole or nothing; serialization failures and deadlocks begin the operation again; a
connection that breaks before anything was committed is replaced, one that breaks while a commit is
under way gives CommitUnknown, never a guess.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from ..model import errors
from ..operations.plan import Operation
from ..sql import EngineName
from .bound import bind
from .contract import RETRIES_MAX, Clock, Runner
from .drive import Observer, adrive, drive
from .postgres_errors import is_rerun, is_stale, masked, translated
from .postgres_schema import Schema
from .postgres_transactions import AsyncOwnTransaction, OwnTransaction, adapt, lasting
from .wake import Listener, Notifier

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import AsyncConnectionPool, ConnectionPool

    from .work import AsyncWorkTransaction, WorkTransaction
    from .work_pools import WorkPools

T = TypeVar("T")

POOL_MAX = 16
CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 5
"""How long an enqueue waits for another session's open transaction on the same duty."""

# A generic plan made while a queue table was small would scan it whole when it is large, and a hash
# join reads all of it for a batch of a hundred; a bitmap or a sort reads and locks a whole lane for
# its first hundred. Our statements want their indexes, in order, always.
SESSION = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "lock_timeout": f"{LOCK_TIMEOUT_S}s",
    "default_transaction_isolation": r"read\ committed",
}


class PostgresEngine:
    """An engine over one PostgreSQL database."""

    name: EngineName = "postgres"
    can_copy = True

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        try:
            import psycopg
            import psycopg_pool  # noqa: F401
        except ImportError:
            raise errors.DriverMissing(
                "The URL is PostgreSQL's, but psycopg is not installed.",
                hint="Run: pip install 'dutiful[postgres]'",
            ) from None
        self._psycopg = psycopg
        self.url = url
        self.clock = clock
        self.observe: Observer | None = None
        self.conninfo, self.pooler = _conninfo(url, psycopg)
        self._schema = Schema(self.connect, self.shown)
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._checked = False
        self._pool: ConnectionPool[Any] | None = None
        self._apools: weakref.WeakKeyDictionary[Any, AsyncConnectionPool[Any]] = weakref.WeakKeyDictionary()
        self._listener: Listener | None = None
        self._notifier: Notifier | None = None
        self._work_pools: WorkPools | None = None

    @property
    def shown(self) -> str:
        """The database for people: host, port and name, never a password."""
        info = self._psycopg.conninfo.conninfo_to_dict(self.conninfo)
        host, port = info.get("host", "local socket"), info.get("port", "5432")
        return f"{info.get('dbname', '')} at {host}:{port}"

    # ── running ─────────────────────────────────────────────────────────────────────────────

    def run(self, operation: Operation[T]) -> T:
        """See :class:`~dutiful.engines.contract.Runner`."""
        pool = self._open()
        for attempt in range(RETRIES_MAX + 1):
            connection = self._take(pool)
            try:
                transaction = OwnTransaction(connection, self.clock, operation.reads)
                with lasting(connection, operation.durable):
                    return drive(operation, transaction, self.observe)
            except self._psycopg.Error as error:
                if attempt < RETRIES_MAX and (is_rerun(error) or is_stale(error)):
                    time.sleep(random.uniform(0, 0.002 * min(attempt, 10)))
                    continue
                raise translated(error, self.shown) from error
            finally:
                pool.putconn(connection)
        raise AssertionError("unreachable")

    async def arun(self, operation: Operation[T]) -> T:
        """See :class:`~dutiful.engines.contract.Runner`."""
        pool = await self._aopen()
        for attempt in range(RETRIES_MAX + 1):
            connection = await self._atake(pool)
            try:
                transaction = AsyncOwnTransaction(connection, self.clock, operation.reads)
                with lasting(connection, operation.durable):
                    return await adrive(operation, transaction, self.observe)
            except self._psycopg.Error as error:
                if attempt < RETRIES_MAX and (is_rerun(error) or is_stale(error)):
                    await asyncio.sleep(random.uniform(0, 0.002 * min(attempt, 10)))
                    continue
                raise translated(error, self.shown) from error
            except asyncio.CancelledError:
                # The statement may be half way: the connection is not fit for anybody else.
                await asyncio.shield(connection.close())
                raise
            finally:
                await asyncio.shield(pool.putconn(connection))
        raise AssertionError("unreachable")

    # ── work of bodies ──────────────────────────────────────────────────────────────────────

    def work(self, *, elsewhere: bool = False) -> WorkTransaction:
        """A transaction for a plain body; ``elsewhere``: the database holds no jobs, only a ledger."""
        from .work_postgres import PostgresWork

        return PostgresWork(self, self._works())

    def awork(self, *, elsewhere: bool = False) -> AsyncWorkTransaction:
        """The same for an async body."""
        from .work_postgres import AsyncPostgresWork

        return AsyncPostgresWork(self, self._works())

    def _works(self) -> WorkPools:
        if self._pid != os.getpid():
            self._forked()
        if self._work_pools is None:
            # Loaded late: it needs psycopg at import.
            from .work_pools import WorkPools

            self._work_pools = WorkPools(self)
        return self._work_pools

    # ── connections ─────────────────────────────────────────────────────────────────────────

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0}
        if self.pooler:
            options["prepare_threshold"] = None
        else:
            mine = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
            theirs = self._psycopg.conninfo.conninfo_to_dict(self.conninfo).get("options") or ""
            options["options"] = f"{mine} {theirs}".strip()
        return options

    def connect(self) -> psycopg.Connection[Any]:
        """A new connection of our own; raises StoreUnreachable and the like."""
        try:
            connection = self._psycopg.connect(
                self.conninfo, cursor_factory=self._psycopg.RawCursor, **self._options()
            )
        except self._psycopg.Error as error:
            raise translated(error, self.shown, connecting=True) from error
        adapt(connection)
        return connection

    def _open(self) -> ConnectionPool[Any]:
        if self._pid != os.getpid():
            self._forked()
        if self._pool is None or not self._checked:
            with self._lock:
                if not self._checked:
                    self._schema.check()
                    self._checked = True
                if self._pool is None:
                    from psycopg_pool import ConnectionPool

                    self._pool = ConnectionPool(
                        self.conninfo,
                        kwargs=self._options() | {"cursor_factory": self._psycopg.RawCursor},
                        min_size=0,
                        max_size=POOL_MAX,
                        configure=adapt,
                        timeout=CONNECT_TIMEOUT_S,
                        reconnect_timeout=CONNECT_TIMEOUT_S,
                        open=True,
                        name="dutiful",
                    )
        return self._pool

    async def _aopen(self) -> AsyncConnectionPool[Any]:
        if self._pid != os.getpid():
            self._forked()
        if not self._checked:
            await asyncio.to_thread(self.check_schema)
        loop = asyncio.get_running_loop()
        pool = self._apools.get(loop)
        if pool is None:
            from psycopg_pool import AsyncConnectionPool

            pool = AsyncConnectionPool(
                self.conninfo,
                kwargs=self._options() | {"cursor_factory": self._psycopg.AsyncRawCursor},
                min_size=0,
                max_size=POOL_MAX,
                configure=_aadapt,
                timeout=CONNECT_TIMEOUT_S,
                reconnect_timeout=CONNECT_TIMEOUT_S,
                open=False,
                name="dutiful-async",
            )
            self._apools[loop] = pool
            await pool.open()
        return pool

    def _take(self, pool: ConnectionPool[Any]) -> psycopg.Connection[Any]:
        """A connection that the server has not closed meanwhile."""
        from psycopg_pool import PoolTimeout

        while True:
            try:
                connection: psycopg.Connection[Any] = pool.getconn()
            except PoolTimeout as error:
                self.connect().close()  # says why, if the server is the reason
                raise errors.StoreBusy(f"All {POOL_MAX} connections to {self.shown} are in use.") from error
            if not _hung_up(connection):
                return connection
            connection.close()
            pool.putconn(connection)

    async def _atake(self, pool: AsyncConnectionPool[Any]) -> psycopg.AsyncConnection[Any]:
        from psycopg_pool import PoolTimeout

        while True:
            try:
                connection: psycopg.AsyncConnection[Any] = await pool.getconn()
            except PoolTimeout as error:
                await asyncio.to_thread(lambda: self.connect().close())
                raise errors.StoreBusy(f"All {POOL_MAX} connections to {self.shown} are in use.") from error
            if not _hung_up(connection):
                return connection
            await connection.close()
            await pool.putconn(connection)

    def _forked(self) -> None:
        """In a forked child: leave the parent's sockets alone, open others."""
        _left_to_parent.append((self._pool, self._apools, self._listener, self._notifier, self._work_pools))
        self._reset()

    # ── hints ───────────────────────────────────────────────────────────────────────────────

    def wake(self, queue: str) -> None:
        """See :class:`~dutiful.engines.contract.Engine`; by a notifier with a connection of its own."""
        if self._pid != os.getpid():
            self._forked()
        if self._notifier is None:
            with self._lock:
                if self._notifier is None:
                    self._notifier = Notifier(self.connect)
        self._notifier.wake(queue)

    def wait(self, queues: frozenset[str], timeout_s: float) -> bool:
        """See :class:`~dutiful.engines.contract.Engine`."""
        if self._listener is None:
            with self._lock:
                if self._listener is None:
                    self._listener = Listener(self.connect, listen=not self.pooler)
        return self._listener.wait(queues, timeout_s)

    def interrupt(self) -> None:
        """See :class:`~dutiful.engines.contract.Engine`."""
        if self._listener is not None:
            self._listener.interrupt()

    # ── the rest ────────────────────────────────────────────────────────────────────────────

    def bind(self, connection: object) -> Runner:
        """See :class:`~dutiful.engines.contract.Engine`."""
        return bind(self, connection)

    def migrate(self) -> list[str]:
        """See :class:`~dutiful.engines.contract.Engine`; an advisory lock lets one do it at a time."""
        return self._schema.migrate()

    def pending(self) -> list[str]:
        """The titles of the migrations that :meth:`migrate` would run."""
        return self._schema.pending()

    def check_schema(self) -> None:
        """See :class:`~dutiful.engines.contract.Engine`."""
        self._schema.check()
        self._checked = True

    def close(self) -> None:
        """See :class:`~dutiful.engines.contract.Engine`."""
        with self._lock:
            pool, self._pool = self._pool, None
            notifier, self._notifier = self._notifier, None
            listener, self._listener = self._listener, None
            self._checked = False
        for part in (notifier, listener, pool, self._work_pools):
            if part is not None:
                part.close()

    async def leave_loop(self) -> None:
        """See :class:`~dutiful.engines.contract.Engine`; a pool that its loop leaves behind may hang it."""
        pool = self._apools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.close()
        if self._work_pools is not None:
            await self._work_pools.aclose()

    async def aclose(self) -> None:
        """Close the connections of the running event loop, too."""
        await self.leave_loop()
        await asyncio.to_thread(self.close)


_left_to_parent: list[object] = []


def _hung_up(connection: Any) -> bool:
    """Whether the server closed an idle connection (a restart): then its socket is readable."""
    try:
        readable, _, _ = select.select([connection.fileno()], [], [], 0)
    except (OSError, ValueError):
        return True
    if readable:
        try:
            connection.pgconn.consume_input()
        except Exception:
            return True
        return bool(connection.pgconn.status != 0)
    return False


async def _aadapt(connection: Any) -> None:
    adapt(connection)


def _conninfo(url: str, psycopg: Any) -> tuple[str, bool]:
    """The URL as libpq takes it, and whether a transaction pooler stands between."""
    pooler = False
    base, _, query = url.partition("?")
    kept = []
    for part in filter(None, query.split("&")):
        if part.startswith("pooler="):
            if part != "pooler=transaction":
                raise errors.InvalidUrl(f"pooler is transaction or absent, not {part[7:]!r}.")
            pooler = True
        else:
            kept.append(part)
    conninfo = base + ("?" + "&".join(kept) if kept else "")
    try:
        info = psycopg.conninfo.conninfo_to_dict(conninfo)
    except psycopg.Error as error:
        raise errors.InvalidUrl(
            f"{masked(base)!r} is no PostgreSQL URL: {masked(str(error).strip())}."
        ) from None
    info.setdefault("connect_timeout", CONNECT_TIMEOUT_S)
    info.setdefault("application_name", "dutiful")
    return psycopg.conninfo.make_conninfo(**info), pooler
