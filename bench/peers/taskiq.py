"""TaskIQ on Redis streams (the broker of its own that acknowledges), one worker process, 100 jobs at a time.

Messages are written by orjson, arguments are not parsed by pydantic (``--no-parse``), no result is kept, and
500 messages are read at a time and may wait in the worker (``--max-prefetch``). Each is acknowledged after
its run, so that a kill -9 loses none. There is no bulk interface: a producer keeps many calls under way.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from redis import Redis
from taskiq.serializers import ORJSONSerializer  # type: ignore[import-not-found,unused-ignore]
from taskiq_redis import RedisStreamBroker  # type: ignore[import-not-found,unused-ignore]

from bench.driven import python
from bench.marks import mark
from bench.peers.looped import Looped
from bench.subject import URL_VARIABLE

STREAM = GROUP = "bench"
CONCURRENCY = "100"
READ = 500

broker: Any = RedisStreamBroker(
    os.environ[URL_VARIABLE], queue_name=STREAM, consumer_group_name=GROUP, xread_count=READ
).with_serializer(ORJSONSerializer())


@broker.task(task_name="noop")  # type: ignore[untyped-decorator,unused-ignore]
async def noop(index: int) -> None:
    mark(index)


class Peer(Looped):
    name = "taskiq"
    store = "redis"
    bulk = 200  # a call is a connection here, and Redis has so many
    rates = {"enqueue_one": 2_000, "enqueue_bulk": 4_000, "drain": 2_500}

    async def connect(self) -> None:
        self.redis = Redis.from_url(self.place.url)
        await broker.startup()  # makes the group, which then sees all later messages

    async def send(self, index: int) -> None:
        await noop.kiq(index)

    def has_open_jobs(self) -> bool:
        [group] = self.redis.xinfo_groups(STREAM)
        return bool(group["pending"]) or bool(group["lag"])

    def worker(self) -> Sequence[str]:
        options = [
            "--workers",
            "1",
            "--max-async-tasks",
            CONCURRENCY,
            "--max-prefetch",
            str(READ),
            "--no-parse",
            "--log-level",
            "ERROR",
        ]
        return python("-m", "taskiq", "worker", *options, "bench.peers.taskiq:broker")
