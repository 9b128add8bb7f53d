"""Work transactions on PostgreSQL, on connections of their own: the planner is the user's there.

The body is given psycopg's connection with the transaction begun: ``commit()`` is refused by the connection,
COMMIT as text by its cursors, and the ledger's deferred trigger keeps nothing of what slips
by. Statements after a ROLLBACK would begin a transaction (no autocommit), which has no ledger row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from ..model.errors import CommitUnknown, LedgerMissing, WorkRolledBack
from ..operations.plan import Call, Operation, Rows, Step
from ..sql import EngineName
from .bound_postgres import AsyncPsycopgRunner, PsycopgRunner
from .contract import Runner
from .drive import adrive, drive
from .lean import WorkConnection
from .postgres_errors import translated
from .postgres_transactions import IDLE, acarry_out, adapt, carry_out, filled
from .soon import Soon
from .work_pools import WorkPools

if TYPE_CHECKING:
    from .postgres import PostgresEngine

T = TypeVar("T")


class PostgresWork:
    """One work transaction of a plain body."""

    engine_name: EngineName = "postgres"
    style = "pyformat"

    def __init__(self, engine: PostgresEngine, pools: WorkPools) -> None:
        self.engine = engine
        self._pools = pools
        self.raw: Any = None
        self.queues: set[str] = set()
        self._session: Any = None
        self._soon: Soon | None = None

    def begin(self) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        self.raw = self._pools.take()
        try:
            self.raw.lean.command(b"BEGIN")
            self.raw.in_work = True
        except BaseException as error:
            self._give_back()
            if isinstance(error, psycopg.Error):
                raise translated(error, self.engine.shown, connecting=True) from error
            raise

    def run(self, operation: Operation[T]) -> T:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        self._send()
        try:
            return drive(operation, _Inside(self), self.engine.observe)
        except psycopg.errors.UndefinedTable as error:
            raise LedgerMissing(f"{self.engine.shown} has no ledger.") from error

    def joined(self) -> Runner:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        self._send()
        return PsycopgRunner(self.engine, self.raw)

    def session(self) -> Any:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        if self._session is None:
            from .work_sqlalchemy import session

            self.lend()
            self._session = session(self)
        return self._session

    def command(self, text: str) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        self.raw.lean.command(text.encode())

    def execute(self, *statement: Any) -> Any:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        if self._soon is None:
            return self.raw.execute(*statement)
        if len(statement) == 2:
            return self._soon.execute(*statement)
        self._soon.flush()  # without parameters psycopg reads the text in another way
        return self.raw.execute(*statement)

    def lend(self) -> Any:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        self._send()
        self._soon = None  # who has the connection itself may use it at any time
        return self.raw

    @contextlib.contextmanager
    def quickly(self) -> Iterator[None]:
        """See :class:`~dutiful.engines.work.WorkTransaction`: what is alike goes together (``soon``)."""
        self._soon = Soon(self.raw)
        try:
            yield
            self._send()
        finally:
            self._soon = None

    def _send(self) -> None:
        if self._soon is not None:
            self._soon.flush()

    def flush(self) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        session, self._session = self._session, None
        if session is not None:
            session.commit()
            session.close()

    def commit(self) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        raw = self.raw
        raw.in_work = False
        try:
            done = raw.lean.command(b"COMMIT")
        except psycopg.Error as error:
            if raw.broken or (error.sqlstate or "08")[:2] in ("08", "57"):
                raise CommitUnknown(
                    f"The connection broke while the work was committed ({error})."
                ) from error
            raise
        finally:
            self._give_back()
        if done != "COMMIT":
            raise WorkRolledBack("A statement of the body had failed, so that the database kept nothing.")

    def rollback(self) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        raw = self.raw
        if raw is None:
            return
        raw.in_work = False
        try:
            if not raw.closed and raw.info.transaction_status != IDLE:
                raw.lean.command(b"ROLLBACK")
        except Exception:
            raw.close()  # whatever is wrong with it, the server takes the transaction back
        finally:
            self._give_back()

    def _give_back(self) -> None:
        raw, self.raw = self.raw, None
        if raw is None:
            return
        raw.in_work = False
        if self._session is not None:
            session, self._session = self._session, None
            with contextlib.suppress(Exception):
                session.close()
        if not raw.closed and raw.info.transaction_status != IDLE:
            raw.close()  # a body that began one more by itself: nothing of it is kept
        self._pools.give_back(raw)


class AsyncPostgresWork:
    """One work transaction of an async body."""

    engine_name: EngineName = "postgres"
    style = "pyformat"

    def __init__(self, engine: PostgresEngine, pools: WorkPools) -> None:
        self.engine = engine
        self._pools = pools
        self.raw: Any = None
        self._block: Any = None
        self.queues: set[str] = set()
        self._session: Any = None

    async def begin(self) -> None:
        """See :meth:`PostgresWork.begin`."""
        self.raw = await self._pools.atake()
        try:
            self._block = self.raw.transaction()
            await self._block.__aenter__()
        except BaseException as error:
            await self._give_back(close=True)
            if isinstance(error, psycopg.Error):
                raise translated(error, self.engine.shown, connecting=True) from error
            raise

    async def run(self, operation: Operation[T]) -> T:
        """See :meth:`PostgresWork.run`."""
        try:
            return await adrive(operation, _AsyncInside(self), self.engine.observe)
        except psycopg.errors.UndefinedTable as error:
            raise LedgerMissing(f"{self.engine.shown} has no ledger.") from error

    def joined(self) -> Runner:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        return AsyncPsycopgRunner(self.engine, self.raw)

    async def session(self) -> Any:
        """See :meth:`PostgresWork.session`."""
        if self._session is None:
            from .work_sqlalchemy import async_session

            self._session = await async_session(self)
        return self._session

    async def flush(self) -> None:
        """See :meth:`PostgresWork.flush`."""
        session, self._session = self._session, None
        if session is not None:
            await session.commit()
            await session.close()

    async def commit(self) -> None:
        """See :meth:`PostgresWork.commit`."""
        raw, block, self._block = self.raw, self._block, None
        try:
            await block.__aexit__(None, None, None)
        except psycopg.Error as error:
            if raw.broken and isinstance(error, psycopg.OperationalError):
                raise CommitUnknown(
                    f"The connection broke while the work was committed ({error})."
                ) from error
            raise
        finally:
            await self._give_back()

    async def rollback(self) -> None:
        """See :meth:`PostgresWork.rollback`."""
        block, self._block = self._block, None
        if self.raw is None:
            return
        try:
            if block is not None and not self.raw.closed:
                failure = psycopg.Rollback(block)
                await block.__aexit__(type(failure), failure, None)
        except Exception:
            await self.raw.close()
        finally:
            await self._give_back()

    async def _give_back(self, close: bool = False) -> None:
        raw, self.raw = self.raw, None
        if raw is None:
            return
        if self._session is not None:
            session, self._session = self._session, None
            with contextlib.suppress(Exception):
                await session.close()
        if close or (not raw.closed and raw.info.transaction_status != IDLE):
            await raw.close()
        await self._pools.agive_back(raw)


class _Inside:
    """Steps in a transaction that is somebody else's to end."""

    def __init__(self, work: PostgresWork) -> None:
        self._raw: WorkConnection = work.raw
        self._clock = work.engine.clock

    def begin(self) -> None:
        return None

    def execute(self, step: Step, alone: bool) -> Rows:
        raw = self._raw
        if isinstance(step, Call) and raw.prepare_threshold is not None:
            text, params = filled(step.name, step.params, self._clock)
            return raw.lean.rows(text, params, anew=step.planned_anew)
        cursor = psycopg.RawCursor(raw, row_factory=psycopg.rows.tuple_row)
        adapt(cursor)
        return carry_out(cursor, step, self._clock)

    def commit(self) -> None:
        return None

    def rollback(self) -> None:
        return None


class _AsyncInside:
    def __init__(self, work: AsyncPostgresWork) -> None:
        self._cursor = psycopg.AsyncRawCursor(work.raw, row_factory=psycopg.rows.tuple_row)
        self._clock = work.engine.clock
        adapt(self._cursor)

    async def begin(self) -> None:
        return None

    async def execute(self, step: Step, alone: bool) -> Rows:
        return await acarry_out(self._cursor, step, self._clock)

    async def commit(self) -> None:
        return None

    async def rollback(self) -> None:
        return None
