"""Writers take turns: real processes that commit to one file, one of them stopped, one forked."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dutiful.engines import turns
from dutiful.engines.turns import Turn

WRITERS = 4
RUN_S = 2.0

WRITER = """
import contextlib, sqlite3, sys, time
from dutiful.engines.turns import Turn
path, turn_path, run_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
connection = sqlite3.connect(path, timeout=60, isolation_level=None)
connection.execute("PRAGMA synchronous = NORMAL")
turn = Turn(turn_path) if turn_path else contextlib.nullcontext()
print("ready", flush=True)
sys.stdin.readline()
until = time.monotonic() + run_s
commits = 0
while time.monotonic() < until:
    with turn:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("COMMIT")
    commits += 1
print(commits)
"""

HOLDER = """
import sys, time
from dutiful.engines.turns import Turn
with Turn(sys.argv[1]):
    print("ready", flush=True)
    time.sleep(600)
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "jobs.db-turn")


def commits_of_each(tmp_path: Path, turn_path: str, run_s: float = RUN_S) -> list[int]:
    database = str(tmp_path / "jobs.db")
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (n)")
    writers = [start(WRITER, database, turn_path, str(run_s)) for _ in range(WRITERS)]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    commits = [int(writer.communicate()[0]) for writer in writers]
    assert connection.execute("SELECT count(*) FROM t").fetchall() == [(sum(commits),)]
    connection.close()
    return commits


def test_no_writer_starves(tmp_path: Path, path: str) -> None:
    commits = commits_of_each(tmp_path, path)
    print(f"commits of {WRITERS} processes in {RUN_S} s: {commits}")
    assert min(commits) * 4 >= max(commits)


def test_a_process_that_is_stopped_in_its_turn_blocks_nobody_for_long(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def sleep(pause_s: float) -> None:
        pauses.append(pause_s)
        time.sleep(pause_s)

    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    holder = start(HOLDER, path)
    holder.send_signal(signal.SIGSTOP)
    turn = Turn(path)
    try:
        with turn:
            pass
        assert 0 < len(pauses) <= turns.PATIENCE_S / turns.ASK_S
        waited = len(pauses)
        for _ in range(100):  # no one waits again for one who was waited for in vain
            with turn:
                pass
        assert len(pauses) == waited
    finally:
        holder.kill()
        holder.communicate()
    with turn:
        assert not can_be_had(path)
    assert can_be_had(path)
    turn.close()


def can_be_had(path: str) -> bool:
    """Whether another process could have the turn at once."""
    other = Turn(path)
    other._doubt_until = float("inf")  # do not wait for it
    with other:
        had = other._mine
    other.close()
    return had


def test_a_turn_is_given_back_when_the_transaction_fails(path: str) -> None:
    turn = Turn(path)
    with pytest.raises(ZeroDivisionError):
        with turn:
            raise ZeroDivisionError
    assert can_be_had(path)
    turn.close()


def test_a_closed_turn_opens_again(path: str) -> None:
    turn = Turn(path)
    with turn:
        pass
    turn.close()
    turn.close()
    with turn:
        assert not can_be_had(path)
    turn.close()


def test_who_saw_waiters_through_its_share_stands_back(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    pauses: list[float] = []
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: now, sleep=pauses.append))
    turn = Turn(path)
    with turn:
        waiter = os.open(path + turns.WAIT, os.O_RDONLY)
        fcntl.flock(waiter, fcntl.LOCK_SH)
    for _ in range(40):
        with turn:
            now += turns.SHARE_S / 4
    assert pauses == [pytest.approx(turns.STANDBACK_S)] * len(pauses)
    assert 5 <= len(pauses) <= 10

    os.close(waiter)
    with turn:
        now += turns.SHARE_S
    pauses.clear()
    for _ in range(40):
        with turn:
            now += turns.SHARE_S / 4
    assert pauses == []
    turn.close()


def test_a_folder_that_cannot_be_written_makes_no_error(tmp_path: Path) -> None:
    with Turn(str(tmp_path / "missing" / "jobs.db-turn")):
        pass


def test_a_forked_child_has_a_turn_of_its_own(path: str) -> None:
    program = """
import os, sys
from dutiful.engines.turns import Turn
turn = Turn(sys.argv[1])
with turn:
    child = os.fork()
    if not child:
        turn._doubt_until = float("inf")
        assert not turn._mine
        with turn:
            assert not turn._mine, "the child has its parent's turn"
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    other = Turn(sys.argv[1])
    other._doubt_until = float("inf")
    with other:
        assert not other._mine, "the child gave back its parent's turn"
print("ready", flush=True)
"""
    child = start(program, path)
    child.communicate()
    assert child.returncode == 0
