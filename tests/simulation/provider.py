"""The world outside: a provider of charges that forgets keys, loses answers, and applies calls late.

It keeps to what an effect declares of it: a key is remembered for ``REMEMBERED``; a call is applied at
most ``QUIET`` after its caller ended; and a call that took longer than ``MARGIN`` to get here is lost.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dutiful import EffectRefused, Run, Unsure
from tests.simulation.scheduler import SECOND, Over
from tests.simulation.watch import Broken

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

REMEMBERED = "8m"
MARGIN = "3m"
QUIET = "10s"
REMEMBERED_US, MARGIN_US, QUIET_US = 480 * SECOND, 180 * SECOND, 10 * SECOND


class Provider:
    """What was applied, by key."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.applied: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._known: dict[str, tuple[int, int]] = {}
        """Keys that are remembered: since when, and what was answered."""
        self._results: dict[str, int] = {}

    def charge(self, key: str, run: Run, keyed: bool) -> int:
        """One call; its result is a number of the charge."""
        simulation, world = self._simulation, self._simulation.world
        faults = simulation.faults
        [(sent_at,)] = simulation.store.rows("SELECT sent_at FROM dutiful_effect WHERE key = ?", key) or [
            (0,)
        ]
        simulation.strike("line")
        self.calls[key] += 1
        if simulation.store.clock() - sent_at > MARGIN_US and keyed:
            raise TimeoutError("the call took too long on its way")
        fault = faults.pick(("call_lost", "call_late", "call_refused", "answer_lost"))
        simulation.note("call", key[:8], fault or "")
        if fault == "call_lost":
            raise TimeoutError("no connection")
        if fault == "call_refused":
            raise EffectRefused("no money on this card")
        if fault == "call_late":
            world.later(round(QUIET_US * faults.part(0.05, 0.9)), lambda: self._apply(key, keyed))
            raise TimeoutError("no answer")
        number = self._apply(key, keyed)
        if fault == "answer_lost":
            raise TimeoutError("no answer")
        simulation.strike("line")
        return number

    def _apply(self, key: str, keyed: bool) -> int:
        world = self._simulation.world
        known = self._known.get(key)
        if keyed and known is not None and world.now - known[0] < REMEMBERED_US:
            return known[1]
        number = 1000 + sum(self.applied.values())
        self.applied[key] += 1
        self._results[key] = number
        self._known[key] = (world.now, number)
        self._simulation.note("applied", key[:8], number)
        if self.applied[key] > 1:
            world.fail(Broken(f"effect {key} was applied {self.applied[key]} times"))
        return number

    def lookup(self, key: str) -> int | None:
        """What became of the key: its number, None (not applied so far), or Unsure."""
        self._simulation.strike("line")
        if self._simulation.faults.hits("lookup_unsure"):
            raise Unsure("not now")
        return self._results.get(key)

    def result(self, key: str) -> int | None:
        """What was applied, for who surely knows."""
        return self._results.get(key)

    def believed(self, key: str, answer: object) -> None:
        """A body was given this as the result of its effect: it must be what was applied."""
        if self._results.get(key) != answer:
            self._simulation.world.fail(
                Broken(f"effect {key} is said to be {answer!r}, and was not applied so")
            )
            raise Over
