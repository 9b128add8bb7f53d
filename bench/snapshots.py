"""Two things that a PostgreSQL server is asked from outside: to hold a snapshot, and to count queries.

A session in REPEATABLE READ that has read something keeps every row version since then from being vacuumed
away, as a backup or a forgotten transaction does. Queries are counted by ``pg_stat_statements`` if the server
has it loaded, else by the transactions that ``pg_stat_database`` counts (which it learns a second late).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_snapshot(url: str) -> Iterator[None]:
    """Hold a snapshot open in a session of its own."""
    import psycopg

    with psycopg.connect(url) as session:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT count(*) FROM pg_catalog.pg_class")
        yield


def count_queries(url: str) -> int:
    """Statements run in this database so far, asked from another database so as not to count itself."""
    import psycopg

    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, dbname="postgres", autocommit=True) as session:
        loaded = session.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'").fetchone()
        row = session.execute(STATEMENTS if loaded else TRANSACTIONS, {"name": name}).fetchone()
        assert row is not None
        return int(row[0])


STATEMENTS = """
SELECT coalesce(sum(calls), 0) FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid
 WHERE d.datname = %(name)s
"""
TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %(name)s"
