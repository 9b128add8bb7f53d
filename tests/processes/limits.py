"""A limit across processes that are killed: asked all the time, in one snapshot each, how many run.

``python -m tests.processes.limits --url URL --jobs 2000`` is the full size; the suite runs a small one.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dutiful.engines.urls import open_engine
from tests.contract.world import Eye
from tests.processes.support.limited import LIMIT
from tests.processes.support.workers import Place, until

MODULE = "tests.processes.support.limited"
COUNT = """
SELECT count(*) FROM dutiful.job AS j JOIN dutiful.lane AS l ON l.id = j.lane
 WHERE l.queue = 'few' AND j.state = 'running'
"""
SPANS = """
SELECT h.claimed_at, h.finished_at FROM dutiful.history AS h JOIN dutiful.lane AS l ON l.id = h.lane
 WHERE l.queue = 'few'
"""


@dataclass
class Seen:
    """What a limit came to: the most that ran at a time, by looks and by the instants in the history."""

    jobs: int = 0
    kills: int = 0
    done: int = 0
    looks: int = 0
    most_looked: int = 0
    most_by_history: int = 0
    seconds: float = 0.0
    full: int = field(default=0)
    """In how many looks the limit was used up."""


@contextmanager
def looking(url: str, seen: Seen) -> Iterator[None]:
    """Within, a thread counts again and again how many run."""
    stop = threading.Event()

    def look() -> None:
        engine = open_engine(url)
        eye = Eye(engine)
        while not stop.wait(0.001):
            [(count,)] = eye.sql(COUNT)
            seen.looks += 1
            seen.most_looked = max(seen.most_looked, count)
            seen.full += count >= LIMIT
        eye.close()
        engine.close()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def most_at_once(spans: list[tuple[int, int]]) -> int:
    """How many half-open spans share an instant at most."""
    steps = sorted([(at, 1) for at, _ in spans] + [(at, -1) for _, at in spans])
    now = most = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def rampage(place: Place, *, jobs: int, kills: int, workers: int, every_s: float, seed: int) -> Seen:
    """Limited jobs in threads and in children, on processes of which one is killed now and then."""
    chance = random.Random(seed)
    seen, start = Seen(jobs=jobs), time.monotonic()
    ids = place.enqueue("nap", *((n, chance.randrange(1, 60)) for n in range(jobs - jobs // 10)))
    ids += place.enqueue("apart", *((n, chance.randrange(1, 60)) for n in range(jobs // 10)))
    with looking(place.url, seen):
        crew = [place.worker("--concurrency", "2") for _ in range(workers)]
        until(lambda: place.said("begin"), "a body has begun")
        while seen.kills < kills and place.left():
            time.sleep(every_s * chance.uniform(0.5, 1.5))
            at = chance.randrange(len(crew))
            place.kill(crew[at])
            seen.kills += 1
            crew[at] = place.worker("--concurrency", "2")
        until(lambda: place.left() == 0, "everything is done", 300)
    seen.done = place.states(ids).get("performed", 0)
    eye = Eye(place.app.engine)
    seen.most_by_history = most_at_once([(row[0], row[1]) for row in eye.sql(SPANS)])
    eye.close()
    seen.seconds = round(time.monotonic() - start, 1)
    return seen


def main() -> None:
    """The full size, by hand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(options.url or f"sqlite:///{folder}/limits.db", Path(folder), MODULE)
        place.app.migrate()
        try:
            seen = rampage(
                place,
                jobs=options.jobs,
                kills=options.kills,
                workers=options.workers,
                every_s=2.0,
                seed=options.seed,
            )
            place.verified()
        finally:
            place.close()
    print(f"seed {options.seed}, limit {LIMIT}: {seen}")


if __name__ == "__main__":
    main()
