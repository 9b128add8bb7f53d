"""Huey on SQLite at its defaults for the file: every commit is flushed to disk (``synchronous=FULL``).

That is safer against a power cut than dutiful's default (NORMAL) and slower; ``huey_off`` is the other side.
One consumer process with one thread, since two are little more than half as fast: they wait for each other's
write lock. No results; a poll that backs off to 0.1 s. It has no acknowledgement: a job is deleted before its
task runs, so that a kill -9 loses it, at any setting. It has no bulk interface.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

from huey import SqliteHuey  # type: ignore[import-untyped,import-not-found,unused-ignore]

from bench.driven import Driven, python
from bench.marks import mark
from bench.subject import URL_VARIABLE

OPTIONS = ("-w", "1", "-k", "thread", "-d", "0.01", "-m", "0.1", "--no-periodic", "--quiet")


def queue(**options: Any) -> tuple[Any, Any]:
    """A Huey over the store of this call, and its task."""
    path = os.environ[URL_VARIABLE].removeprefix("sqlite:///")
    made = SqliteHuey("bench", filename=path, results=False, **options)
    return made, made.task(name="noop")(mark)


huey, noop = queue()


class Peer(Driven):
    name = "huey"
    store = "sqlite"
    rates = {"enqueue_one": 3_000, "enqueue_bulk": 3_000, "drain": 2_300}
    module: ClassVar[str] = "bench.peers.huey"
    queue: ClassVar[Any] = huey
    task: ClassVar[Any] = staticmethod(noop)

    def prepare(self) -> None:
        pass

    def enqueue(self, index: int) -> None:
        self.task(index)

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        for index in indexes:
            self.task(index)

    def has_open_jobs(self) -> bool:
        return bool(self.queue.pending_count())

    def worker(self) -> Sequence[str]:
        return python("-m", "huey.bin.huey_consumer", f"{self.module}.huey", *OPTIONS)
