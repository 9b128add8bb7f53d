"""Operations in the transaction that a caller has open on a connection of theirs.

Promises: nothing is committed, and never more is rolled back than what the operation itself wrote
(its savepoint, or the transaction that it had to begin for sqlite3). What the operation wrote lives
and dies with the caller's own writes. A connection that commits each statement by itself is refused,
and so is one that leads to another database: a job stored there would never be run.

Kinds are told by the names of their classes, so that no library is loaded that the caller did not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ..model.errors import UnsupportedConnection
from ..sql import EngineName
from .anywhere import Anywhere
from .contract import Engine, Runner

if TYPE_CHECKING:
    from .bound_postgres import AsyncPsycopgRunner
    from .bound_runner import Home, SyncRunner
    from .bound_sqlalchemy import AsyncSqlalchemyRunner

    LentRunner = SyncRunner | AsyncPsycopgRunner | AsyncSqlalchemyRunner

Kind = Literal["sqlite3", "apsw", "psycopg", "psycopg-async", "sqlalchemy", "sqlalchemy-async", "django"]

KINDS: dict[tuple[str, str], Kind] = {
    # by the package and the name of the class, or of a class that it inherits from
    ("sqlite3", "Connection"): "sqlite3",
    ("apsw", "Connection"): "apsw",
    ("psycopg", "Connection"): "psycopg",
    ("psycopg", "AsyncConnection"): "psycopg-async",
    ("sqlalchemy", "Connection"): "sqlalchemy",
    ("sqlalchemy", "Session"): "sqlalchemy",
    ("sqlalchemy", "scoped_session"): "sqlalchemy",
    ("sqlalchemy", "AsyncConnection"): "sqlalchemy-async",
    ("sqlalchemy", "AsyncSession"): "sqlalchemy-async",
    ("sqlalchemy", "async_scoped_session"): "sqlalchemy-async",
    ("django", "ConnectionProxy"): "django",
    ("django", "BaseDatabaseWrapper"): "django",
}

DRIVERS_OF: dict[EngineName, tuple[Kind, ...]] = {
    "sqlite": ("sqlite3", "apsw", "sqlalchemy", "sqlalchemy-async", "django"),
    "postgres": ("psycopg", "psycopg-async", "sqlalchemy", "sqlalchemy-async", "django"),
}


def bind(engine: Engine, connection: object) -> Runner:
    """Run operations in the transaction that is open on ``connection``.

    Nothing is done on it yet. Raises UnsupportedConnection for a kind that is not known; the rest is
    found out by the first ``run`` or ``arun``: NotInTransaction, InvalidOption (another database).
    """
    kind = kind_of(connection)
    if kind is None:
        raise UnsupportedConnection(f"connection= is {described(connection)}, which is no kind known here.")
    if kind not in DRIVERS_OF[engine.name]:
        store = "a SQLite file" if engine.name == "sqlite" else "PostgreSQL"
        raise UnsupportedConnection(
            f"connection= is {described(connection)}, but this app's jobs are in {store}.",
            hint="Give a connection to the database that App(…) was given.",
        )
    return runner_of(engine, connection, kind)


def lent(connection: object) -> LentRunner:
    """Run operations in the transaction that is open on ``connection``, whichever database it leads to.

    Raises UnsupportedConnection, also for a database of another make than our two.
    """
    kind = kind_of(connection)
    if kind is None:
        raise UnsupportedConnection(
            f"This is {described(connection)}, which is no kind of connection known here."
        )
    make = make_of(connection, kind)
    for name, drivers in DRIVERS_OF.items():
        if make.startswith(name) and kind in drivers:
            return runner_of(Anywhere(name), connection, kind)
    raise UnsupportedConnection(
        f"The connection leads to {make}.", hint="dutiful works in SQLite and PostgreSQL databases."
    )


def make_of(connection: Any, kind: Kind) -> str:
    """Which database it is, as its library calls it."""
    if kind in ("sqlite3", "apsw"):
        return "sqlite"
    if kind == "django":
        return str(connection.vendor)
    if kind in ("psycopg", "psycopg-async"):
        return "postgres"
    if type(connection).__name__ == "async_scoped_session":
        connection = connection()
    bound = connection
    if hasattr(connection, "get_bind"):
        from sqlalchemy.exc import UnboundExecutionError

        try:
            bound = connection.get_bind()
        except UnboundExecutionError as error:
            raise UnsupportedConnection(
                f"This {type(connection).__name__} has no single database that it is bound to.",
                hint="Give session.connection(bind_arguments=…), the connection that is meant.",
            ) from error
    return str(bound.dialect.name)


def runner_of(engine: Home, connection: object, kind: Kind) -> LentRunner:
    """The runner for a connection of this kind."""
    # Loaded late: each needs a library only for its own kind.
    if kind == "sqlalchemy" or kind == "sqlalchemy-async":
        from .bound_sqlalchemy import AsyncSqlalchemyRunner, SqlalchemyRunner

        if kind == "sqlalchemy":
            return SqlalchemyRunner(engine, connection)
        return AsyncSqlalchemyRunner(engine, connection)
    if kind == "django":
        from .bound_django import DjangoRunner

        return DjangoRunner(engine, connection)
    if kind == "sqlite3" or kind == "apsw":
        from .bound_sqlite import SqliteRunner

        return SqliteRunner(engine, connection, kind)
    from .bound_postgres import AsyncPsycopgRunner, PsycopgRunner

    if kind == "psycopg":
        return PsycopgRunner(engine, connection)
    return AsyncPsycopgRunner(engine, connection)


def kind_of(connection: object) -> Kind | None:
    """The kind of a connection, or None; looks at names only."""
    for ancestor in type(connection).__mro__:
        package = ancestor.__module__.partition(".")[0]
        if (kind := KINDS.get((package, ancestor.__name__))) is not None:
            return kind
    return None


def described(connection: object) -> str:
    """A class for people: ``a sqlalchemy.engine.base.Engine``."""
    of = type(connection)
    module = "" if of.__module__ == "builtins" else f"{of.__module__}."
    return f"a {module}{of.__qualname__}"
