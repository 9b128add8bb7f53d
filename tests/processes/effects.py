"""kill -9 of workers that charge at a provider which answers badly; then its ledger is counted.

``python -m tests.processes.effects --kills 200 --url URL`` is the full size; the suite runs a small one.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dutiful import App
from dutiful.operations import effects
from tests.processes.support import charges
from tests.processes.support.provider import Provider
from tests.processes.support.workers import Place, until

MODULE = "tests.processes.support.charges"
LEASE = "2s"
CONCURRENCY = 4
BATCH = 8
"""So many jobs of each kind are enqueued at a time."""
FAULT_RATE = 0.25
SETTLE_S = 240.0


@dataclass(frozen=True, slots=True)
class Count:
    """What came of it."""

    kills: int
    jobs: int
    done: int
    in_doubt: int
    other: int
    applied: int
    """Effects in the provider's ledger."""
    doubled: int
    """Of them those that are there more than once."""
    lost: int
    """Jobs that are done, and whose effect, or whose booking, is not there once."""
    late: int
    """Calls of an effect that was applied, or that nobody can look up, when its key was forgotten."""
    calls: int
    blocked: int
    """Calls that were answered from the provider's memory: what would have doubled without a key."""
    found: int
    """Effects that a lookup closed."""
    after_lookup: int
    """Effects that were sent again because a lookup said that they were surely not applied."""
    applied_in_doubt: int
    """Of the jobs in doubt those whose effect was applied."""
    seconds: float


class ChargingPlace(Place):
    """A place whose workers charge."""

    def __init__(
        self, url: str, folder: Path, *, seed: int, rate: float = FAULT_RATE, plant: str = ""
    ) -> None:
        self.url = url
        self.folder = folder
        self.log = folder / "bodies.log"
        self.log.touch()
        self.flags = folder / "flags"
        self.flags.mkdir()
        self.app = App("tests", url)
        for task in charges.app.tasks.values():
            self.app._add(task)
        self.workers = []
        self.plant = plant
        self.provider = Provider(folder / "provider", remember_s=charges.REMEMBER_S, seed=seed, rate=rate)
        until(lambda: self.provider.ready, "the provider serves")

    def worker(self, *options: str, **more: str) -> subprocess.Popen[bytes]:
        more = {"DUTIFUL_TEST_PROVIDER": self.provider.url, "DUTIFUL_TEST_PLANT": self.plant, **more}
        command = [sys.executable, "-m", "dutiful", "worker", f"{MODULE}:app", "--lease", LEASE, *options]
        with open(self.folder / "workers.log", "ab") as out:
            process = subprocess.Popen(
                command, env=self.environment(**more), stdout=out, stderr=out, start_new_session=True
            )
        self.workers.append(process)
        return process

    def enqueue_charges(self, kind: str, numbers: list[int]) -> list[str]:
        task = self.app.find_task(f"{MODULE}.{kind}")
        elsewhere, task.app = task.app, self.app
        try:
            return [handle.id for handle in self.app.enqueue_many(task, numbers)]
        finally:
            task.app = elsewhere

    def migrate(self) -> None:
        """Make the tables, and that of the bookings."""
        self.app.migrate()
        self._sql("CREATE TABLE booking (n integer, charge text)")

    def bookings(self) -> list[int]:
        return [row[0] for row in self._sql("SELECT n FROM booking")]

    def _sql(self, text: str) -> list[tuple[Any, ...]]:
        if self.url.startswith("postgres"):
            import psycopg

            with psycopg.connect(self.url, autocommit=True) as connection:
                cursor = connection.execute(text)  # type: ignore[arg-type]
                return cursor.fetchall() if cursor.description else []
        with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
            with connection:
                return connection.execute(text).fetchall()

    def close(self) -> None:
        super().close()
        self.provider.close()


