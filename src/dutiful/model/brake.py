"""The brake on mass lapses: many workers falling silent at once may be the database, not the workers."""

from __future__ import annotations

BEATS_MIN = 3
WORKERS_MIN = 2
SHARE_MAX = 0.3


class Brake:
    """Decides whether a reaper may act now; a braked one waits once, for one more lease."""

    def __init__(self, *, lease_s: float) -> None:
        self._lease_s = lease_s
        self._braked_at: float | None = None

    def may_reap(self, alive: int, silent: int, own_beats: int, now: float) -> bool:
        """``alive`` workers are not yet marked gone, of which ``silent`` are due to be.

        ``own_beats`` is how many beats the reaper's own process had confirmed within the last lease:
        one that cannot be heard itself must not judge others.
        """
        if own_beats < BEATS_MIN:
            return False
        if silent < WORKERS_MIN or silent <= SHARE_MAX * alive:
            self._braked_at = None
            return True
        if self._braked_at is None:
            self._braked_at = now
            return False
        if now - self._braked_at < self._lease_s:
            return False
        self._braked_at = None
        return True
