"""SAQ on Redis: one worker process, 20 jobs at a time, uvloop, jobs by orjson and not kept (``ttl=-1``).

A job goes from a list into another in one step and stays there until it has ended, so that a kill -9 loses
none. Each is written when it is taken, when it begins and when it ends; 10 to 100 at a time are alike.
There is no bulk interface: a producer keeps many calls under way, which the queue limits to 20 by itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import orjson
from redis import Redis
from saq import Worker  # type: ignore[import-not-found,unused-ignore]
from saq.queue.redis import RedisQueue  # type: ignore[import-not-found,unused-ignore]

from bench.driven import python
from bench.marks import mark
from bench.peers.looped import Looped, run
from bench.subject import URL_VARIABLE

CONCURRENCY = 20


async def noop(_: Any, *, index: int) -> None:
    mark(index)


def queue(url: str) -> RedisQueue:
    logging.getLogger("saq").setLevel(logging.WARNING)
    return RedisQueue.from_url(url, name="bench", dump=orjson.dumps, load=orjson.loads)


class Peer(Looped):
    name = "saq"
    store = "redis"
    rates = {"enqueue_one": 1_500, "enqueue_bulk": 3_000, "drain": 1_500}

    async def connect(self) -> None:
        self.redis = Redis.from_url(self.place.url)
        self.queue = queue(self.place.url)
        await self.queue.connect()

    async def send(self, index: int) -> None:
        await self.queue.enqueue("noop", index=index, ttl=-1)

    def has_open_jobs(self) -> bool:
        return bool(self.redis.zcard("saq:bench:incomplete"))

    def worker(self) -> Sequence[str]:
        return python("-m", "bench.peers.saq")


async def work() -> None:
    worker: Any = Worker(
        queue=queue(os.environ[URL_VARIABLE]), functions=[("noop", noop)], concurrency=CONCURRENCY
    )
    await worker.queue.connect()
    await worker.start()


if __name__ == "__main__":
    run(work())
