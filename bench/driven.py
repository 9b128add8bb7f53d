"""A subject with a worker process: from five small methods all measures follow, alike for everybody.

The rules, the same for dutiful and for each peer: jobs are stored before the worker starts; a drain begins
with the first line of the first body and ends when the store says that no job is open; start latencies are
taken at fifty jobs a second, whether or not the one before has begun; an idle worker has run one job before.
"""

from __future__ import annotations

import random
import sys
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import ClassVar

from bench import processes
from bench.course import between, course, middle
from bench.marks import PATIENCE_S, Marks, Stalled
from bench.server_side import checkpoint, count_queries, fill, held_snapshot, server_pid
from bench.subject import Beside, Drained, Held, Idle, NotMeasured, Subject

START_S = 60.0  # a worker that has run nothing by then counts as broken
SETTLE_S = 2.0  # after its first job, until a worker counts as idle
REST_S = (0.01, 0.03)  # between two jobs of the latency measure: random, so as not to beat with a poll
WARM = 10  # jobs enqueued before the clock starts: connections, caches, prepared statements
PART_S = 5.0  # about how long a part of a churn takes
BULK = 1_000  # jobs in one call of the peers' bulk interface
MEMORY_PART = 20_000  # jobs stored at a time while a worker's memory is watched
QUIET_S = 0.5  # before it is read


