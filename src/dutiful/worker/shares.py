"""A worker's slots of limited queues: taken in bulk, used for its own runs and its children's, given back.

So many of a queue's jobs, at most, are in this worker's hands at a time: claimed, and their ending not yet
stored. Whatever is not known for certain counts as used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..engines.contract import Engine
from ..model.jobs import Lease
from ..operations import queues

ASK_S = 0.5
"""So often, at most, are more slots asked for when none is free."""
IDLE_S = 5.0
"""Slots that were not used for so long are given back."""
BLIND_S = 60.0
"""So long, and at least three leases, limited queues are let be after a claim without an answer."""


class Shares:
    """The slots of one worker process; ``slots_max`` is how many jobs it may run at all."""

    def __init__(
        self, engine: Engine, app: str, worker: Callable[[], int], slots_max: int, lease_s: float
    ) -> None:
        self._engine = engine
        self._app = app
        self._worker = worker
        self._slots_max = slots_max
        self._blind_s = max(BLIND_S, 3 * lease_s)
        self._blind_until = 0.0
        self._limits: dict[str, int] = {}
        self._slots: dict[str, int] = {}
        self._out: dict[str, str] = {}
        self._reserved: dict[str, int] = {}
        self._asked_at: dict[str, float] = {}
        self._used_at: dict[str, float] = {}
        self._lowered: set[str] = set()
        """Queues whose limit is lower than it was: what is held of them is looked at anew."""
        self._io = threading.Lock()
        """Held while shares are changed, so that what is in use can only fall meanwhile."""
        self._lock = threading.Lock()

    def set_limits(self, limits: Mapping[str, int]) -> None:
        """What the queues' rows say now."""
        lower = (name for name, limit in limits.items() if limit < self._limits.get(name, limit))
        self._lowered.update(lower)
        self._limits = dict(limits)

    def limited(self, queue: str) -> bool:
        """Whether the queue has a limit."""
        return queue in self._limits

    def reserve(self, queue: str, want: int) -> int:
        """How many jobs of the queue may be claimed now, ``want`` at most; to be told by :meth:`claimed`."""
        now = time.monotonic()
        with self._io:
            if now < self._blind_until:
                return 0
            used = self._used(queue)
            free = self._slots.get(queue, 0) - used
            most = min(self._limits[queue], self._slots_max)
            if queue in self._lowered and free > 0:
                # The sum of all shares may be above the limit: each keeps what it runs, at most, until
                # it is told that it may have more than that.
                self._ask(queue, min(most, used + free), used)
                free = self._slots.get(queue, 0) - used
                if free > 0:
                    self._lowered.discard(queue)
            if free < want and self._slots.get(queue, 0) < most and now >= self._asked_at.get(queue, 0.0):
                self._ask(queue, min(most, used + want), used)
                free = self._slots.get(queue, 0) - used
                if free < want:
                    self._asked_at[queue] = now + ASK_S
            given = max(0, min(free, want))
            with self._lock:
                self._reserved[queue] = self._reserved.get(queue, 0) + given
            return given

    def claimed(self, queue: str, reserved: int, leases: Sequence[Lease]) -> None:
        """What came of a claim that slots were reserved for."""
        with self._lock:
            self._out.update({lease.token: queue for lease in leases})
            self._reserved[queue] -= reserved
        if leases:
            self._used_at[queue] = time.monotonic()

    def lost(self, queue: str, reserved: int) -> None:
        """A claim got no answer: it may have taken jobs that nobody here holds."""
        with self._lock:
            self._reserved[queue] -= reserved
        self._blind_until = time.monotonic() + self._blind_s

    def ended(self, tokens: Iterable[str]) -> None:
        """The store has taken the endings of these runs."""
        if self._out:
            with self._lock:
                for token in tokens:
                    queue = self._out.pop(token, None)
                    if queue is not None:
                        self._used_at[queue] = time.monotonic()

    def forget(self) -> None:
        """This worker has a new row: what the old one held stays with it until it is reaped."""
        with self._io, self._lock:
            self._slots.clear()
            self._out.clear()

    def give_back(self, *, all_idle: bool = False) -> None:
        """Give back what was not used for a while, or (``all_idle``) all that is not in use."""
        now = time.monotonic()
        for queue, slots in list(self._slots.items()):
            if all_idle or now - self._used_at.get(queue, 0.0) >= IDLE_S:
                with self._io:
                    used = self._used(queue)
                    if slots > used:
                        self._ask(queue, used, used)

    def _used(self, queue: str) -> int:
        with self._lock:
            return sum(name == queue for name in self._out.values()) + self._reserved.get(queue, 0)

    def _ask(self, queue: str, want: int, used: int) -> None:
        before = self._slots.get(queue, 0)
        self._slots[queue] = min(before, want)  # whatever becomes of it, so many are ours
        mine = self._engine.run(queues.take_share(self._app, queue, self._worker(), want, used))
        self._slots[queue] = want if mine is None else mine
        if not self._slots[queue]:
            del self._slots[queue]
