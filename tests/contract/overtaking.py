"""Does a job overtake one of higher priority? Claims by their marks, under a snapshot that somebody holds.

``python -m tests.contract.overtaking --url URL --jobs 300000`` is the full size, on a migrated and
empty database; the suite runs a small one. No sweep runs meanwhile, so what waits for one is never
claimed.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import psycopg

from dutiful.engines.postgres import PostgresEngine
from dutiful.model.ids import make_id
from dutiful.model.jobs import Ending, Lane, NewJob, NewWorker
from dutiful.model.marks import AGAIN_S, Marks
from dutiful.operations import claims, enqueue, lanes, settle, workers

APP = "overtaking"
KNOWN = {"send": 1}
QUEUES = ("first", "second", "third")
PRIORITIES = (2, 1, 0, -1, -2)
PLACES = [(queue, priority) for queue in QUEUES for priority in PRIORITIES]
"""Every lane, in the order in which its jobs are to be claimed."""

OPEN_MAX_S = 3.0
LATE_S = 4.5
"""A transaction that was open for longer (a busy machine) may leave its jobs to the sweep."""
IDLE_MAX_S = 15.0


@dataclass(slots=True)
class Stored:
    """A job: when its transaction had surely committed, and how long that was open."""

    place: int
    committed: float
    open_s: float


@dataclass(slots=True)
class Taken:
    """One claim: from ``marks`` (by place), between two instants; jobs as (id, place, number)."""

    claimer: int
    began: float
    ended: float
    marks: list[int]
    jobs: list[tuple[str, int, int]]
    lower: list[int] = field(default_factory=list)
    """By place: how many of the jobs stand behind it in the order."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it.

    ``overtaken``: jobs that saw jobs of lower priority claimed by claims that began after their own
    commit and ended before their own claim began. ``by_visible``: by how many at most, counting the
    claims that asked for them; ``by_passed``: counting those that began behind them, because their
    transaction had been open while others were claimed; ``passed_s``: how long that lasted at most.
    ``look_s``: how long that may be: the longest time between two rounds of second looks.
    """

    jobs: int
    twice: int
    unclaimed: int
    swept: int
    late: int
    passed: int
    overtaken: int
    by_visible: int
    by_passed: int
    passed_s: float
    look_s: float
    claims: int
    longest_claim_s: float
    seconds: float


class Race:
    """Enqueuers and claimers, and what they saw."""

    def __init__(self, engine: PostgresEngine, *, jobs: int, batch: int, rate: float, seed: int) -> None:
        self.engine = engine
        self.jobs = jobs
        self.batch = batch
        self.rate = rate
        """How many jobs all claimers together take a second, at most; 0: as many as they can."""
        self.chance = random.Random(seed)
        self.stored: dict[str, Stored] = {}
        self.taken: list[Taken] = []
        self.marks: list[Marks] = []
        self.order: list[int] = []
        self.left = jobs
        self.look_s = AGAIN_S
        self.failed: list[BaseException] = []
        self._lock = threading.Lock()

    # ── enqueuing ───────────────────────────────────────────────────────────────────────────

    def enqueue(self, many: int, chance: random.Random, open_s: Callable[[], float], size_max: int) -> None:
        """``many`` jobs in transactions of up to ``size_max``, each open for as long as ``open_s`` says."""
        with psycopg.connect(self.engine.conninfo) as connection:
            runner = self.engine.bind(connection)
            while many:
                size = min(many, chance.randint(1, size_max))
                many -= size
                places = [chance.randrange(len(PLACES)) for _ in range(size)]
                batch = [NewJob(make_id(), "send", *PLACES[place], b"{}", args_hash="{}") for place in places]
                opened = time.monotonic()
                connection.execute("SELECT 1")  # begins
                runner.run(enqueue.many(APP, batch))
                time.sleep(open_s())
                connection.commit()
                committed = time.monotonic()
                for job, place in zip(batch, places, strict=True):
                    self.stored[job.id] = Stored(place, committed, committed - opened)

    # ── claiming ────────────────────────────────────────────────────────────────────────────

    def claim(self, claimer: int) -> None:
        """Claim and complete until nothing is left, as a worker's fetcher and settler do."""
        marks = Marks()
        self.marks.append(marks)
        fields: dict[str, Any] = {"app": APP, "host": "here", "pid": 1, "lease_us": 3_600_000_000}
        worker = self.engine.run(workers.register(NewWorker(**fields, concurrency=1, queues="", tasks="")))
        pace_s = 4 * self.batch / self.rate if self.rate else 0.0
        place = {lane: at for at, lane in enumerate(self.order)}
        last = time.monotonic()
        while self.left and time.monotonic() - last < IDLE_MAX_S:
            began = time.monotonic()
            earlier = marks._round_at or began
            asked = marks.lanes(self.order, began)
            self.look_s = max(self.look_s, marks._round_at - earlier)
            reply = self.engine.run(claims.claim(worker, asked, KNOWN, self.batch))
            ended = time.monotonic()
            marks.claimed(asked, reply.leases, self.batch, reply.horizon, ended, ended - began)
            jobs = [(lease.job_id, place[lease.lane], lease.ready_seq) for lease in reply.leases]
            self.taken.append(Taken(claimer, began, ended, [lane.mark for lane in asked], jobs))
            if jobs:
                last = ended
                ends = [Ending("complete", le.job_id, le.token, le.run_no) for le in reply.leases]
                assert self.engine.run(settle.settle(ends, worker)) == []
                with self._lock:
                    self.left -= len(jobs)
            else:
                time.sleep(0.01)
            time.sleep(max(0.0, pace_s - (time.monotonic() - began)))

    # ── all of it ───────────────────────────────────────────────────────────────────────────

    def run(self) -> Figures:
        start = time.monotonic()
        engine, chance = self.engine, self.chance
        engine.run(lanes.declare(APP, PLACES))
        ids = {(row.queue, row.priority): row.id for row in engine.run(lanes.lanes(APP))}
        self.order = [ids[place] for place in PLACES]
        slow = min(self.jobs // 10, 3000)
        before = (self.jobs - slow) // 2
        quick = (self.jobs - slow - before) // 2
        size = max(self.jobs // 200, 20)
        with held_snapshot(engine):
            self.enqueue(before, random.Random(chance.random()), lambda: 0.0, size)
            claimers = [self._thread(self.claim, n) for n in range(4)]
            pauses = random.Random(chance.random())
            others = [self._thread(self.enqueue, quick, random.Random(1), lambda: 0.0, size // 4)]
            rest = self.jobs - slow - before - quick
            others += [
                self._thread(self.enqueue, rest, random.Random(2), lambda: pauses.expovariate(50), size // 4)
            ]
            others += [
                self._thread(
                    self.enqueue,
                    slow // 5 + (slow % 5 if n == 0 else 0),
                    random.Random(3 + n),
                    lambda: pauses.uniform(0.2, OPEN_MAX_S),
                    max(slow // 10, 1),
                )
                for n in range(5)
            ]
            for thread in others + claimers:
                thread.join()
            if self.failed:
                raise self.failed[0]
            lowest = [min(marks.values.get(lane, 0) for marks in self.marks) for lane in self.order]
            swept = engine.run(
                claims.sweep([Lane(lane, mark) for lane, mark in zip(self.order, lowest, strict=True)], KNOWN)
            )
        return self._count(swept, time.monotonic() - start)

    def _thread(self, target: Callable[..., None], *arguments: Any) -> threading.Thread:
        def work() -> None:
            try:
                target(*arguments)
            except BaseException as error:
                self.failed.append(error)
                self.left = 0

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    def _count(self, swept: int, seconds: float) -> Figures:
        self.taken.sort(key=lambda claim: claim.began)
        for claim in self.taken:
            behind = [0] * (len(PLACES) + 1)
            for _, place, _ in claim.jobs:
                behind[place] += 1
            claim.lower = [sum(behind[place + 1 :]) for place in range(len(PLACES))]
        longest = max(claim.ended - claim.began for claim in self.taken)
        lower = Between(self.taken, longest)
        seen: set[str] = set()
        twice = passed = overtaken = by_visible = by_passed = 0
        passed_s = 0.0
        for claim in self.taken:
            for id, place, number in claim.jobs:
                twice += id in seen
                seen.add(id)
                job = self.stored[id]
                was_passed = claim.marks[place] >= number or job.open_s > 0.05
                passed += was_passed
                if not lower.count(place, job.committed, claim.began):
                    continue
                overtaken += 1
                visible = behind_it = 0
                until = job.committed
                for other in lower.claims(job.committed, claim.began):
                    if other.marks[place] < number:
                        visible += other.lower[place]
                    elif other.lower[place]:
                        behind_it += other.lower[place]
                        until = other.ended
                by_visible = max(by_visible, visible)
                by_passed = max(by_passed, behind_it)
                passed_s = max(passed_s, until - job.committed)
        late = sum(job.open_s > LATE_S for id, job in self.stored.items() if id not in seen)
        return Figures(
            jobs=self.jobs,
            twice=twice,
            unclaimed=self.jobs - len(seen),
            swept=swept,
            late=late,
            passed=passed,
            overtaken=overtaken,
            by_visible=by_visible,
            by_passed=by_passed,
            passed_s=round(passed_s, 3),
            look_s=round(self.look_s, 3),
            claims=len(self.taken),
            longest_claim_s=round(longest, 3),
            seconds=round(seconds, 1),
        )


class Between:
    """Claims that began after one instant and ended before another."""

    def __init__(self, taken: Sequence[Taken], longest: float) -> None:
        self._taken = taken
        self._longest = longest
        self._began = [claim.began for claim in taken]
        by_end = sorted(taken, key=lambda claim: claim.ended)
        self._ended = [claim.ended for claim in by_end]
        places = range(len(PLACES))
        self._by_began = [[0, *accumulate(claim.lower[at] for claim in taken)] for at in places]
        self._by_ended = [[0, *accumulate(claim.lower[at] for claim in by_end)] for at in places]

    def count(self, place: int, after: float, before: float) -> int:
        """How many jobs behind ``place`` they took."""
        if before - after <= 2 * self._longest:
            return sum(claim.lower[place] for claim in self.claims(after, before))
        # No claim lasted so long that it began before the one and ended after the other.
        ended = self._by_ended[place][bisect_left(self._ended, before)]
        return ended - self._by_began[place][bisect_right(self._began, after)]

    def claims(self, after: float, before: float) -> Iterator[Taken]:
        for at in range(bisect_right(self._began, after), len(self._taken)):
            claim = self._taken[at]
            if claim.began >= before:
                return
            if claim.ended < before:
                yield claim


@contextmanager
def held_snapshot(engine: PostgresEngine) -> Iterator[None]:
    """As a backup or a forgotten transaction holds one: vacuum can remove nothing."""
    with psycopg.connect(engine.conninfo) as holder:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM dutiful.job")
        yield


def main() -> None:
    """The full size, by hand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--jobs", type=int, default=300_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    engine = PostgresEngine(options.url)
    engine.migrate()
    race = Race(engine, jobs=options.jobs, batch=options.batch, rate=options.rate, seed=options.seed)
    figures = race.run()
    engine.close()
    print(f"seed {options.seed}: {figures}")


if __name__ == "__main__":
    main()
