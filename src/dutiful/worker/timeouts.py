"""Time limits of plain tasks: a thread cannot be killed, so its run is ended and its lease revoked."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

from .held import Held


class Timeouts:
    """Calls ``on_timeout`` once for each watched job that still runs when its time is up."""

    def __init__(self, on_timeout: Callable[[Held], None]) -> None:
        self._on_timeout = on_timeout
        self._heap: list[tuple[float, int, Held]] = []
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def watch(self, held: Held) -> None:
        """Watch a job that has just begun, if its task has a timeout."""
        timeout_us = held.task.policy.timeout_us
        if timeout_us is None:
            return
        with self._changed:
            heapq.heappush(self._heap, (time.monotonic() + timeout_us / 1e6, next(self._count), held))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="dutiful-timeouts", daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        """Watch no more."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(5.0)

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._heap and self._heap[0][2].stage == "ended":
                    heapq.heappop(self._heap)
                if self._stopping:
                    return
                left = self._heap[0][0] - time.monotonic() if self._heap else None
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                _, _, held = heapq.heappop(self._heap)
            if held.stage == "running":
                self._on_timeout(held)
