"""Jobs in one SQLite file: one writer per process, write-ahead log, BEGIN IMMEDIATE for every write.

Promises: an operation is one transaction, whole or nothing; readers never wait for writers; the
instants are this host's clock, for all its workers share the host.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..model import errors
from ..operations.plan import Operation
from ..sql import EngineName, migrations
from .bound import bind
from .builds import claim_file, release_file, watch
from .checkpoints import NO_CHECKPOINTS, Checkpointer, affected
from .contract import Clock, Runner
from .drive import Observer, drive
from .file_hints import FileHints
from .filesystems import refuse_network
from .sqlite_drivers import Connection, DriverName
from .sqlite_drivers import driver as find_driver
from .sqlite_schema import check, upgrade, version
from .sqlite_transactions import OwnTransaction
from .turns import Turn
from .work import open_work
from .work_sqlite import AsyncSqliteWork, SqliteWork, WorkConnection

T = TypeVar("T")

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
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        # Held by whoever writes, for as long as that takes; always taken before the other.
        self._writing = threading.Lock()
        self._work: WorkConnection | None = None
        self._claimed_for_work = False
        self._waiters_for_work: tuple[ThreadPoolExecutor, ThreadPoolExecutor] | None = None
        self._writer: Connection | None = None
        self._readers: list[Connection] = []
        self._watcher: Connection | None = None
        self._hints = FileHints(None if self.memory else self.path)
        self._turn: Turn | None = None
        self._checkpointer: Checkpointer | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._drops = watch()

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
        self._refuse_inside(operation.name)
        with self._writing:
            with self._lock:
                self._look_out(writing=True)
                writer = self._writer or self._open_writer()
            if self._turn is None:
                result = self._transact(writer, operation)
            else:
                with self._turn:
                    result = self._transact(writer, operation)
                    if self._checkpointer is not None:
                        self._checkpointer.after_commit(writer)
        return result

    def _refuse_inside(self, what: str) -> None:
        """A body that has a transaction open in this file would wait for itself."""
        work = open_work.get()
        if work is not None and work.engine is self:
            raise errors.InsideTransaction(f"{what} would wait for the run's own transaction in {self.path}.")

    def _transact(self, connection: Connection, operation: Operation[T]) -> T:
        transaction = OwnTransaction(connection, self.clock, operation, self._synchronous)
        return drive(operation, transaction, self.observe, begin_always=True)

    def _read(self, operation: Operation[T]) -> T:
        with self._lock:
            self._look_out()
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

    # ── work of bodies ──────────────────────────────────────────────────────────────────────

    def work(self, *, elsewhere: bool = False) -> SqliteWork:
        """A transaction for a plain body; ``elsewhere``: the file holds no jobs, only a ledger."""
        return SqliteWork(self, elsewhere)

    def awork(self, *, elsewhere: bool = False) -> AsyncSqliteWork:
        """The same for an async body."""
        if self._pid != os.getpid():
            self._forked()
        with self._lock:
            if self._waiters_for_work is None:
                # Two, for who commits must not wait behind those who wait for that commit.
                self._waiters_for_work = (ThreadPoolExecutor(1, "dutiful-work"), ThreadPoolExecutor(1))
            waiter, committer = self._waiters_for_work
        return AsyncSqliteWork(self, elsewhere, waiter, committer)

    @contextlib.contextmanager
    def working(self, elsewhere: bool) -> Iterator[WorkConnection]:
        """Hold the right to write, and the connection that bodies work on."""
        if self._pid != os.getpid():
            self._forked()
        self._refuse_inside("a second transaction")
        with self._writing:
            with self._lock:
                self._look_out(writing=True)
                if not elsewhere and self._writer is None:
                    self._open_writer()
                if self._work is None:
                    mine = self._writer if self.memory else None
                    self._work = WorkConnection(mine or self._connection_for_work())
                work, turn = self._work, self._turn
            if turn is None:
                yield work
                return
            with turn:
                yield work
                if self._checkpointer is not None and self._writer is not None:
                    self._checkpointer.after_commit(self._writer)

    def _connection_for_work(self) -> Connection:
        if self._writer is not None:
            return self._connect()
        connection = self._claim()
        self._claimed_for_work = True
        return connection

    def drop_work(self) -> None:
        """Forget the connection of bodies, which is broken. Needs the right to write."""
        self._work = None

    # ── connections ─────────────────────────────────────────────────────────────────────────

    def _connect(self, read_only: bool = False) -> Connection:
        connection = self._driver.connect(self.path, timeout_s=self._timeout_s, read_only=read_only)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        if affected(self._driver.version):
            for pragma in NO_CHECKPOINTS:
                connection.execute(pragma)
        return connection

    def _look_out(self, writing: bool = False) -> None:
        """Open anew what lost its locks because another SQLite library closed the file. Needs the lock.

        ``writing``: the lock for that is held, too; else connections that are at work are left for the
        next write to see to.
        """
        if self.memory:
            return
        drops = watch()
        if drops != self._drops and (writing or self._writing.acquire(blocking=False)):
            try:
                self._drops = drops
                self._close_connections()
            finally:
                if not writing:
                    self._writing.release()

    def _open_writer(self) -> Connection:
        """Open the file, and bring a new one to this version by itself. Needs the lock."""
        if self.memory:
            writer = self._connect()
        else:
            writer = self._claim()
        try:
            if not self.memory:
                writer.execute("PRAGMA journal_mode = WAL")
            found = version(writer)
            if found is None:
                upgrade(writer, self.path)
            else:
                check(found, self.path)
        except BaseException:
            writer.close()
            self._release()
            raise
        self._writer = writer
        if not self.memory:
            self._turn = Turn(self.path + "-turn")
            if affected(self._driver.version):
                self._checkpointer = Checkpointer(self.path, self._connect)
        return writer

    def _claim(self) -> Connection:
        """Open the file for writing, as the only SQLite library in this process that does."""
        refuse_network(self.path)
        claim_file(self.path, self._driver.name)
        try:
            return self._connect()
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        if not self.memory:
            release_file(self.path, self._driver.name)

    def _close_connections(self) -> None:
        """Close all, and give back the claim on the file. Needs the lock."""
        opened = self._writer is not None or self._claimed_for_work
        self._claimed_for_work = False
        if self._work is not None and self._work.connection is not self._writer:
            self._work.connection.close()
        self._work = None
        for connection in (*self._readers, self._watcher, self._writer):
            if connection is not None:
                connection.close()
        self._writer, self._readers, self._watcher = None, [], None
        if self._turn is not None:
            self._turn.close()
        if self._checkpointer is not None:
            self._checkpointer.close()
        self._turn, self._checkpointer = None, None
        if opened:
            self._release()

    def _forked(self) -> None:
        """In a forked child: leave the parent's connections alone (closing one would drop its locks)."""
        if self.memory:
            raise errors.UsedAfterFork("An in-memory store lives in the process that made it.")
        parts = (self._writer, self._readers, self._watcher, self._turn, self._checkpointer, self._work)
        _left_to_parent.append(parts)
        self._reset()

    def _translated(self, error: Exception) -> Exception:
        if "no such table: main.dutiful_" in str(error):
            return errors.SchemaMissing(f"{self.path} has no tables of dutiful's.")
        return self._driver.translate(error, self.path)

    # ── hints ───────────────────────────────────────────────────────────────────────────────

    def wake(self, queue: str) -> None:
        """See :class:`~dutiful.engines.contract.Engine`; other processes see the file change."""
        self._hints.wake()

    def interrupt(self) -> None:
        """See :class:`~dutiful.engines.contract.Engine`."""
        self._hints.interrupt()

    def wait(self, queues: frozenset[str], timeout_s: float) -> bool:
        """See :class:`~dutiful.engines.contract.Engine`."""
        if self._watcher is None and not self.memory:
            self._watcher = self._connect()
        return self._hints.wait(timeout_s, self._data_version)

    def _data_version(self) -> int:
        if self._watcher is None:
            return 0
        return int(self._watcher.execute("PRAGMA data_version")[0][0])

    # ── schema ──────────────────────────────────────────────────────────────────────────────

    def migrate(self) -> list[str]:
        """See :class:`~dutiful.engines.contract.Engine`."""
        try:
            with self._writing, self._lock:
                if self._writer is not None:
                    return upgrade(self._writer, self.path)
                if self.memory:
                    self._writer = self._connect()
                    return upgrade(self._writer, self.path)
                writer = self._claim()
                try:
                    writer.execute("PRAGMA journal_mode = WAL")
                    return upgrade(writer, self.path)
                finally:
                    writer.close()
                    self._release()
        except Exception as error:
            raise self._translated(error) from error

    def pending(self) -> list[str]:
        """The titles of the migrations that :meth:`migrate` would run."""
        with self._lock:
            writer = self._writer or self._connect()
            found = version(writer) or 0
            if writer is not self._writer:
                writer.close()
        return [f"{m.number:04} {m.title}" for m in migrations("sqlite") if m.number > found]

    def check_schema(self) -> None:
        """See :class:`~dutiful.engines.contract.Engine`."""
        with self._lock:
            found = version(self._writer or self._open_writer())
        if found is None:
            raise errors.SchemaMissing(f"{self.path} has no tables of dutiful's.")
        check(found, self.path)

    # ── the rest ────────────────────────────────────────────────────────────────────────────

    def bind(self, connection: object) -> Runner:
        """See :class:`~dutiful.engines.contract.Engine`."""
        return bind(self, connection)

    async def leave_loop(self) -> None:
        """Nothing is a loop's own here."""

    def close(self) -> None:
        """See :class:`~dutiful.engines.contract.Engine`."""
        self._hints.interrupt()
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None
        for executor in self._waiters_for_work or ():
            executor.shutdown()
        self._waiters_for_work = None
        with self._writing, self._lock:
            self._close_connections()
        self._hints.close()


_left_to_parent: list[object] = []
