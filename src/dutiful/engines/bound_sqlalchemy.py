"""A caller's SQLAlchemy session or connection, sync or async, over any driver of our two databases.

Statements go through ``exec_driver_sql``, so SQLAlchemy's own transaction is the one that is used. An
async session is used through its ``run_sync``: the same code, in the session's greenlet.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..model import errors
from ..operations.plan import Operation, Rows, Step
from ..sql import EngineName
from ..sql.render import Style
from . import bound_postgres, bound_sqlite
from .bound_runner import SyncRunner, plain, texts
from .contract import Engine

if TYPE_CHECKING:
    from .postgres import PostgresEngine
    from .sqlite import SqliteEngine

T = TypeVar("T")

STYLES: dict[str, Style] = {
    "qmark": "qmark",
    "named": "named",
    "format": "format",
    "pyformat": "pyformat",
    "numeric_dollar": "dollar",
}
DIALECTS = {"sqlite": "sqlite", "postgres": "postgresql"}
NOTE = "dutiful: checked for"
"""Where a pooled connection remembers (in its ``info``) the engines whose database it leads to."""


class SqlalchemyRunner(SyncRunner):
    """Runs operations on a ``Session``, ``scoped_session`` or ``Connection``."""

    def __init__(self, engine: Engine, lent: Any) -> None:
        super().__init__(engine)
        self.kind = f"SQLAlchemy's {type(lent).__name__}"
        self._lent = lent
        self._connection: Any = None
        self._style: Style = "qmark"

    def enter(self) -> bool:
        self._connection = connection = self._resolved()
        dialect = connection.dialect
        if dialect.name != DIALECTS[self.name]:
            raise errors.InvalidOption(
                f"connection= leads to {dialect.name}, but this app's jobs are in {self.engine.url}.",
                hint="Give a connection to the app's own database; a job stored elsewhere would never run.",
            )
        self._style = STYLES[dialect.paramstyle]
        if self.name == "sqlite":
            return self._enter_sqlite(connection)
        if getattr(connection.connection.dbapi_connection, "autocommit", False) is True:
            raise errors.NotInTransaction(
                f"{self.kind} given has the isolation level AUTOCOMMIT.",
                hint="Take a connection or session without it for the transaction that enqueues.",
            )
        engine = cast("PostgresEngine", self.engine)
        if self._unknown(connection):
            bound_postgres.see_tables(engine)
            [(database, started)] = connection.exec_driver_sql(bound_postgres.WHICH).fetchall()
            bound_postgres.check_database(engine, (database, started))
            self._note(connection)
        return False

    def in_transaction(self) -> bool:
        if self.name == "sqlite":
            return bool(self._connection.connection.driver_connection.in_transaction)
        return not self._connection.invalidated

    def command(self, text: str) -> None:
        self._connection.exec_driver_sql(text)

    def execute(self, step: Step) -> Rows:
        rows: Rows = ()
        for text, params in texts(self.engine, step, self._style):
            result = self._connection.exec_driver_sql(text, params)
            rows = plain(result.fetchall()) if result.returns_rows else ()
            result.close()
        return rows

    def _enter_sqlite(self, connection: Any) -> bool:
        engine = cast("SqliteEngine", self.engine)
        # Begins SQLAlchemy's transaction, for which its events may begin the driver's.
        connection.exec_driver_sql("PRAGMA database_list").fetchall()
        raw = connection.connection.driver_connection
        began = bound_sqlite.begins(raw)
        if self._unknown(connection):
            library = bound_sqlite.library_of(raw)
            bound_sqlite.check_file(engine, self._query, library)
            bound_sqlite.see_tables(engine, began is None)
            self._note(connection)
        if began is None:
            return False
        self.command(began)
        return True

    def _query(self, text: str) -> Any:
        result = self._connection.exec_driver_sql(text)
        return result.fetchall() if result.returns_rows else ()

    def _resolved(self) -> Any:
        if not hasattr(self._lent, "get_bind"):
            return self._lent
        from sqlalchemy.exc import InvalidRequestError, UnboundExecutionError

        try:
            return self._lent.connection()
        except UnboundExecutionError as error:
            raise errors.UnsupportedConnection(
                f"{self.kind} given has no single database that it is bound to.",
                hint="Give session.connection(bind_arguments=…), the connection that is meant.",
            ) from error
        except InvalidRequestError as error:
            if self._lent.in_transaction():
                raise
            raise errors.NotInTransaction(f"{self.kind} given is in no transaction ({error}).") from error

    def _unknown(self, connection: Any) -> bool:
        return self.engine not in connection.info.get(NOTE, ())

    def _note(self, connection: Any) -> None:
        connection.info.setdefault(NOTE, weakref.WeakSet()).add(self.engine)


class AsyncSqlalchemyRunner:
    """Runs operations on an ``AsyncSession``, ``async_scoped_session`` or ``AsyncConnection``."""

    can_copy = False

    def __init__(self, engine: Engine, lent: Any) -> None:
        self.engine = engine
        self.name: EngineName = engine.name
        self.kind = f"SQLAlchemy's {type(lent).__name__}"
        self._lent = lent

    def run(self, operation: Operation[T]) -> T:
        """Refuses: see :func:`~dutiful.engines.bound_postgres.wrong_twin`."""
        raise bound_postgres.wrong_twin(self.kind)

    async def arun(self, operation: Operation[T]) -> T:
        """See :class:`~dutiful.engines.contract.Runner`; never begins again, never commits."""
        lent = self._lent
        if type(lent).__name__ == "async_scoped_session":
            lent = lent()
        if self.name == "postgres":
            await bound_postgres.asee_tables(cast("PostgresEngine", self.engine))
        else:
            await bound_sqlite.asee_tables(cast("SqliteEngine", self.engine), lent.in_transaction())

        def carry_out(inner: Any) -> T:
            return SqlalchemyRunner(self.engine, inner).run(operation)

        return await lent.run_sync(carry_out)  # type: ignore[no-any-return]
