"""A bare NOTIFY from one process to another: the least that any start latency on PostgreSQL can be.

``python -m bench.floors.bell_postgres`` listens, and marks the job that each notification names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import psycopg

from bench.driven import START_S, Bells, python
from bench.marks import Marks, Stalled, mark
from bench.subject import URL_VARIABLE

CHANNEL = "bench_bell"


class Bell(Bells):
    name = "floor-postgres"
    store = "postgres"

    def enqueue(self, index: int) -> None:
        if not hasattr(self, "connection"):
            self.connection = psycopg.connect(self.place.url, autocommit=True)
        self.connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(index)))

    def worker(self) -> Sequence[str]:
        return python("-m", "bench.floors.bell_postgres")

    def wake(self, marks: Marks, probe: int) -> None:
        """Ring until the listener is there: whoever listens later hears nothing of earlier bells."""
        deadline = time.monotonic() + START_S
        while not marks.read(probe):
            if time.monotonic() > deadline:
                raise Stalled("the listener did not start")
            self.enqueue(probe)
            time.sleep(0.05)


def listen() -> None:
    with psycopg.connect(os.environ[URL_VARIABLE], autocommit=True) as connection:
        connection.execute(f"LISTEN {CHANNEL}")
        for notification in connection.notifies():
            mark(int(notification.payload))


if __name__ == "__main__":
    listen()
