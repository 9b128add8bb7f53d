"""One transaction of ours on PostgreSQL: its statements, and what a connection that breaks tells.

Also how any psycopg cursor carries out a step; connections that callers lend use that as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..model.errors import CommitUnknown
from ..operations.plan import Call, Load, Rows, Step
from ..sql.render import render, together
from .contract import Clock

if TYPE_CHECKING:
    import psycopg

IDLE = 0  # psycopg's TransactionStatus


class OwnTransaction:
    """On a connection in autocommit, so that a call which is whole by itself is a transaction."""

    def __init__(self, connection: psycopg.Connection[Any], clock: Clock | None, reads: bool) -> None:
        self._connection = connection
        self._clock = clock
        self._reads = reads

    def begin(self) -> None:
        """See :class:`~dutiful.engines.drive.Transaction`."""
        self._connection.execute("BEGIN")

    def execute(self, step: Step, alone: bool) -> Rows:
        """See :class:`~dutiful.engines.drive.Transaction`; one that is alone commits as it ends."""
        try:
            return carry_out(self._connection.cursor(), step, self._clock)
        except Exception as error:
            if alone and not self._reads and _broke(self._connection, error):
                raise _unknown(error) from error
            raise

    def together(self, calls: Sequence[Call]) -> list[Rows]:
        """See :class:`~dutiful.engines.drive.Transaction`."""
        cursor = self._connection.cursor()
        cursor.execute(*_joined(calls, self._clock), binary=True)
        return _parted(cursor.fetchone())

    def commit(self) -> None:
        """See :class:`~dutiful.engines.drive.Transaction`; raises CommitUnknown if no answer came."""
        try:
            self._connection.execute("COMMIT")
        except Exception as error:
            if not self._reads and _broke(self._connection, error):
                raise _unknown(error) from error
            raise

    def rollback(self) -> None:
        """See :class:`~dutiful.engines.drive.Transaction`."""
        if not self._connection.closed and self._connection.info.transaction_status != IDLE:
            self._connection.execute("ROLLBACK")


class AsyncOwnTransaction:
    """The same for an event loop."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], clock: Clock | None, reads: bool) -> None:
        self._connection = connection
        self._clock = clock
        self._reads = reads

    async def begin(self) -> None:
        """See :meth:`OwnTransaction.begin`."""
        await self._connection.execute("BEGIN")

    async def execute(self, step: Step, alone: bool) -> Rows:
        """See :meth:`OwnTransaction.execute`."""
        try:
            return await acarry_out(self._connection.cursor(), step, self._clock)
        except Exception as error:
            if alone and not self._reads and _broke(self._connection, error):
                raise _unknown(error) from error
            raise

    async def together(self, calls: Sequence[Call]) -> list[Rows]:
        """See :meth:`OwnTransaction.together`."""
        cursor = self._connection.cursor()
        await cursor.execute(*_joined(calls, self._clock), binary=True)
        return _parted(await cursor.fetchone())

    async def commit(self) -> None:
        """See :meth:`OwnTransaction.commit`."""
        try:
            await self._connection.execute("COMMIT")
        except Exception as error:
            if not self._reads and _broke(self._connection, error):
                raise _unknown(error) from error
            raise

    async def rollback(self) -> None:
        """See :meth:`OwnTransaction.rollback`."""
        if not self._connection.closed and self._connection.info.transaction_status != IDLE:
            await self._connection.execute("ROLLBACK")


@contextmanager
def lasting(connection: Any, durable: bool) -> Iterator[None]:
    """Around an operation whose commit must last: CommitUnknown if it may be lost with this server.

    A wait for a synchronous standby that was cancelled ends in a warning and a commit that is only here;
    its words are in the server's language, so that any warning counts.
    """
    if not durable:
        yield
        return
    said: list[str] = []

    def note(notice: Any) -> None:
        if notice.severity_nonlocalized == "WARNING":
            said.append(notice.message_primary)

    connection.add_notice_handler(note)
    try:
        yield
    finally:
        connection.remove_notice_handler(note)
    if said:
        raise CommitUnknown(f"It was committed, but perhaps not to last ({said[0]}).")


def carry_out(cursor: Any, step: Step, clock: Clock | None) -> Rows:
    """Execute a step on a cursor that takes ``$1`` and gives tuples."""
    if isinstance(step, Load):
        with cursor.copy(_copies(step)) as copy:
            for row in step.rows:
                copy.write_row(row)
        return [(cursor.rowcount,)]
    cursor.execute(*filled(step.name, step.params, clock), binary=True)
    if cursor.connection.pgconn.pipeline_status:
        cursor._fetch_pipeline()  # in a pipeline nothing is known of the answer before it is asked for
    return cursor.fetchall() if cursor.description else ()


async def acarry_out(cursor: Any, step: Step, clock: Clock | None) -> Rows:
    """See :func:`carry_out`."""
    if isinstance(step, Load):
        async with cursor.copy(_copies(step)) as copy:
            for row in step.rows:
                await copy.write_row(row)
        return [(cursor.rowcount,)]
    await cursor.execute(*filled(step.name, step.params, clock), binary=True)
    if cursor.connection.pgconn.pipeline_status:
        await cursor._fetch_pipeline()
    return await cursor.fetchall() if cursor.description else ()


def adapt(of: Any) -> None:
    """All integers as bigint: one prepared statement each, whatever the numbers' size."""
    from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

    of.adapters.register_dumper(int, Int8Dumper)
    of.adapters.register_dumper(int, Int8BinaryDumper)


def _copies(load: Load) -> str:
    return render("postgres", load.name, "dollar").parts[0][0]


def filled(name: str, params: Mapping[str, Any], clock: Clock | None) -> tuple[str, list[Any]]:
    """A statement by name with ``$1``, and its parameters in that order."""
    text, names = render("postgres", name, "dollar", clock is not None).parts[0]
    if clock is not None:
        params = {**params, "now": clock()}
    return text, [params[key] for key in names]


def _joined(calls: Sequence[Call], clock: Clock | None) -> tuple[Any, list[Any]]:
    text, params = together([call.name for call in calls], clock is not None)
    now = {} if clock is None else {"now": clock()}
    return text, [now[name] if name in now else calls[place].params[name] for place, name in params]


def _parted(row: Any) -> list[Rows]:
    """By pairs, not by names: two columns may have the same."""
    return [[] if text is None else json.loads(text, object_pairs_hook=_values) for text in row]


def _values(pairs: list[tuple[str, Any]]) -> tuple[Any, ...]:
    return tuple(value for _, value in pairs)


def _broke(connection: Any, error: Exception) -> bool:
    import psycopg

    return isinstance(error, psycopg.OperationalError) and bool(connection.broken)


def _unknown(error: Exception) -> CommitUnknown:
    return CommitUnknown(f"The connection broke while a commit was under way ({error}).")
