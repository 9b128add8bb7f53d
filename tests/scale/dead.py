"""A million dead in three hundred groups: how long the groups, their pages and the books take.

    python -m tests.scale.dead [--dead N] [--groups N] [--url URL [--seeded]]

Without a URL on both engines, on stores of its own. Times are of whole operations, in milliseconds: the
median and the worst, and the CPU that this process and the server used for one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.processes import cpu_seconds
from bench.server_side import server_pid
from devtools.servers import PostgresServer
from dutiful.engines.contract import Engine
from dutiful.engines.urls import open_engine
from dutiful.operations import books, groups, inspect
from tests.contract.world import Eye
from tests.scale.seeding import APP, Seeding, Size

TIMES = 15


class Meter:
    """Times what is done again and again, by the clock and by CPU."""

    def __init__(self, url: str) -> None:
        server = server_pid(url)
        self._pids = [os.getpid(), *([] if server is None else [server])]

    def of(self, act: Callable[[], Any], times: int) -> tuple[float, float, float, float]:
        """Median, 95 of 100, worst, and CPU for each, in milliseconds; once before, to be warm."""
        act()
        took, cpu = [], self._cpu()
        for _ in range(times):
            began = time.perf_counter()
            act()
            took.append((time.perf_counter() - began) * 1e3)
        spent = (self._cpu() - cpu) / times * 1e3
        took.sort()
        return took[len(took) // 2], took[int(len(took) * 0.95)], took[-1], spent

    def _cpu(self) -> float:
        found = cpu_seconds(self._pids)
        assert found is not None
        return found


def fold(engine: Engine, dead: int) -> None:
    """What the bookkeeper does with as many deaths at once."""
    began = time.perf_counter()
    while engine.run(groups.fold()):
        pass
    print(f"  folding {dead:,} deaths: {time.perf_counter() - began:.1f} s", flush=True)


def look(engine: Engine, url: str, size: Size) -> None:
    """Everything that is read."""
    run, meter, dead = engine.run, Meter(url), size.dead

    def timed(what: str, act: Callable[[], Any], times: int = TIMES) -> None:
        p50, _, worst, cpu = meter.of(act, times)
        print(f"  {what:36} {p50:9.1f} {worst:9.1f} {cpu:9.1f}", flush=True)

    found = run(groups.groups(APP))
    assert len(found) == size.groups and sum(one.n for one in found) == dead
    first = run(groups.members(APP, "cause7"))
    of_task = run(groups.of_task(APP, "task7"))
    half = 5 * 86_400_000_000
    middle, deep = (first[0].ended_at_us - half, first[0].id), (of_task[0].ended_at_us - half, of_task[0].id)
    assert run(groups.members(APP, "cause7", after=middle)) and run(groups.of_task(APP, "task7", after=deep))
    timed("all groups with counts", lambda: run(groups.groups(APP)))
    timed("one group", lambda: run(groups.group(APP, "cause7")))
    timed("first page of a group", lambda: run(groups.members(APP, "cause7")))
    timed("page in the middle of a group", lambda: run(groups.members(APP, "cause7", after=middle)))
    timed("first page of a task", lambda: run(groups.of_task(APP, "task7")))
    timed("page deep in a task", lambda: run(groups.of_task(APP, "task7", after=deep)))
    timed("the queues, with how many are dead", lambda: run(inspect.queues(APP)))
    while run(books.fold()):
        pass
    timed("the books, counted in full", lambda: run(books.count()), 2)
    run(books.keep(run(books.count())))
    timed("the books, as they are kept", lambda: run(books.books(APP)))


def measure(url: str, size: Size, *, seeded: bool = False) -> None:
    """One engine."""
    engine = open_engine(url)
    engine.migrate()
    eye = Eye(engine)
    print(f"{engine.name}: {size.dead:,} dead in {size.groups} groups; ms: median, worst, CPU", flush=True)
    if not seeded:
        seeding = Seeding(engine, eye, size)
        seeding.dead()
        fold(engine, size.dead)
        seeding.settled()
    look(engine, url, size)
    eye.close()
    engine.close()


def main() -> None:
    """Both engines, or that of the URL."""
    made = argparse.ArgumentParser(prog="python -m tests.scale.dead", description=__doc__)
    made.add_argument("--dead", type=int, default=Size.dead)
    made.add_argument("--groups", type=int, default=Size.groups)
    made.add_argument("--url")
    made.add_argument("--seeded", action="store_true", help="the URL's store was filled by an earlier run")
    asked = made.parse_args()
    size = replace(Size(), dead=asked.dead, groups=asked.groups)
    if asked.url:
        measure(asked.url, size, seeded=asked.seeded)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(f"sqlite:///{Path(folder) / 'jobs.db'}", size)
    with PostgresServer() as server:
        measure(server.create_database("dead"), size)


if __name__ == "__main__":
    main()
