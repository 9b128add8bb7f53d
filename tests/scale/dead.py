"""A million dead in three hundred groups: how long the groups, their pages and the books take.

    python -m tests.scale.dead [--dead N] [--groups N] [--url URL]

Without a URL on both engines, on stores of its own. Times are of whole operations, in milliseconds: the
median and the worst.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devtools.servers import PostgresServer
from dutiful.engines.contract import Engine
from dutiful.operations import books, groups, lanes
from tests.contract.world import Eye

APP = "shop"
TIMES = 15
COLUMNS = (
    "id, lane, died_at, run_at, enqueued_at, claimed_at, worker, run_no, attempt, epoch, args_version,"
    " crashes, crashes_max, reason, delivery, task, args, fingerprint"
)
VALUES = (
    "{lane}, {at} + i * 1000, {at}, {at}, {at}, 1, 1, 1, 1, 1, 0, 3, 'error', 'at_least_once', 'task{t}',"
    " '{{}}', 'f{g}'"
)
DEAD = {
    "postgres": f"INSERT INTO dutiful.dead ({COLUMNS}) SELECT gen_random_uuid(), {VALUES}"
    " FROM generate_series(1, {n}) AS s(i)",
    "sqlite": "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {n})"
    f" INSERT INTO dutiful.dead ({COLUMNS}) SELECT lower(hex(randomblob(16))), {VALUES} FROM s",
}
FAILED = (
    "INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message)"
    " SELECT d.id, 1, 1, d.died_at, 1, 'ValueError', 'order 17 is gone' FROM dutiful.dead AS d"
)


def seed(engine: Engine, eye: Eye, dead: int, count: int) -> None:
    """So many dead of so many groups, with what each died of."""
    engine.run(lanes.declare(APP, [("default", 0)], [], {}))
    lane = engine.run(lanes.lanes(APP))[0].id
    for g in range(count):
        at = 1_790_000_000_000_000 + g * 777
        eye.sql(DEAD[engine.name].format(lane=lane, at=at, g=g, t=g % 30, n=dead // count))
    eye.sql(FAILED)
    if engine.name == "postgres":
        eye.sql("ANALYZE dutiful.dead, dutiful.failure, dutiful.death")


def timed(what: str, act: Callable[[], Any], times: int = TIMES) -> None:
    """Print how long it takes."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) * 1e3)
    took.sort()
    print(f"  {what:44} {took[len(took) // 2]:9.1f} {took[-1]:9.1f}", flush=True)


def look(engine: Engine, dead: int, count: int) -> None:
    """Everything that is read, before and after the fold."""
    run: Any = engine.run
    began = time.perf_counter()
    while run(groups.fold()):
        pass
    print(f"  folding {dead:,} deaths: {time.perf_counter() - began:.1f} s", flush=True)
    found = run(groups.groups(APP))
    assert len(found) == count and sum(one.n for one in found) == dead // count * count
    first = run(groups.members(APP, "f7"))
    of_task = run(groups.of_task(APP, "task7"))
    middle = (first[0].ended_at_us - (dead // count) * 500, first[0].id)
    timed("all groups with counts", lambda: run(groups.groups(APP)))
    timed("one group", lambda: run(groups.group(APP, "f7")))
    timed("first page of a group", lambda: run(groups.members(APP, "f7")))
    timed("page in the middle of a group", lambda: run(groups.members(APP, "f7", after=middle)))
    timed("first page of a task", lambda: run(groups.of_task(APP, "task7")))
    deep = (of_task[-1].ended_at_us - dead // 30 * 500, of_task[-1].id)
    timed("page deep in a task", lambda: run(groups.of_task(APP, "task7", after=deep)))
    assert run(groups.members(APP, "f7", after=middle)) and run(groups.of_task(APP, "task7", after=deep))
    while run(books.fold()):
        pass
    timed("the books, counted in full", lambda: run(books.count()), 3)
    run(books.keep(run(books.count())))
    timed("the books, as they are kept", lambda: run(books.books(APP)))


def measure(url: str, dead: int, count: int) -> None:
    """One engine."""
    from dutiful.engines.urls import open_engine

    engine = open_engine(url)
    engine.migrate()
    eye = Eye(engine)
    print(f"{engine.name}: {dead:,} dead in {count} groups; ms, median and worst", flush=True)
    began = time.perf_counter()
    seed(engine, eye, dead, count)
    print(f"  seeded in {time.perf_counter() - began:.0f} s", flush=True)
    look(engine, dead, count)
    eye.close()
    engine.close()


def main() -> None:
    """Both engines, or that of the URL."""
    made = argparse.ArgumentParser(prog="python -m tests.scale.dead", description=__doc__)
    made.add_argument("--dead", type=int, default=1_000_000)
    made.add_argument("--groups", type=int, default=300)
    made.add_argument("--url")
    asked = made.parse_args()
    if asked.url:
        measure(asked.url, asked.dead, asked.groups)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(f"sqlite:///{Path(folder) / 'jobs.db'}", asked.dead, asked.groups)
    with PostgresServer() as server:
        measure(server.create_database("dead"), asked.dead, asked.groups)


if __name__ == "__main__":
    main()
