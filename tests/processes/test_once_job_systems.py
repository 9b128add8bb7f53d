"""``once_per`` under other people's job systems, on a real Redis: delivered twice, done once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dutiful
from tests.processes.support.workers import ROOT, until

CELERY = [
    "-m", "celery", "-A", "tests.processes.support.once_celery", "worker", "-l", "warning", "-c", "2",
    "--without-gossip", "--without-mingle", "--without-heartbeat",
]  # fmt: skip


class Shop:
    """A database with orders that were charged, and what the calls said."""

    def __init__(self, store: str, broker: str, folder: Path) -> None:
        self.store, self.broker = store, broker
        self.log = folder / "calls.log"
        self.log.touch()
        dutiful.make_ledger(store)
        self.sql("CREATE TABLE charges (order_id integer, cents integer)")

    def sql(self, text: str) -> list[Any]:
        if self.store.startswith("sqlite"):
            import sqlite3

            with contextlib.closing(sqlite3.connect(self.store.removeprefix("sqlite:///"))) as connection:
                rows = connection.execute(text).fetchall()
                connection.commit()
                return rows
        import psycopg

        with psycopg.connect(self.store) as connection:
            cursor = connection.execute(text)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    @property
    def charges(self) -> list[tuple[int, int]]:
        return [tuple(row) for row in self.sql("SELECT order_id, cents FROM charges ORDER BY order_id")]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Of each call that returned, its process and its result."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def environment(self, **more: str) -> dict[str, str]:
        own = {"ONCE_STORE": self.store, "ONCE_BROKER": self.broker, "ONCE_LOG": str(self.log)}
        return {**os.environ, **own, **more}

    def run(self, module: str, **more: str) -> str:
        """A program to its end; what it printed last."""
        done = subprocess.run(
            [sys.executable, "-m", f"tests.processes.support.{module}"],
            cwd=ROOT,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip().rpartition("\n")[2]

    @contextlib.contextmanager
    def celery(self, pool: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker in a session of its own, killed at the end with all its children."""
        command = [sys.executable, *CELERY, "--pool", pool]
        worker = subprocess.Popen(command, cwd=ROOT, env=self.environment(**more), start_new_session=True)
        try:
            yield worker
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def shop_at(store: str, request: pytest.FixtureRequest) -> Shop:
    url = request.getfixturevalue(store)
    broker = request.getfixturevalue("redis_url")
    return Shop(url, broker, request.getfixturevalue("tmp_path"))


def one_receipt(shop: Shop, order: int = 7) -> str:
    """All calls for the order had the same result."""
    [receipt] = {call["result"]["receipt"] for call in shop.calls if call["result"]["order"] == order}
    return str(receipt)


@pytest.mark.redis
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("pool", "store"),
    [
        ("solo", "sqlite_url"),
        pytest.param("prefork", "empty_postgres_url", marks=pytest.mark.postgres),
    ],
)
def test_celery_delivers_twice_and_the_work_is_done_once(
    pool: str, store: str, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("celery")
    from celery import Celery
    from redis import Redis

    shop = shop_at(store, request)
    sender = Celery(broker=shop.broker, set_as_current=False)
    redis = Redis.from_url(shop.broker)

    # kill -9 between the effect's commit and the acknowledgement
    sender.send_task("charge", args=[7, 500])
    with shop.celery(pool, ONCE_HOLD="1"):
        until(lambda: shop.calls, "the first worker charges")
    killed = shop.calls[0]["pid"]
    assert shop.charges == [(7, 500)]
    assert redis.hlen("unacked") == 1  # Celery does not know that it was done

    # the broker gives the message to the next worker once it has been invisible for long enough
    [(_, delivered)] = redis.zrange("unacked_index", 0, -1, withscores=True)
    until(lambda: time.time() > delivered + 1, "the visibility timeout")
    before = len(shop.calls)
    with shop.celery(pool):
        until(lambda: len(shop.calls) > before, "the second worker gets the message again")
        assert shop.calls[-1]["pid"] != killed
        receipt = one_receipt(shop)
        # the same message sent once more, by hand and ten times at once; another order is another charge
        for _ in range(10):
            sender.send_task("charge", args=[7], kwargs={"cents": 500})
        sender.send_task("charge", args=[8])
        sender.send_task("bound", args=[9])
        sender.send_task("bound", args=[9])
        done = before + 1 + 13
        until(lambda: len(shop.calls) >= done, "all are answered")
        until(lambda: redis.hlen("unacked") == 0, "all are acknowledged")
    results = [call["result"] for call in shop.calls]
    [first, second] = [result for result in results if isinstance(result, str)]
    assert first == second
    charged = [call for call in shop.calls if isinstance(call["result"], dict)]
    assert {call["result"]["receipt"] for call in charged if call["result"]["order"] == 7} == {receipt}
    assert shop.charges == [(7, 500), (8, 100)]


@pytest.mark.redis
def test_rqs_killed_work_horse_is_retried_and_finds_the_result(
    sqlite_url: str, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("rq")
    shop = shop_at("sqlite_url", request)
    results = json.loads(shop.run("once_rq"))
    assert [call["result"] for call in shop.calls] == [results[0]] * 2  # killed after the first, retried
    assert results[0] == results[1] and shop.charges == [(7, 100)]
    assert len({call["pid"] for call in shop.calls}) == 2


@pytest.mark.redis
def test_dramatiqs_messages_sent_again_find_the_result(request: pytest.FixtureRequest) -> None:
    pytest.importorskip("dramatiq")
    shop = shop_at("sqlite_url", request)
    shop.run("once_dramatiq")
    assert len(shop.calls) == 3 and one_receipt(shop)
    assert shop.charges == [(7, 100)]


@pytest.mark.redis
def test_without_it_the_same_job_is_done_again(request: pytest.FixtureRequest) -> None:
    """The planted bug: so these tests can see a second effect."""
    pytest.importorskip("dramatiq")
    shop = shop_at("sqlite_url", request)
    shop.run("once_dramatiq", ONCE_PLANTED="1")
    assert shop.charges == [(7, 100)] * 4
    assert len({call["result"]["receipt"] for call in shop.calls}) == 3
