"""Callers of one key at the same time: one is first, the others wait for it and read its result."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from devtools.places import ROOT
from dutiful.app.once import once
from dutiful.engines import bound_block
from dutiful.model.errors import StoreBusy
from tests.contract import lenders
from tests.contract.ledger_stores import (
    apsw_ledger_url,
    ledger_url,
    postgres_ledger_url,
    shared_ledger_url,
    sqlite_ledger_url,
)
from tests.contract.lenders import Lender
from tests.contract.once_crowd import patient, take
from tests.contract.turn_callers import keys, orders

__all__ = ["apsw_ledger_url", "ledger_url", "postgres_ledger_url", "shared_ledger_url", "sqlite_ledger_url"]

CROWD = 50
PATIENCE_S = 30.0


class Planted(Exception):
    """What a test makes happen."""


# ── a crowd ─────────────────────────────────────────────────────────────────────────────────


def check_a_crowd(url: str, number: int = CROWD) -> None:
    """So many threads with one key: one first, and all others have its result."""
    gate = threading.Barrier(number)

    def one(index: int) -> tuple[bool, Any]:
        lender = patient(url)
        try:
            gate.wait(PATIENCE_S)
            return take(lender, index)
        finally:
            lender.close()

    with ThreadPoolExecutor(number) as pool:
        answers = list(pool.map(one, range(number)))
    firsts = [index for index, (was_first, _) in enumerate(answers) if was_first]
    assert len(firsts) == 1
    assert [result for _, result in answers] == firsts * number
    assert orders(url) == [7] and keys(url) == ["k"]


def test_fifty_threads(ledger_url: str) -> None:
    check_a_crowd(ledger_url)


def test_fifty_processes(ledger_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.once_crowd", ledger_url, str(CROWD)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == CROWD and [was_first for was_first, _ in answers].count(True) == 1
    assert len({result for _, result in answers}) == 1
    assert orders(ledger_url) == [7] and keys(ledger_url) == ["k"]


def test_a_crowd_whose_first_ones_fail(ledger_url: str) -> None:
    """Whoever fails, and commits all the same, makes the next one first."""
    left = threading.Semaphore(5)
    gate = threading.Barrier(20)

    def one(index: int) -> Any:
        lender = patient(ledger_url)
        try:
            gate.wait(PATIENCE_S)
            lender.begin()
            try:
                with once(lender.lent, "k") as turn:
                    if turn.first:
                        lender.execute("INSERT INTO orders VALUES (7)")
                        turn.result = index
                        if left.acquire(blocking=False):
                            raise Planted
            except Planted:
                return "failed"
            finally:
                _end(lender)
            return turn.result
        finally:
            lender.close()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))
    assert answers.count("failed") == 5
    assert len({answer for answer in answers if answer != "failed"}) == 1
    assert orders(ledger_url) == [7] and keys(ledger_url) == ["k"]


def _end(lender: Lender) -> None:
    """Commit, if there is anything to commit: on SQLite a failed block may leave no transaction open."""
    if getattr(lender.lent, "in_transaction", True):
        lender.commit()


# ── waiting ─────────────────────────────────────────────────────────────────────────────────


@contextmanager
def two(url: str) -> Iterator[tuple[Lender, Lender]]:
    one, other = patient(url), patient(url)
    try:
        yield one, other
    finally:
        one.close()
        other.close()


def wait_until_blocked(url: str, lender: Lender, later: Future[Any]) -> None:
    """Until its session waits for another one, or has waited for none."""
    if url.startswith("postgres"):  # else it cannot be seen
        _blocked(url, lender.lent.info.backend_pid, later.done)


def _blocked(url: str, pid: int, done: Callable[[], bool] = lambda: False) -> None:
    with psycopg.connect(url, autocommit=True) as eye:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if eye.execute("SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted", [pid]).fetchall():
                return
            if done():
                return
        raise AssertionError("it waits for nothing")


def check_a_second_waits(url: str, first_ends: str) -> None:
    """Until the first commits (then it reads its result) or rolls back (then it is first itself)."""
    with two(url) as (one, other), ThreadPoolExecutor(1) as thread:
        try:
            one.begin()
            with once(one.lent, "k") as turn:
                assert turn.first
                later: Future[tuple[bool, Any]] = thread.submit(take, other, "second")
                wait_until_blocked(url, other, later)
                assert not later.done()
                turn.result = "first"
            assert not later.done()
            getattr(one, first_ends)()
            answer = later.result(PATIENCE_S)
        except BaseException:
            _end(one)  # or the other would wait, and we for it
            raise
        assert answer == ((False, "first") if first_ends == "commit" else (True, "second"))


@pytest.mark.parametrize("first_ends", ["commit", "rollback"])
def test_a_second_caller_waits_for_the_first(ledger_url: str, first_ends: str) -> None:
    check_a_second_waits(ledger_url, first_ends)


@pytest.mark.postgres
def test_other_keys_do_not_wait(postgres_ledger_url: str) -> None:
    with two(postgres_ledger_url) as (one, other):
        with once(one.lent, "k"), once(other.lent, "l") as turn:
            assert turn.first
        with once(one.lent, "k2"), once(other.lent, "k2", scope="other") as turn:
            assert turn.first


@pytest.mark.postgres
def test_waiting_has_an_end_and_the_transaction_goes_on(
    postgres_ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bound_block, "WAIT_S", 0.05)
    for settings in ([], ["SET LOCAL lock_timeout = '40ms'"]):
        with two(postgres_ledger_url) as (one, other):
            for setting in settings:
                other.execute(setting)
            before = other.lent.execute("SHOW lock_timeout").fetchone()
            other.execute("INSERT INTO orders VALUES (1)")
            with once(one.lent, "k"):
                with pytest.raises(StoreBusy, match="'k'") as busy:
                    with once(other.lent, "k"):
                        pass
                assert "pg_stat_activity" in busy.value.hint
                with once(other.lent, "l"):  # the caller's statements wait as the caller has it
                    assert other.lent.execute("SHOW lock_timeout").fetchone() == before
            assert other.lent.execute("SHOW lock_timeout").fetchone() == before
            other.commit()
            assert orders(postgres_ledger_url) == [1] and keys(postgres_ledger_url) == ["l"]
            one.rollback()
            other.execute("DELETE FROM orders")
            other.execute("DELETE FROM dutiful.ledger")
            other.commit()


@pytest.mark.postgres
def test_no_wait_is_the_callers_own_choice(postgres_ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock_timeout that is longer than ours stands."""
    monkeypatch.setattr(bound_block, "WAIT_S", 0.001)
    with two(postgres_ledger_url) as (one, other), ThreadPoolExecutor(1) as thread:
        with once(one.lent, "k"):
            other.execute("SET lock_timeout = '60s'")
            later = thread.submit(take, other, 2)
            wait_until_blocked(postgres_ledger_url, other, later)
        one.rollback()
        assert later.result(PATIENCE_S) == (True, 2)


