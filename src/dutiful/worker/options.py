"""What a worker can be told, and its defaults, each a named constant."""

from __future__ import annotations

from msgspec import Struct

from ..model.durations import Duration, microseconds
from ..model.errors import InvalidOption

LEASE_S = 30.0
BEATS_PER_LEASE = 10
REAP_S = 5.0
POLL_S = 1.0
SWEEP_S = 10.0
CONCURRENCY = 10
CONCURRENCY_MAX = 1000
DRAIN_S = 25.0
CANCEL_BEFORE_S = 5.0
"""Bodies are cancelled so long before the shutdown budget ends (or a fifth of it, if that is less)."""
LEASE_MIN_S = 0.2


class WorkerOptions(Struct, frozen=True):
    """The options of ``dutiful worker``; None is the default."""

    queues: str | None = None
    concurrency: int | None = None
    processes: int = 1
    until_empty: bool = False
    lease: Duration | None = None
    health: int | None = None
    watch: bool = False
    drain_timeout: Duration | None = None
    poll: Duration | None = None

    def __post_init__(self) -> None:
        if self.concurrency is not None and not 1 <= self.concurrency <= CONCURRENCY_MAX:
            raise InvalidOption(f"concurrency={self.concurrency} is not between 1 and {CONCURRENCY_MAX}.")
        if not 1 <= self.processes <= 256:
            raise InvalidOption(f"processes={self.processes} is not between 1 and 256.")
        if self.lease_s < LEASE_MIN_S:
            raise InvalidOption(f"lease={self.lease!r} is shorter than {LEASE_MIN_S} s.")
        if self.watch and self.processes > 1:
            raise InvalidOption("watch= is for development, with one process.")

    @property
    def lease_s(self) -> float:
        """How long a silent worker keeps its jobs, in seconds."""
        return LEASE_S if self.lease is None else microseconds(self.lease, what="lease") / 1e6

    @property
    def beat_s(self) -> float:
        """How often the worker says that it lives."""
        return self.lease_s / BEATS_PER_LEASE

    @property
    def reap_s(self) -> float:
        """How often silent workers are looked for; shorter leases want it sooner."""
        return min(REAP_S, self.lease_s / 4)

    @property
    def slots(self) -> int:
        """How many plain tasks, and how many async ones, run at a time."""
        return CONCURRENCY if self.concurrency is None else self.concurrency

    @property
    def drain_s(self) -> float:
        """The shutdown budget, in seconds."""
        return DRAIN_S if self.drain_timeout is None else microseconds(self.drain_timeout, what="drain") / 1e6

    @property
    def poll_s(self) -> float:
        """How often an idle worker asks, hints or not."""
        return POLL_S if self.poll is None else microseconds(self.poll, what="poll", zero_ok=False) / 1e6
