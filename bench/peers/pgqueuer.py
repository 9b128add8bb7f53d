"""PgQueuer on PostgreSQL: one worker process, an async entrypoint, asyncpg and uvloop, all tables logged.

Batches of 100: fetched in one query and, since it buffers completions, ended in one. 300 and 1,000 gained a
tenth at most; its default of 10 takes three times as long. A kill -9 loses a buffer of completions, so those
jobs run again. ``enqueue`` with lists is its bulk interface.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped,import-not-found,unused-ignore]
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from bench.driven import Driven, python
from bench.marks import mark
from bench.subject import URL_VARIABLE

T = TypeVar("T")

BATCH = 100
FINISHED = """
INSERT INTO pgqueuer_log (job_id, status, priority, entrypoint, created)
SELECT n, s, 0, 'noop', now() - interval '6 days' + n * interval '500 ms'
  FROM generate_series(1, {count}) AS g(n),
       unnest('{{queued,picked,successful}}'::pgqueuer_status[]) AS e(s)
"""
OPEN = "SELECT EXISTS (SELECT FROM pgqueuer)"


class Peer(Driven):
    name = "pgqueuer"
    store = "postgres"
    finished = FINISHED
    rates = {"enqueue_one": 2_000, "enqueue_bulk": 40_000, "drain": 12_000}

    def prepare(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.connection = self._wait(asyncpg.connect(self.place.url))
        self.queries = Queries(AsyncpgDriver(self.connection))
        self._wait(self.queries.install())

    def enqueue(self, index: int) -> None:
        self._wait(self.queries.enqueue("noop", str(index).encode()))

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        payloads: list[bytes | None] = [str(index).encode() for index in indexes]
        self._wait(self.queries.enqueue(["noop"] * len(payloads), payloads, [0] * len(payloads)))

    def has_open_jobs(self) -> bool:
        return bool(self._wait(self.connection.fetchval(OPEN)))

    def worker(self) -> Sequence[str]:
        return python("-m", "bench.peers.pgqueuer")

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)


async def work() -> None:
    connection = await asyncpg.connect(os.environ[URL_VARIABLE])
    queuer = PgQueuer(AsyncpgDriver(connection))

    @queuer.entrypoint("noop")
    async def noop(job: Job) -> None:
        mark(int(job.payload or b"0"))

    await queuer.qm.run(batch_size=BATCH)


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(work())
    else:
        uvloop.run(work())
