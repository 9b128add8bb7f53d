"""dutiful itself, as a user would run it: a plain task, its command line for the worker, its defaults.

Bulk is ``app.enqueue_many``. The end of a drain is asked of the live table, which holds open jobs only.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.driven import Driven
from bench.marks import mark
from bench.subject import URL_VARIABLE, Drained
from dutiful import App
from dutiful.app.transactions import Transaction

app = App("bench", os.environ[URL_VARIABLE])


@app.task(name="noop")
def noop(index: int) -> None:
    mark(index)


@app.task(name="once", delivery="exactly_once")
def once(index: int, *, tx: Transaction) -> None:
    mark(index)
    tx.execute(INSERT, {"n": index})


@app.task(name="grouped", delivery="exactly_once", group=50)
def grouped(index: int, *, tx: Transaction) -> None:
    mark(index)
    tx.execute(INSERT, {"n": index})


INSERT = "INSERT INTO bench_work (n) VALUES (:n)"


class Ours(Driven):
    """What is alike on both engines."""

    bulk = 10_000
    task: Any = noop
    options: tuple[str, ...] = ()

    def drain_once(self, jobs: int) -> Drained:
        """Sixteen at once, as the floor."""
        self.task, self.options = once, ("--concurrency", "16")
        self.make_table()
        return self.drain(jobs)

    def drain_group(self, jobs: int) -> Drained:
        """Two threads, so that one works while the other's commit is on its way."""
        self.task, self.options = grouped, ("--concurrency", "2")
        self.make_table()
        return self.drain(jobs)

    @abstractmethod
    def make_table(self) -> None:
        """The user's table."""

    def prepare(self) -> None:
        app.migrate()

    def enqueue(self, index: int) -> None:
        noop.enqueue(index)

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        app.enqueue_many(self.task, indexes)

    def worker(self) -> Sequence[str]:
        return [str(Path(sys.executable).with_name("dutiful")), "worker", "bench.ours:app", *self.options]


class OnPostgres(Ours):
    name = "ours-postgres"
    store = "postgres"
    rates = {
        "enqueue_one": 2_000,
        "enqueue_bulk": 50_000,
        "drain": 12_000,
        "drain_once": 1_500,
        "drain_group": 5_000,
    }

    def prepare(self) -> None:
        import psycopg

        super().prepare()
        self.connection: psycopg.Connection[Any] = psycopg.connect(self.place.url, autocommit=True)

    def make_table(self) -> None:
        self.connection.execute("CREATE TABLE bench_work (n bigint)")

    def has_open_jobs(self) -> bool:
        row = self.connection.execute("SELECT EXISTS (SELECT FROM dutiful.job)").fetchone()
        return row is not None and bool(row[0])


class OnSqlite(Ours):
    name = "ours-sqlite"
    store = "sqlite"
    rates = {
        "enqueue_one": 5_000,
        "enqueue_bulk": 50_000,
        "drain": 12_000,
        "drain_once": 1_500,
        "drain_group": 5_000,
    }

    def prepare(self) -> None:
        super().prepare()
        self.connection = sqlite3.connect(self.place.url.removeprefix("sqlite:///"), isolation_level=None)
        self.connection.execute("PRAGMA wal_autocheckpoint = 0")  # dutiful takes the checkpoints

    def make_table(self) -> None:
        self.connection.execute("CREATE TABLE bench_work (n bigint)")

    def has_open_jobs(self) -> bool:
        [found] = self.connection.execute("SELECT EXISTS (SELECT 1 FROM dutiful_job)").fetchone()
        return bool(found)
