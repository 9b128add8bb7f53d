"""Huey on SQLite: one consumer process with one thread, no results, a poll that backs off to 0.1 s.

It has no acknowledgement: a job is deleted before its task runs, so that a kill -9 loses it, at any setting.
``fsync=False`` (synchronous off) is its fastest documented setting and weaker than dutiful's default; two
threads are little more than half as fast as one, since they wait for each other's write lock. It has no bulk
interface: jobs are enqueued one by one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from huey import SqliteHuey  # type: ignore[import-untyped,import-not-found,unused-ignore]

from bench.driven import Driven, python
from bench.marks import mark
from bench.subject import URL_VARIABLE

THREADS = "1"

_path = os.environ[URL_VARIABLE].removeprefix("sqlite:///")
huey: Any = SqliteHuey("bench", filename=_path, fsync=False, results=False)


@huey.task()  # type: ignore[untyped-decorator,unused-ignore]
def noop(index: int) -> None:
    mark(index)


class Peer(Driven):
    name = "huey"
    store = "sqlite"
    rates = {"enqueue_one": 10_000, "enqueue_bulk": 10_000, "drain": 7_000}

    def prepare(self) -> None:
        pass

    def enqueue(self, index: int) -> None:
        noop(index)

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        for index in indexes:
            noop(index)

    def has_open_jobs(self) -> bool:
        return bool(huey.pending_count())

    def worker(self) -> Sequence[str]:
        options = ["-w", THREADS, "-k", "thread", "-d", "0.01", "-m", "0.1", "--no-periodic", "--quiet"]
        return python("-m", "huey.bin.huey_consumer", "bench.peers.huey.huey", *options)
