"""What the verdict's look reads of workers, queues, due jobs and channels, as values."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from .plan import Row

WAIT_US = 60_000_000
"""So long a due job may be without a worker that could take it."""
REAP_US = 5_000_000
REAPS_MAX = 2
BEATS_PER_LEASE = 10
BEATS_MAX = 3


class WorkerHere(Struct, frozen=True):
    """A worker, as far as it matters here. An ``alone`` one is a child, which takes nothing by itself."""

    id: int
    host: str
    pid: int
    alone: bool
    lease_us: int
    beat_us: int
    gone_us: int | None
    reaped_us: int | None
    queues: frozenset[str]
    tasks: Mapping[str, int]

    @classmethod
    def of(cls, row: Row) -> WorkerHere:
        """From a row; what another release wrote and cannot be read here takes and knows nothing."""
        try:
            queues = frozenset(msgspec.json.decode(row[8], type=list[str]))
            tasks = msgspec.json.decode(row[9], type=dict[str, int])
        except msgspec.MsgspecError:
            queues, tasks = frozenset(), {}
        return cls(row[0], row[1], row[2], bool(row[3]), row[4], row[5], row[6], row[7], queues, tasks)

    def lives(self, now: int) -> bool:
        """Whether it takes jobs now."""
        return not self.alone and self.gone_us is None and self.beat_us >= now - self.lease_us

    def served(self, now: int) -> bool:
        """Whether it takes jobs, or did a minute ago: who restarts loses nothing."""
        ended = self.gone_us if self.gone_us is not None else self.beat_us + self.lease_us
        return not self.alone and ended >= now - WAIT_US

    def overdue(self, now: int) -> bool:
        """Its lease ended, and two passes of a reaper should have seen that."""
        if self.reaped_us is not None:
            return False
        ended = self.gone_us if self.gone_us is not None else self.beat_us + self.lease_us
        return ended < now - REAPS_MAX * min(REAP_US, self.lease_us // 4)

    def silent(self, now: int) -> bool:
        """It missed more than three heartbeats, or worse."""
        quiet = self.gone_us is None and self.beat_us < now - BEATS_MAX * self.lease_us // BEATS_PER_LEASE
        return quiet or self.overdue(now)

    def __str__(self) -> str:
        return f"worker {self.id} ({self.host}, pid {self.pid})"


class QueueFact(Struct, frozen=True):
    """What was said of a queue."""

    name: str
    target_us: int | None
    paused_us: int | None
    paused_by: str | None
    reason: str | None
    depth: int | None = None
    sampled_us: int | None = None


class DueHere(Struct, frozen=True):
    """Due jobs at the front of a queue, of one task and version of its arguments."""

    queue: str
    task: str
    version: int
    count: int
    oldest_us: int
    expired: int
    expired_us: int | None

    @classmethod
    def of(cls, row: Row) -> DueHere:
        """From a row."""
        return cls(row[0], row[1], row[2], int(row[3]), row[4], int(row[5]), row[6])


class Channel(Struct, frozen=True):
    """A channel of alerts: when a message last came through, and when one last did not."""

    name: str
    kind: str
    seen_us: int
    proven_us: int | None
    failed_us: int | None
    error: str | None
