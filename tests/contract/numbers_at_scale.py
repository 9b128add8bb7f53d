"""How long a look at the numbers takes over many jobs.

``python -m tests.contract.numbers_at_scale sqlite|postgres [JOBS]`` makes JOBS waiting and as many dead in
300 groups (default 1,000,000 each) by SQL, in a database of its own, and prints for each statement the
median and the worst of 20 looks, in milliseconds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack

from devtools.servers import PostgresServer
from dutiful.model.verdict import judge
from dutiful.operations import lanes, numbers
from dutiful.operations.plan import Step
from tests.contract.stores import APP
from tests.contract.watching import awake, taker, target
from tests.contract.world import World, world_at

GROUPS = 300
LOOKS = 20


def seed(world: World, jobs: int) -> None:
    """Waiting and dead jobs of one queue, and their groups."""
    declared = [("default", 0), ("mail", 0), ("mail", 5)]
    world.run(lanes.declare(APP, declared, [("default", None), ("mail", 60_000_000)], {}))
    lane = [row.id for row in world.run(lanes.lanes(APP))]
    now = world.clock()
    if world.engine.name == "postgres":
        world.sql("SET session_replication_role = replica")  # no triggers
        source = f"generate_series(1, {jobs}) AS s(n)"
        id_of, args = "gen_random_uuid()", "'{}'::bytea"
    else:
        for (name,) in world.sql("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            world.sql(f"DROP TRIGGER {name}")
        numbers_up_to = f"SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {jobs}"
        source = f"(WITH RECURSIVE s(n) AS ({numbers_up_to}) SELECT n FROM s) AS s"
        id_of, args = "lower(hex(randomblob(16)))", "'{}'"
    since = f"{now} - {jobs} + s.n"
    world.sql(
        "INSERT INTO dutiful.job (id, lane, ready_seq, run_at, enqueued_at, args_version, crashes_max,"
        f" delivery, task, args) SELECT {id_of}, {lane[0]} + s.n - s.n / 3 * 3, s.n, {since}, {since}, 1, 3,"
        f" 'at_least_once', 'send', {args} FROM {source}"
    )
    world.sql(
        "INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, run_no, attempt, epoch,"
        " args_version, crashes, crashes_max, reason, delivery, task, args, fingerprint)"
        f" SELECT {id_of}, {lane[0]}, {now} - s.n, 1, 1, 1, 1, 1, 1, 0, 3, 'error', 'at_least_once', 'send',"
        f" {args}, s.n - s.n / {GROUPS} * {GROUPS} FROM {source}"
    )
    for n in range(GROUPS):
        world.sql(
            "INSERT INTO dutiful.failure_group"
            " (app, fingerprint, task, reason, kind, first_at, last_at, deaths, n)"
            f" VALUES (%s, '{n}', 'send', 'error', 'E', {n}, {n}, {jobs // GROUPS}, {jobs // GROUPS})",
            APP,
        )
    if world.engine.name == "postgres":
        world.sql("ANALYZE")


def main(url: str, jobs: int) -> None:
    """Seed, look, print."""
    with world_at(url) as world:
        seed(world, jobs)
        awake(world)
        taker(world, '["default","mail"]')
        target(world, "default", 1_000)
        took: dict[str, list[float]] = defaultdict(list)
        last = 0.0

        def seen(step: Step) -> None:  # called when the statement is done
            nonlocal last
            now = time.perf_counter()
            took[step.name].append(now - last)
            last = now

        world.engine.observe = seen  # type: ignore[attr-defined]
        for _ in range(LOOKS):
            began = last = time.perf_counter()
            found = judge(world.run(numbers.numbers(APP)))
            took["(the whole look)"].append(time.perf_counter() - began)
        print(found.headline, [one.amount for one in found.numbers])
        for name, times in sorted(took.items(), key=lambda item: -statistics.median(item[1])):
            print(f"{name:<28} {statistics.median(times) * 1e3:8.2f} {max(times) * 1e3:8.2f}")


if __name__ == "__main__":
    with ExitStack() as stack:
        if sys.argv[1] == "postgres":
            server = stack.enter_context(PostgresServer())
            where = server.create_database("scale")
        else:
            where = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/scale.db"
        main(where, int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
