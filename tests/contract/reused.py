"""Stores for tests that change rows only: one PostgreSQL database for all of them, emptied after each.

A database of its own costs a test some 0.3 s, most of it spent on copying some hundred files; emptying
one costs a tenth of that. Tests that change the schema take `postgres_url` or `store_url` instead.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from devtools.servers import PostgresConnection

EMPTIED = "job, dead, history, duty, failure, worker, audit, lane, queue, chore, ledger, effect, checked, gate"
EMPTIED += ", lock, lock_ask, place, schedule, declared, occurrence"


@pytest.fixture(scope="session")
def reused_postgres(pg_server: PostgresConnection, migrated_template: str) -> Iterator[str]:
    name = f"reused_{uuid.uuid4().hex[:12]}"  # each folder of tests, in each process, has one
    yield pg_server.create_database(name, template=migrated_template)
    pg_server.drop_database(name)


@pytest.fixture
def reused_postgres_url(reused_postgres: str) -> Iterator[str]:
    """A PostgreSQL database with the schema as it is and no row in it."""
    yield reused_postgres
    tables = ", ".join(f"dutiful.{name}" for name in EMPTIED.split(", "))
    with psycopg.connect(reused_postgres, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")  # type: ignore[arg-type]
        connection.execute("ALTER SEQUENCE dutiful.ready_seq RESTART")


@pytest.fixture(
    params=[
        pytest.param("sqlite_url", id="sqlite"),
        pytest.param("sqlite_apsw_url", id="sqlite-apsw"),
        pytest.param("reused_postgres_url", id="postgres", marks=pytest.mark.postgres),
    ]
)
def rows_url(request: pytest.FixtureRequest) -> str:
    """The test runs once for each kind of store, and changes rows only."""
    url: str = request.getfixturevalue(request.param)
    return url
