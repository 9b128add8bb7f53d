"""A million jobs wait at one gate: what others' claims cost then, and in what turn they start at last.

``python -m tests.processes.gates_waiting --url URL --jobs 1000000`` prints the figures; by hand.
"""

from __future__ import annotations

import argparse
import time

import msgspec

from dutiful.engines.contract import Engine
from dutiful.engines.urls import open_engine
from dutiful.model.gates import Gate
from dutiful.model.ids import make_id
from dutiful.model.jobs import Ending, Lane, Lease, NewJob, NewWorker
from dutiful.operations import claims, enqueue, lanes, settle, workers

APP = "waiting"
DOORS = {
    "lock": Gate("lock", "one", 1),
    "order": Gate("order", "one", 1),
    "fair": Gate("fair", "tenant:1", 100),
}


class Store:
    """One worker's claims, from its mark on."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.run = engine.run
        self.run(lanes.declare(APP, [("q", 0)], []))
        self.lane = self.run(lanes.lanes(APP))[0].id
        self.mark = 0
        row = NewWorker(APP, "h", 1, 3_600_000_000, 10, '["q"]', '{"t":1}')
        self.me = self.run(workers.register(row))

    def put(self, count: int, *doors: Gate) -> None:
        for start in range(0, count, 1000):
            batch = [
                NewJob(
                    id=make_id(), task="t", queue="q", priority=0, args=msgspec.json.encode(n), gates=doors
                )
                for n in range(start, min(count, start + 1000))
            ]
            self.run(enqueue.many(APP, batch))

    def claim(self, limit: int = 100) -> list[Lease]:
        leases = self.run(claims.claim(self.me, [Lane(self.lane, self.mark)], {"t": 1}, limit)).leases
        self.mark = max([self.mark, *(lease.ready_seq for lease in leases)])
        return leases

    def end(self, leases: list[Lease]) -> None:
        self.run(
            settle.settle([Ending("complete", one.job_id, one.token, one.run_no) for one in leases], self.me)
        )

    def drain(self, count: int) -> float:
        """Jobs a second, of claiming and settling so many."""
        self.put(count)
        start, done = time.monotonic(), 0
        while done < count:
            leases = self.claim()
            self.end(leases)
            done += len(leases)
        return count / (time.monotonic() - start)


def main(url: str, jobs: int, kind: str) -> None:
    engine = open_engine(url)
    engine.migrate()
    store = Store(engine)
    store.drain(2000)
    fresh = sorted(store.drain(10_000) for _ in range(3))[1]
    start = time.monotonic()
    store.put(jobs, DOORS[kind])
    print(f"{jobs} wait at one {kind}; stored in {time.monotonic() - start:.0f} s", flush=True)
    through = store.claim()  # those that are through already
    held = sorted(store.drain(10_000) for _ in range(3))[1]
    print(f"others' jobs: {fresh:.0f}/s fresh, {held:.0f}/s now: {held / fresh:.0%}", flush=True)
    if kind == "fair":
        store.put(10, Gate("fair", "tenant:2", 100))
        batches = 0
        found = 0
        store.end(through)
        while found < 10:
            leases, batches = store.claim(), batches + 1
            found += sum(
                1 for one in leases if msgspec.json.decode(one.args) < 10 and one.job_id > through[-1].job_id
            )
            store.end(leases)
        print(f"the ten of the second tenant were claimed within {batches} batches", flush=True)
        return
    numbers, start = [], time.monotonic()
    while len(numbers) < 500:
        numbers += [msgspec.json.decode(one.args) for one in through]
        store.end(through)
        through = store.claim()
    took = (time.monotonic() - start) / 500
    print(f"released: in turn {numbers == list(range(500))}, {took * 1e3:.2f} ms each", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=sorted(DOORS), default="lock")
    main(**vars(parser.parse_args()))
