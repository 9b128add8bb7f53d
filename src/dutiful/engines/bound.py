"""Operations in the transaction that a caller has open on a connection of theirs.

Promises: nothing is committed, and never more is rolled back than what the operation itself wrote
(its savepoint, or the transaction that it had to begin for sqlite3). What the operation wrote lives
and dies with the caller's own writes. A connection that commits each statement by itself is refused,
and so is one that leads to another database: a job stored there would never be run.

Kinds are told by the names of their classes, so that no library is loaded that the caller did not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from ..model.errors import UnsupportedConnection
from .contract import Engine, Runner

if TYPE_CHECKING:
    from .postgres import PostgresEngine
    from .sqlite import SqliteEngine

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

DRIVERS_OF: dict[str, tuple[Kind, ...]] = {
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

        return SqliteRunner(cast("SqliteEngine", engine), connection, kind)
    from .bound_postgres import AsyncPsycopgRunner, PsycopgRunner

    if kind == "psycopg":
        return PsycopgRunner(cast("PostgresEngine", engine), connection)
    return AsyncPsycopgRunner(cast("PostgresEngine", engine), connection)


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
