"""What the records cost a job: the same work with them and without, in alternating rounds, by CPU time.

    python -m bench.records [--jobs N] [--rounds N] [--engine sqlite|postgres]

Without them means: the statements as they would be, had nobody to count what is accepted, and no index of the
endings by time. What the bookkeeper does later for the same jobs (folding, counting, rolling up) is a line of
its own. The CPU time is of this process and of the server.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from msgspec.structs import replace

from bench.processes import cpu_seconds
from bench.server_side import server_pid
from bench.servers import POSTGRES_SETTINGS
from devtools.servers import PostgresServer
from dutiful.engines.contract import Engine
from dutiful.engines.urls import open_engine
from dutiful.model.ids import make_id
from dutiful.model.jobs import Ending, Lane, NewJob, NewWorker
from dutiful.operations import books, claims, enqueue, groups, lanes, metrics, settle, workers
from dutiful.sql import EngineName, statements
from dutiful.sql.render import render

APP, KNOWN, PIECE = "bench", {"noop": 1}, 100
PRICED = 3
"""Rounds of each in a call of the benchmark."""
AHEAD = (r"INSERT INTO main\.dutiful_delta.*?;\n(?=INSERT INTO main\.dutiful_job)", "")
BEFORE = (r"WITH accepted AS \(.*?\n\)\n", "")
BEHIND = (r";\nINSERT INTO main\.dutiful_delta.*\Z", "\nRETURNING id")
WITHIN = (r", accepted AS \(.*?\n\)(?=\nSELECT)", "")
LEFT_OUT: Mapping[EngineName, Mapping[str, tuple[str, str]]] = {
    "sqlite": {"enqueue_job": BEHIND, "enqueue_jobs": AHEAD},
    "postgres": {"enqueue_job": WITHIN, "enqueue_jobs": BEFORE},
}


@contextmanager
def without_records(engine: EngineName) -> Iterator[None]:
    """Within, what is accepted is not counted."""
    loaded = statements(engine)
    whole = {name: loaded[name] for name in LEFT_OUT[engine]}
    try:
        for name, (pattern, instead) in LEFT_OUT[engine].items():
            text, found = re.subn(pattern, instead, loaded[name].text, flags=re.DOTALL)
            assert found == 1 and "delta" not in text, f"{name} is not what it was: {text}"
            loaded[name] = replace(loaded[name], text=text)
        render.cache_clear()
        yield
    finally:
        loaded.update(whole)
        render.cache_clear()


def jobs_of(count: int) -> list[NewJob]:
    """Jobs that are due now."""
    return [
        NewJob(id=make_id(), task="noop", queue="default", priority=0, args=b'{"index":1}')
        for _ in range(count)
    ]


def measured(url: str, jobs: int, *, records: bool) -> dict[str, float]:
    """CPU microseconds for each job, by what was done, in an empty store."""
    engine = open_engine(url)
    engine.migrate()
    run: Any = engine.run
    run(lanes.declare(APP, [("default", 0)], [], {}))
    worker = run(workers.register(NewWorker(APP, "host", 1, 600_000_000, 1, '["default"]', '{"noop":1}')))
    if not records and engine.name == "postgres":
        _drop_index(url)
    run(enqueue.many(APP, jobs_of(PIECE)))
    server = server_pid(url)
    pids = [os.getpid(), *([] if server is None else [server])]
    spent: dict[str, float] = {}

    @contextmanager
    def timed(name: str, count: int) -> Iterator[None]:
        began = cpu_seconds(pids)
        yield
        ended = cpu_seconds(pids)
        assert began is not None and ended is not None
        spent[name] = 1e6 * (ended - began) / count

    singles, many = jobs_of(jobs // 2), jobs_of(jobs)
    with timed("enqueue one", len(singles)):
        for job in singles:
            run(enqueue.one(APP, job))
    with timed("enqueue many", len(many)):
        for start in range(0, jobs, 1000):
            run(enqueue.many(APP, many[start : start + 1000]))
    with timed("claim and complete", len(singles) + len(many) + PIECE):
        _drain(engine, worker)
    if records:
        with timed("bookkeeper", len(singles) + len(many) + PIECE):
            while run(books.fold()) or run(groups.fold()):
                pass
            run(books.keep(run(books.count())))
            run(metrics.sample())
            while run(metrics.roll()):
                pass
    engine.close()
    return spent


def _drain(engine: Engine, worker: int) -> None:
    [lane] = engine.run(lanes.lanes(APP))
    while leases := engine.run(claims.claim(worker, [Lane(lane.id)], KNOWN, PIECE)).leases:
        engine.run(
            settle.settle([Ending("complete", one.job_id, one.token, one.run_no) for one in leases], worker)
        )


def _drop_index(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as session:
        session.execute("DROP INDEX dutiful.history_finished")


def price(name: EngineName, url: str, jobs: int) -> dict[str, float]:
    """CPU microseconds of a job from its enqueue to its end, without records and with all that keeps them."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * PRICED):
        records = bool(number % 2)
        with tempfile.TemporaryDirectory() as folder, _emptied(name, url, folder) as store:
            spent = measured_with(name, store, jobs, records=records)
        found[records].append(sum(us for what, us in spent.items() if what != "enqueue many"))
    return {"without": median(found[False]), "with": median(found[True])}


def measured_with(name: EngineName, store: str, jobs: int, *, records: bool) -> dict[str, float]:
    """The same as :func:`measured`, with the statements that belong to it."""
    if records:
        return measured(store, jobs, records=True)
    with without_records(name):
        return measured(store, jobs, records=False)


def compared(name: EngineName, url: str, jobs: int, rounds: int) -> None:
    """Print the medians of all rounds, each of which does both, every other one in the other order."""
    found: dict[bool, dict[str, list[float]]] = {True: defaultdict(list), False: defaultdict(list)}
    for number in range(rounds):
        for records in (True, False) if number % 2 else (False, True):
            with tempfile.TemporaryDirectory() as folder, _emptied(name, url, folder) as store:
                spent = measured_with(name, store, jobs, records=records)
            for what, us in spent.items():
                found[records][what].append(us)
    print(f"{name}, {jobs:,} jobs, {rounds} rounds; CPU µs for each job without and with records")
    for what, spent_on in found[True].items():
        now = median(spent_on)
        before = median(found[False][what]) if what in found[False] else 0.0
        change = f"{(now / before - 1) * 100:+6.1f} %" if before else ""
        print(f"  {what:20} {before:8.1f} {now:8.1f} {change}")


@contextmanager
def _emptied(name: EngineName, url: str, folder: str) -> Iterator[str]:
    if name == "sqlite":
        yield f"sqlite:///{Path(folder) / 'jobs.db'}"
        return
    import psycopg

    with psycopg.connect(url, autocommit=True) as session:
        session.execute("DROP SCHEMA IF EXISTS dutiful CASCADE")
    yield url


def main() -> None:
    """Measure, and print."""
    made = argparse.ArgumentParser(prog="python -m bench.records", description=__doc__)
    made.add_argument("--jobs", type=int, default=20_000)
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--engine", choices=("sqlite", "postgres"))
    asked = made.parse_args()
    if asked.engine != "postgres":
        compared("sqlite", "", asked.jobs, asked.rounds)
    if asked.engine != "sqlite":
        with PostgresServer(POSTGRES_SETTINGS) as server:
            compared("postgres", server.create_database("records"), asked.jobs, asked.rounds)


if __name__ == "__main__":
    main()
