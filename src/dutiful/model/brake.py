"""The brake on mass lapses: many workers falling silent at once may be the database, not the workers."""

from __future__ import annotations

BEATS_MIN = 3
WORKERS_MIN = 2
SHARE_MAX = 0.3


FORGET_LEASES = 3
"""What somebody noted so many leases ago was another mass, which nobody lived to reap or to see off."""


class Brake:
    """Decides whether a reaper may act now; a braked one waits once, for one more lease.

    The wait is one for all: where reapers do not live for a lease, each takes up the wait of the one before.
    """

    def __init__(self, *, lease_s: float) -> None:
        self._lease_s = lease_s
        self._braked_at: float | None = None

    @property
    def braking(self) -> bool:
        """Whether this reaper waits."""
        return self._braked_at is not None

    def may_reap(
        self, alive: int, silent: int, own_beats: int, now: float, noted_s: float | None = None
    ) -> bool:
        """``alive`` workers are not yet marked gone, of which ``silent`` are due to be.

        ``own_beats`` is how many beats the reaper's own process had confirmed within the last lease:
        one that cannot be heard itself must not judge others. ``noted_s`` is how many seconds ago a
        reaper, this one or another, noted that it brakes.
        """
        if own_beats < BEATS_MIN:
            return False
        if silent < WORKERS_MIN or silent <= SHARE_MAX * alive:
            self._braked_at = None
            return True
        if self._braked_at is None:
            since_s = noted_s if noted_s is not None and noted_s < FORGET_LEASES * self._lease_s else 0.0
            self._braked_at = now - since_s
        if now - self._braked_at < self._lease_s:
            return False
        self._braked_at = None
        return True
