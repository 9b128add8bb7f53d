"""The version of the tables in an SQLite file: checking it, and bringing it up to date."""

from __future__ import annotations

import sqlite3

from ..model import errors
from ..sql import migrations
from .contract import host_now
from .sqlite_drivers import Connection


def version(connection: Connection) -> int | None:
    """The highest migration that was applied; None where there are no tables of ours."""
    if not connection.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'dutiful_version'"):
        return None
    [(number,)] = connection.execute("SELECT max(number) FROM main.dutiful_version")
    return number  # type: ignore[no-any-return]


def check(found: int, path: str) -> None:
    """Raise SchemaTooNew or SchemaTooOld unless the version found is this code's."""
    newest = len(migrations("sqlite"))
    if found > newest:
        raise errors.SchemaTooNew(f"{path} has version {found}; this code knows {newest}.")
    if found < newest:
        raise errors.SchemaTooOld(f"{path} has version {found}; this code needs {newest}.")


def upgrade(connection: Connection, path: str) -> list[str]:
    """Apply what is missing, in one transaction; returns its titles."""
    done = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS main.dutiful_version"
            " (number integer PRIMARY KEY, title text NOT NULL, applied_at integer NOT NULL)"
        )
        found = version(connection) or 0
        if found > len(migrations("sqlite")):
            check(found, path)
        for migration in migrations("sqlite"):
            if migration.number > found:
                for text in _statements(migration.text):
                    connection.execute(text)
                connection.execute(
                    "INSERT INTO main.dutiful_version VALUES (:number, :title, :now)",
                    {"number": migration.number, "title": migration.title, "now": host_now()},
                )
                done.append(f"{migration.number:04} {migration.title}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return done


def _statements(text: str) -> list[str]:
    """Cut a migration into statements; SQLite itself says where one ends (triggers have inner ones)."""
    found, rest = [], ""
    for line in text.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found
