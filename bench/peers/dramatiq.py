"""Dramatiq on Redis: one worker process with 16 threads, each message acknowledged after its run.

Its rate grows with threads (with 8 it is a fifth less), since each waits for its own acknowledgement. A
second process would make it 1.7 times as fast here, but every system is measured with one. Its default
middleware. A producer sends one message after another; there is no bulk interface.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from redis import Redis

from bench.driven import Driven, python
from bench.marks import mark
from bench.subject import URL_VARIABLE

THREADS = "16"
PROCESSES = "1"

dramatiq.set_broker(RedisBroker(url=os.environ[URL_VARIABLE]))  # type: ignore[no-untyped-call,unused-ignore]


@dramatiq.actor(actor_name="noop", queue_name="bench")
def noop(index: int) -> None:
    mark(index)


class Peer(Driven):
    name = "dramatiq"
    store = "redis"
    rates = {"enqueue_one": 4_000, "enqueue_bulk": 4_000, "drain": 3_300}

    def prepare(self) -> None:
        self.redis = Redis.from_url(self.place.url)

    def enqueue(self, index: int) -> None:
        noop.send(index)

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        for index in indexes:
            noop.send(index)

    def has_open_jobs(self) -> bool:
        """Messages are in one hash from being sent until they are acknowledged."""
        return bool(self.redis.hlen("dramatiq:bench.msgs"))

    def worker(self) -> Sequence[str]:
        return python("-m", "dramatiq", "-p", PROCESSES, "-t", THREADS, "bench.peers.dramatiq")
