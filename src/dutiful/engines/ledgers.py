"""The ledger alone in a database without jobs: exactly_once works with it elsewhere, and ``dutiful.once``.

Made as often as one likes, beside the full schema, and before or after its migrations.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar, cast

from ..model import errors
from ..operations import ledger
from ..operations.plan import Call, Operation
from ..sql import EngineName
from ..sql.render import render
from .anywhere import Anywhere
from .bound import kind_of
from .bound_block import block_on
from .bound_sqlite import SqliteRunner
from .contract import Engine
from .postgres_schema import LOCK_CLASS, LOCK_TIMEOUT, patiently
from .sqlite_drivers import translated
from .urls import open_engine

if TYPE_CHECKING:
    from .postgres import PostgresEngine
    from .sqlite import SqliteEngine

T = TypeVar("T")

PARTS: dict[EngineName, tuple[Call, ...]] = {
    "sqlite": (Call("make_ledger"), Call("make_ledger_guard"), Call("make_ledger_guards")),
    "postgres": (
        Call("lock_ledger", {"class": LOCK_CLASS}),
        Call("make_ledger_schema"),
        Call("make_ledger"),
        Call("make_ledger_function"),
        Call("make_ledger_trigger"),
        Call("make_ledger_guard"),
        Call("make_ledger_guards"),
        Call("make_ledger_index"),
    ),
}
TITLE = "ledger"
"""What it is called in a list of what was done."""


def make_ledger(where: object) -> bool:
    """Make the ledger in a database, if it is not there; False if it was there already, and whole.

    ``where`` is a URL, or a connection of a kind that ``dutiful.once`` takes and that is not async: then in
    the caller's transaction, and the caller commits, so that it may stand in a migration of Alembic's or
    Django's. On SQLAlchemy's async connections: ``await connection.run_sync(dutiful.make_ledger)``.
    """
    if isinstance(where, str):
        engine = open_engine(where)
        try:
            return bool(migrate(engine))
        finally:
            engine.close()
    if (kind_of(where) or "").endswith("-async"):
        raise errors.UnsupportedConnection(
            "make_ledger was given an async connection.",
            hint="Give a URL, or run: dutiful migrate --ledger URL",
        )
    block = block_on(where)
    if block.open(ledger.here(), _missing):
        return False
    block.keep(ledger.make(PARTS[block.name]), waits=True)
    return True


def pending(engine: Engine) -> list[str]:
    """What :func:`migrate` would do: nothing, or ``["ledger"]``. Makes no file."""
    path = _path(engine)
    if path is not None and not os.path.exists(path):
        return [TITLE]
    return [] if _run(engine, ledger.here()) else [TITLE]


def migrate(engine: Engine) -> list[str]:
    """Make the ledger where it is missing; says what was done. Raises StoreBusy if locks cannot be had."""
    missing = pending(engine)
    if missing:
        _run(engine, ledger.make(PARTS[engine.name]))
    return missing


def texts(name: EngineName) -> list[str]:
    """The SQL of it, for people to read or to run by themselves."""
    rendered = (render(name, part.name, "named").parts[0] for part in PARTS[name])
    return [text for text, params in rendered if not params]


def _missing(here: bool) -> bool:
    return not here


def _path(engine: Engine) -> str | None:
    if engine.name == "postgres":
        return None
    file = cast("SqliteEngine", engine)
    if file.memory:
        raise errors.InvalidUrl(
            "A database in memory ends with its connection.", hint="Give make_ledger the connection."
        )
    return file.path


def _run(engine: Engine, operation: Operation[T]) -> T:
    """On a connection of our own, apart from the engine's, which would look for all its tables."""
    if engine.name == "sqlite":
        return _on_file(cast("SqliteEngine", engine), operation)
    from .bound_postgres import PsycopgRunner

    server = cast("PostgresEngine", engine)
    with server.connect() as connection:

        def act() -> T:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                return PsycopgRunner(Anywhere("postgres", server.shown), connection).run(operation)

        return patiently(act, server.shown)


def _on_file(engine: SqliteEngine, operation: Operation[T]) -> T:
    try:
        connection = engine._claim()
        try:
            runner = SqliteRunner(Anywhere("sqlite"), connection.raw, engine._driver.name)
            connection.execute("BEGIN" if operation.reads else "BEGIN IMMEDIATE")
            answer = runner.run(operation)
            connection.execute("COMMIT")
            return answer
        finally:
            connection.close()
            engine._release()
    except Exception as error:
        raise translated(error, engine.path) from error