def test_a_locked_file_is_said_to_be_busy(sqlite_ledger_url: str) -> None:
    with two(sqlite_ledger_url) as (one, _):
        hasty = lenders.standard(sqlite_ledger_url.removeprefix("sqlite:///"), timeout=0.05)
        with once(one.lent, "k"):
            with pytest.raises(StoreBusy, match="stayed locked"):
                with once(hasty.lent, "l"):
                    pass
        assert not hasty.lent.in_transaction
        one.rollback()
        hasty.close()


# ── isolation ───────────────────────────────────────────────────────────────────────────────


def _alchemy(level: str) -> Callable[[str], Lender]:
    def make(url: str) -> Lender:
        lender = lenders.alchemy("connection", "psycopg")(url)
        lender.lent.execution_options(isolation_level=level.upper())
        return lender

    return make


def _plain(level: str) -> Callable[[str], Lender]:
    def make(url: str) -> Lender:
        lender = lenders.psycopg_plain(url)
        lender.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}")
        lender.commit()
        return lender

    return make


@pytest.mark.postgres
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("make", [_plain, _alchemy], ids=["psycopg", "sqlalchemy"])
def test_a_serialization_failure_goes_to_the_caller_with_a_hint(
    postgres_ledger_url: str, level: str, make: Callable[[str], Callable[[str], Lender]]
) -> None:
    url = postgres_ledger_url
    one, other = patient(url), make(level)(url)
    other.execute("SELECT 1 FROM orders")  # its snapshot is older than the first caller's commit
    assert take(one, 1) == (True, 1)
    with pytest.raises(Exception) as failure:
        with once(other.lent, "k"):
            pass
    root = getattr(failure.value, "orig", failure.value)
    assert isinstance(root, psycopg.errors.SerializationFailure)
    assert "run the whole transaction again" in failure.value.__notes__[0]
    other.rollback()
    assert take(other, 2) == (False, 1)
    one.close()
    other.close()


