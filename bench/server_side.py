"""What a server is asked from outside: to hold a snapshot, to count queries, to name its process.

A session in REPEATABLE READ that has read something keeps every row version since then from being vacuumed
away, as a backup or a forgotten transaction does. Queries are counted by ``pg_stat_statements`` if the server
has it loaded, else by the transactions that ``pg_stat_database`` counts (which it learns a second late).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.processes import parent_of


@contextmanager
def held_snapshot(url: str) -> Iterator[None]:
    """Hold a snapshot open in a session of its own."""
    import psycopg

    with psycopg.connect(url) as session:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT count(*) FROM pg_catalog.pg_class")
        yield


def fill(url: str, statement: str) -> None:
    """Run an INSERT that fills a table, without its triggers, and have the planner know of it."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as session:
        session.execute("SET session_replication_role = replica")
        session.execute(statement.encode())
        session.execute(f"VACUUM ANALYZE {statement.split()[2]}".encode())


def checkpoint(url: str) -> None:
    """Write all pages out now, so that none is written beside what is measured next."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as session:
        session.execute("CHECKPOINT")


def count_queries(url: str) -> int:
    """Statements run in this database so far, asked from another database so as not to count itself."""
    import psycopg

    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, dbname="postgres", autocommit=True) as session:
        loaded = session.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'").fetchone()
        row = session.execute(STATEMENTS if loaded else TRANSACTIONS, {"name": name}).fetchone()
        assert row is not None
        return int(row[0])


def server_pid(url: str) -> int | None:
    """The process whose family does the store's work; None for SQLite, which works in its callers."""
    if url.startswith("postgresql:"):
        import psycopg

        with psycopg.connect(url) as session:
            return parent_of(session.info.backend_pid)
    if url.startswith("redis:"):
        from redis import Redis

        with Redis.from_url(url) as server:
            return int(server.info("server")["process_id"])
    return None


STATEMENTS = """
SELECT coalesce(sum(calls), 0) FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid
 WHERE d.datname = %(name)s
"""
TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %(name)s"
