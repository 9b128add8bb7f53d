"""dutiful itself, as a user would run it: a plain task, its command line for the worker, its defaults.

Bulk is ``app.enqueue_many``. The end of a drain is asked of the live table, which holds open jobs only.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import sys
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from bench import pruning, states, stock, watched
from bench.course import between
from bench.driven import START_S, Driven
from bench.floors.rows import BULK
from bench.marks import mark
from bench.processes import cpu_seconds
from bench.server_side import server_pid
from bench.subject import URL_VARIABLE, Checked, Drained
from dutiful import App
from dutiful.app.transactions import Transaction
from dutiful.sql import sqlite_names

app = App("bench", os.environ[URL_VARIABLE])
watched.arrange()
PASSES = 7
QUEUES_VARIABLE = "DUTIFUL_BENCH_QUEUES"


def queues() -> list[str]:
    """The queues that workers serve beside the default one."""
    return [f"queue-{n:03}" for n in range(int(os.environ.get(QUEUES_VARIABLE, "1")) - 1)]


def declare_queues() -> None:
    for name in queues():
        app.queue(name)


declare_queues()


@app.task(name="noop")
def noop(index: int) -> None:
    mark(index)


@app.task(name="noop_async")
async def noop_async(index: int) -> None:
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

    bulk = BULK
    options: tuple[str, ...] = ()
    tasks: Sequence[Any] = (noop,)
    """What a bulk is enqueued as: the jobs of the n-th are every n-th, each after the other."""

    def drain_async(self, jobs: int) -> Drained:
        self.tasks = [noop_async]
        return self.drain(jobs)

    def drain_once(self, jobs: int, connections: int = 16) -> Drained:
        """As many at once as the floor has."""
        self.tasks, self.options = [once], ("--concurrency", str(connections))
        self.make_table()
        return self.drain(jobs)

    def drain_group(self, jobs: int) -> Drained:
        """Four threads, so that some work while the commits of others are on their way."""
        self.tasks, self.options = [grouped], ("--concurrency", "4")
        self.make_table()
        return self.drain(jobs)

    def verify(self, jobs: int, stock: int) -> Checked:
        """A pass by itself, and then drains without passes, with, with, and without."""
        from dutiful.worker.verifying import look_over

        self.fill(stock)
        self.beside = "WHERE ready_seq IS NOT NULL"
        marks = self._marks(4 * jobs)
        pass_s, drains, passes = [], [], 0
        server = server_pid(self.place.url)
        pids = [os.getpid(), *([] if server is None else [server])]
        look_over(app.engine, app.name, 0.0)  # connections, prepared statements
        cpu = cpu_seconds(pids)
        for number in range(PASSES):
            began = time.perf_counter()
            found = look_over(app.engine, app.name, number / PASSES)
            pass_s.append(time.perf_counter() - began)
            assert not found, found
        spent = cpu_seconds(pids)
        pass_cpu_s = None if cpu is None or spent is None else (spent - cpu) / PASSES
        for number, period_s in enumerate((watched.NEVER_S, *2 * [watched.OFTEN_S], watched.NEVER_S)):
            with watched.passes(self.place.folder, period_s) as count:
                drains.append(self._stored_and_drained(marks, range(number * jobs, (number + 1) * jobs)))
                seen = count.read_bytes()
                assert b"!" not in seen, "the checker found something during a drain"
                passes += len(seen)
        return Checked(pass_s, pass_cpu_s, [drains[0], drains[3]], drains[1:3], passes)

    def arrange(self, name: str, stock: int) -> None:
        self.beside = "WHERE ready_seq IS NOT NULL"
        if name == "finished":
            states.finished(self.sql, self.engine, self.other_lane(), stock, range(6))
        elif name == "scheduled":
            states.scheduled(self.sql, self.engine, self.other_lane(), stock)
        elif name == "analysed":
            self.sql("ANALYZE dutiful.job")
        elif name == "queues":
            self.declare(states.QUEUES)
            self.tasks = [noop, *(noop.using(queue=queue) for queue in queues())]
        else:
            self.tasks = [noop.using(priority=priority) for priority in states.PRIORITIES]

    def other_lane(self) -> int:
        return stock.lane(app.engine)

    def declare(self, queues: int) -> None:
        os.environ[QUEUES_VARIABLE] = str(queues)
        declare_queues()

    def prune(self, jobs: int, stock: int) -> Mapping[str, float]:
        """Endings from long ago, forgotten from a process of its own while one worker drains."""
        states.finished(self.sql, self.engine, self.other_lane(), stock, range(40, 47))
        marks = self._marks(2 * jobs)
        without = self._stored_and_drained(marks, range(jobs))
        indexes = range(jobs, 2 * jobs)
        self._store(indexes)
        with pruning.beside() as begin, self._running():
            began = self._begun(marks, jobs, START_S)
            ended = begin()
            self._drained(marks, indexes)
            pruned = ended()
        rate = between(marks.times(indexes), began, began + max(1.0, pruned["seconds"]))
        return {"without": without.jobs_per_s, "with": rate, **pruned}

    def stream(self, jobs: int) -> Mapping[str, float]:
        self.enqueue_many(range(self.bulk))
        was = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        app.enqueue_stream(noop, ({"index": index} for index in range(jobs)))
        seconds = time.perf_counter() - began
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - was
        return {"jobs_per_s": jobs / seconds, "grown_mb": grown * 1024 / 1e6}

    def gates(self, jobs: int, single: bool = False) -> Mapping[str, float]:
        from bench import gated

        self.where = "bench.gated:app"
        return gated.measure(self, jobs, single)

    def records(self, jobs: int) -> Mapping[str, float]:
        from bench import records

        name: Literal["postgres", "sqlite"] = "postgres" if self.store == "postgres" else "sqlite"
        return records.price(name, self.place.url, jobs)

    where = "bench.ours:app"
    beside = ""
    """What is asked of open jobs, where there are others than those of the drain."""

    @property
    def engine(self) -> str:
        return self.store

    @abstractmethod
    def sql(self, text: str) -> Any:
        """Run a statement that names tables ``dutiful.job``, beside the library."""

    @abstractmethod
    def fill(self, ended: int) -> None:
        """Make a stock of jobs (``stock``) that no drain touches."""

    @abstractmethod
    def make_table(self) -> None:
        """The user's table."""

    def prepare(self) -> None:
        app.migrate()

    def enqueue(self, index: int) -> None:
        noop.enqueue(index)

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        for n, task in enumerate(self.tasks):
            app.enqueue_many(task, indexes[n :: len(self.tasks)])

    def worker(self) -> Sequence[str]:
        return [str(Path(sys.executable).with_name("dutiful")), "worker", self.where, *self.options]


