"""Databases with a ledger, a table ``orders`` and no jobs; one PostgreSQL database for all tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from devtools.servers import PostgresConnection
from tests.contract.turn_callers import EVERY, Caller, place, prepare


@pytest.fixture
def sqlite_ledger_url(sqlite_url: str) -> str:
    prepare(sqlite_url)
    return sqlite_url


@pytest.fixture
def apsw_ledger_url(sqlite_apsw_url: str) -> str:
    prepare(sqlite_apsw_url)
    return sqlite_apsw_url


@pytest.fixture(scope="session")
def shared_ledger_url(pg_server: PostgresConnection) -> Iterator[str]:
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    url = pg_server.create_database(name)
    prepare(url)
    yield url
    pg_server.drop_database(name)


@pytest.fixture
def postgres_ledger_url(shared_ledger_url: str) -> Iterator[str]:
    yield shared_ledger_url
    with psycopg.connect(shared_ledger_url, autocommit=True) as connection:
        connection.execute("TRUNCATE orders, dutiful.ledger")


@pytest.fixture(
    params=[
        pytest.param("sqlite_ledger_url", id="sqlite"),
        pytest.param("apsw_ledger_url", id="sqlite-apsw"),
        pytest.param("postgres_ledger_url", id="postgres", marks=pytest.mark.postgres),
    ]
)
def ledger_url(request: pytest.FixtureRequest) -> str:
    """On each kind of store."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture(params=EVERY)
def caller(request: pytest.FixtureRequest) -> Iterator[tuple[str, Caller]]:
    """The URL, and a caller with a connection of each kind to it."""
    fixture, make = request.param
    url = request.getfixturevalue(fixture)
    caller = Caller(make(place(url)))
    yield url, caller
    caller.close()
