"""Stores for tests that change rows only: one PostgreSQL database for all of them, emptied after each.

A database of its own costs a test some 0.3 s, most of it spent on copying some hundred files; emptying
one costs a fortieth of that. Tests that change the schema take `postgres_url` or `store_url` instead.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.servers import PostgresConnection
from tests.contract import warm
from tests.databases import EMPTY


@pytest.fixture(scope="session")
def reused_postgres(pg_server: PostgresConnection, migrated_template: str) -> Iterator[str]:
    name = f"reused_{uuid.uuid4().hex[:12]}"  # each folder of tests, in each process, has one
    url = pg_server.create_database(name, template=migrated_template)
    yield url
    warm.forget(url)
    pg_server.drop_database(name)


@pytest.fixture
def reused_postgres_url(reused_postgres: str) -> Iterator[str]:
    """A PostgreSQL database with the schema as it is and no row in it."""
    warm.keep(reused_postgres)
    yield reused_postgres
    warm.connection(reused_postgres).execute(EMPTY)


@pytest.fixture(scope="session")
def migrated_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A migrated SQLite file by each driver, to be copied: that is a tenth of the work of making one."""
    from dutiful.engines.urls import open_engine

    made = {}
    for driver in ("", "?driver=apsw"):
        made[driver] = tmp_path_factory.mktemp("migrated") / "dutiful.db"
        engine = open_engine(f"sqlite:///{made[driver]}{driver}")
        engine.migrate()
        engine.close()
    return made


@pytest.fixture
def migrated_sqlite_url(migrated_files: dict[str, Path], tmp_path: Path) -> str:
    return _copied(migrated_files, tmp_path, "")


@pytest.fixture
def migrated_sqlite_apsw_url(migrated_files: dict[str, Path], tmp_path: Path) -> str:
    return _copied(migrated_files, tmp_path, "?driver=apsw")


def _copied(made: dict[str, Path], to: Path, driver: str) -> str:
    shutil.copyfile(made[driver], to / "dutiful.db")
    return f"sqlite:///{to / 'dutiful.db'}{driver}"


@pytest.fixture(
    params=[
        pytest.param("migrated_sqlite_url", id="sqlite"),
        pytest.param("migrated_sqlite_apsw_url", id="sqlite-apsw"),
        pytest.param("reused_postgres_url", id="postgres", marks=pytest.mark.postgres),
    ]
)
def rows_url(request: pytest.FixtureRequest) -> str:
    """The test runs once for each kind of store, and changes rows only."""
    url: str = request.getfixturevalue(request.param)
    return url
