"""``world``: a test that takes it runs on every kind of store and through both faces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.reused import reused_postgres, reused_postgres_url, rows_url
from tests.contract.world import World, world_at

__all__ = ["reused_postgres", "reused_postgres_url", "rows_url"]


@pytest.fixture(params=["run", "arun"])
def world(rows_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    with world_at(rows_url, request.param) as world:
        yield world


@pytest.fixture
def store_world(rows_url: str) -> Iterator[World]:
    """On every kind of store, through ``run`` alone."""
    with world_at(rows_url) as world:
        yield world


@pytest.fixture
def pg_world(postgres_url: str) -> Iterator[World]:
    """On PostgreSQL alone, in a database of its own: its schema may be changed."""
    with world_at(postgres_url) as world:
        yield world
