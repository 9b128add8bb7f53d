"""``world``: a test that takes it runs on every kind of store and through both faces.

What operations do to jobs in it must be steps of the model (``tests/protocol``), except where bugs are
planted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.contract.reused import (
    migrated_files,
    migrated_sqlite_apsw_url,
    migrated_sqlite_url,
    reused_postgres,
    reused_postgres_url,
    rows_url,
)
from tests.contract.world import World, world_at
from tests.protocol.recorder import recorded

__all__ = [
    "migrated_files",
    "migrated_sqlite_apsw_url",
    "migrated_sqlite_url",
    "reused_postgres",
    "reused_postgres_url",
    "rows_url",
]


@pytest.fixture(params=["run", "arun"])
def world(rows_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    with world_at(rows_url, request.param) as world, _watched(world, request):
        yield world


@pytest.fixture
def store_world(rows_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    """On every kind of store, through ``run`` alone."""
    with world_at(rows_url) as world, _watched(world, request):
        yield world


@pytest.fixture
def pg_world(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    """On PostgreSQL alone, in a database of its own: its schema may be changed."""
    with world_at(postgres_url) as world, _watched(world, request):
        yield world


@contextmanager
def _watched(world: World, request: pytest.FixtureRequest) -> Iterator[None]:
    if request.module.__name__.rpartition(".")[2].startswith("test_planted"):
        yield
        return
    with recorded(world):
        yield
