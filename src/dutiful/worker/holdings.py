"""All that a worker holds at the moment, and how much more it wants.

A claimed job waits, runs, and is ended; whoever ends it first has ended it (its body, a time-out, the
shutdown), and it is held until the store has taken its ending.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..model.jobs import Ending, Lease
from .held import Held
from .liveness import WorkerFile
from .run import released
from .settler import Settler

if TYPE_CHECKING:
    from ..app.app import App

AHEAD_S = 0.1
AHEAD_MAX = 300
UNSETTLED_MAX = 2000
"""With so many endings that the store has not taken, nothing more is claimed."""


class Holdings:
    """The jobs of one worker by their tokens."""

    def __init__(self, settler: Settler, file: WorkerFile, slots: int) -> None:
        self._settler = settler
        self._file = file
        self._slots = slots
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        self.waiting = 0
        """How many have not begun."""
        self.done = 0
        """How many runs were ended since the start."""
        self._ahead = 0
        self._pace_from = 0
        self._pace_at = 0.0

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, token: object) -> bool:
        return token in self._held

    def add(self, leases: Iterable[Lease], app: App, worker: int) -> list[Held]:
        """What was claimed for ``worker``."""
        added = [Held(lease, app.find_task(lease.task), worker) for lease in leases]
        for held in added:
            self._held[held.lease.token] = held
        with self._lock:
            self.waiting += len(added)
        return added

    def held(self) -> list[Held]:
        """All of them, whatever their stage."""
        return list(self._held.values())

    def running(self) -> list[Held]:
        """Those whose bodies run."""
        return [held for held in list(self._held.values()) if held.stage == "running"]

    # ── how much more ───────────────────────────────────────────────────────────────────────

    def room(self) -> int:
        """How many more jobs the worker wants now: free slots, and what it finishes in a moment."""
        now = time.monotonic()
        if now - self._pace_at >= AHEAD_S:
            pace = (self.done - self._pace_from) * AHEAD_S / (now - self._pace_at)
            self._ahead = min(int(pace), AHEAD_MAX)
            self._pace_from, self._pace_at = self.done, now
        pending = self._settler.pending
        free = self._slots - max(len(self._held) - self.waiting - pending, 0)
        if (not self.low and self.waiting >= free) or pending > UNSETTLED_MAX:
            return 0
        return max(free, 0) + self._ahead - self.waiting

    @property
    def low(self) -> bool:
        """Whether so few are waiting that it is time to claim again."""
        return self.waiting <= self._ahead // 2

    # ── one job's way ───────────────────────────────────────────────────────────────────────

    def begin(self, held: Held) -> bool:
        """The body is to run; False if the job was handed back meanwhile."""
        with self._lock:
            if held.stage != "waiting":
                return False
            self.waiting -= 1
            held.begin()
        self._file.begin(held.slot, held.lease.job_id)
        return True

    def ended(self, held: Held, ending: Ending) -> None:
        """The body has come to its end, whether or not that still counts.

        For an at_most_once body that was given up it does: it closes the doubt.
        """
        self._file.end(held.slot)
        if not self.end(held, ending) and ending.started and ending.verb in ("complete", "bury"):
            self._settler.put(ending)

    def ended_together(self, ended: Sequence[tuple[Held, Ending]]) -> None:
        """The same for bodies that ran in one thread, one after the other, and came to one end."""
        mine: list[Ending] = []
        late: list[tuple[Held, Ending]] = []
        with self._lock:
            for held, ending in ended:
                if held.stage == "ended":
                    late.append((held, ending))
                else:
                    held.stage = "ended"
                    mine.append(ending)
        for held, _ in ended[:1]:
            self._file.end(held.slot)
        self._settler.put_together(mine)
        for held, ending in late:
            self.ended(held, ending)

    def end(self, held: Held, ending: Ending) -> bool:
        """End the run, unless that was done: out of time, or handed back in the same moment."""
        with self._lock:
            if held.stage == "ended":
                return False
            held.stage = "ended"
        self._settler.put(ending)
        return True

    def hand_back(self, held: Held) -> None:
        """A job that has not begun goes back, uncharged."""
        with self._lock:
            if held.stage != "waiting":
                return
            self.waiting -= 1
            held.stage = "ended"
        self._settler.put(released(held.lease, begun=False))

    def hand_back_waiting(self) -> None:
        """All that have not begun go back at once."""
        for held in list(self._held.values()):
            self.hand_back(held)

    def drop_waiting(self) -> None:
        """Forget what has not begun: the store gave it to others."""
        for held in list(self._held.values()):
            with self._lock:
                if held.stage == "waiting":
                    self.waiting -= 1
                    held.stage = "ended"
                    self._held.pop(held.lease.token, None)

    def settled(self, batch: Sequence[Ending], lost: Sequence[Ending]) -> None:
        """The store has taken these endings; ``lost`` were of runs that were over already."""
        over = {ending.token for ending in lost}
        for ending in batch:
            held = self._held.pop(ending.token, None)
            if held is not None and ending.token in over:
                held.run._over = True
        with self._lock:  # runs that commit by themselves say so from their own threads
            self.done += len(batch)
