"""A small shared file in which task bodies write when they began, and the measuring process reads it.

One slot of eight bytes per job, mapped into every process that takes part, so that writing a time costs a
fraction of a microsecond and needs no lock: each slot is written by the one process that runs its job.
Times are of the monotonic clock, which all processes of one machine share. A slot of zero has not begun, so
a job that a system lost is seen, and one that it ran twice costs nothing.
"""

from __future__ import annotations

import mmap
import os
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from struct import Struct

MARKS_VARIABLE = "DUTIFUL_BENCH_MARKS"
PATIENCE_S = 60.0  # a job that has not begun by then counts as lost
LOOK_S = 0.0002
FIRST_S = 0.001
CHECK_S = 0.1

_SLOT = Struct("d")


class Stalled(Exception):
    """Jobs stopped beginning before all had begun."""


class Marks:
    """``slots`` times, kept in the file at ``path``."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.slots = len(self._map) // _SLOT.size

    @classmethod
    def create(cls, path: Path, slots: int) -> Marks:
        """An empty file with room for ``slots`` jobs, named in the environment for the worker to find."""
        path.write_bytes(bytes(slots * _SLOT.size))
        os.environ[MARKS_VARIABLE] = str(path)
        return cls(path)

    def write(self, index: int) -> None:
        """Record that job ``index`` begins now."""
        _SLOT.pack_into(self._map, index * _SLOT.size, time.monotonic())

    def read(self, index: int) -> float:
        """When job ``index`` began; 0.0 if it has not."""
        began: float = _SLOT.unpack_from(self._map, index * _SLOT.size)[0]
        return began

    def times(self, indexes: range) -> list[float]:
        """When those of these jobs began that have begun, the earliest first."""
        size = _SLOT.size
        return sorted(
            began for began in array("d", self._map[indexes.start * size : indexes.stop * size]) if began
        )

    def wait_for_any(self, indexes: range, *, timeout_s: float, check: Callable[[], None]) -> None:
        """Wait until one of these jobs has begun, whichever it is; raises ``Stalled`` after ``timeout_s``."""
        size, deadline = _SLOT.size, time.monotonic() + timeout_s
        while not self._map[indexes.start * size : indexes.stop * size].strip(b"\0"):
            if time.monotonic() > deadline:
                raise Stalled(f"no job began within {timeout_s:.0f} s")
            check()
            time.sleep(FIRST_S)

    def wait_for(self, index: int, *, timeout_s: float, check: Callable[[], None]) -> float:
        """When job ``index`` began, waiting until it has; raises ``Stalled`` after ``timeout_s``.

        ``check`` is called once in a while and may raise, if waiting has no point any more.
        """
        asked = time.monotonic()
        deadline = asked + timeout_s
        while not (began := self.read(index)):
            now = time.monotonic()
            if now > deadline:
                raise Stalled(f"job {index} did not begin within {timeout_s:.0f} s")
            if now > asked + CHECK_S:
                asked = now
                check()
            time.sleep(LOOK_S)
        return began

    def wait_for_all(self, first: int, stop: int, *, check: Callable[[], None]) -> float:
        """When the earliest of the jobs ``first`` … ``stop - 1`` began, waiting until all have."""
        for index in range(first, stop):
            if self.read(index):
                continue
            try:
                self.wait_for(index, timeout_s=PATIENCE_S, check=check)
            except Stalled as stalled:
                begun = sum(1 for index in range(first, stop) if self.read(index))
                raise Stalled(f"{stalled}; {begun} of {stop - first} did") from None
        return min(self.read(index) for index in range(first, stop))


_marks: Marks | None = None


def mark(index: int) -> None:
    """The body of every task of the benchmark: record that job ``index`` begins, and nothing else."""
    global _marks
    if _marks is None:
        _marks = Marks(Path(os.environ[MARKS_VARIABLE]))
    _marks.write(index)
