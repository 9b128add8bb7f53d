"""Who walks a bulk operation is killed with -9, again and again: it goes on, and nothing is done twice (D7).

By hand, with 10,000 jobs: ``python -m tests.processes.bulk URL [COUNT]``.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from dutiful.engines.contract import Engine
from dutiful.engines.urls import open_engine
from dutiful.model.operators import Operator
from dutiful.operations import bulk, enqueue, settle, verify
from dutiful.supervise.ops import Ops, Wanted
from dutiful.worker import bulks
from tests.contract.people import Place
from tests.contract.stores import APP, claim, look, new, write
from tests.contract.world import ending

WALKER = """
import sys, time
from dutiful.engines.urls import open_engine
from dutiful.worker import bulks
engine = open_engine(sys.argv[1])
bulks.walk(engine, sys.argv[2], "walker " + sys.argv[3], lambda s: bool(time.sleep(s)), most=int(sys.argv[4]))
"""
KILLS = 4


@dataclass(frozen=True)
class Told:
    """What came of it."""

    intended: int
    done: int
    skipped: int
    failed: int
    kills: int
    """How many of these came while it was under way."""
    audited: list[int]
    """How often each job has an audit row: once."""
    ready: int
    seconds: float


def dead(engine: Engine, count: int) -> None:
    """So many jobs that gave up."""
    for first in range(0, count, 100):
        engine.run(enqueue.many(APP, [new() for _ in range(min(100, count - first))]))
        leases = claim(engine, 100)
        assert engine.run(settle.settle([ending(one, "bury", reason="error") for one in leases], 1)) == []


def play(url: str, count: int, seed: int, most: int = 50) -> Told:
    """A bulk retry of ``count`` jobs, whose walkers are killed at random moments; the last one may end it."""
    chance, began = random.Random(seed), time.monotonic()
    engine = open_engine(url)
    engine.migrate()
    try:
        dead(engine, count)
        ops = Ops(Place(engine), Operator("ann", perms="operator"))
        begun = ops.retry_all(Wanted(), reason="mended").value
        assert begun is not None
        kills = 0
        for number in range(KILLS):
            before = ops.bulk(begun.id)
            if before.state == "done":
                break
            kills += _killed(url, begun.id, number, most, chance, ops)
            write(
                engine, "UPDATE dutiful.bulk SET walked_until = 0 WHERE walker IS NOT NULL"
            )  # its lease is over
        bulks.walk_all(engine, APP, "the last", lambda seconds: bool(time.sleep(seconds)))
        last = ops.bulk(begun.id)
        counted = engine.run(bulk.counts(begun.id))
        assert counted == {"done": last.done} and last.left == 0, (counted, last)
        assert engine.run(verify.check(APP, full=True)) == []
        rows = look(engine, "SELECT count(*) FROM dutiful.audit WHERE verb = 'retry' GROUP BY subject")
        [(ready,)] = look(engine, "SELECT count(*) FROM dutiful.job WHERE state = 'ready'")
        audited = [int(row[0]) for row in rows]
        spent = time.monotonic() - began
        return Told(last.intended, last.done, last.skipped, last.failed, kills, audited, ready, spent)
    finally:
        engine.close()


def _killed(url: str, bulk_id: str, number: int, most: int, chance: random.Random, ops: Ops) -> int:
    """A walker is killed when it has done something, and a moment later; whether that was before the end."""
    words = [sys.executable, "-c", WALKER, url, bulk_id, str(number), str(most)]
    walker = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        before = ops.bulk(bulk_id).done
        until = time.monotonic() + 60
        while walker.poll() is None and ops.bulk(bulk_id).done == before and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.1)
        walker.send_signal(signal.SIGKILL)
    finally:
        walker.kill()
        walker.communicate()
    return int(ops.bulk(bulk_id).state != "done")


if __name__ == "__main__":
    print(play(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10_000, 1, most=500))
