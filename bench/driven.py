"""A subject with a worker process: from five small methods all measures follow, alike for everybody.

The rules, the same for dutiful and for each peer: jobs are stored before the worker starts; a drain begins
with the first line of the first body and ends when the store says that no job is open; a start latency is
taken one job at a time after a rest, so that the worker is idle; an idle worker has run one job before.
"""

from __future__ import annotations

import random
import sys
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench import processes
from bench.marks import PATIENCE_S, Marks, Stalled
from bench.server_side import count_queries, held_snapshot, server_pid
from bench.subject import Drained, Held, Idle, NotMeasured, Subject

START_S = 60.0  # a worker that has run nothing by then counts as broken
SETTLE_S = 2.0  # after its first job, until a worker counts as idle
REST_S = (0.005, 0.03)  # between two jobs of the latency measure: random, so as not to beat with a poll
WARM = 10  # jobs enqueued before the clock starts: connections, caches, prepared statements
PART_S = 5.0  # about how long a part of a churn takes
BULK = 1_000  # jobs in one call of the peers' bulk interface


class Driven(Subject):
    """Fill in the five abstract methods below; ``prepare`` may be extended."""

    bulk: int = BULK

    @abstractmethod
    def enqueue(self, index: int) -> None:
        """Store one job that will call ``mark(index)``, committed on return."""

    @abstractmethod
    def enqueue_many(self, indexes: Sequence[int]) -> None:
        """Store many such jobs, committed on return."""

    @abstractmethod
    def has_open_jobs(self) -> bool:
        """Whether any job is not yet finished and recorded as such."""

    @abstractmethod
    def worker(self) -> Sequence[str]:
        """The command of one worker process that runs until it is stopped."""

    def enqueue_one(self, jobs: int) -> float:
        for index in range(WARM):
            self.enqueue(index)
        began = time.perf_counter()
        for index in range(jobs):
            self.enqueue(index)
        return time.perf_counter() - began

    def enqueue_bulk(self, jobs: int) -> float:
        self.enqueue_many(range(WARM))
        began = time.perf_counter()
        self._store(range(jobs))
        return time.perf_counter() - began

    def drain(self, jobs: int) -> Drained:
        return self._stored_and_drained(self._marks(jobs), range(jobs))

    def latency(self, jobs: int) -> list[float]:
        chance = random.Random(1)
        marks = self._marks(jobs + 1)
        waits: list[float] = []
        with self._idle_worker(marks, probe=jobs):
            for index in range(jobs):
                time.sleep(chance.uniform(*REST_S))
                began = time.monotonic()
                self.enqueue(index)
                waits.append(self._begun(marks, index) - began)
        return waits

    def idle(self, seconds: float) -> Idle:
        marks = self._marks(1)
        with self._idle_worker(marks, probe=0) as pid:
            time.sleep(SETTLE_S)
            queries = count_queries(self.place.url) if self.store == "postgres" else None
            cpu, began = processes.cpu_seconds([pid]), time.monotonic()
            time.sleep(seconds)
            elapsed, spent = time.monotonic() - began, processes.cpu_seconds([pid])
            if cpu is None or spent is None:
                raise NotMeasured("this system does not tell a process's CPU time")
            rate = None if queries is None else (count_queries(self.place.url) - queries) / elapsed
            return Idle(queries_per_s=rate, cpu_percent=100 * (spent - cpu) / elapsed)

    def held(self, jobs: int, churn: int, budget_s: float) -> Held:
        if self.store != "postgres":
            return super().held(jobs, churn, budget_s)
        marks = self._marks(jobs + churn + jobs)
        fresh = self._stored_and_drained(marks, range(jobs))
        with held_snapshot(self.place.url):
            churned = self.churn(marks, range(jobs, jobs + churn), budget_s)
            start = jobs + churned
            return Held(fresh, self._stored_and_drained(marks, range(start, start + jobs)), churned)

    def churn(self, marks: Marks, indexes: range, budget_s: float) -> int:
        """Run these jobs through the system, in parts, until the budget is spent; how many went."""
        began, at = time.monotonic(), indexes.start
        size = max(self.bulk, int(self.rates["drain"] * PART_S))
        with self._running():
            while at < indexes.stop and time.monotonic() - began < budget_s:
                part = range(at, min(at + size, indexes.stop))
                self._store(part)
                self._drained(marks, part)
                at = part.stop
        return at - indexes.start

    def _marks(self, slots: int) -> Marks:
        return Marks.create(self.place.folder / "marks", max(slots, WARM))

    def _store(self, indexes: range) -> None:
        for start in range(indexes.start, indexes.stop, self.bulk):
            self.enqueue_many(range(start, min(start + self.bulk, indexes.stop)))

    def _stored_and_drained(self, marks: Marks, indexes: range) -> Drained:
        self._store(indexes)
        with self._running():
            return self._drained(marks, indexes)

    def _drained(self, marks: Marks, indexes: range) -> Drained:
        server = server_pid(self.place.url)
        workers = [self._process.pid, *([] if server is None else [server])]
        self._begun(marks, indexes.start, START_S)  # stored first, so among the first to be run
        cpu = processes.cpu_seconds(workers)
        first = marks.wait_for_all(indexes.start, indexes.stop, check=self._alive)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            asked = time.monotonic()
            if not self.has_open_jobs():
                spent = processes.cpu_seconds(workers)
                used = None if cpu is None or spent is None else spent - cpu
                return Drained(len(indexes), asked - first, used)
            if asked > deadline:
                raise Stalled("all jobs began, but some never ended")
            self._alive()
            time.sleep(0.002)

    @contextmanager
    def _running(self) -> Iterator[int]:
        with processes.running(self.worker(), self.place.folder / "worker.log") as self._process:
            yield self._process.pid

    def _alive(self) -> None:
        """Raises WorkerDied if there is nothing to wait for any more."""
        if self._process.poll() is not None:
            raise processes.WorkerDied(f"exit code {self._process.returncode}")

    def _begun(self, marks: Marks, index: int, timeout_s: float = PATIENCE_S) -> float:
        return marks.wait_for(index, timeout_s=timeout_s, check=self._alive)

    @contextmanager
    def _idle_worker(self, marks: Marks, probe: int) -> Iterator[int]:
        with self._running() as pid:
            self.wake(marks, probe)
            time.sleep(SETTLE_S / 4)
            yield pid

    def wake(self, marks: Marks, probe: int) -> None:
        """Have the worker run its first job."""
        self.enqueue(probe)
        self._begun(marks, probe, START_S)


class Bells(Driven):
    """No queue, just one process that hears another: the floor of a start latency."""

    rates = {}

    def prepare(self) -> None:
        pass

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        raise NotMeasured("stores nothing")

    def has_open_jobs(self) -> bool:
        return False


def python(*arguments: str) -> list[str]:
    """The command of a Python module in the benchmark's own environment."""
    return [sys.executable, *arguments]
