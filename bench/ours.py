"""dutiful itself, as a user would run it: a plain task, its command line for the worker, its defaults.

Bulk is ``app.enqueue_many``. The end of a drain is asked of the live table, which holds open jobs only.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.driven import Driven
from bench.marks import mark
from bench.subject import URL_VARIABLE
from dutiful import App

app = App("bench", os.environ[URL_VARIABLE])


@app.task(name="noop")
def noop(index: int) -> None:
    mark(index)


class Ours(Driven):
    """What is alike on both engines."""

    bulk = 10_000

    def prepare(self) -> None:
        app.migrate()

    def enqueue(self, index: int) -> None:
        noop.enqueue(index)

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        app.enqueue_many(noop, indexes)

    def worker(self) -> Sequence[str]:
        return [str(Path(sys.executable).with_name("dutiful")), "worker", "bench.ours:app"]


class OnPostgres(Ours):
    name = "ours-postgres"
    store = "postgres"
    rates = {"enqueue_one": 2_000, "enqueue_bulk": 50_000, "drain": 12_000}

    def prepare(self) -> None:
        import psycopg

        super().prepare()
        self.connection: psycopg.Connection[Any] = psycopg.connect(self.place.url, autocommit=True)

    def has_open_jobs(self) -> bool:
        row = self.connection.execute("SELECT EXISTS (SELECT FROM dutiful.job)").fetchone()
        return row is not None and bool(row[0])


class OnSqlite(Ours):
    name = "ours-sqlite"
    store = "sqlite"
    rates = {"enqueue_one": 5_000, "enqueue_bulk": 50_000, "drain": 12_000}

    def prepare(self) -> None:
        super().prepare()
        self.connection = sqlite3.connect(self.place.url.removeprefix("sqlite:///"), isolation_level=None)
        self.connection.execute("PRAGMA wal_autocheckpoint = 0")  # dutiful takes the checkpoints

    def has_open_jobs(self) -> bool:
        [found] = self.connection.execute("SELECT EXISTS (SELECT 1 FROM dutiful_job)").fetchone()
        return bool(found)
