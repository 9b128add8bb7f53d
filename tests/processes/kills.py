"""kill -9 of worker processes at random, again and again, while jobs run; then count.

``python -m tests.processes.kills --url URL --jobs 2000`` is the full size; the suite runs a small one.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.processes.support.workers import Place, until

LEASE_S = 2.0
CONCURRENCY = 5


@dataclass(frozen=True, slots=True)
class Count:
    """What came of it. ``repeats`` are runs beyond one a job; ``in_hand`` are the runs that killed workers
    had begun and that were not settled: each may be repeated once, and nothing else may."""

    jobs: int
    kills: int
    done: int
    lost: int
    running: int
    repeats: int
    in_hand: int
    longest_stuck_s: float
    seconds: float


def rampage(place: Place, *, jobs: int, kills: int, workers: int, every_s: float, seed: int) -> Count:
    """Run ``jobs`` on ``workers`` processes, one of which is killed every ``every_s``, at most ``kills``."""
    chance = random.Random(seed)
    start = time.monotonic()
    ids = place.enqueue("nap", *((n, chance.randrange(20, 150)) for n in range(jobs)))
    crew = [place.worker("--concurrency", str(CONCURRENCY)) for _ in range(workers)]
    until(lambda: place.said("begin"), "a body has begun")
    killed: list[str] = []
    while len(killed) < kills and place.left():
        time.sleep(every_s * chance.uniform(0.5, 1.5))
        at = chance.randrange(len(crew))
        place.kill(crew[at])
        killed.append(str(crew[at].pid))
        crew[at] = place.worker("--concurrency", str(CONCURRENCY))
    stopped = time.monotonic()
    until(lambda: place.left() == 0, "everything is done", 120)
    stuck = time.monotonic() - stopped
    states = place.states(ids)
    begun: dict[str, int] = {}
    for line in place.said("begin"):
        begun[line[1]] = begun.get(line[1], 0) + 1
    return Count(
        jobs=jobs,
        kills=len(killed),
        done=states.get("performed", 0),
        lost=jobs - sum(states.values()) + sum(1 for id in ids if id not in begun),
        running=states.get("running", 0),
        repeats=sum(begun.values()) - len(begun),
        in_hand=_in_hand(place, set(killed)),
        longest_stuck_s=round(stuck, 1),
        seconds=round(time.monotonic() - start, 1),
    )


def _in_hand(place: Place, killed: set[str]) -> int:
    """Runs that were begun in workers that were killed, and that did not close their job."""
    return sum(
        place.job(id).run_no != int(run_no)
        for _, id, run_no, group, _ in place.said("begin")
        if group in killed
    )


def main() -> None:
    """The full size, by hand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(options.url or f"sqlite:///{folder}/kills.db", Path(folder))
        place.app.migrate()
        try:
            count = rampage(
                place,
                jobs=options.jobs,
                kills=options.kills,
                workers=options.workers,
                every_s=1.0,
                seed=options.seed,
            )
            place.verified()
        finally:
            place.close()
    print(f"seed {options.seed}: {count}")


if __name__ == "__main__":
    main()
