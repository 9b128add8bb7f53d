"""The version of the tables in a PostgreSQL database: checking it, and bringing it up to date.

One migrator at a time (an advisory lock that ends with its transaction), each step in a transaction
of its own, and a short lock_timeout, so that a migration waits for nobody long and blocks nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..model import errors
from ..sql import migrations
from .postgres_errors import translated

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

LOCK_CLASS = 0x64757466  # "dutf": our class of advisory locks, so that we meet nobody else's
LOCK_TIMEOUT = "2s"
TRIES_MAX = 15


class Schema:
    """The tables' version in one database."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], shown: str) -> None:
        self._connect = connect
        self._shown = shown

    def version(self) -> int | None:
        """The highest migration that was applied; None where there are no tables of ours."""
        with self._connect() as connection:
            return _version(connection)

    def check(self) -> None:
        """Raise SchemaMissing, SchemaTooOld or SchemaTooNew unless the version is this code's."""
        found, newest = self.version(), len(migrations("postgres"))
        if found is None:
            raise errors.SchemaMissing(f"{self._shown} has no tables of dutiful's.")
        if found > newest:
            raise errors.SchemaTooNew(f"{self._shown} has version {found}; this code knows {newest}.")
        if found < newest:
            raise errors.SchemaTooOld(f"{self._shown} has version {found}; this code needs {newest}.")

    def pending(self) -> list[str]:
        """What :meth:`migrate` would do."""
        found = self.version() or 0
        return [f"{m.number:04} {m.title}" for m in migrations("postgres") if m.number > found]

    def migrate(self) -> list[str]:
        """Apply what is missing; returns its titles. Raises StoreBusy if locks cannot be had."""
        done: list[str] = []
        with self._connect() as connection:
            if (_version(connection) or 0) > len(migrations("postgres")):
                self.check()

            def steps() -> None:
                while title := _step(connection):
                    done.append(title)

            patiently(steps, self._shown)
        return done


def patiently(act: Callable[[], T], shown: str) -> T:
    """Do it, and again while it has to wait too long for a lock; raises StoreBusy in the end."""
    import psycopg

    for attempt in range(TRIES_MAX):
        try:
            return act()
        except (psycopg.errors.LockNotAvailable, errors.StoreBusy) as error:
            if attempt + 1 == TRIES_MAX:
                raise errors.StoreBusy(
                    f"{shown}: no lock for the migration in {TRIES_MAX} tries of {LOCK_TIMEOUT}.",
                    hint="Look for long transactions on dutiful's tables, then run it again.",
                ) from error
            time.sleep(0.2)
        except psycopg.Error as error:
            raise translated(error, shown) from error
    raise AssertionError("unreachable")


def _version(connection: psycopg.Connection[Any]) -> int | None:
    [(exists,)] = connection.execute("SELECT to_regclass('dutiful.version') IS NOT NULL").fetchall()
    if not exists:
        return None
    [(number,)] = connection.execute("SELECT max(number) FROM dutiful.version").fetchall()
    return number  # type: ignore[no-any-return]


def _step(connection: psycopg.Connection[Any]) -> str | None:
    """Apply the next migration under the lock; None when there is none left."""
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        connection.execute(f"SELECT pg_advisory_xact_lock({LOCK_CLASS}, 1)")
        connection.execute("CREATE SCHEMA IF NOT EXISTS dutiful")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS dutiful.version"
            " (number integer PRIMARY KEY, title text NOT NULL, applied_at bigint NOT NULL)"
        )
        found = _version(connection) or 0
        missing = [m for m in migrations("postgres") if m.number > found]
        if not missing:
            return None
        step = missing[0]
        connection.execute(step.text, prepare=False)  # many statements, for it has no parameters
        connection.execute(
            "INSERT INTO dutiful.version VALUES"
            " ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)",
            [step.number, step.title],
        )
        return f"{step.number:04} {step.title}"
