"""``world``: a test that takes it runs on every kind of store and through both faces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.world import World, world_at


@pytest.fixture(params=["run", "arun"])
def world(store_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    with world_at(store_url, request.param) as world:
        yield world


@pytest.fixture
def store_world(store_url: str) -> Iterator[World]:
    """On every kind of store, through ``run`` alone."""
    with world_at(store_url) as world:
        yield world


@pytest.fixture
def pg_world(postgres_url: str) -> Iterator[World]:
    """On PostgreSQL alone."""
    with world_at(postgres_url) as world:
        yield world
