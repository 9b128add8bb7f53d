"""Worker processes of a subject: started, stopped for certain, and their CPU time read.

CPU time is read from ``/proc``, children included, because a worker may fork; where there is no ``/proc``
it is not measured.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
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
    except WorkerDied as died:
        raise WorkerDied(f"{died}: {log.read_text(errors='replace')[-LOG_TAIL:]}") from None
    finally:
        stop(worker)


def stop(worker: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL. What it forked and left is killed at the end of the call, with its group."""
    worker.terminate()
    try:
        worker.wait(STOP_S)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def cpu_seconds(pids: Iterable[int]) -> float | None:
    """User and system time of these processes and all their descendants; None where it cannot be read.

    What a member's ended children used is in its own account, so that the sum never falls.
    """
    family = _family(pids)
    if family is None:
        return None
    ticks = sum(int(fields[field]) for fields in family.values() for field in CPU_TIMES)
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pids: Iterable[int]) -> float | None:
    """Resident memory of these processes and all their descendants; None where it cannot be read."""
    family = _family(pids)
    if family is None:
        return None
    return sum(int(fields[RESIDENT]) for fields in family.values()) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _family(pids: Iterable[int]) -> dict[int, list[str]] | None:
    processes = {int(path.name): fields for path in PROC.glob("[0-9]*") if (fields := _fields(path))}
    families = set(pids)
    if not families <= processes.keys():
        return None
    found = families
    while found:
        found = {pid for pid, fields in processes.items() if int(fields[PARENT]) in found} - families
        families |= found
    return {pid: processes[pid] for pid in families}


def parent_of(pid: int) -> int | None:
    """The parent's id; None where it cannot be read."""
    fields = _fields(PROC / str(pid))
    return int(fields[PARENT]) if fields else None


PROC = Path("/proc")
PARENT = 1  # fields of /proc/PID/stat after the command's name
CPU_TIMES = (11, 12, 13, 14)
RESIDENT = 21  # pages


def _fields(process: Path) -> list[str] | None:
    try:
        return (process / "stat").read_text().rpartition(") ")[2].split()
    except OSError:  # it has ended, or there is no /proc here
        return None
