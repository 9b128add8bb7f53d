"""Worker processes of a subject: started, stopped for certain, and their CPU time read.

CPU time is read from ``/proc``, children included, because a worker may fork; where there is no ``/proc``
it is not measured.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

STOP_S = 5.0  # between SIGTERM and SIGKILL
LOG_TAIL = 400  # characters of a dead worker's log that are worth showing


class WorkerDied(Exception):
    """The worker process ended by itself."""


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` from the repository root with its output in ``log``; stopped on the way out."""
    with log.open("wb") as out:
        worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield worker
        if worker.poll() not in (None, 0):
            raise WorkerDied(log.read_text(errors="replace")[-LOG_TAIL:])
    except Exception as error:
        if worker.poll() is None or isinstance(error, WorkerDied):
            raise
        raise WorkerDied(log.read_text(errors="replace")[-LOG_TAIL:]) from error
    finally:
        stop(worker)


def stop(worker: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL for the process and all that it forked."""
    family = family_of(worker.pid)
    worker.terminate()
    try:
        worker.wait(STOP_S)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
    for pid in family[1:]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def family_of(pid: int) -> list[int]:
    """The process, then all its descendants that are alive."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    family = [pid]
    for member in family:
        family.extend(children.get(member, ()))
    return family


def cpu_seconds(pid: int) -> float | None:
    """User and system time of the process and its descendants; None where it cannot be read."""
    total = 0
    for member in family_of(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            if member == pid:
                return None
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")
