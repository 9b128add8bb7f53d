"""Jobs come to their gates when they are due, and rates grant what they allow, as soon as they do.

All are looked at twice a second; a rate at which somebody waits, when its next start may be. A look that
grants nothing is followed by ever longer pauses, so there are at most a few for each start, however many
workers look: another one has granted it, or what was granted has not begun. Where nobody waits there is
none of this. In a thread of its own: a chore that takes long would hold the starts up.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from ..app.admission import arrivals, busy
from ..engines.contract import Engine
from ..operations import gates
from .part import Part

COME_S = 0.5
"""So often jobs come to their gates, and all rates are looked at."""
SOONEST_S = 0.002
"""No rate is looked at again sooner."""
SOON_MAX = 100
"""Of so many rates the next start is awaited; those of the others are found by the next look at all."""


class Coming(Part):
    """Does it in its time, from one thread."""

    def __init__(self, engine: Engine, queues: Iterable[str]) -> None:
        super().__init__("let_come", "dutiful-gates")
        self._engine = engine
        self._queues = tuple(queues)
        self._soon: dict[int, float] = {}
        """When to look at a rate again."""
        self._vain: dict[int, int] = {}
        """How many looks at it in turn have granted nothing."""
        self._all_at = 0.0
        """When all of them are looked at again."""

    def _first(self) -> float:
        return 0.0

    def _go(self) -> float:
        now = time.monotonic()
        if now >= self._all_at:
            self._all_at = now + COME_S
            self.look()
        else:
            self.grant_due(now)
        return self._pause()

    def _pause_after(self, error: Exception) -> float:
        self._soon.clear()
        self._vain.clear()
        return self._pause()

    def _pause(self) -> float:
        return max(0.0, min(self._all_at, self.soonest() or self._all_at) - time.monotonic())

    def look(self) -> None:
        """Once at all: who is due comes, and each rate grants."""
        for come in arrivals(self._engine):
            if come:
                self._wake()
        self._grant(busy(self._engine))

    def soonest(self) -> float | None:
        """When a rate is to be looked at again; None where nobody waits for the next start of one."""
        return min(self._soon.values(), default=None)

    def grant_due(self, now: float) -> None:
        """Grant at the rates whose time has come."""
        self._grant([rate for rate, at in self._soon.items() if at <= now])

    def _grant(self, rates: Iterable[int]) -> None:
        for rate in rates:
            granted = self._engine.run(gates.grant(rate))
            if granted.starts:
                self._wake()
            self._await(rate, granted)

    def _await(self, rate: int, granted: gates.Granted) -> None:
        vain = 0 if granted.starts else self._vain.get(rate, 0) + 1
        self._vain.pop(rate, None)
        self._soon.pop(rate, None)
        if granted.next_us is None or len(self._soon) >= SOON_MAX:
            return
        # The first look after a start often comes a moment early: that began later than it was granted.
        pause = max(SOONEST_S, granted.next_us / 1e6) * 2 ** max(0, vain - 1)
        if pause < COME_S:
            self._soon[rate], self._vain[rate] = time.monotonic() + pause, vain

    def _wake(self) -> None:
        for queue in self._queues:
            self._engine.wake(queue)
