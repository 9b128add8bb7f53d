"""What free gates cost: the same no-op jobs without and with them, in turn, past one worker.

A free gate is one at which nobody stands: a thousand jobs of a thousand keys are stored, and when all have
ended, the next thousand. What is compared is the CPU time of the whole way of a job: of the process that
stores it, of the worker and of the server. The first cycle of each kind makes the gates, and is not counted.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from bench.marks import PATIENCE_S, Stalled, mark
from bench.server_side import server_pid
from bench.subject import URL_VARIABLE
from bench.turns import in_turn
from dutiful import App, Lock, Order, Rate

if TYPE_CHECKING:
    from bench.ours import Ours

app = App("bench", os.environ[URL_VARIABLE])
KEYS = 1_000
HOSTS = 10
FREE = Rate(1_000_000, per="1s", key="host:{host}", burst=1_000_000)


@app.task(name="plain")
def plain(index: int, host: int, key: int) -> None:
    mark(index)


@app.task(name="lock", lock=Lock("account:{key}"))
def lock(index: int, host: int, key: int) -> None:
    mark(index)


@app.task(name="order", order=Order("customer:{key}"))
def order(index: int, host: int, key: int) -> None:
    mark(index)


@app.task(name="rate", rate=FREE)
def rate(index: int, host: int, key: int) -> None:
    mark(index)


@app.task(name="all", order=Order("customer:{key}"), lock=Lock("account:{key}"), rate=FREE)
def every(index: int, host: int, key: int) -> None:
    mark(index)


TASKS: dict[str, Any] = {"plain": plain, "lock": lock, "order": order, "rate": rate, "all": every}


SINGLE = ("plain", "all")
SINGLE_CYCLES = 5


def measure(ours: Ours, jobs: int, single: bool = False) -> dict[str, float]:
    """CPU microseconds of a job of each kind, over about ``jobs`` of each; ``single``: stored one by one."""
    kinds = SINGLE if single else tuple(TASKS)
    cycles = SINGLE_CYCLES if single else max(3, jobs // KEYS)
    marks = ours._marks((cycles + 1) * len(kinds) * KEYS)
    server = server_pid(ours.place.url)
    at = 0

    def carry_out(name: str) -> None:
        nonlocal at
        rows = [{"index": at + n, "host": n % HOSTS, "key": n} for n in range(KEYS)]
        if single:
            for row in rows:
                TASKS[name].enqueue(**row)
        else:
            app.enqueue_many(TASKS[name], rows)
        marks.wait_for_all(at, at + KEYS, check=ours._alive)
        at += KEYS
        deadline = time.monotonic() + PATIENCE_S
        while ours.has_open_jobs():
            if time.monotonic() > deadline:
                raise Stalled("all jobs began, but some never ended")
            time.sleep(0.005)

    with ours._running() as worker:
        pids = [os.getpid(), worker, *([] if server is None else [server])]
        return in_turn(kinds, KEYS, cycles, pids, carry_out)
