"""The app of the tests of limits, pauses, starvation and cancelling; bodies log what they do."""

from __future__ import annotations

import asyncio
import os
import time

from dutiful import App, Run, Transaction
from tests.processes.support.jobs import flag, note

LIMIT = 3
app = App("tests", os.environ.get("DUTIFUL_TEST_URL", "sqlite://"))
app.queue("few", limit=LIMIT)
app.queue("low", target="1s")


@app.task(queue="few")
def nap(n: int, ms: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    time.sleep(ms / 1000)
    note("end", run.job_id, run.run_no)


@app.task(queue="few", priority=5, isolation="process")
def apart(n: int, ms: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    time.sleep(ms / 1000)
    note("end", run.job_id, run.run_no)


@app.task(queue="high")
def high(n: int, *, run: Run = Run.given) -> None:
    note("high", run.job_id, run.run_no)
    time.sleep(0.01)


@app.task(queue="low")
def low(n: int, *, run: Run = Run.given) -> None:
    note("low", run.job_id, run.run_no)


@app.task(queue="stop")
def looks(n: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    while not flag("end"):
        time.sleep(0.02)
        run.check()


@app.task(queue="stop", delivery="exactly_once", once="work:{n}")
def works(n: int, *, tx: Transaction, run: Run = Run.given) -> None:
    tx.execute("CREATE TABLE written (n integer)")
    note("begin", run.job_id, run.run_no)
    while not flag("end"):
        time.sleep(0.02)
        run.check()


@app.task(queue="stop")
async def sleeps(n: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    await asyncio.sleep(3600)


@app.task(queue="stop", delivery="at_most_once")
async def sleeps_once(n: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    await asyncio.sleep(3600)


@app.task(queue="stop", isolation="process")
def hangs_apart(n: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    time.sleep(3600)