class Driven(Subject):
    """Fill in the five abstract methods below; ``prepare`` may be extended."""

    bulk: int = BULK
    finished: ClassVar[str] = ""
    """A statement that makes ``{count}`` jobs that have ended, where a peer keeps them."""

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

    def workers(self, jobs: int, counts: Sequence[int]) -> Mapping[str, float]:
        marks = self._marks(jobs * sum(counts))
        at, found = 0, {}
        for count in counts:
            indexes = range(at, at + jobs * count)
            self._store(indexes)
            with self._running(count):
                self._drained(marks, indexes)
            found[str(count)] = middle(marks.times(indexes))
            at = indexes.stop
        return found

    def latency(self, jobs: int, hints: bool = True) -> list[float]:
        chance = random.Random(1)
        marks = self._marks(jobs + 1)
        enqueue = self.enqueue if hints else self.enqueue_unheard
        asked: list[float] = []
        with self._idle_worker(marks, probe=jobs):
            due = time.monotonic()
            for index in range(jobs):
                due += chance.uniform(*REST_S)
                time.sleep(max(0.0, due - time.monotonic()))
                asked.append(time.monotonic())
                enqueue(index)
            return [self._begun(marks, index) - began for index, began in enumerate(asked)]

    def enqueue_unheard(self, index: int) -> None:
        """The same as ``enqueue``, in a way that no worker is told of."""
        raise NotMeasured("is always told")

    def declare(self, queues: int) -> None:
        """Have workers serve so many queues."""
        if queues != 1:
            raise NotMeasured("is measured with one queue")

    def idle(self, seconds: float, queues: int = 1) -> Idle:
        self.declare(queues)
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
            return Idle(rate, 100 * (spent - cpu) / elapsed, processes.resident_mb([pid]))

    def memory(self, first: int, last: int) -> Mapping[str, float]:
        marks, at = self._marks(last), 0
        found: dict[str, float] = {}
        with self._running() as pid:
            for name, stop in (("first_mb", first), ("last_mb", last)):
                while at < stop:
                    part = range(at, min(at + MEMORY_PART, stop))
                    self._store(part)
                    self._drained(marks, part)
                    at = part.stop
                time.sleep(QUIET_S)
                resident = processes.resident_mb([pid])
                if resident is None:
                    raise NotMeasured("this system does not tell a process's memory")
                found[name] = resident
        return found

    def state(self, name: str, jobs: int, stock: int, seconds: float) -> Beside:
        marks = self._marks(2 * jobs + stock)
        fresh = self._stored_and_drained(marks, range(jobs), from_level=True)
        if name == "waiting":
            waiting = range(jobs, jobs + stock)
            self._store(waiting)
            self._level()
            return Beside(fresh, self._drained_for(marks, waiting, seconds), stock)
        self.arrange(name, stock)
        return Beside(fresh, self._stored_and_drained(marks, range(jobs, 2 * jobs), from_level=True), stock)

    def arrange(self, name: str, stock: int) -> None:
        """Bring the store into one of ``measures.STATES``; what is stored from now on is in it."""
        if name != "finished" or not self.finished:
            raise NotMeasured("keeps no finished jobs")
        fill(self.place.url, self.finished.format(count=stock))

    def held(self, jobs: int, churn: int, budget_s: float) -> Held:
        if self.store != "postgres":
            return super().held(jobs, churn, budget_s)
        marks = self._marks(jobs + churn + jobs)
        fresh = self._stored_and_drained(marks, range(jobs))
        with held_snapshot(self.place.url):
            churned, rates = self.churn(marks, range(jobs, jobs + churn), budget_s)
            start = jobs + churned
            drained = self._stored_and_drained(marks, range(start, start + jobs))
            return Held(fresh, drained, churned, rates)

    def churn(self, marks: Marks, indexes: range, budget_s: float) -> tuple[int, list[tuple[float, float]]]:
        """Run these jobs through the system, in parts, until the budget is spent; how many, and how fast."""
        began, at = time.monotonic(), indexes.start
        rates: list[tuple[float, float]] = []
        size = max(self.bulk, int(self.rates["drain"] * PART_S))
        with self._running():
            while at < indexes.stop and time.monotonic() - began < budget_s:
                part = range(at, min(at + size, indexes.stop))
                self._store(part)
                self._drained(marks, part)
                rates += course(marks.times(part), began)
                at = part.stop
        return at - indexes.start, rates

    def _marks(self, slots: int) -> Marks:
        return Marks.create(self.place.folder / "marks", max(slots, WARM))

    def _store(self, indexes: range) -> None:
        for start in range(indexes.start, indexes.stop, self.bulk):
            self.enqueue_many(range(start, min(start + self.bulk, indexes.stop)))

    def _level(self) -> None:
        """Have what was stored written out now, not beside a drain: a million jobs leave much."""
        if self.store == "postgres":
            checkpoint(self.place.url)

    def _stored_and_drained(self, marks: Marks, indexes: range, *, from_level: bool = False) -> Drained:
        self._store(indexes)
        if from_level:
            self._level()
        with self._running():
            return self._drained(marks, indexes)

    def _drained_for(self, marks: Marks, indexes: range, seconds: float) -> Drained:
        """What is done of these jobs, which are more than can be done, in that time."""
        with self._running():
            server = server_pid(self.place.url)
            pids = [*self._pids(), *([] if server is None else [server])]
            began = self._begun(marks, indexes.start, START_S)
            cpu, asked = processes.cpu_seconds(pids), time.monotonic()
            time.sleep(seconds)
            spent, ended = processes.cpu_seconds(pids), time.monotonic()
        times = marks.times(indexes)
        rate, used = between(times, began, ended), None
        if cpu is not None and spent is not None:
            used = (spent - cpu) / (ended - asked)  # of each second
        return Drained(len(times), len(times) / rate, None if used is None else used * len(times) / rate)

    def _drained(self, marks: Marks, indexes: range) -> Drained:
        server = server_pid(self.place.url)
        workers = [*self._pids(), *([] if server is None else [server])]
        marks.wait_for_any(indexes, timeout_s=START_S, check=self._alive)
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
    def _running(self, count: int = 1) -> Iterator[int]:
        """So many workers; the first one's process id."""
        with ExitStack() as stack:
            self._workers = [
                stack.enter_context(processes.running(self.worker(), self.place.folder / f"worker-{n}.log"))
                for n in range(count)
            ]
            yield self._workers[0].pid

    def _pids(self) -> list[int]:
        return [worker.pid for worker in self._workers]

    def _alive(self) -> None:
        """Raises WorkerDied if there is nothing to wait for any more."""
        for worker in self._workers:
            if worker.poll() is not None:
                raise processes.WorkerDied(f"exit code {worker.returncode}")

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
