"""Turns for writers: processes that write one SQLite file take turns, so that none of them starves.

SQLite lets one connection write at a time, and who waits for it sleeps and asks again, longer each
time; a busy process that commits and begins anew is always faster (of four, one did nothing for a
second). So each process takes its turn before ``BEGIN IMMEDIATE`` and gives it back after ``COMMIT``:

    with turn:
        …one transaction

**For fairness, never for safety.** SQLite's own locks keep the file whole. Nothing here raises, and
nobody waits longer than ``PATIENCE_S``: when a process is stopped in its turn, or the files cannot be
made, the others go on without turns, as they would have without this module.

How: the turn is an ``flock`` on one file. Who waits for it holds a shared lock on a second one
meanwhile, so that a process which gives back its turn can see that somebody waits. It may then go on
until its share of time (``SHARE_S``) is used up, and afterwards lets the others go first: it asks for
its next turn a little later than they do. Waiters ask every ``ASK_S``, and all have the same chance.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from types import TracebackType
from typing import Final

WAIT: Final = "-wait"
"""Ends the name of the second file."""

PATIENCE_S: Final = 0.25
"""The longest wait for a turn. A longer one means a stopped process, or one very long transaction."""

ASK_S: Final = 0.0005
"""The pause between two tries of a waiter. The shorter, the less time is lost between turns."""

LOOK_S: Final = 0.001
"""How often a process that takes turn after turn looks whether somebody waits."""

SHARE_S: Final = 0.004
"""How long a process may take turn after turn while others wait, before it lets them go first."""

STANDBACK_S: Final = 0.001
"""How long it then stands back: so long that each waiter asks at least once."""

DOUBT_S: Final = 2.0
"""After a wait in vain nobody waits again for so long, or until a turn could be had at once."""


class Turn:
    """One process's place in the queue of writers; ``path`` is the file, ``<database>-turn``.

    Used by one thread at a time, and not nested. After a fork the child opens files of its own.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._turn_fd = self._wait_fd = -1
        self._mine = False
        self._look_at = 0.0
        self._share_began = 0.0
        self._stand_back_until = 0.0
        self._doubt_until = 0.0
        _all.add(self)

    def __enter__(self) -> None:
        if self._turn_fd < 0 and not self._open():
            return
        if self._stand_back_until:
            self._stand_back()
        if _lock(self._turn_fd, fcntl.LOCK_EX):
            self._mine = True
            self._doubt_until = 0.0
        else:
            self._mine = self._wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._mine:
            return
        self._mine = False
        fcntl.flock(self._turn_fd, fcntl.LOCK_UN)
        now = time.monotonic()
        if now > self._look_at:
            self._look_at = now + LOOK_S
            self._share_with_waiters(now)

    def close(self) -> None:
        """Close the files; the next turn opens them again."""
        fds, self._turn_fd, self._wait_fd, self._mine = (self._turn_fd, self._wait_fd), -1, -1, False
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def _open(self) -> bool:
        try:
            # Reading suffices for flock, so processes of different users can share the files.
            flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC
            self._turn_fd = os.open(self._path, flags, 0o644)
            self._wait_fd = os.open(self._path + WAIT, flags, 0o644)
        except OSError:
            self.close()  # a folder that we may not write in: SQLite will say so, if it matters
            return False
        return True

    def _wait(self) -> bool:
        """Ask again and again, while the others can see that we do; False when it takes too long."""
        now = time.monotonic()
        if now < self._doubt_until:
            return False
        deadline = now + PATIENCE_S
        shown = False
        try:
            while time.monotonic() < deadline:
                if not shown:
                    shown = _lock(self._wait_fd, fcntl.LOCK_SH)
                time.sleep(ASK_S)
                if _lock(self._turn_fd, fcntl.LOCK_EX):
                    self._share_began = 0.0
                    return True
            self._doubt_until = deadline + DOUBT_S
            return False
        finally:
            fcntl.flock(self._wait_fd, fcntl.LOCK_UN)

    def _share_with_waiters(self, now: float) -> None:
        """If somebody waits, and has waited while we had our share, stand back before the next turn."""
        if _lock(self._wait_fd, fcntl.LOCK_EX):  # a waiter's shared lock would refuse it
            fcntl.flock(self._wait_fd, fcntl.LOCK_UN)
            self._share_began = 0.0
        elif not self._share_began:
            self._share_began = now
        elif now - self._share_began > SHARE_S:
            self._share_began = 0.0
            self._stand_back_until = now + STANDBACK_S

    def _stand_back(self) -> None:
        pause = self._stand_back_until - time.monotonic()
        self._stand_back_until = 0.0
        if pause > 0:
            time.sleep(pause)


def _lock(fd: int, kind: int) -> bool:
    """Whether the lock could be had at once."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


_all: weakref.WeakSet[Turn] = weakref.WeakSet()


def _close_in_child() -> None:
    for turn in tuple(_all):
        turn.close()


os.register_at_fork(after_in_child=_close_in_child)
