"""Chancy on PostgreSQL: one worker process, its async executor, and polls at once when a job ends (eager).

Concurrency 2,000: a poll fetches as many jobs as there is room for, in one query (a job takes a third less
CPU than with 500, and a quarter of that with 100). It buffers ends and writes them once in
``send_outgoing_interval`` seconds, a documented attribute: 0.05 here, by default 1. A kill -9 loses a buffer
of ends. Its default plugins run; its log says warnings only. ``sync_push_many`` is its bulk interface. NOTIFY
is on, as by default.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

import psycopg
from chancy import Chancy, Job, Queue, Worker, job  # type: ignore[import-not-found,unused-ignore]

from bench.driven import python
from bench.marks import mark
from bench.peers.looped import Looped, run
from bench.subject import URL_VARIABLE

CONCURRENCY = 2_000
OUTGOING_S = 0.05
QUEUE = Queue(
    "bench", concurrency=CONCURRENCY, executor=Chancy.Executor.Async, polling_interval=1, eager_polling=True
)
FINISHED = """
INSERT INTO chancy_jobs (id, queue, func, kwargs, state, attempts, created_at, started_at, completed_at)
SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'bench', 'bench.peers.chancy.noop',
       jsonb_build_object('index', n), 'succeeded', 1, now(), now(), now()
  FROM generate_series(1, {count}) AS g(n)
"""
OPEN = "SELECT EXISTS (SELECT FROM chancy_jobs WHERE state NOT IN ('succeeded', 'failed'))"


@job(queue="bench")
async def noop(*, index: int) -> None:
    mark(index)


def made(index: int) -> Job:
    return noop.job.with_kwargs(index=index)


def application(url: str) -> Chancy:
    log = logging.getLogger("chancy")
    log.setLevel(logging.WARNING)
    return Chancy(url, log=log)


class Peer(Looped):
    name = "chancy"
    store = "postgres"
    finished = FINISHED
    rates = {"enqueue_one": 700, "enqueue_bulk": 4_000, "drain": 4_400}

    async def connect(self) -> None:
        self.chancy = application(self.place.url)
        await self.chancy.pool.open()
        await self.chancy.migrate()
        await self.chancy.declare(QUEUE)
        self.connection = psycopg.connect(self.place.url, autocommit=True)

    async def send(self, index: int) -> None:
        await self.chancy.push(made(index))

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        for _ in self.chancy.sync_push_many([made(index) for index in indexes]):
            pass

    def has_open_jobs(self) -> bool:
        row = self.connection.execute(OPEN).fetchone()
        return row is not None and bool(row[0])

    def worker(self) -> Sequence[str]:
        return python("-m", "bench.peers.chancy")


async def work() -> None:
    async with application(os.environ[URL_VARIABLE]) as chancy, Worker(chancy) as worker:
        worker.send_outgoing_interval = OUTGOING_S
        await worker.wait_for_shutdown()


if __name__ == "__main__":
    run(work())
