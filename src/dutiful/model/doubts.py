"""Doubts: what is known of the run that left one, and whether that proves that it does nothing any more.

A job in doubt may be run again only if its last run is dead for certain, and so long ago that nothing
which it has sent is still under way. Silence is no proof: a machine that hangs may wake.
"""

from __future__ import annotations

from msgspec import Struct

from .durations import text
from .effects import QUIET_US
from .spans import span

MAY_GO_ON = frozenset({"CutOff", "TimedOut", "WorkerLost"})
"""Kinds of failures of runs whose bodies may go on: threads that were given up, workers that fell silent.
Whatever else a run died of was said when its body had ended."""

PROVEN = frozenset({"left", "reported", "died"})
"""How a worker is gone whose bodies are gone: it ended by itself, or its parent or the kernel says so."""


class LastRun(Struct, frozen=True):
    """What is stored of a run that nobody knows the end of; instants are microseconds."""

    run_no: int
    kind: str | None = None
    """What its failure says."""
    failed_at_us: int | None = None
    worker: int | None = None
    host: str | None = None
    gone_how: str | None = None
    gone_at_us: int | None = None
    calls_alive: int = 0
    """Earlier callers of an effect of whom nothing showed that they were dead when the next one called."""

    @property
    def dead_since_us(self) -> int | None:
        """Since when it surely does nothing any more; None if that is not known."""
        if self.calls_alive:
            return None
        ends = []
        if self.kind is not None and self.kind not in MAY_GO_ON and self.failed_at_us is not None:
            ends.append(self.failed_at_us)
        if self.gone_how in PROVEN and self.gone_at_us is not None:
            ends.append(self.gone_at_us)
        return min(ends, default=None)

    def missing(self, now_us: int, quiet_us: int = QUIET_US) -> str:
        """What is missing of the proof, for people; "" if nothing is."""
        since_us = self.dead_since_us
        if since_us is None:
            return self._unproven()
        left_us = since_us + quiet_us - now_us
        if left_us <= 0:
            return ""
        return (
            f"run {self.run_no} is dead for {span(max(now_us - since_us, 0))} only, and what it sent may be "
            f"on its way for {text(quiet_us)}"
        )

    def _unproven(self) -> str:
        if self.calls_alive:
            return f"{self.calls_alive} earlier callers may still be calling"
        if self.worker is None:
            return f"nothing is known of the worker of run {self.run_no}"
        whose = f"worker {self.worker}" + (f" on {self.host}" if self.host else "")
        if self.gone_how is None:
            lives = "lives, and may still be in it" if self.host else "has no row any more"
            return f"{whose}, which had run {self.run_no}, {lives}"
        return f"{whose}, which had run {self.run_no}, fell silent, and may only be stopped or cut off"
