"""A caller's SQLAlchemy session or connection, sync or async, over any driver of our two databases.

Statements go through ``exec_driver_sql``, so SQLAlchemy's own transaction is the one that is used. An
async session is used through its ``run_sync``: the same code, in the session's greenlet.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..model import errors
from ..operations.plan import Operation, Rows
from ..sql import EngineName
from ..sql.render import Style
from . import bound_postgres, bound_sqlite
from .anywhere import Anywhere
from .bound_runner import Home, SyncRunner, plain

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

    def __init__(self, engine: Home, lent: Any) -> None:
        super().__init__(engine)
        self.kind = f"SQLAlchemy's {type(lent).__name__}"
        self._lent = lent
        self._connection: Any = None
        self._nested: Any = None

    def attach(self) -> None:
        self._connection = self._resolved()
        self.style = STYLES[self._connection.dialect.paramstyle]

    def enter(self) -> bool:
        self.attach()
        connection = self._connection
        dialect = connection.dialect
        if isinstance(self.engine, Anywhere):
            self.engine.url = whereabouts(connection)
            if hasattr(self._lent, "flush"):  # a nested transaction would do it, in one that we began
                self._lent.flush()
        if dialect.name != DIALECTS[self.name]:
            raise errors.InvalidOption(
                f"connection= leads to {dialect.name}, but this app's jobs are in {self.engine.url}.",
                hint="Give a connection to the app's own database; a job stored elsewhere would never run.",
            )
        if self.name == "sqlite":
            return self._enter_sqlite(connection)
        if getattr(connection.connection.dbapi_connection, "autocommit", False) is True:
            raise errors.NotInTransaction(
                f"{self.kind} given has the isolation level AUTOCOMMIT.",
                hint="Take a connection or session without it for this transaction.",
            )
        if self._unknown(connection):
            engine = cast("PostgresEngine", self.engine)
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

    def rows(self, text: str, params: Any) -> Rows:
        result = self._connection.exec_driver_sql(text, params)
        rows = plain(result.fetchall()) if result.returns_rows else ()
        result.close()
        return rows

    # A nested transaction of SQLAlchemy's, so that a session forgets what a block that failed put into it.

    def open_block(self) -> None:
        self._nested = self._lent.begin_nested().__enter__()
        self.attach()

    def block_is_open(self) -> bool:
        return bool(self._nested.is_active)

    def keep_block(self) -> None:
        self._nested.__exit__(None, None, None)

    def undo_block(self, error: BaseException) -> None:
        self._nested.__exit__(type(error), error, error.__traceback__)

    def leave_block(self) -> None:
        with contextlib.suppress(Exception):
            self._nested.__exit__(Exception, None, None)

    def _enter_sqlite(self, connection: Any) -> bool:
        # Begins SQLAlchemy's transaction, for which its events may begin the driver's.
        connection.exec_driver_sql("PRAGMA database_list").fetchall()
        raw = connection.connection.driver_connection
        began = bound_sqlite.begins(raw)
        if self._unknown(connection):
            engine = cast("SqliteEngine", self.engine)
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
        return not isinstance(self.engine, Anywhere) and self.engine not in connection.info.get(NOTE, ())

    def _note(self, connection: Any) -> None:
        connection.info.setdefault(NOTE, weakref.WeakSet()).add(self.engine)


class AsyncSqlalchemyRunner:
    """Runs operations on an ``AsyncSession``, ``async_scoped_session`` or ``AsyncConnection``."""

    can_copy = False

    def __init__(self, engine: Home, lent: Any) -> None:
        self.engine = engine
        self.name: EngineName = engine.name
        self.kind = f"SQLAlchemy's {type(lent).__name__}"
        self._lent = lent

    def run(self, operation: Operation[T]) -> T:
        """Refuses: see :func:`~dutiful.engines.bound_postgres.wrong_twin`."""
        raise bound_postgres.wrong_twin(self.kind)

    async def arun(self, operation: Operation[T]) -> T:
        """See :class:`~dutiful.engines.contract.Runner`; never begins again, never commits."""
        lent = self._own()
        if isinstance(self.engine, Anywhere):
            pass
        elif self.name == "postgres":
            await bound_postgres.asee_tables(cast("PostgresEngine", self.engine))
        else:
            await bound_sqlite.asee_tables(cast("SqliteEngine", self.engine), lent.in_transaction())

        return await self.apply(lambda inner: inner.run(operation))

    async def apply(self, act: Callable[[SqlalchemyRunner], T]) -> T:
        """Do something with the runner of the connection or session within, in its greenlet."""

        def acted(inner: Any) -> T:
            return act(SqlalchemyRunner(self.engine, inner))

        return await self._own().run_sync(acted)  # type: ignore[no-any-return]

    def _own(self) -> Any:
        """A scoped session is one by name only."""
        return self._lent() if type(self._lent).__name__ == "async_scoped_session" else self._lent


def whereabouts(connection: Any) -> str:
    """The URL of the database of a SQLAlchemy connection, without driver, user and password."""
    url = connection.engine.url
    if connection.dialect.name == "sqlite":
        return f"sqlite:///{url.database}" if url.database else "this database in memory"
    return f"postgresql://{url.host or 'localhost'}:{url.port or 5432}/{url.database}"
