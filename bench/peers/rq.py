"""RQ on Redis: one SimpleWorker, which runs jobs in its own process; its usual worker forks for each job.

Jobs that succeeded are kept for good (``result_ttl=-1``): of what it documents, that costs a job least
(4.5 ms of CPU; 5.5 for its default of 500 s, and 6 where they go at once). No scheduler runs, its log says
warnings only. One job at a time: it has no concurrency within a process. ``enqueue_many`` is its bulk
interface.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from redis import Redis
from rq import Queue, SimpleWorker  # type: ignore[import-not-found,unused-ignore]

from bench.driven import Driven, python
from bench.marks import mark
from bench.subject import URL_VARIABLE

NAME = "bench"


class Peer(Driven):
    name = "rq"
    store = "redis"
    rates = {"enqueue_one": 1_500, "enqueue_bulk": 4_000, "drain": 500}

    def prepare(self) -> None:
        self.redis = Redis.from_url(self.place.url)
        self.queue = Queue(NAME, connection=self.redis)

    def enqueue(self, index: int) -> None:
        self.queue.enqueue(mark, index, result_ttl=-1)

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        self.queue.enqueue_many([Queue.prepare_data(mark, (index,), result_ttl=-1) for index in indexes])

    def has_open_jobs(self) -> bool:
        """It waits in the queue, or stands in the registry of what was started."""
        started = self.redis.zcard(self.queue.started_job_registry.key)
        return bool(self.redis.llen(self.queue.key)) or bool(started)

    def worker(self) -> Sequence[str]:
        return python("-m", "bench.peers.rq")


def work() -> None:
    redis = Redis.from_url(os.environ[URL_VARIABLE])
    SimpleWorker([Queue(NAME, connection=redis)], connection=redis).work(logging_level="WARNING")


if __name__ == "__main__":
    work()
