"""Wakes who waits for work in a file: at once for what this process stored, and for commits of others.

Linux tells when the write-ahead log is written to (inotify), so that an idle worker looks at nothing. That is
before the commit can be seen: so after it a waiter looks a few times, ever later. Elsewhere, and where there
is no such log, it looks 40 times a second. Nothing depends on a hint: who waits has a time of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import select
import sys
import threading
import time
from collections.abc import Callable

LOOK_S = 0.025
"""How often a waiter looks whether somebody wrote, where nobody tells it."""
APART_S = 0.005
"""Commits of others wake a waiter that often at most: several that follow each other are one claim's."""
FIRST_S, LAST_S = 0.0005, 1.0
"""How soon after the log was written to a waiter looks, and for how long, each time twice as late."""
MODIFIED, GONE = 0x2, 0x8004  # IN_MODIFY; IN_IGNORED and IN_ATTRIB (a link less)
EVENT = 16  # bytes of an event about a file itself; its mask is the second number


class FileHints:
    """The waiters of one engine. ``path`` is the database's; None where no other process can write to it."""

    def __init__(self, path: str | None) -> None:
        self._log = None if path is None else f"{path}-wal"
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._bells: list[int] = []
        self._free: list[tuple[int, int]] = []
        self._wakes = 0
        self._interrupted = False
        self._watch: int | None = None
        self._heard_at = self._woke_at = -LAST_S

    def wake(self) -> None:
        """Something was stored here."""
        with self._lock:
            self._wakes += 1
            self._ring()

    def interrupt(self) -> None:
        """End the wait that is under way, or the next one."""
        with self._lock:
            self._interrupted = True
            self._ring()

    def close(self) -> None:
        """Watch no more; whoever waits returns."""
        self.interrupt()
        with self._lock:
            self._interrupted = False
            self._unwatch()
            for end in (end for pair in self._free for end in pair):
                os.close(end)
            self._free.clear()

    def wait(self, timeout_s: float, version: Callable[[], int]) -> bool:
        """Whether there was a hint within the time. ``version`` changes with each commit of others."""
        until = time.monotonic() + timeout_s
        with self._looking:
            seen = version()
        with self._lock:
            wakes = self._wakes
            bell, ringer = self._free.pop() if self._free else _pipe()
            self._bells.append(ringer)
        try:
            while True:
                with self._lock:
                    if self._interrupted:
                        self._interrupted = False
                        return True
                    if self._wakes != wakes:
                        return True
                    watch = self._watched()
                now = time.monotonic()
                if now >= until:
                    return False
                self._listen(bell, watch, min(until - now, self._pause(watch, now)))
                with self._looking:
                    if version() != seen:
                        early = self._woke_at + APART_S - time.monotonic()
                        if early > 0:
                            time.sleep(early)
                        self._woke_at = time.monotonic()
                        return True
        finally:
            with self._lock:
                self._bells.remove(ringer)
                self._free.append((bell, ringer))

    def _ring(self) -> None:
        for ringer in self._bells:
            with contextlib.suppress(BlockingIOError):
                os.write(ringer, b"x")

    def _pause(self, watch: int | None, now: float) -> float:
        """When to look, whatever is heard."""
        if self._log is not None and watch is None:
            return LOOK_S
        since = now - self._heard_at
        return max(FIRST_S, since) if since < LAST_S else math.inf

    def _listen(self, bell: int, watch: int | None, timeout_s: float) -> None:
        poll = select.poll()
        for end in (bell, watch):
            if end is not None:
                poll.register(end, select.POLLIN)
        ready = [end for end, _ in poll.poll(1_000 * timeout_s)]
        if bell in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(bell, 64)
        elif watch is not None and ready:
            self._hear(watch)

    def _hear(self, watch: int) -> None:
        """Read what the watch has told, for all who wait: to the others it is as if nothing was told."""
        try:
            told = os.read(watch, 64 * EVENT)
        except OSError:
            return
        masks = [int.from_bytes(told[at + 4 : at + 8], sys.byteorder) for at in range(0, len(told), EVENT)]
        with self._lock:
            self._heard_at = time.monotonic()
            if any(mask & GONE for mask in masks):  # another log will be made, or none
                self._unwatch()
            if len(self._bells) > 1:
                self._ring()

    def _watched(self) -> int | None:
        if self._watch is None and self._log is not None and sys.platform == "linux":
            self._watch = _watch_for(self._log)
        return self._watch

    def _unwatch(self) -> None:
        if self._watch is not None:
            os.close(self._watch)
            self._watch = None


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


def _watch_for(path: str) -> int | None:
    """Tells of each change of a file; None where there is no such file, or nobody tells of it."""
    if not os.path.exists(path):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if watch < 0:
        return None
    if libc.inotify_add_watch(watch, os.fsencode(path), MODIFIED | GONE & 0xFFF) < 0:
        os.close(watch)
        return None
    return int(watch)