def rampage(
    place: ChargingPlace,
    *,
    kills: int,
    workers: int,
    every_s: float,
    seed: int,
    kinds: tuple[str, ...] = charges.KINDS,
) -> Count:
    """Charge on ``workers`` processes, one of which is killed every ``every_s``, until ``kills`` are done."""
    chance = random.Random(seed)
    start = time.monotonic()
    numbers = itertools.count()
    jobs: dict[str, tuple[str, int]] = {}

    def feed() -> None:
        for kind in kinds:
            batch = [next(numbers) for _ in range(BATCH)]
            jobs.update(zip(place.enqueue_charges(kind, batch), [(kind, n) for n in batch], strict=True))

    feed()
    crew = [place.worker("--concurrency", str(CONCURRENCY)) for _ in range(workers)]
    until(lambda: place.provider.calls(), "something is called")
    for _ in range(kills):
        time.sleep(every_s * chance.uniform(0.5, 1.5))
        if place.left() < 2 * BATCH * len(kinds):
            feed()
        at = chance.randrange(workers)
        place.kill(crew[at])
        crew[at] = place.worker("--concurrency", str(CONCURRENCY))
    until(lambda: place.left() == 0, "everything has come to an end", SETTLE_S)
    return counted(place, jobs, kills, round(time.monotonic() - start, 1))


def counted(place: ChargingPlace, jobs: dict[str, tuple[str, int]], kills: int, seconds: float) -> Count:
    """Compare the jobs with the provider's own books."""
    engine = place.app.engine
    ledger = Counter(str(line["key"]) for line in place.provider.ledger())
    calls = [call for call in place.provider.calls() if call["what"] != "lookup"]
    bookings = Counter(place.bookings())
    states: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for id, (kind, n) in jobs.items():
        job = place.job(id)
        states[job.outcome or job.state] += 1
        called = engine.run(effects.of_duty("tests", f"{MODULE}.{kind}", f"{kind}:{n}"))
        assert len(called) == 1, f"job {id} ({kind} {n}) called {len(called)} times"
        [effect] = called
        applied = ledger[effect.key]
        if job.outcome == "performed":
            whole = bool(applied) and effect.state == "done" and (kind != "booked" or bookings[n] == 1)
            sums["lost"] += not whole
        sums["applied_in_doubt"] += job.state == "in_doubt" and bool(applied)
        sums["found"] += effect.settled_by == "lookup"
        sums["after_lookup"] += kind == "keyless" and effect.tries > 1
    return Count(
        kills=kills,
        jobs=len(jobs),
        done=states["performed"],
        in_doubt=states["in_doubt"],
        other=len(jobs) - states["performed"] - states["in_doubt"],
        applied=len(ledger),
        doubled=sum(number > 1 for number in ledger.values())
        + sum(
            number > 1 for number in Counter(str(line["order"]) for line in place.provider.ledger()).values()
        ),
        late=sum(bool(call["status"] == "forgotten") for call in calls if _must_not(call)),
        calls=len(calls),
        blocked=sum(call["status"] in ("known", "under way") for call in calls),
        seconds=seconds,
        **{name: sums[name] for name in ("lost", "found", "after_lookup", "applied_in_doubt")},
    )


def _must_not(call: dict[str, object]) -> bool:
    """Whether this call must not come once its key is forgotten."""
    return bool(call["applied_before"]) or call["kind"] == "blind"


def check(count: Count) -> None:
    """What must hold, whatever was killed when."""
    assert count.doubled == 0, "an effect was applied twice"
    assert count.late == 0, "an effect was sent again after the provider had forgotten it"
    assert count.lost == 0, "an effect is done that was never applied"
    assert count.other == 0, "jobs ended otherwise than done or in doubt"
    assert count.done + count.in_doubt == count.jobs
    assert count.applied == count.done + count.applied_in_doubt


def main() -> None:
    """The full size, by hand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--every", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite:///{folder}/effects.db"
        place = ChargingPlace(url, Path(folder), seed=options.seed)
        place.migrate()
        try:
            count = rampage(
                place,
                kills=options.kills,
                workers=options.workers,
                every_s=options.every,
                seed=options.seed,
            )
            print(count)
            check(count)
            place.verified()
        except BaseException:
            print(place.output()[-4000:])
            raise
        finally:
            place.close()


if __name__ == "__main__":
    main()
