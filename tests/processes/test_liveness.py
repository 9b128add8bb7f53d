"""The kernel tells who is alive: real processes, a real kill -9, a real SIGSTOP."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dutiful.worker import liveness
from dutiful.worker.liveness import HEADER_BYTES, SLOTS_MIN, WorkerFile, begun, is_dead, remove, sweep

JOBS = [str(uuid.uuid4()) for _ in range(4)]

WORKER = f"""
import os, subprocess, sys, time
from dutiful.worker.liveness import WorkerFile
file = WorkerFile.create(sys.argv[1], "w1")
file.begin(0, {JOBS[0]!r})
file.begin(1, {JOBS[1]!r})
file.end(1)
file.begin({SLOTS_MIN + 7}, {JOBS[2]!r})
"""
STAY = "print('ready', flush=True); time.sleep(600)"


@contextmanager
def process(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has printed "ready"."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert child.stdout is not None
        for line in child.stdout:
            if line.strip() == "ready":
                break
        else:
            raise AssertionError(f"the process ended with {child.wait()}")
        yield child
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def kill_9(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait()


def test_a_killed_worker_is_dead_and_its_record_is_read(tmp_path: Path) -> None:
    path = tmp_path / "workers" / "w1"
    with process(WORKER + STAY, str(path.parent)) as worker:
        assert is_dead(path) is False
        assert begun(path) == [JOBS[0], JOBS[2]]
        kill_9(worker)
        assert is_dead(path) is True
        assert begun(path) == [JOBS[0], JOBS[2]]

    remove(path)
    remove(path)
    assert is_dead(path) is None
    assert begun(path) is None


def test_a_stopped_worker_is_not_dead(tmp_path: Path) -> None:
    with process(WORKER + STAY, str(tmp_path)) as worker:
        worker.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
        assert is_dead(tmp_path / "w1") is False
        kill_9(worker)
        assert is_dead(tmp_path / "w1") is True


FORK = "child = os.fork() or time.sleep(600)"
EXEC = "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid"


@pytest.mark.parametrize("birth", [FORK, EXEC], ids=["fork", "exec"])
def test_a_child_that_outlives_its_worker_does_not_keep_it_alive(tmp_path: Path, birth: str) -> None:
    program = f"{WORKER}\n{birth}\nopen(sys.argv[2], 'w').write(str(child))\n{STAY}"
    path = tmp_path / "workers" / "w1"
    with process(program, str(path.parent), str(tmp_path / "child")) as worker:
        child = int((tmp_path / "child").read_text())
        try:
            kill_9(worker)
            until(lambda: is_dead(path))  # not at once only if the child has not had its first instant yet
            os.kill(child, 0)  # lives
            assert begun(path) == [JOBS[0], JOBS[2]]
        finally:
            os.kill(child, signal.SIGKILL)


def until(ask: Callable[[], object], seconds: float = 30) -> None:
    """Wait until the answer is true."""
    deadline = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def test_a_forked_child_cannot_write_into_its_parents_record(tmp_path: Path) -> None:
    file = WorkerFile.create(tmp_path, "w1")
    file.begin(0, JOBS[0])
    program = """
import os, sys
from dutiful.model.errors import UsedAfterFork
from dutiful.worker.liveness import WorkerFile
file = WorkerFile.create(sys.argv[1], "w2")
file.begin(0, sys.argv[2])
child = os.fork()
if not child:
    refused = 0
    for write in (lambda: file.begin(0, sys.argv[2]), lambda: file.end(0)):
        try:
            write()
        except UsedAfterFork:
            refused += 1
    file.close()
    os._exit(0 if refused == 2 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
file.begin(1, sys.argv[2])
import time; print("ready", flush=True); time.sleep(600)
"""
    with process(program, str(tmp_path), JOBS[1]):
        assert begun(tmp_path / "w2") == [JOBS[1], JOBS[1]]
        assert is_dead(tmp_path / "w2") is False
    file.close()


def test_who_asks_is_not_taken_for_the_owner_by_another_who_asks(tmp_path: Path) -> None:
    path = tmp_path / "w1"
    with process(WORKER + STAY, str(tmp_path)) as worker:
        kill_9(worker)
    asking = os.open(path, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert is_dead(path) is True
    os.close(asking)


def test_a_worker_that_leaves_removes_its_file(tmp_path: Path) -> None:
    file = WorkerFile.create(tmp_path, "w1")
    assert is_dead(file.path) is False
    file.close()
    file.close()
    assert is_dead(file.path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_token_is_a_file_name_and_used_once(tmp_path: Path) -> None:
    file = WorkerFile.create(tmp_path, "w1")
    with pytest.raises(FileExistsError):
        WorkerFile.create(tmp_path, "w1")
    assert is_dead(file.path) is False
    for token in ("", ".", "..", "a/b", "/a", ".hidden"):
        with pytest.raises(ValueError):
            WorkerFile.create(tmp_path, token)
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_slots_grow_on_demand_also_from_many_threads(tmp_path: Path) -> None:
    file = WorkerFile.create(tmp_path, "w1", slots=1)
    jobs = [str(uuid.uuid4()) for _ in range(400)]
    start = threading.Barrier(8)

    def run(thread_no: int) -> None:
        start.wait()
        for slot_no in range(thread_no, len(jobs), 8):
            file.begin(slot_no, jobs[slot_no])

    threads = [threading.Thread(target=run, args=(thread_no,)) for thread_no in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert begun(file.path) == jobs
    for slot_no in range(len(jobs)):
        file.end(slot_no)
    assert begun(file.path) == []
    with pytest.raises(IndexError):
        file.begin(liveness.SLOTS_MAX, jobs[0])
    file.close()


def test_what_is_no_record_of_this_start_of_the_host_is_not_read(tmp_path: Path) -> None:
    file = WorkerFile.create(tmp_path, "w1")
    file.begin(0, JOBS[0])
    whole = file.path.read_bytes()
    file.close()

    other = tmp_path / "other"
    for content, expected in (
        (whole, [JOBS[0]]),
        (whole[: HEADER_BYTES + 20], [JOBS[0]]),
        (whole[:HEADER_BYTES], []),
        (whole[: HEADER_BYTES - 1], None),
        (b"", None),
        (b"\xff" + whole[1:], None),
        (whole[:16] + b"\x07" * 16 + whole[32:], None),
    ):
        other.write_bytes(content)
        assert begun(other) == expected


def test_sweeping_takes_only_what_is_old_and_free_and_unknown(tmp_path: Path) -> None:
    mine = WorkerFile.create(tmp_path, "mine")
    for name in ("young", "old", "known", ".old.new"):
        (tmp_path / name).write_bytes(b"")
        if name != "young":
            os.utime(tmp_path / name, (0, 0))
    os.utime(mine.path, (0, 0))

    assert sweep(tmp_path, keep={"known"}) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["known", "mine", "young"]
    assert sweep(tmp_path / "missing", keep=()) == 0
    mine.close()
