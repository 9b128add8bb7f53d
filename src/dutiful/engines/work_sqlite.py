"""Work transactions on SQLite, on a connection of their own whose authorizer refuses to end them.

There is one writer for everybody: while a body works, all others wait. Savepoints are allowed. What the
authorizer cannot see (``INSERT OR ROLLBACK``, ``RAISE(ROLLBACK)``) is seen by the completion, which
looks for the run's ledger row, and on apsw by a commit hook.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from ..model.errors import CommitUnknown, LedgerMissing
from ..operations.plan import Operation, Rows, Step
from ..sql import EngineName
from .bound_runner import SyncRunner, texts
from .contract import Runner
from .drive import drive
from .sqlite_drivers import Connection

if TYPE_CHECKING:
    from .sqlite import SqliteEngine

T = TypeVar("T")

# A driver keeps prepared statements by their text, and asks the authorizer only when it prepares: the
# body must not find ours by writing the same.
_MINE = f"/* {secrets.token_hex(8)} */"
BEGIN = f"BEGIN IMMEDIATE {_MINE}"
COMMIT = f"COMMIT {_MINE}"
ROLLBACK = f"ROLLBACK {_MINE}"


class WorkConnection:
    """The one connection that bodies of a process work on in one file; guarded while they do."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.raw = connection.raw
        self.guarded = False
        self.apsw = not isinstance(self.raw, sqlite3.Connection)
        if self.apsw:
            self.raw.authorizer = self._authorize
            self.raw.set_commit_hook(self._refuses)
        else:
            self.raw.set_authorizer(self._authorize)

    def guard(self, on: bool) -> None:
        """From now on the transaction is ours alone to end, or is not."""
        self.guarded = on
        if not self.apsw:
            # Should the transaction be gone all the same, the library begins one before it writes, and
            # is refused. (Setting it to None commits, so that is done when nothing is open.)
            self.raw.isolation_level = "IMMEDIATE" if on else None
            if not on:
                self.raw.row_factory = None
                self.raw.text_factory = str
        elif not on:
            self.raw.row_trace = None

    def _authorize(self, action: int, one: Any, two: Any, database: Any, trigger: Any) -> int:
        if self.guarded and action == sqlite3.SQLITE_TRANSACTION:
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def _refuses(self) -> bool:
        return self.guarded


class SqliteWork:
    """One work transaction of a plain body."""

    engine_name: EngineName = "sqlite"
    style = "named"

    def __init__(self, engine: SqliteEngine, elsewhere: bool) -> None:
        self.engine = engine
        self._elsewhere = elsewhere
        self.raw: Any = None
        self._work: WorkConnection | None = None
        self._held = contextlib.ExitStack()
        self.queues: set[str] = set()
        self._session: Any = None

    def begin(self) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        try:
            self._work = self._held.enter_context(self.engine.working(self._elsewhere))
            self._work.connection.execute(BEGIN)
        except Exception as error:
            self._close()
            raise self.engine._translated(error) from error
        self.raw = self._work.raw
        self._work.guard(True)

    def run(self, operation: Operation[T]) -> T:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        try:
            return drive(operation, _Inside(self), self.engine.observe)
        except Exception as error:
            if "no such table: main.dutiful_ledger" in str(error):
                raise LedgerMissing(f"{self.engine.path} has no ledger.") from error
            raise

    def rows(self, text: str, params: Any) -> Rows:
        """By a cursor that no factory of the body's touches."""
        cursor = self.raw.cursor()
        assert self._work is not None
        if self._work.apsw:
            cursor.row_trace = lambda _, row: row
            return cursor.execute(text, params).fetchall()  # type: ignore[no-any-return]
        cursor.row_factory = None
        factory, self.raw.text_factory = self.raw.text_factory, str
        try:
            return cursor.execute(text, params).fetchall()  # type: ignore[no-any-return]
        finally:
            self.raw.text_factory = factory
            cursor.close()

    def joined(self) -> Runner:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        return _Joined(self)

    def session(self) -> Any:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        if self._session is None:
            from .work_sqlalchemy import session

            self._session = session(self)
        return self._session

    def command(self, text: str) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        self.rows(text, {})

    def execute(self, *statement: Any) -> Any:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        return self.raw.execute(*statement)

    def lend(self) -> Any:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        return self.raw

    def quickly(self) -> contextlib.AbstractContextManager[object]:
        """See :class:`~dutiful.engines.work.WorkTransaction`: nothing is ever on its way here."""
        return contextlib.nullcontext()

    def flush(self) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        session, self._session = self._session, None
        if session is not None:
            session.commit()
            session.close()

    def commit(self) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        assert self._work is not None
        self._work.guarded = False
        try:
            self._work.connection.execute(COMMIT)
        except Exception as error:
            if not self._work.connection.in_transaction:
                raise CommitUnknown(f"{self.engine.path}: the commit failed ({error}).") from error
            raise
        finally:
            self.rollback()

    def rollback(self) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        if self._work is None:
            return
        self._end_session()
        self._work.guarded = False
        try:
            if self._work.connection.in_transaction:
                self._work.connection.execute(ROLLBACK)
            self._work.guard(False)
        except Exception:
            self.engine.drop_work()
        finally:
            self._close()

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(Exception):
                session.close()

    def _close(self) -> None:
        self.raw = self._work = None
        self._held.close()


