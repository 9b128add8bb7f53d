"""A bare commit in one process, seen by another: what a start latency on SQLite costs without a queue.

``python -m bench.floors.bell_sqlite`` looks at ``PRAGMA data_version`` every millisecond, and marks the
rows that came whenever it has changed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence

from bench.driven import Bells, python
from bench.marks import mark
from bench.subject import URL_VARIABLE

LOOK_S = 0.001
NEW = "SELECT rowid, job FROM bell WHERE rowid > ?"


class Bell(Bells):
    name = "floor-sqlite"
    store = "sqlite"

    def enqueue(self, index: int) -> None:
        if not hasattr(self, "connection"):
            self.connection = connect(self.place.url)
        self.connection.execute("INSERT INTO bell (job) VALUES (?)", (index,))

    def worker(self) -> Sequence[str]:
        return python("-m", "bench.floors.bell_sqlite")


def connect(url: str) -> sqlite3.Connection:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=10)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE IF NOT EXISTS bell (job integer NOT NULL)")
    return connection


def listen() -> None:
    connection = connect(os.environ[URL_VARIABLE])
    seen, last = None, 0
    while True:
        [version] = connection.execute("PRAGMA data_version").fetchone()
        if version != seen:
            seen = version
            for row, job in connection.execute(NEW, (last,)):
                mark(job)
                last = row
        time.sleep(LOOK_S)


if __name__ == "__main__":
    listen()
