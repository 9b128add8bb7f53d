"""Celery on Redis: late acknowledgement (else kill -9 loses jobs), no results, prefork with two processes.

The prefetch multiplier is 64, since its manual advises a high one for many short tasks. There is no bulk
interface in a single round trip: a producer holds one connection and sends one message after another.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from celery import Celery  # type: ignore[import-untyped,import-not-found,unused-ignore]
from redis import Redis

from bench.driven import Driven, python
from bench.marks import mark
from bench.subject import URL_VARIABLE

CONCURRENCY = "2"

_url = os.environ[URL_VARIABLE]
app: Any = Celery("bench", broker=_url)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="noop", ignore_result=True)  # type: ignore[untyped-decorator,unused-ignore]
def noop(index: int) -> None:
    mark(index)


class Peer(Driven):
    name = "celery"
    store = "redis"
    rates = {"enqueue_one": 1_700, "enqueue_bulk": 1_700, "drain": 900}

    def prepare(self) -> None:
        self.redis = Redis.from_url(self.place.url)
        self.producer = app.amqp.Producer(app.connection_for_write())

    def enqueue(self, index: int) -> None:
        noop.apply_async((index,), producer=self.producer)

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        for index in indexes:
            noop.apply_async((index,), producer=self.producer)

    def has_open_jobs(self) -> bool:
        return bool(self.redis.llen("celery")) or bool(self.redis.hlen("unacked"))

    def worker(self) -> Sequence[str]:
        options = ["-P", "prefork", "-c", CONCURRENCY, "-l", "error"]
        options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        return python("-m", "celery", "-A", "bench.peers.celery", "worker", *options)
