"""Claims as slots come free: in batches, a little ahead of what runs, and no more than that.

How far ahead follows the pace (:mod:`.holdings`): what was finished in the last tenth of a second. So a
worker of long jobs hoards nothing, and one of short jobs never waits for the store.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from ..app import events
from ..app.events import emit
from ..engines.contract import Engine
from ..model.errors import CommitUnknown, DutifulError
from ..model.jobs import Lease
from ..model.marks import Marks
from ..model.queues import QueueOrder
from ..operations import claims, lanes
from ..operations.claims import LIMIT_MAX

logger = logging.getLogger("dutiful.worker")

PROMOTE_S = 1.0
PAUSE_S = 0.5
WAIT_FIRST_S = 0.01
LOST_LOOKS_S = (0.0, 1.0, 5.0, 20.0, 60.0)
"""When to look, after a claim's answer was lost, for what it took: the server may still be at it."""


class Lanes:
    """The lanes of the queues that a worker serves, in the order to claim from."""

    def __init__(self, engine: Engine, app: str, order: QueueOrder) -> None:
        self._engine = engine
        self._app = app
        self._order = order
        self._by_queue: dict[str, list[int]] = {}
        self.count = -1

    def refresh(self) -> None:
        """Read them anew: one was added."""
        rows = self._engine.run(lanes.lanes(self._app))
        by_queue: dict[str, list[tuple[int, int]]] = {}
        for row in rows:
            by_queue.setdefault(row.queue, []).append((-row.priority, row.id))
        self._by_queue = {queue: [id for _, id in sorted(pairs)] for queue, pairs in by_queue.items()}
        self.count = len(rows)

    def ordered(self) -> list[int]:
        """Lane ids: queues strictly or by weighted chance, then by priority."""
        found: list[int] = []
        for queue in self._order.order(random.random):
            found += self._by_queue.get(queue, ())
        return found


class Fetcher:
    """Claims from one thread. ``put`` takes the leases; ``room`` says how many jobs there is room for."""

    def __init__(
        self,
        engine: Engine,
        lanes: Lanes,
        *,
        queues: frozenset[str],
        marks: Marks,
        known: Mapping[str, int],
        worker: Callable[[], int],
        room: Callable[[], int],
        may_start: Callable[[], bool],
        put: Callable[[Sequence[Lease]], None],
        poll_s: float,
        on_lost_claim: Callable[[], None],
    ) -> None:
        self.lanes = lanes
        self.marks = marks
        self._engine = engine
        self._queues = queues
        self._known = known
        self._worker = worker
        self._room = room
        self._may_start = may_start
        self._put = put
        self._poll_s = poll_s
        self._on_lost_claim = on_lost_claim
        self._wait_s = poll_s
        self._lost_at = 0.0
        self._looks: Sequence[float] = ()
        self._changed = threading.Condition(threading.Lock())
        self._waiting = False
        self._stopping = False
        self._promoted_at = 0.0
        self._again = False
        self.rounds = 0
        """How many claims came back with nothing: a worker that runs until empty looks at it."""
        self._thread = threading.Thread(target=self._work, name="dutiful-fetch", daemon=True)

    def start(self) -> None:
        """Begin to claim."""
        self._thread.start()

    def nudge(self) -> None:
        """There is more room than before."""
        if self._waiting:
            with self._changed:
                self._changed.notify()

    def relook(self) -> None:
        """A lane was added."""
        self._again = True

    def stop(self) -> None:
        """Claim no more; returns when the claim that is under way has been put."""
        self._stopping = True
        self._engine.interrupt()
        with self._changed:
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(10.0)

    def _work(self) -> None:
        pause, silent = PAUSE_S, False
        while not self._stopping:
            try:
                self._round()
                if silent:
                    silent, pause = False, PAUSE_S
                    emit(logger, logging.INFO, events.STORE_BACK)
            except Exception as error:
                if not silent or not isinstance(error, DutifulError):
                    emit(logger, logging.ERROR, events.STORE_LOST, error=str(error), exc_info=None)
                if not isinstance(error, DutifulError):
                    logger.exception("claim_failed")
                silent = True
                if isinstance(error, CommitUnknown):
                    self._lost_at, self._looks = time.monotonic(), LOST_LOOKS_S
                self._pause(random.uniform(0.5, 1.0) * pause)
                pause = min(pause * 2, 10.0)

    def _round(self) -> None:
        since_lost = time.monotonic() - self._lost_at
        if self._looks and since_lost >= self._looks[0]:
            self._on_lost_claim()  # what a claim took whose answer was lost is handed back
            self._looks = [at for at in self._looks if at > since_lost]
        if self._again or self.lanes.count < 0:
            self._again = False
            self.lanes.refresh()
        room = self._room()
        if room <= 0 or not self._may_start():
            with self._changed:
                self._waiting = True
                if self._room() <= 0 and not self._stopping:
                    self._changed.wait(self._poll_s)
                elif not self._stopping:
                    self._changed.wait(min(self._poll_s, 0.1))
                self._waiting = False
            return
        limit = min(room, LIMIT_MAX)
        now = time.monotonic()
        promote = now - self._promoted_at >= PROMOTE_S
        asked = self.marks.lanes(self.lanes.ordered(), now)
        reply = self._engine.run(claims.claim(self._worker(), asked, self._known, limit, promote=promote))
        then = time.monotonic()
        self.marks.claimed(asked, reply.leases, limit, reply.horizon, then, then - now)
        if reply.leases:
            self._put(reply.leases)
        if promote and reply.promoted < 1000:
            self._promoted_at = now
        if len(reply.leases) < limit and not reply.promoted and not self._stopping:
            # Hints are lost, and none comes from a caller's own transaction: while jobs come, ask
            # soon again; when none come, ever later, until the poll interval.
            self._wait_s = WAIT_FIRST_S if reply.leases else min(self._wait_s * 2, self._poll_s)
            self.rounds += not reply.leases
            if self._wait_s >= self._poll_s:
                self._promoted_at = 0.0
            self._engine.wait(self._queues, self._wait_s * random.uniform(0.9, 1.0))

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if not self._stopping:
                self._changed.wait(seconds)
