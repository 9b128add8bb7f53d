"""The servers of the tests: they start, survive what tests do to them, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from devtools.hosting import StopMode
from devtools.places import ROOT
from devtools.servers import PostgresConnection, PostgresServer, RedisServer

# Starts servers, says where they are, and waits to be killed.
VICTIM = """
import sys, time
from devtools.servers import PostgresServer, RedisServer
server = {"postgres": PostgresServer, "redis": RedisServer}[sys.argv[1]]().start()
print(server.root, server.pid, flush=True)
time.sleep(600)
"""
CLEARED_WITHIN_S = 20


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + CLEARED_WITHIN_S
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_each_test_has_a_database_of_its_own(pg_server: PostgresConnection, empty_postgres_url: str) -> None:
    copy = pg_server.create_database("copy", template="template0")
    try:
        with psycopg.connect(copy) as one, psycopg.connect(empty_postgres_url) as two:
            one.execute("CREATE TABLE only_here (id int)")
            found = two.execute("SELECT to_regclass('only_here')").fetchone()
            assert found == (None,)
    finally:
        pg_server.drop_database("copy")


def test_a_database_is_dropped_under_a_client(pg_server: PostgresConnection) -> None:
    with psycopg.connect(pg_server.create_database("in_use")) as client:
        pg_server.drop_database("in_use")
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")


@pytest.mark.parametrize("mode", ["smart", "fast", "immediate", "kill"])
def test_committed_rows_survive_a_restart(own_pg_server: PostgresServer, mode: StopMode) -> None:
    url = own_pg_server.create_database("kept")
    with psycopg.connect(url) as client:
        client.execute("CREATE TABLE kept AS SELECT 1 AS one")

    before = own_pg_server.pid
    own_pg_server.restart(mode)

    assert own_pg_server.pid not in (None, before)
    with psycopg.connect(url) as client:
        assert client.execute("SELECT one FROM kept").fetchone() == (1,)
    own_pg_server.drop_database("kept")


@pytest.mark.postgres
def test_settings_are_the_servers() -> None:
    with PostgresServer({"max_connections": 7}) as server, psycopg.connect(server.url()) as client:
        assert client.execute("SHOW max_connections").fetchone() == ("7",)
        assert client.execute("SHOW synchronous_commit").fetchone() == ("on",)
    assert not server.root.exists()


def test_a_server_is_reached_by_its_socket(pg_server: PostgresConnection) -> None:
    with psycopg.connect(pg_server.url(by_socket=True)) as client:
        assert client.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    "kind",
    [pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("redis", marks=pytest.mark.redis)],
)
def test_nothing_is_left_of_a_program_that_was_killed(kind: str, number: int) -> None:
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, kind], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert victim.stdout is not None
    root, pid = victim.stdout.readline().split()
    assert runs(int(pid))

    victim.send_signal(number)
    victim.wait()

    until(lambda: not runs(int(pid)))
    until(lambda: not Path(root).exists())


def test_redis_is_emptied_for_each_test(redis_server: RedisServer, redis_url: str) -> None:
    assert redis_server.url() == redis_url
    redis_server.restart("kill")
    redis_server.flush()
