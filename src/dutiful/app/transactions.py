"""The transaction that an exactly_once body works in: what it writes there is kept once, or not at all.

It stands on the connection that dutiful opened, and never commits: that is done when the body has
returned, together with the ledger and the job's completion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from ..engines.work import AsyncWorkTransaction, WorkTransaction
from ..engines.work import open_work as open_work
from ..model.errors import TransactionOver
from ..sql import pieces

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

Parameters = Mapping[str, Any] | Sequence[Any] | None


class Transaction:
    """What ``tx: Transaction`` is given in an exactly_once task that is a plain function."""

    __slots__ = ("_work",)

    given: ClassVar[Transaction]
    """A default for type checkers, "filled in by the worker": ``tx: Transaction = Transaction.given``."""

    def __init__(self, work: WorkTransaction) -> None:
        self._work = work

    @property
    def connection(self) -> Any:
        """The driver's own connection (psycopg, sqlite3, apsw or Django), with the transaction begun.

        Raises TransactionOver after the body has returned.
        """
        return self._open().lend()

    def execute(self, sql: str, params: Parameters = None) -> Any:
        """Execute one statement; returns the driver's cursor.

        With a mapping, parameters are written ``:name`` on every database; with a sequence, in the
        driver's own way. A statement that ends the transaction is refused. In a task with ``group=`` on
        PostgreSQL what comes back reads like a cursor and may wait to be sent until it is read. Raises
        TransactionOver after the body has returned.
        """
        return self._open().execute(*statement(sql, params, self._work.style))

    def session(self) -> Session:
        """A SQLAlchemy session in this transaction; its ``commit()`` ends a savepoint and no more.

        The same one for the whole run. Flushed before the work is committed. Raises
        UnsupportedConnection where SQLAlchemy has no dialect for the driver (apsw).
        """
        return self._open().session()  # type: ignore[no-any-return]

    def _open(self) -> WorkTransaction:
        if self._work.raw is None:
            raise TransactionOver("The transaction was used after the body had returned.")
        return self._work


class AsyncTransaction:
    """What ``tx: AsyncTransaction`` is given in an exactly_once task that is an async function.

    ``connection`` is psycopg's async one. On SQLite it is a plain ``sqlite3`` (or apsw) connection,
    for SQLite has no other kind: its own methods are not awaited, :meth:`execute` is.
    """

    __slots__ = ("_work", "connection")

    given: ClassVar[AsyncTransaction]
    """See :attr:`Transaction.given`."""

    def __init__(self, work: AsyncWorkTransaction) -> None:
        self._work = work
        self.connection: Any = work.raw

    async def execute(self, sql: str, params: Parameters = None) -> Any:
        """Execute one statement; returns the driver's cursor, see :meth:`Transaction.execute`."""
        cursor = self.connection.execute(*statement(sql, params, self._work.style))
        return await cursor if self._work.engine_name == "postgres" else cursor

    async def session(self) -> AsyncSession:
        """A SQLAlchemy ``AsyncSession`` in this transaction, see :meth:`Transaction.session`."""
        return await self._work.session()  # type: ignore[no-any-return]


Transaction.given = Transaction.__new__(Transaction)
AsyncTransaction.given = AsyncTransaction.__new__(AsyncTransaction)


def statement(sql: str, params: Parameters, style: str) -> tuple[Any, ...]:
    """The arguments of the driver's ``execute``, with ``:name`` in the driver's own style."""
    if params is None:
        return (sql,)
    if style == "named" or not (type(params) is dict or isinstance(params, Mapping)):
        return sql, params
    return _percent(sql), params


@lru_cache(maxsize=1000)
def _percent(sql: str) -> str:
    text = ""
    for literal, name in pieces(sql):
        text += literal.replace("%", "%%") + ("" if name is None else f"%({name})s")
    return text