class _Inside:
    """Steps in a transaction that is somebody else's to end."""

    def __init__(self, work: SqliteWork) -> None:
        self._work = work

    def begin(self) -> None:
        return None

    def execute(self, step: Step, alone: bool) -> Rows:
        rows: Rows = ()
        for text, params in texts(self._work.engine, step, "named"):
            rows = self._work.rows(text, params)
        return rows

    def commit(self) -> None:
        return None

    def rollback(self) -> None:
        return None


class _Joined(SyncRunner):
    """The body's own enqueues: the same connection, a savepoint each. Never waits, so it may be awaited."""

    kind = "the run's own transaction"
    style = "named"

    def __init__(self, work: SqliteWork) -> None:
        super().__init__(work.engine)
        self._work = work

    def enter(self) -> bool:
        return False

    def in_transaction(self) -> bool:
        return bool(self._work.raw.in_transaction)

    def command(self, text: str) -> None:
        self._work.rows(text, {})

    def rows(self, text: str, params: Any) -> Rows:
        return self._work.rows(text, params)

    async def arun(self, operation: Operation[T]) -> T:
        return self.run(operation)


class AsyncSqliteWork:
    """One work transaction of an async body: statements are short, waiting for the file is not.

    Waiting is done by a thread, one at a time (there is one writer), so that the loop goes on.
    """

    engine_name: EngineName = "sqlite"
    style = "named"

    def __init__(
        self, engine: SqliteEngine, elsewhere: bool, waiter: ThreadPoolExecutor, committer: ThreadPoolExecutor
    ) -> None:
        self.engine = engine
        self._waiter = waiter
        self._committer = committer
        self._inner = SqliteWork(engine, elsewhere)
        self.queues = self._inner.queues

    @property
    def raw(self) -> Any:
        """The plain connection."""
        return self._inner.raw

    async def begin(self) -> None:
        """See :meth:`SqliteWork.begin`."""
        waiting = self._waiter.submit(self._inner.begin)
        try:
            await asyncio.wrap_future(waiting)
        except asyncio.CancelledError:
            if not waiting.cancel():
                waiting.add_done_callback(lambda _: self._inner.rollback())
            raise

    async def run(self, operation: Operation[T]) -> T:
        """See :meth:`SqliteWork.run`."""
        return self._inner.run(operation)

    def joined(self) -> Runner:
        """See :meth:`SqliteWork.joined`."""
        return self._inner.joined()

    async def session(self) -> Any:
        """Refuses: SQLAlchemy's async sessions want an async driver."""
        from ..model.errors import UnsupportedConnection

        raise UnsupportedConnection(
            "There is no AsyncSession on SQLite here: its transaction is on a plain connection.",
            hint="Use await tx.execute(…), or make the task a plain function and take tx.session().",
        )

    async def flush(self) -> None:
        """Nothing to flush."""

    async def commit(self) -> None:
        """See :meth:`SqliteWork.commit`."""
        await asyncio.wrap_future(self._committer.submit(self._inner.commit))

    async def rollback(self) -> None:
        """See :meth:`SqliteWork.rollback`."""
        self._inner.rollback()
