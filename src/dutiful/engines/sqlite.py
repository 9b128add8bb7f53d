"""Jobs in one SQLite file: one writer per process, write-ahead log, BEGIN IMMEDIATE for every write.

Promises: an operation is one transaction, whole or nothing; readers never wait for writers; the
instants are this host's clock, for all its workers share the host.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..model import errors
from ..operations.plan import Load, Operation, Rows, Step
from ..sql import EngineName, migrations
from ..sql.render import render
from .bound import bind
from .builds import claim_file, release_file, watch
from .checkpoints import Checkpointer, affected
from .contract import Clock, Runner, host_now
from .drive import Observer, drive
from .filesystems import refuse_network
from .sqlite_drivers import Connection, DriverName
from .sqlite_drivers import driver as find_driver
from .turns import Turn

T = TypeVar("T")

WATCH_S = 0.015
"""How often a waiting worker asks whether somebody wrote to the file (a look at shared memory)."""

READERS_MAX = 4


class SqliteEngine:
    """An engine over one file, or over ``:memory:`` (then one connection does all)."""

    name: EngineName = "sqlite"
    can_copy = False

    def __init__(
        self,
        path: str,
        *,
        driver: DriverName = "sqlite3",
        synchronous: str = "normal",
        timeout_s: float = 5.0,
        clock: Clock | None = None,
        url: str = "",
    ) -> None:
        self.memory = path == ":memory:"
        self.path = path if self.memory else str(Path(path).absolute())
        self.url = url or f"sqlite:///{path}"
        self.clock = clock
        self.observe: Observer | None = None
        self._driver = find_driver(driver)
        self._synchronous = synchronous
        self._timeout_s = timeout_s
        self._waiters = threading.Condition()
        self._wakes = 0
        self._interrupted = False
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._writer: Connection | None = None
        self._readers: list[Connection] = []
        self._watcher: Connection | None = None
        self._turn: Turn | None = None
        self._checkpointer: Checkpointer | None = None
        self._executor: ThreadPoolExecutor | None = None

    # ── running ─────────────────────────────────────────────────────────────────────────────

    def run(self, operation: Operation[T]) -> T:
        """See :class:`~dutiful.engines.contract.Runner`."""
        if self._pid != os.getpid():
            self._forked()
        try:
            if operation.reads and not self.memory:
                return self._read(operation)
            return self._write(operation)
        except Exception as error:
            raise self._translated(error) from error

    async def arun(self, operation: Operation[T]) -> T:
        """See :class:`~dutiful.engines.contract.Runner`; carried out by a thread of this engine's."""
        if self._pid != os.getpid():
            self._forked()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="dutiful-sqlite")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self.run, operation)

    def _write(self, operation: Operation[T]) -> T:
        with self._lock:
            writer = self._writer or self._open_writer()
            if self._turn is None:
                result = self._transact(writer, operation)
            else:
                watch()
                with self._turn:
                    result = self._transact(writer, operation)
            if self._checkpointer is not None:
                self._checkpointer.after_commit(writer)
        return result

    def _transact(self, connection: Connection, operation: Operation[T]) -> T:
        transaction = _Transaction(connection, self.clock, operation.reads)
        return drive(operation, transaction, self.observe, begin_always=True)

    def _read(self, operation: Operation[T]) -> T:
        with self._lock:
            if self._writer is None:
                self._open_writer()
            reader = self._readers.pop() if self._readers else None
        reader = reader or self._connect()
        try:
            return self._transact(reader, operation)
        finally:
            with self._lock:
                if len(self._readers) < READERS_MAX:
                    self._readers.append(reader)
                else:
                    reader.close()

    # ── connections ─────────────────────────────────────────────────────────────────────────

    def _connect(self, read_only: bool = False) -> Connection:
        connection = self._driver.connect(self.path, timeout_s=self._timeout_s, read_only=read_only)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        if affected(self._driver.version):
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection

    def _open_writer(self) -> Connection:
        """Open the file, and bring a new one to this version by itself. Needs the lock."""
        if self.memory:
            writer = self._connect()
        else:
            refuse_network(self.path)
            claim_file(self.path, self._driver.name)
            writer = self._connect()
        try:
            if not self.memory:
                writer.execute("PRAGMA journal_mode = WAL")
            found = self._version(writer)
            if found is None:
                self._upgrade(writer)
            else:
                self._check(found)
        except BaseException:
            writer.close()
            raise
        self._writer = writer
        if not self.memory:
            self._turn = Turn(self.path + "-turn")
            if affected(self._driver.version):
                self._checkpointer = Checkpointer(self.path, self._connect)
        return writer

    def _forked(self) -> None:
        """In a forked child: leave the parent's connections alone (closing one would drop its locks)."""
        if self.memory:
            raise errors.UsedAfterFork("An in-memory store lives in the process that made it.")
        _left_to_parent.append((self._writer, self._readers, self._watcher, self._turn))
        self._waiters = threading.Condition()
        self._reset()

    def _translated(self, error: Exception) -> Exception:
        if "no such table: main.dutiful_" in str(error):
            return errors.SchemaMissing(f"{self.path} has no tables of dutiful's.")
        return self._driver.translate(error, self.path)

    # ── hints ───────────────────────────────────────────────────────────────────────────────

    def wake(self, queue: str) -> None:
        """See :class:`~dutiful.engines.contract.Engine`; other processes see the file change."""
        with self._waiters:
            self._wakes += 1
            self._waiters.notify_all()

    def interrupt(self) -> None:
        """See :class:`~dutiful.engines.contract.Engine`."""
        with self._waiters:
            self._interrupted = True
            self._waiters.notify_all()

    def wait(self, queues: frozenset[str], timeout_s: float) -> bool:
        """See :class:`~dutiful.engines.contract.Engine`."""
        until = time.monotonic() + timeout_s
        if self._watcher is None and not self.memory:
            self._watcher = self._connect()
        seen = self._data_version()
        with self._waiters:
            wakes = self._wakes
            while True:
                if self._interrupted:
                    self._interrupted = False
                    return True
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._waiters.wait(left if self.memory else min(left, WATCH_S))
                if self._wakes != wakes or self._data_version() != seen:
                    return True

    def _data_version(self) -> int:
        if self._watcher is None:
            return 0
        return int(self._watcher.execute("PRAGMA data_version")[0][0])

    # ── schema ──────────────────────────────────────────────────────────────────────────────

    def migrate(self) -> list[str]:
        """See :class:`~dutiful.engines.contract.Engine`."""
        try:
            with self._lock:
                if self._writer is not None:
                    return self._upgrade(self._writer)
                if not self.memory:
                    refuse_network(self.path)
                    claim_file(self.path, self._driver.name)
                writer = self._connect()
                try:
                    if not self.memory:
                        writer.execute("PRAGMA journal_mode = WAL")
                    done = self._upgrade(writer)
                finally:
                    if not self.memory:
                        writer.close()
                if self.memory:
                    self._writer = writer
                return done
        except Exception as error:
            raise self._translated(error) from error

    def pending(self) -> list[str]:
        """The titles of the migrations that :meth:`migrate` would run."""
        with self._lock:
            writer = self._writer or self._connect()
            found = self._version(writer) or 0
            if writer is not self._writer:
                writer.close()
        return [f"{m.number:04} {m.title}" for m in migrations("sqlite") if m.number > found]

    def check_schema(self) -> None:
        """See :class:`~dutiful.engines.contract.Engine`."""
        with self._lock:
            found = self._version(self._writer or self._open_writer())
        if found is None:
            raise errors.SchemaMissing(f"{self.path} has no tables of dutiful's.")
        self._check(found)

    def _version(self, connection: Connection) -> int | None:
        if not connection.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'dutiful_version'"):
            return None
        [(number,)] = connection.execute("SELECT max(number) FROM main.dutiful_version")
        return number  # type: ignore[no-any-return]

    def _check(self, found: int) -> None:
        newest = len(migrations("sqlite"))
        if found > newest:
            raise errors.SchemaTooNew(f"{self.path} has version {found}; this code knows {newest}.")
        if found < newest:
            raise errors.SchemaTooOld(f"{self.path} has version {found}; this code needs {newest}.")

    def _upgrade(self, connection: Connection) -> list[str]:
        done = []
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS main.dutiful_version"
                " (number integer PRIMARY KEY, title text NOT NULL, applied_at integer NOT NULL)"
            )
            found = self._version(connection) or 0
            if found > len(migrations("sqlite")):
                self._check(found)
            for migration in migrations("sqlite"):
                if migration.number > found:
                    for text in _statements(migration.text):
                        connection.execute(text)
                    connection.execute(
                        "INSERT INTO main.dutiful_version VALUES (:number, :title, :now)",
                        {"number": migration.number, "title": migration.title, "now": host_now()},
                    )
                    done.append(f"{migration.number:04} {migration.title}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return done

    # ── the rest ────────────────────────────────────────────────────────────────────────────

    def bind(self, connection: object) -> Runner:
        """See :class:`~dutiful.engines.contract.Engine`."""
        return bind(self, connection)

    def close(self) -> None:
        """See :class:`~dutiful.engines.contract.Engine`."""
        self.interrupt()
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None
        with self._lock:
            for connection in (*self._readers, self._watcher, self._writer):
                if connection is not None:
                    connection.close()
            opened = self._writer is not None
            self._writer, self._readers, self._watcher = None, [], None
            self._turn, self._checkpointer = None, None
        if opened and not self.memory:
            release_file(self.path, self._driver.name)
        self._interrupted = False


_left_to_parent: list[object] = []


class _Transaction:
    """One of ours; what only reads sees one snapshot and takes no lock."""

    def __init__(self, connection: Connection, clock: Clock | None, reads: bool) -> None:
        self._connection = connection
        self._clock = clock
        self._reads = reads

    def begin(self) -> None:
        self._connection.execute("BEGIN" if self._reads else "BEGIN IMMEDIATE")

    def execute(self, step: Step, alone: bool) -> Rows:
        if isinstance(step, Load):
            raise TypeError("SQLite has no COPY; give it batches")
        params = {**step.params, "now": self._clock() if self._clock else host_now()}
        rows: Rows = ()
        for text, _names in render("sqlite", step.name, "named").parts:
            rows = self._connection.execute(text, params)
        return rows

    def commit(self) -> None:
        self._connection.execute("ROLLBACK" if self._reads else "COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _statements(text: str) -> list[str]:
    """Cut a migration into statements; SQLite itself says where one ends (triggers have inner ones)."""
    found, rest = [], ""
    for line in text.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found
