"""Who waits for work in a file hears of commits at once, and looks at nothing meanwhile."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dutiful.engines import file_hints
from dutiful.engines.file_hints import FileHints

LONG_S = 30.0
linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a waiter looks")


class File:
    """A database with a write-ahead log, one connection that writes and one that looks."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.writer = self.opened()
        self.writer.execute("PRAGMA journal_mode = WAL")
        self.writer.execute("CREATE TABLE t (n)")
        self.eye = self.opened()
        self.looks = 0

    def opened(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)

    def version(self) -> int:
        self.looks += 1
        return int(self.eye.execute("PRAGMA data_version").fetchone()[0])

    def write(self) -> None:
        self.writer.execute("INSERT INTO t VALUES (1)")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    file = File(tmp_path / "jobs.db")
    yield file
    file.writer.close()
    file.eye.close()


@pytest.fixture(params=["told", "looks"])
def hints(file: File, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileHints]:
    if request.param == "looks":
        monkeypatch.setattr(file_hints, "_watch_for", lambda path: None)
    elif sys.platform != "linux":
        pytest.skip("elsewhere a waiter looks")
    hints = FileHints(file.path)
    yield hints
    hints.close()


def soon(do: Callable[[], object]) -> threading.Thread:
    thread = threading.Timer(0.2, do)
    thread.start()
    return thread


def waits(hints: FileHints, file: File, do: Callable[[], object]) -> bool:
    """Whether what is done in a moment ends a long wait, at once."""
    thread, began = soon(do), time.monotonic()
    try:
        return hints.wait(LONG_S, file.version) and time.monotonic() - began < LONG_S / 2
    finally:
        thread.join()


def test_a_commit_ends_the_wait_and_so_does_a_call(hints: FileHints, file: File) -> None:
    assert waits(hints, file, file.write)
    assert waits(hints, file, hints.wake)
    assert waits(hints, file, hints.interrupt)
    assert not hints.wait(0.05, file.version)  # none of them is left over


def test_an_interrupt_before_the_wait_counts(hints: FileHints, file: File) -> None:
    hints.interrupt()
    assert hints.wait(LONG_S, file.version)
    assert not hints.wait(0.05, file.version)


def test_a_wake_before_the_wait_does_not(hints: FileHints, file: File) -> None:
    hints.wake()
    assert not hints.wait(0.05, file.version)


def test_all_who_wait_are_woken(hints: FileHints, file: File) -> None:
    heard: list[bool] = []

    def wait() -> None:
        heard.append(hints.wait(LONG_S, file.version))

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    began = time.monotonic()
    file.write()
    for thread in threads:
        thread.join()
    assert heard == [True] * 5 and time.monotonic() - began < LONG_S / 2


def test_no_commit_is_overheard(hints: FileHints, file: File) -> None:
    """Told of the log before the commit can be seen, a waiter goes on looking."""
    left = threading.Event()
    at: list[float] = []

    def write() -> None:
        while not left.wait(random.uniform(0, 0.004)):
            at.append(time.monotonic())
            file.write()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        waits = [hints.wait(LONG_S, file.version) for _ in range(100)]
    finally:
        left.set()
        writer.join()
    assert all(waits) and at[-1] - at[0] < LONG_S


@linux
def test_nobody_looks_while_nothing_happens(file: File) -> None:
    hints = FileHints(file.path)
    assert not hints.wait(0.5, file.version)
    assert file.looks == 2
    hints.close()


@linux
def test_another_log_is_watched_when_the_first_one_is_gone(tmp_path: Path) -> None:
    log = tmp_path / "jobs.db-wal"
    log.touch()
    hints = FileHints(str(tmp_path / "jobs.db"))
    assert not hints.wait(0.05, lambda: 0)
    log.unlink()
    log.touch()
    assert not hints.wait(0.05, lambda: 0)
    thread, began = soon(lambda: log.write_bytes(b"x")), time.monotonic()
    assert hints.wait(LONG_S, itertools.count().__next__) and time.monotonic() - began < LONG_S / 2
    thread.join()
    hints.close()


@linux
def test_nothing_is_left_open(file: File) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        hints = FileHints(file.path)
        hints.wait(0.001, file.version)
        hints.close()
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_in_memory_only_this_process_wakes() -> None:
    hints = FileHints(None)
    thread = soon(hints.wake)
    assert hints.wait(LONG_S, lambda: 0)
    thread.join()
    assert not hints.wait(0.05, lambda: 0)
    hints.close()
