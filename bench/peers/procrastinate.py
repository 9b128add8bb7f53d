"""Procrastinate on PostgreSQL: one worker process, an async task, jobs kept after they succeed (the default).

Concurrency 10: each job is fetched by a query of its own and finished by another, so that 4 to 100 are alike
(1 is slower). LISTEN/NOTIFY is on, as by default. ``batch_defer`` is its bulk interface.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import procrastinate
import psycopg

from bench.driven import Driven, python
from bench.marks import mark
from bench.subject import URL_VARIABLE

CONCURRENCY = 10
FINISHED = """
INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, attempts)
SELECT 'default', 'noop', jsonb_build_object('index', n), 'succeeded', 1
  FROM generate_series(1, {count}) AS g(n)
"""
OPEN = "SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))"


def application(connector: procrastinate.BaseConnector) -> procrastinate.App:
    """The same tasks over an async connector, for the worker, and a sync one, for the producer."""
    app = procrastinate.App(connector=connector)

    @app.task(name="noop")
    async def noop(index: int) -> None:
        mark(index)

    return app


class Peer(Driven):
    name = "procrastinate"
    store = "postgres"
    finished = FINISHED
    rates = {"enqueue_one": 1_000, "enqueue_bulk": 10_000, "drain": 400}

    def prepare(self) -> None:
        self.connection = psycopg.connect(self.place.url, autocommit=True)
        self.producer = application(procrastinate.SyncPsycopgConnector(conninfo=self.place.url))
        self.producer.open()
        self.producer.schema_manager.apply_schema()
        self.task: Any = self.producer.tasks["noop"]

    def enqueue(self, index: int) -> None:
        self.task.defer(index=index)

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        self.task.batch_defer(*({"index": index} for index in indexes))

    def has_open_jobs(self) -> bool:
        row = self.connection.execute(OPEN).fetchone()
        return row is not None and bool(row[0])

    def worker(self) -> Sequence[str]:
        return python("-m", "bench.peers.procrastinate")


async def work() -> None:
    app = application(procrastinate.PsycopgConnector(conninfo=os.environ[URL_VARIABLE]))
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY)


if __name__ == "__main__":
    asyncio.run(work())