class OnPostgres(Ours):
    name = "ours-postgres"
    store = "postgres"
    rates = {
        "enqueue_one": 2_000,
        "enqueue_bulk": 50_000,
        "drain": 24_000,
        "drain_once": 1_500,
        "drain_group": 5_000,
    }

    def prepare(self) -> None:
        import psycopg

        super().prepare()
        self.connection: psycopg.Connection[Any] = psycopg.connect(self.place.url, autocommit=True)

    def make_table(self) -> None:
        self.connection.execute("CREATE TABLE bench_work (n bigint)")

    def fill(self, ended: int) -> None:
        stock.fill(self.sql, "postgres", self.other_lane(), ended)

    def sql(self, text: str) -> Any:
        return self.connection.execute(text)

    def enqueue_unheard(self, index: int) -> None:
        """In a transaction of the caller's: dutiful does not know when it commits."""
        with self.connection.transaction():
            noop.using(connection=self.connection).enqueue(index)

    def has_open_jobs(self) -> bool:
        row = self.connection.execute(f"SELECT EXISTS (SELECT FROM dutiful.job {self.beside})").fetchone()
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

    def fill(self, ended: int) -> None:
        stock.fill(self.sql, "sqlite", self.other_lane(), ended)
        self._level()

    def _level(self) -> None:
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def sql(self, text: str) -> Any:
        return self.connection.execute(sqlite_names(text))

    def has_open_jobs(self) -> bool:
        asked = f"SELECT EXISTS (SELECT 1 FROM dutiful_job {self.beside})"
        [found] = self.connection.execute(asked).fetchone()
        return bool(found)
