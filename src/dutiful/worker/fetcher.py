"""Claims as slots come free: in batches, a little ahead of what runs, and no more than that.

How far ahead follows the pace (:mod:`.holdings`): what was finished in the last tenth of a second. So a
worker of long jobs hoards nothing, and one of short jobs never waits for the store.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..app import events
from ..app.events import emit
from ..engines.contract import Engine
from ..model.errors import CommitUnknown, DutifulError
from ..model.jobs import Claimed, Lane, Lease
from ..model.marks import Marks
from ..model.queues import QueueOrder
from ..operations import claims, lanes, queues
from ..operations.claims import LIMIT_MAX
from .ageing import LOOK_S, PART, overdue
from .shares import Shares

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
        self.queue_of: dict[int, str] = {}
        self.targets: dict[int, int] = {}
        """How late a lane's oldest job may be, where its queue says so: microseconds."""
        self.limits: dict[str, int] = {}
        self.count = -1

    def refresh(self) -> None:
        """Read them anew: one was added."""
        rows = self._engine.run(lanes.lanes(self._app))
        by_queue: dict[str, list[tuple[int, int]]] = {}
        for row in rows:
            by_queue.setdefault(row.queue, []).append((-row.priority, row.id))
        self._by_queue = {queue: [id for _, id in sorted(pairs)] for queue, pairs in by_queue.items()}
        self.queue_of = {row.id: row.queue for row in rows}
        self.targets = {row.id: row.target_us for row in rows if row.target_us is not None}
        self.limits = {row.queue: row.slots for row in rows if row.slots is not None}
        self.count = rows[0].turn if rows else 0

    def parts(self, ids: Iterable[int]) -> list[tuple[str | None, list[int]]]:
        """Lanes in order, cut where a limited queue (named) begins or ends: each is claimed for itself."""
        found: list[tuple[str | None, list[int]]] = []
        for lane in ids:
            queue = self.queue_of.get(lane)
            limited = queue if queue in self.limits else None
            if found and found[-1][0] == limited:
                found[-1][1].append(lane)
            else:
                found.append((limited, [lane]))
        return found

    def ordered(self) -> list[int]:
        """Lane ids: queues strictly or by weighted chance, then by priority."""
        found: list[int] = []
        for queue in self._order.order(random.random):
            found += self._by_queue.get(queue, ())
        return found


@dataclass
class Round:
    """What came of the claims of one round."""

    taken: int = 0
    promoted: int = 0
    claims: int = 0


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
        shares: Shares,
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
        self._shares = shares
        self._full = False
        self._age_at = 0.0
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
            self._shares.set_limits(self.lanes.limits)
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
        order = self.lanes.ordered()
        old = self._oldest(order, now)
        got = 0 if old is None else self._claim([old], max(1, limit // PART)).taken
        left = limit - got
        reply = self._claim(order, left, promote=promote) if left else Round()
        got += reply.taken
        self._full = got >= limit
        if promote and reply.promoted < 1000:
            self._promoted_at = now
        if not self._full and not reply.promoted and not self._stopping:
            # Hints are lost, and none comes from a caller's own transaction: while jobs come, ask
            # soon again; when none come, ever later, until the poll interval.
            self._wait_s = WAIT_FIRST_S if got else min(self._wait_s * 2, self._poll_s)
            self.rounds += not got
            if self._wait_s >= self._poll_s:
                self._promoted_at = 0.0
            self._shares.give_back()
            self._engine.wait(self._queues, self._wait_s * random.uniform(0.95, 1.05))

    def _claim(self, order: Sequence[int], limit: int, *, promote: bool = False) -> Round:
        """One claim, or where queues are limited one for each of them and for what lies between."""
        done = Round()
        parts = self.lanes.parts(order)
        for queue, ids in parts:
            room = limit - done.taken
            if room <= 0:
                break
            n = room if queue is None else self._shares.reserve(queue, room)
            if n <= 0:
                continue
            reply = self._one(queue, ids, n, promote and not done.promoted)
            done.taken += len(reply.leases)
            done.promoted += reply.promoted
            done.claims += 1
        if promote and not done.claims:  # else what is due in queues that are full would stay behind
            done.promoted = self._engine.run(claims.claim(self._worker(), [], {}, 1, promote=True)).promoted
        return done

    def _one(self, queue: str | None, ids: Sequence[int], limit: int, promote: bool) -> Claimed:
        now = time.monotonic()
        asked = self.marks.lanes(ids, now)
        try:
            reply = self._engine.run(claims.claim(self._worker(), asked, self._known, limit, promote=promote))
        except BaseException:
            if queue is not None:
                self._shares.lost(queue, limit)
            raise
        if queue is not None:
            self._shares.claimed(queue, limit, reply.leases)
        then = time.monotonic()
        self.marks.claimed(asked, reply.leases, limit, reply.horizon, then, then - now)
        if reply.leases:
            self._put(reply.leases)
        return reply

    def _oldest(self, order: Sequence[int], now: float) -> int | None:
        """A lane that has waited too long behind others: looked for once a second, if claims are full."""
        if not self._full or len(order) < 2 or now < self._age_at:
            return None
        self._age_at = now + LOOK_S
        marks = self.marks.values
        asked = [Lane(lane, marks.get(lane, 0)) for lane in order]
        return overdue(order, self._engine.run(queues.oldest(asked, self._known)), self.lanes.targets)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if not self._stopping:
                self._changed.wait(seconds)
