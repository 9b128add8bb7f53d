"""The app that real worker processes run in these tests; everything a body does is in a log of lines."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Iterator

from dutiful import App, GiveUp, Retry, Run, Snooze, Transaction

app = App("tests", os.environ.get("DUTIFUL_TEST_URL", "sqlite://"))
LOG = os.environ.get("DUTIFUL_TEST_LOG", "/dev/null")
FLAGS = os.environ.get("DUTIFUL_TEST_FLAGS", "/nonexistent")


def note(*words: object) -> None:
    """One line, in one write, ending with the process group (a worker and its children) and the process."""
    line = " ".join(map(str, (*words, os.getpgrp(), os.getpid()))) + "\n"
    with open(LOG, "ab", buffering=0) as log:
        log.write(line.encode())


def flag(name: str) -> bool:
    """Whether the test has set this flag."""
    return os.path.exists(os.path.join(FLAGS, name))


@app.task()
def nap(n: int, ms: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    time.sleep(ms / 1000)
    note("end", run.job_id, run.run_no)


@app.task()
async def anap(n: int, ms: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    try:
        await asyncio.sleep(ms / 1000)
    except asyncio.CancelledError:
        note("cancelled", run.job_id, run.run_no)
        raise
    note("end", run.job_id, run.run_no)


@app.task()
async def blocks_the_loop(n: int, ms: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    time.sleep(ms / 1000)
    note("end", run.job_id, run.run_no)


@app.task()
def spins(n: int, ms: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    until = time.monotonic() + ms / 1000
    while time.monotonic() < until:
        pass
    note("end", run.job_id, run.run_no)


@app.task(retry=Retry(3, first="50ms", longest="50ms"))
def until_flag(how: str, *, run: Run = Run.given) -> None:
    """In its first run: wait for the flag "go", then end in the way named. Later runs: wait for "end"."""
    note("begin", run.job_id, run.run_no)
    if run.run_no > 1:
        while not flag("end"):
            time.sleep(0.01)
        note("end", run.job_id, run.run_no)
        return
    while not flag("go"):
        time.sleep(0.01)
    note("late", run.job_id, run.run_no)
    if how == "fail":
        raise OSError("late")
    if how == "bury":
        raise GiveUp("late")
    if how == "snooze":
        raise Snooze("1s")


@app.task()
def exits(n: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    os._exit(3)


@app.task()
def segfaults(n: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    ctypes.string_at(0)


@app.task()
def overflows(n: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    sys.setrecursionlimit(10**9)

    def down(n: int) -> object:
        return list(map(down, [n]))  # through C at each level, so that the real stack is used up

    down(0)


@app.task(isolation="process")
def exits_apart(n: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    os._exit(3)


@app.task(isolation="process")
def nap_apart(n: int, ms: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    time.sleep(ms / 1000)
    note("end", run.job_id, run.run_no)


@app.task(isolation="process", timeout="300ms", retry=0)
def hangs_apart(n: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    time.sleep(60)


@app.task(retry=0)
def raises(n: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    time.sleep(0.02)
    note("end", run.job_id, run.run_no)
    raise ValueError("as it must")


@app.task(retry=0, timeout="50ms")
def times_out(n: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)
    time.sleep(0.12)
    note("end", run.job_id, run.run_no)


# ── at_most_once ────────────────────────────────────────────────────────────────────────────


def begun(run: Run) -> None:
    """Each body leaves a file of its own when it begins; a second one of the same job is found out."""
    try:
        os.close(os.open(os.path.join(FLAGS, f"begun-{run.job_id}"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        note("doubled", run.job_id, run.run_no)
    note("begin", run.job_id, run.run_no)


def awaited(how: str, run: Run) -> None:
    """Wait for the flag "go"; then end in the way named."""
    while not flag("go"):
        time.sleep(0.01)
    note("late", run.job_id, run.run_no)
    if how == "fail":
        raise OSError("late")


@app.task(delivery="at_most_once")
def letter(n: int, ms: int, *, run: Run = Run.given) -> None:
    begun(run)
    time.sleep(ms / 1000)
    note("end", run.job_id, run.run_no)


@app.task(delivery="at_most_once")
async def aletter(n: int, ms: int, *, run: Run = Run.given) -> None:
    begun(run)
    await asyncio.sleep(ms / 1000)
    note("end", run.job_id, run.run_no)


@app.task(delivery="at_most_once", isolation="process")
def letter_apart(n: int, ms: int, *, run: Run = Run.given) -> None:
    begun(run)
    time.sleep(ms / 1000)
    note("end", run.job_id, run.run_no)


@app.task(delivery="at_most_once", isolation="process")
def letter_exits_apart(n: int, *, run: Run = Run.given) -> None:
    begun(run)
    os._exit(3)


@app.task(delivery="at_most_once", isolation="process", timeout="300ms")
def letter_hangs_apart(n: int, *, run: Run = Run.given) -> None:
    begun(run)
    time.sleep(60)


def seen(n: int) -> list[str] | None:
    """What the post says of the letter: who brought it, or None."""
    with open(LOG, encoding="utf-8") as log:
        return next((line.split() for line in log if line.startswith(f"posted {n} ")), None)


@app.task(delivery="at_most_once", lookup=seen)
def looked_up(n: int, *, run: Run = Run.given) -> None:
    """It is posted, and its worker does not come to say so."""
    begun(run)
    note("posted", n)
    time.sleep(60)


@app.task(delivery="at_most_once")
def held_letter(how: str, *, run: Run = Run.given) -> None:
    begun(run)
    awaited(how, run)


@app.task(delivery="at_most_once", timeout="200ms")
def hasty_letter(how: str, *, run: Run = Run.given) -> None:
    begun(run)
    awaited(how, run)


@app.on_start
def started() -> None:
    note("started")


@app.on_start
def child_started() -> None:
    """A child hangs or fails while it starts, if the test has set the flag."""
    spec = sys.modules["__main__"].__spec__
    if spec is None or spec.name != "dutiful.worker.child_process":
        return
    note("child")
    while flag("child-hangs"):
        time.sleep(0.01)
    if flag("child-fails"):
        os._exit(7)


@app.on_start
async def started_async() -> None:
    await asyncio.sleep(0)
    note("started-async")


@app.on_stop
async def stopped() -> None:
    note("stopped")


@app.around
def wrapped(run: Run) -> Iterator[None]:
    if flag("swallow"):
        try:
            yield
        except Exception:
            note("swallowed", run.job_id)
        return
    yield


if os.environ.get("DUTIFUL_TEST_NO_LISTEN"):
    from dutiful.engines import wake

    def deaf(self: object) -> None:
        return None

    wake.Listener._connected = deaf  # type: ignore[method-assign]


@app.task(delivery="exactly_once", isolation="process")
def works_apart(n: int, *, tx: Transaction = Transaction.given) -> None:
    tx.execute("INSERT INTO works (n) VALUES (:n)", {"n": n})


@app.task(delivery="at_most_once", isolation="process")
def begins_apart(n: int, *, run: Run = Run.given) -> None:
    note("begin", run.job_id, run.run_no)


@app.task(delivery="exactly_once", group=10)
def works_together(n: int, *, tx: Transaction = Transaction.given) -> None:
    if n == 5:
        raise GiveUp("five")
    tx.execute("INSERT INTO works (n) VALUES (:n)", {"n": n})
