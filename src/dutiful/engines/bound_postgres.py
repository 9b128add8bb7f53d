"""A caller's own psycopg connection, sync or async; how to know that it leads to our database."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..model import errors
from ..operations.plan import Operation, Rows, Step
from ..sql import EngineName
from ..sql.render import Style
from .anywhere import Anywhere
from .bound_runner import BLOCK, SAVEPOINT, Home, SyncRunner, in_our_words, observer
from .drive import adrive
from .postgres_transactions import IDLE, acarry_out, adapt, carry_out

if TYPE_CHECKING:
    from .postgres import PostgresEngine

T = TypeVar("T")

Identity = tuple[str, int]
"""A database, and the microsecond in which its server started: enough to tell two servers apart."""

WHICH = "SELECT current_database()::text, (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint"

_checked: weakref.WeakSet[PostgresEngine] = weakref.WeakSet()
_identities: weakref.WeakKeyDictionary[PostgresEngine, Identity] = weakref.WeakKeyDictionary()
_seen: weakref.WeakKeyDictionary[Any, weakref.WeakSet[PostgresEngine]] = weakref.WeakKeyDictionary()


class PsycopgRunner(SyncRunner):
    """Runs operations on a ``psycopg.Connection``."""

    kind = "a psycopg.Connection"
    style = "dollar"

    def __init__(self, engine: Home, connection: Any) -> None:
        super().__init__(engine)
        self._raw = connection
        self.can_copy = _can_copy(connection)

    def enter(self) -> bool:
        _refuse_autocommit(self._raw)
        if isinstance(self.engine, Anywhere):
            self.engine.url = whereabouts(self._raw)
            return False
        engine = cast("PostgresEngine", self.engine)
        known = _seen.setdefault(self._raw, weakref.WeakSet())
        if engine not in known:
            see_tables(engine)
            [theirs] = _cursor(self._raw).execute(WHICH).fetchall()
            check_database(engine, (theirs[0], theirs[1]))
            known.add(engine)
        return False

    def in_transaction(self) -> bool:
        return not self._raw.closed and self._raw.info.transaction_status != IDLE

    def command(self, text: str) -> None:
        self._raw.execute(text)

    def rows(self, text: str, params: Any) -> Rows:
        cursor = _cursor(self._raw).execute(text, params)
        return cursor.fetchall() if cursor.description else ()

    def execute(self, step: Step) -> Rows:
        return carry_out(_cursor(self._raw), step, self.engine.clock)


class AsyncPsycopgRunner:
    """Runs operations on a ``psycopg.AsyncConnection``."""

    kind = "a psycopg.AsyncConnection"
    style: Style = "dollar"

    def __init__(self, engine: Home, connection: Any) -> None:
        self.name: EngineName = engine.name
        self.engine = engine
        self._raw = connection
        self.can_copy = _can_copy(connection)

    def run(self, operation: Operation[T]) -> T:
        """Refuses: see :func:`wrong_twin`."""
        raise wrong_twin(self.kind)

    async def arun(self, operation: Operation[T]) -> T:
        """See :class:`~dutiful.engines.contract.Runner`; never begins again, never commits."""
        try:
            await self.enter()
            return await adrive(operation, _Savepoint(self, operation.reads), observer(self.engine))
        except Exception as error:
            seen = in_our_words(self.engine, error)
            if seen is error:
                raise
            raise seen from error

    async def enter(self) -> bool:
        """See :meth:`SyncRunner.enter`; nothing is ever begun here."""
        _refuse_autocommit(self._raw)
        if isinstance(self.engine, Anywhere):
            self.engine.url = whereabouts(self._raw)
            return False
        engine = cast("PostgresEngine", self.engine)
        known = _seen.setdefault(self._raw, weakref.WeakSet())
        if engine not in known:
            await asee_tables(engine)
            [theirs] = await (await _acursor(self._raw).execute(WHICH)).fetchall()
            await asyncio.to_thread(check_database, engine, (theirs[0], theirs[1]))
            known.add(engine)
        return False

    def in_transaction(self) -> bool:
        """Whether there is anything to roll back."""
        return not self._raw.closed and self._raw.info.transaction_status != IDLE

    async def command(self, text: str) -> None:
        """Execute a statement without parameters or rows."""
        await self._raw.execute(text)

    async def rows(self, text: str, params: Any) -> Rows:
        """See :meth:`SyncRunner.rows`."""
        cursor = await _acursor(self._raw).execute(text, params)
        return await cursor.fetchall() if cursor.description else ()

    async def execute(self, step: Step) -> Rows:
        """Execute a step."""
        return await acarry_out(_acursor(self._raw), step, self.engine.clock)

    async def open_block(self) -> None:
        """See :meth:`SyncRunner.open_block`."""
        await self.command(f"SAVEPOINT {BLOCK}")

    def block_is_open(self) -> bool:
        """See :meth:`SyncRunner.block_is_open`."""
        return True

    async def keep_block(self) -> None:
        """See :meth:`SyncRunner.keep_block`."""
        await self.command(f"RELEASE SAVEPOINT {BLOCK}")

    async def undo_block(self, error: BaseException) -> None:
        """See :meth:`SyncRunner.undo_block`."""
        await self.command(f"ROLLBACK TO SAVEPOINT {BLOCK}")
        await self.command(f"RELEASE SAVEPOINT {BLOCK}")

    async def leave_block(self) -> None:
        """See :meth:`SyncRunner.leave_block`."""


class _Savepoint:
    def __init__(self, runner: AsyncPsycopgRunner, reads: bool) -> None:
        self._runner = runner
        self._wanted = not reads
        self._made = False

    async def begin(self) -> None:
        if self._wanted:
            await self._runner.command(f"SAVEPOINT {SAVEPOINT}")
            self._made = True

    async def execute(self, step: Step, alone: bool) -> Rows:
        return await self._runner.execute(step)

    async def commit(self) -> None:
        if self._made:
            await self._runner.command(f"RELEASE SAVEPOINT {SAVEPOINT}")

    async def rollback(self) -> None:
        if self._made and self._runner.in_transaction():
            # As for the blocking kinds: what led here says more than what fails now.
            with contextlib.suppress(Exception):
                await self._runner.command(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")
                await self._runner.command(f"RELEASE SAVEPOINT {SAVEPOINT}")


def wrong_twin(kind: str) -> errors.UnsupportedConnection:
    """The error for ``run`` on an async connection."""
    return errors.UnsupportedConnection(
        f"connection= is {kind}, which must be awaited.",
        hint="Call await ….aenqueue(…) instead of .enqueue(…), or give a connection that is not async.",
    )


def whereabouts(raw: Any) -> str:
    """The URL of the database that a psycopg connection leads to, without user and password."""
    info = raw.info
    return f"postgresql://{info.host or 'localhost'}:{info.port}/{info.dbname}"


def see_tables(engine: PostgresEngine) -> None:
    """Once per engine, on connections of ours: which database it is, and that its tables are there.

    Raises SchemaMissing, SchemaTooOld or SchemaTooNew.
    """
    if engine not in _checked:
        engine.check_schema()
        _identify(engine)
        _checked.add(engine)


async def asee_tables(engine: PostgresEngine) -> None:
    """The same, off the event loop."""
    if engine not in _checked:
        await asyncio.to_thread(see_tables, engine)


def check_database(engine: PostgresEngine, theirs: Identity) -> None:
    """Raise InvalidOption unless the caller's connection leads to the engine's database.

    A server that was restarted, or replaced by its standby, has a new identity: asked again, then.
    """
    if _identities.get(engine) == theirs:
        return
    ours = _identify(engine)
    if ours != theirs:
        where = f"a database {theirs[0]} on another server" if ours[0] == theirs[0] else theirs[0]
        raise errors.InvalidOption(
            f"connection= leads to {where}, but this app's jobs are in {engine.shown}.",
            hint="Give a connection to the app's own database; a job stored elsewhere would never run.",
        )


def _identify(engine: PostgresEngine) -> Identity:
    with engine.connect() as connection:
        [row] = connection.execute(WHICH).fetchall()
    _identities[engine] = (row[0], row[1])
    return _identities[engine]


def _refuse_autocommit(raw: Any) -> None:
    if raw.autocommit and raw.info.transaction_status == IDLE:
        raise errors.NotInTransaction(
            "The psycopg connection given is in autocommit and in no transaction.",
            hint="Do it inside `with conn.transaction():` (or connect without autocommit=True).",
        )


def _can_copy(raw: Any) -> bool:
    """COPY works on every connection but one in pipeline mode."""
    return not raw.closed and raw.pgconn.pipeline_status == 0


def _cursor(raw: Any) -> Any:
    """A cursor of our own making: tuples, ``$1``, whatever factories the caller's connection has."""
    from psycopg import RawCursor
    from psycopg.rows import tuple_row

    cursor = RawCursor(raw, row_factory=tuple_row)
    adapt(cursor)
    return cursor


def _acursor(raw: Any) -> Any:
    from psycopg import AsyncRawCursor
    from psycopg.rows import tuple_row

    cursor = AsyncRawCursor(raw, row_factory=tuple_row)
    adapt(cursor)
    return cursor
