"""The crash tests change rows only, so they share a database."""

from tests.contract.reused import (
    migrated_files,
    migrated_sqlite_apsw_url,
    migrated_sqlite_url,
    reused_postgres,
    reused_postgres_url,
    rows_url,
)

__all__ = [
    "migrated_files",
    "migrated_sqlite_apsw_url",
    "migrated_sqlite_url",
    "reused_postgres",
    "reused_postgres_url",
    "rows_url",
]
