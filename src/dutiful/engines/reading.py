"""Looking at a store without being able to change it, and never for long.

For pages and whoever else looks on: connections of their own that the database itself keeps from
writing, so that no missed check can, and a limit on each statement, so that a question which is too
wide ends in :class:`~dutiful.model.errors.TooSlow` instead of a page that hangs.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from ..model import errors
from ..operations.plan import Operation
from .builds import claim_file, release_file
from .contract import Engine
from .drive import drive
from .sqlite_drivers import Connection
from .sqlite_drivers import driver as find_driver
from .sqlite_schema import check, version
from .sqlite_transactions import OwnTransaction
from .urls import open_engine

T = TypeVar("T")

LIMIT_S = 2.0
"""How long one statement of a reader may take."""

STEPS_BETWEEN = 2_000
"""SQLite asks about the time after so many steps of its virtual machine (some 0.05 ms)."""

READERS_MAX = 4
CANCELED = "57014"  # PostgreSQL: the statement's time was up
READ_ONLY = "25006"


class Reader(Protocol):
    """What carries out queries, and refuses all else."""

    def run(self, operation: Operation[T]) -> T:
        """Carry out a query. Raises TooSlow, StoreReadOnly for what would write, StoreUnreachable."""
        ...

    def close(self) -> None:
        """Close its connections; it opens new ones if it is used again."""
        ...


def open_reader(engine: Engine, *, limit_s: float = LIMIT_S) -> Reader:
    """A reader of the store that ``engine`` works on; no connection is made yet.

    A store in memory has one connection, which is the engine's: it is read through that.
    """
    if engine.name == "postgres":
        return PostgresReader(engine, limit_s)
    if getattr(engine, "memory", False):
        return MemoryReader(engine)
    return SqliteReader(engine, limit_s)


def _demand_reads(operation: Operation[Any]) -> None:
    if not operation.reads:
        raise errors.StoreReadOnly(f"{operation.name} writes, and this store was opened for reading.")


class MemoryReader:
    """Reads of a store that lives in this process: what writes is refused by its own word alone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, operation: Operation[T]) -> T:
        """See :class:`Reader`."""
        _demand_reads(operation)
        return self._engine.run(operation)

    def close(self) -> None:
        """The engine is its owner's."""


class PostgresReader:
    """Reads on connections whose transactions are read-only and whose statements have a limit.

    Behind a pooler neither can be asked for at connecting: then it is the word of the operation alone.
    """

    def __init__(self, engine: Engine, limit_s: float) -> None:
        self._limit_s = limit_s
        url = engine.url
        if not getattr(engine, "pooler", False):
            url = _with_options(url, limit_s)
        self._engine = open_engine(url, clock=engine.clock)

    def run(self, operation: Operation[T]) -> T:
        """See :class:`Reader`."""
        _demand_reads(operation)
        try:
            return self._engine.run(operation)
        except Exception as error:
            code = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None)
            if code == CANCELED:
                raise _too_slow(operation, self._limit_s) from error
            if code == READ_ONLY:
                raise errors.StoreReadOnly(f"{operation.name} would write; the page only reads.") from error
            raise

    def close(self) -> None:
        """See :class:`Reader`."""
        self._engine.close()


def _with_options(url: str, limit_s: float) -> str:
    """The URL, with settings for its sessions; those that it has stay, for they stand behind ours."""
    base, _, query = url.partition("?")
    ours = f"-c default_transaction_read_only=on -c statement_timeout={int(limit_s * 1000)}"
    parts = []
    for part in filter(None, query.split("&")):
        if part.startswith("options="):
            ours = f"{ours} {_unquoted(part[len('options=') :])}"
        else:
            parts.append(part)
    return f"{base}?{'&'.join([*parts, 'options=' + quote(ours, safe='')])}"


def _unquoted(text: str) -> str:
    from urllib.parse import unquote

    return unquote(text)


def _too_slow(operation: Operation[Any], limit_s: float) -> errors.TooSlow:
    return errors.TooSlow(f"{operation.name.replace('_', ' ')} took more than {limit_s:g} s.")


class SqliteReader:
    """Reads by connections that were opened with ``mode=ro``, watched by a clock."""

    def __init__(self, engine: Engine, limit_s: float) -> None:
        self._engine = engine
        self._limit_s = limit_s
        self._driver = find_driver(_driver_of(engine.url))
        self._path: str = engine.path  # type: ignore[attr-defined]
        self._lock = threading.Lock()
        self._idle: list[_Watched] = []
        self._claimed = False
        self._pid = os.getpid()

    def run(self, operation: Operation[T]) -> T:
        """See :class:`Reader`."""
        _demand_reads(operation)
        if self._pid != os.getpid():  # a forked child leaves its parent's connections alone
            _left_to_parent.append(self._idle)
            self._idle, self._claimed, self._lock, self._pid = [], False, threading.Lock(), os.getpid()
        with self._lock:
            watched = self._idle.pop() if self._idle else None
        try:
            watched = watched or self._connect()
            try:
                watched.until = time.monotonic() + self._limit_s
                own = OwnTransaction(watched.connection, self._engine.clock, operation, "full")
                result = drive(operation, own, begin_always=True)
            except BaseException:
                watched.connection.close()
                raise
        except errors.DutifulError:
            raise
        except Exception as error:
            if "interrupt" in str(error).lower():
                raise _too_slow(operation, self._limit_s) from error
            if "no such table: main.dutiful_" in str(error):
                raise errors.SchemaMissing(f"{self._path} has no tables of dutiful's.") from error
            raise self._driver.translate(error, self._path) from error
        with self._lock:
            if len(self._idle) < READERS_MAX:
                self._idle.append(watched)
                return result
        watched.connection.close()
        return result

    def _connect(self) -> _Watched:
        if not os.path.exists(self._path):
            raise errors.StoreUnreachable(
                f"There is no file {self._path} yet.",
                hint="The first enqueue makes it, and so does a worker.",
            )
        with self._lock:
            if not self._claimed:
                claim_file(self._path, self._driver.name)
                self._claimed = True
        connection = self._driver.connect(self._path, timeout_s=self._limit_s, read_only=True)
        watched = _Watched(connection)
        found = version(connection)
        if found is None:
            connection.close()
            raise errors.SchemaMissing(f"{self._path} has no tables of dutiful's.")
        check(found, self._path)
        connection.raw.set_progress_handler(watched.late, STEPS_BETWEEN)
        return watched

    def close(self) -> None:
        """See :class:`Reader`."""
        with self._lock:
            idle, self._idle = self._idle, []
            claimed, self._claimed = self._claimed, False
        for watched in idle:
            watched.connection.close()
        if claimed:
            release_file(self._path, self._driver.name)


class _Watched:
    """A connection, and the instant (monotonic, seconds) until which its statement may run."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.until = 0.0

    def late(self) -> bool:
        """Asked by SQLite on the way; true interrupts the statement."""
        return time.monotonic() > self.until


def _driver_of(url: str) -> Any:
    return "apsw" if "driver=apsw" in url.partition("?")[2].split("&") else "sqlite3"


_left_to_parent: list[object] = []
