"""One statement on a caller's connection, in whatever transaction it has or by itself; never a commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..model import errors
from ..operations.plan import Rows
from ..sql.render import Style
from .bound import kind_of, lent
from .bound_runner import SyncRunner, in_our_words

if TYPE_CHECKING:
    from .bound_postgres import AsyncPsycopgRunner
    from .bound_sqlalchemy import AsyncSqlalchemyRunner

Written = Callable[[Style], tuple[str, Any]]
"""The statement, and its parameters in the container of the driver's style."""


def execute(connection: object, written: Written) -> Rows:
    """Execute it; returns its rows. Raises UnsupportedConnection for an async connection."""
    if (kind_of(connection) or "").endswith("-async"):
        raise errors.UnsupportedConnection(
            "The connection must be awaited.", hint="Call the function's twin, whose name begins with a."
        )
    runner = lent(connection)
    assert isinstance(runner, SyncRunner)
    return _now(runner, written)


async def aexecute(connection: object, written: Written) -> Rows:
    """The same on an async connection."""
    kind = kind_of(connection)
    if kind is not None and not kind.endswith("-async"):
        raise errors.UnsupportedConnection(
            "The connection blocks its thread.",
            hint="Call the function's twin without the a, and do not await.",
        )
    runner: Any = lent(connection)
    if kind == "sqlalchemy-async":
        alchemy: AsyncSqlalchemyRunner = runner
        return await alchemy.apply(lambda inner: _now(inner, written))
    psycopg: AsyncPsycopgRunner = runner
    try:
        return await psycopg.rows(*written(psycopg.style))
    except Exception as error:
        seen = in_our_words(psycopg.engine, error)
        if seen is error:
            raise
        raise seen from error


def _now(runner: SyncRunner, written: Written) -> Rows:
    try:
        runner.attach()
        return runner.rows(*written(runner.style))
    except Exception as error:
        seen = in_our_words(runner.engine, error)
        if seen is error:
            raise
        raise seen from error
