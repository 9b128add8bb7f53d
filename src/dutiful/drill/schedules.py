"""Schedules of two runs: they are threads, of which one goes at a time, switched at boundaries."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

from .boundaries import unwatched

Who = Literal["first", "second"]
LOOK_S = 0.03
"""How often it is asked whether the run whose turn it is waits for a lock of the other's."""
LIMIT_S = 20.0


class Turns:
    """The first run goes to its boundary ``away``, the second to ``back`` or its end, then both end."""

    def __init__(self, away: int, back: int | None, waits: Callable[[], bool]) -> None:
        self._away, self._back, self._waits = away, back, waits
        self._turn: Who = "first"
        self._state = threading.Condition()
        self._ended: set[Who] = set()
        self._steps = 0
        self._free = False
        """Whether the second run seemed to wait: then both go as they can."""
        self.paused = threading.Event()
        """The first run stands at its boundary, or has ended without reaching it."""
        self.met = False
        """Whether it stands there."""

    def at(self, who: Who) -> Callable[[int], None]:
        """What a run's track calls before each boundary."""

        def before(number: int) -> None:
            with self._state:
                self._steps += 1
                if who == "first" and number == self._away:
                    self.met = True
                    self.paused.set()
                    self._give("second")
                elif who == "second" and number == self._back:
                    self._give("first")
                self._wait(who)

        return before

    def blocked(self, who: Who) -> Callable[[], bool]:
        """What a shim calls when a lock of the other run is in the way; False if that one cannot clear it."""

        def give_way() -> bool:
            other: Who = "second" if who == "first" else "first"
            with self._state:
                if other in self._ended or (other == "second" and not self._started):
                    return False
                self._away, self._back = -1, -1
                self._give(other)
                self._state.wait_for(lambda: other in self._ended, LIMIT_S)
                self._turn = who
                return other in self._ended

        return give_way

    _started = False

    def second_starts(self) -> None:
        """From now on there is a second run."""
        with self._state:
            self._started = True

    def ended(self, who: Who) -> None:
        """A run is over: the other goes on."""
        with self._state:
            self._ended.add(who)
            if who == "first":
                self.paused.set()
            self._give("second" if who == "first" else "first")

    def _give(self, who: Who) -> None:
        self._turn = who
        self._steps += 1
        self._state.notify_all()

    def _wait(self, who: Who) -> None:
        other: Who = "second" if who == "first" else "first"
        until = time.monotonic() + LIMIT_S
        while self._turn != who and other not in self._ended and not self._free:
            seen = self._steps
            self._state.wait(LOOK_S)
            if self._steps != seen or (other == "second" and not self._started):
                continue
            with unwatched():
                stuck = self._waits() or time.monotonic() > until
            if stuck:  # both go on as the locks let them
                self._free = True
                self._state.notify_all()
