"""The part of a worker that makes what schedules ask for. Every worker does; none leads.

It asks for the app's schedules every few seconds, sleeps until the next is due by the database's clock, and
makes it; who comes second finds it made. Its thread is its own, so that no other chore makes a schedule late.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from ..app import events
from ..app.events import emit
from ..model.errors import StoreError
from ..operations import schedules
from ..operations.schedules import Fired, Stored
from ..operations.windows import KEEP_US
from .looked import Looked, at_once
from .part import Part

if TYPE_CHECKING:
    from .worker import Worker

logger = logging.getLogger("dutiful.worker")

LOOK_S = 5.0
"""How often an idle worker looks for what people and deploys did to the schedules."""
LOOK_WITHOUT_S = 60.0
"""The same, where this code declares none: only to see that others' are gone."""
PRUNE_S = 3600.0
BEAT_S = 15.0
"""How often it says that it looked."""
RETRY_S = 1.0


class Scheduling(Part):
    """Keeps the schedules of one app going, from one thread."""

    def __init__(self, worker: Worker, looked: Looked | None = None) -> None:
        super().__init__("schedules", "dutiful-schedules")
        self._worker = worker
        self._looked = looked or at_once(worker.engine)
        self._app = worker.app.name
        self._declared = {one.name: one for one in worker.app.declared_schedules()}
        self._declared_as = 0
        self._prune_at = time.monotonic() + PRUNE_S * random.random()
        self._beat_at = 0.0

    def _first(self) -> float:
        return 0.0

    def _go(self) -> float:
        return self.turn()

    def _pause_after(self, error: Exception) -> float:
        return RETRY_S if isinstance(error, StoreError) else LOOK_S

    def turn(self) -> float:
        """One look, and what follows from it; returns for how many seconds there is nothing to do."""
        engine, worker = self._worker.engine, self._worker.id
        if self._declared and self._declared_as != worker:  # also after it was held for dead
            self._say(engine.run(schedules.declare(self._app, worker, list(self._declared.values()))))
            self._declared_as = worker
        found: list[Stored] = engine.run(schedules.look(self._app))
        again = False
        for stored in found:
            again = self._see_to(stored) or again
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + PRUNE_S
            engine.run(schedules.prune(self._app, KEEP_US))
        look = LOOK_S if self._declared else LOOK_WITHOUT_S
        if time.monotonic() >= self._beat_at:
            period = max(BEAT_S, look)
            self._beat_at = time.monotonic() + 0.9 * period
            self._looked("scheduler", period, self._app)
        if again:
            return 0.0
        return min([look * random.uniform(0.8, 1.0), *(self._in(stored) for stored in found)])

    def _in(self, stored: Stored) -> float:
        """When it is due, in seconds; what others' code alone declares is not ours to make."""
        ours = self._declared.get(stored.name)
        if ours is None or stored.next_at_us is None or stored.spec_text != ours.spec.text:
            return LOOK_WITHOUT_S
        until = stored.next_at_us if stored.next_at_us > stored.now_us else self._after(stored)
        return max(0.001, (until - stored.now_us) / 1e6)

    def _after(self, stored: Stored) -> int:
        """It was due in this look and is made by now: the one after it."""
        following = self._declared[stored.name].spec.next(stored.now_us)
        return stored.now_us + round(LOOK_S * 1e6) if following is None else following

    def _see_to(self, stored: Stored) -> bool:
        """Whether there is more to do at once."""
        engine, ours = self._worker.engine, self._declared.get(stored.name)
        if ours is None:
            lost = not stored.live and stored.gone_at_us is None
            if lost and engine.run(schedules.end(self._app, stored.name)):
                emit(logger, logging.WARNING, events.SCHEDULE_GONE, schedule=stored.name, task=stored.task)
            return False
        if stored.spec_text != ours.spec.text or stored.gone_at_us is not None:
            if stored.current and stored.gone_at_us is None:
                return False  # a newer deploy's, or one that is being replaced
            self._say(engine.run(schedules.adopt(self._app, ours)))
            return True
        if not stored.due:
            return False
        fired = engine.run(schedules.fire(self._app, ours))
        self._say(fired)
        return fired.more

    def _say(self, fired: Fired) -> None:
        for queue in fired.queues:
            self._worker.engine.wake(queue)
        for name, at_us, job_id in fired.made:
            emit(logger, logging.INFO, events.SCHEDULE_FIRED, schedule=name, at=at_us, job_id=job_id)
        if fired.skipped or fired.waiting:
            emit(
                logger, logging.WARNING, events.SCHEDULE_MISSED, skipped=fired.skipped, waiting=fired.waiting
            )
