"""arq on Redis: one worker process, 100 jobs at a time, uvloop, no results kept, nothing logged.

It polls: every 0.5 s by default, here every 10 ms, since a poll also is what takes the next jobs. A job stays
in its sorted set until it has ended, so that a kill -9 loses none. With 10 jobs at a time it is about as
fast, with 500 slower. There is no bulk interface: a producer
keeps a thousand calls under way.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from arq import create_pool, func  # type: ignore[import-not-found,unused-ignore]
from arq.connections import RedisSettings  # type: ignore[import-not-found,unused-ignore]
from arq.worker import Worker  # type: ignore[import-not-found,unused-ignore]
from redis import Redis

from bench.driven import python
from bench.marks import mark
from bench.peers.looped import Looped, run
from bench.subject import URL_VARIABLE

CONCURRENCY = 100
POLL_S = 0.01
CONNECTIONS = 1_000


def settings(url: str) -> RedisSettings:
    made = RedisSettings.from_dsn(url)
    made.max_connections = CONNECTIONS
    return made


async def noop(_: Any, index: int) -> None:
    mark(index)


class Peer(Looped):
    name = "arq"
    store = "redis"
    bulk = 200  # a call is a connection here, and Redis has so many
    rates = {"enqueue_one": 1_000, "enqueue_bulk": 2_000, "drain": 1_200}

    async def connect(self) -> None:
        self.redis = Redis.from_url(self.place.url)
        self.pool = await create_pool(settings(self.place.url))

    async def send(self, index: int) -> None:
        await self.pool.enqueue_job("noop", index)

    def has_open_jobs(self) -> bool:
        return bool(self.redis.zcard("arq:queue"))

    def worker(self) -> Sequence[str]:
        return python("-m", "bench.peers.arq")


async def work() -> None:
    logging.getLogger("arq").setLevel(logging.WARNING)
    worker = Worker(
        functions=[func(noop, name="noop", keep_result=0)],
        redis_settings=settings(os.environ[URL_VARIABLE]),
        max_jobs=CONCURRENCY,
        poll_delay=POLL_S,
        keep_result=0,
        log_results=False,
        handle_signals=False,
    )
    await worker.async_run()


if __name__ == "__main__":
    run(work())
