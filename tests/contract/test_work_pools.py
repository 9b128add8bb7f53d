"""The connections that bodies work on: one pool, whoever asks first; giving one back never raises."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg_pool
import pytest

from dutiful.engines import work_pools
from dutiful.engines.postgres import PostgresEngine
from dutiful.engines.work_pools import WorkPools

AT_ONCE = 4


@pytest.fixture
def engine(postgres_url: str) -> Iterator[PostgresEngine]:
    found = PostgresEngine(postgres_url)
    yield found
    found.close()


def test_threads_that_ask_at_once_share_one_pool(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    together = threading.Barrier(AT_ONCE)

    class Slow(psycopg_pool.ConnectionPool[Any]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            made.append(self)
            super().__init__(*args, **kwargs)
            threading.Event().wait(0.05)  # long enough for another thread to find no pool yet

    monkeypatch.setattr(work_pools, "ConnectionPool", Slow)
    pools = WorkPools(engine)

    def take_and_give_back() -> None:
        together.wait()
        pools.give_back(pools.take())

    with ThreadPoolExecutor(AT_ONCE) as threads:
        for future in [threads.submit(take_and_give_back) for _ in range(AT_ONCE)]:
            future.result()
    pools.close()
    assert len(made) == 1


def test_a_connection_can_be_given_back_when_its_pool_is_gone(engine: PostgresEngine) -> None:
    """Else the error would stand for what became of a commit."""
    pools = WorkPools(engine)
    first, second = pools.take(), pools.take()
    pools.close()
    pools.give_back(first)
    third = pools.take()  # from a new pool
    pools.give_back(second)
    assert first.closed and second.closed and not third.closed
    pools.give_back(third)
    pools.close()


def test_the_same_on_an_event_loop(engine: PostgresEngine) -> None:
    async def play() -> None:
        pools = WorkPools(engine)
        first, second = await pools.atake(), await pools.atake()
        await pools.aclose()
        await pools.agive_back(first)
        third = await pools.atake()
        await pools.agive_back(second)
        assert first.closed and second.closed and not third.closed
        await pools.agive_back(third)
        await pools.aclose()

    asyncio.run(play())