@pytest.mark.postgres
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_waiter_at_a_stricter_level_is_first_if_the_first_rolls_back(
    postgres_ledger_url: str, level: str
) -> None:
    one, other = patient(postgres_ledger_url), _plain(level)(postgres_ledger_url)
    with ThreadPoolExecutor(1) as thread:
        with once(one.lent, "k"):
            later = thread.submit(take, other, 2)
            wait_until_blocked(postgres_ledger_url, other, later)
        one.rollback()
        assert later.result(PATIENCE_S) == (True, 2)
    one.close()
    other.close()


@pytest.mark.postgres
def test_a_deadlock_goes_to_one_caller_with_a_hint(postgres_ledger_url: str) -> None:
    with two(postgres_ledger_url) as (one, other), ThreadPoolExecutor(1) as thread:

        def both(lender: Lender, keys: tuple[str, str]) -> str:
            try:
                with once(lender.lent, keys[0]):
                    met.wait(PATIENCE_S)
                    with once(lender.lent, keys[1]):
                        pass
                lender.commit()
                return "done"
            except psycopg.errors.DeadlockDetected as error:
                lender.rollback()
                return error.__notes__[0]

        met = threading.Barrier(2)
        for lender in (one, other):
            lender.execute("SET deadlock_timeout = '30ms'")
            lender.commit()
        later = thread.submit(both, other, ("b", "a"))
        answers = {both(one, ("a", "b")), later.result(PATIENCE_S)}
        assert len(answers) == 2 and "done" in answers
        assert any("run the whole transaction again" in answer for answer in answers)


# ── cancelled ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.postgres
@pytest.mark.parametrize("where", ["while it waits", "in the block"])
def test_a_cancelled_caller_uses_nothing_up(postgres_ledger_url: str, where: str) -> None:
    url = postgres_ledger_url

    async def act() -> None:
        one = await psycopg.AsyncConnection.connect(url)
        other = await psycopg.AsyncConnection.connect(url)
        reached = asyncio.Event()

        async def waits() -> None:
            async with once(other, "k"):
                await other.execute("INSERT INTO orders VALUES (1)")
                reached.set()
                await other.execute("SELECT pg_sleep(60)")

        if where == "while it waits":
            async with once(one, "k"):
                task = asyncio.create_task(waits())
                await asyncio.to_thread(_blocked, url, other.info.backend_pid)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await one.rollback()
        else:
            task = asyncio.create_task(waits())
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await other.commit()  # as careless code would
        async with once(other, "k") as turn:
            assert turn.first
        await other.rollback()
        await one.close()
        await other.close()

    asyncio.run(act())
    assert keys(url) == [] and orders(url) == []


# ── killed ──────────────────────────────────────────────────────────────────────────────────

HOLDER = """
import signal, sys
from dutiful.app.once import once
from tests.contract.once_crowd import patient
lender = patient(sys.argv[1])
lender.begin()
with once(lender.lent, "k") as turn:
    lender.execute("INSERT INTO orders VALUES (1)")
    turn.result = "killed"
    print(turn.first, flush=True)
    signal.pause()
"""


def test_a_caller_that_is_killed_in_the_block_leaves_the_key_free(ledger_url: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, ledger_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "True\n"
    with ThreadPoolExecutor(1) as thread:
        lender = patient(ledger_url)
        later = thread.submit(take, lender, "mine")
        wait_until_blocked(ledger_url, lender, later)
        assert not later.done()
        holder.kill()
        holder.wait()
        assert later.result(PATIENCE_S) == (True, "mine")
    lender.close()
    holder.stdout.close()
    assert orders(ledger_url) == [7] and keys(ledger_url) == ["k"]
