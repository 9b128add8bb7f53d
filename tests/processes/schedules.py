"""Four schedulers, killed again and again with kill -9: each instant is exactly one job.

``python -m tests.processes.schedules --seconds 300`` is a longer one; the suite runs a short one.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dutiful.operations import schedule_verbs, schedules
from tests.processes.support.workers import Place, until

MODULE = "tests.processes.support.schedule_jobs"
WORKERS = 4


@dataclass(frozen=True, slots=True)
class Count:
    """What came of it; ``late_s`` is the latest that an occurrence was made."""

    kills: int
    instants: int
    jobs: int
    doubled: int
    missing: int
    skipped: int
    late_s: float


def rampage(place: Place, *, seconds: float, every_s: float, seed: int) -> Count:
    """Run four workers for a while, one of which is killed every ``every_s``; then count."""
    chance = random.Random(seed)
    crew = [place.worker() for _ in range(WORKERS)]
    engine = place.app.engine
    until(lambda: len(engine.run(schedules.look("tests"))) == 2, "the schedules are declared")
    kills, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(every_s * chance.uniform(0.5, 1.5))
        at = chance.randrange(WORKERS)
        place.kill(crew[at])
        kills += 1
        crew[at] = place.worker()
    seen = {one.name: one.covered_at_us for one in engine.run(schedules.look("tests"))}
    # Whatever was due while nobody looked is made now: the last worker has time to catch up.
    until(
        lambda: all(one.covered_at_us > seen[one.name] for one in engine.run(schedules.look("tests"))),
        "the schedules go on",
    )
    for worker in crew:
        place.kill(worker)
    return _counted(place, kills)


def _counted(place: Place, kills: int) -> Count:
    engine = place.app.engine
    instants = jobs = doubled = missing = skipped = late = 0
    for one in engine.run(schedules.look("tests")):
        expected = set(one.spec.after(one.changed_at_us, one.covered_at_us))
        rows = engine.run(schedule_verbs.ledger("tests", one.name, limit=100_000))
        made = [row for row in rows if not row.skipped]
        ids = {row.job_id for row in made}
        instants += len(expected)
        jobs += len(ids)
        doubled += len(made) - len(ids)
        missing += len(expected - {row.at_us for row in made})
        skipped += sum(row.instants for row in rows if row.skipped)
        late = max([late, *(row.made_at_us - row.at_us for row in made)])
    return Count(kills, instants, jobs, doubled, missing, skipped, round(late / 1e6, 2))


def main() -> None:
    """A longer one, by hand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(options.url or f"sqlite:///{folder}/schedules.db", Path(folder), MODULE)
        place.app.migrate()
        try:
            count = rampage(place, seconds=options.seconds, every_s=options.every, seed=options.seed)
            place.verified()
        finally:
            place.close()
    print(f"seed {options.seed}: {count}")


if __name__ == "__main__":
    main()
