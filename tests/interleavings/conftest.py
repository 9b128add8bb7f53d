"""One stage for all tests of a process: a database with the scene, and three sessions."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from devtools.servers import PostgresConnection
from tests.interleavings.plays import Stage


@pytest.fixture(scope="module")
def stage(pg_server: PostgresConnection) -> Iterator[Stage]:
    name = f"interleavings_{uuid.uuid4().hex[:12]}"
    stage = Stage(pg_server.create_database(name))
    yield stage
    stage.close()
    pg_server.drop_database(name)
