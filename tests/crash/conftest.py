"""The crash tests change rows only, so they share a database."""

from tests.contract.reused import reused_postgres, reused_postgres_url, rows_url

__all__ = ["reused_postgres", "reused_postgres_url", "rows_url"]
