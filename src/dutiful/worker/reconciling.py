"""The part of a worker that makes the passes of reconciliations. Every worker may; none leads.

Who takes a row walks it for a while and no other does, to save work: two passes at once would do no harm.
In a thread of its own, for a pass over a million duties takes its time.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from ..app import events
from ..app.events import emit
from ..app.reconcile_pass import Result, Stopped, Sweep
from ..app.reconciling import Reconciler
from ..model.errors import DutifulError
from ..operations import reconcile
from ..operations.reconcile import Stored
from .part import Part

if TYPE_CHECKING:
    from .worker import Worker

logger = logging.getLogger("dutiful.worker")

LOOK_S = 15.0
"""How often a worker looks whether a pass is due."""
LOOK_WITHOUT_S = 60.0
"""The same, where this code declares none: only to see that others' are gone."""
LEASE_S = 120.0
"""Who walks says so again within that, or another begins anew."""
RETRY_S = 60.0
"""A pass that could not be made is tried again after that, or sooner if it is made more often."""
ADOPT_S = 120.0
"""A rule that nobody declares as it is stored any more is replaced by ours after that."""


class Reconciling(Part):
    """Keeps the reconciliations of one app going, from one thread."""

    def __init__(self, worker: Worker) -> None:
        super().__init__("reconcile", "dutiful-reconciling")
        self._worker = worker
        self._app = worker.app
        self._declared_as = 0
        self._kept_at = 0.0

    def _first(self) -> float:
        return random.random()

    def _go(self) -> float:
        self.turn()
        return self._pause()

    def _pause_after(self, error: Exception) -> float:
        return self._pause()

    def _pause(self) -> float:
        return (LOOK_S if self._app.reconcilers else LOOK_WITHOUT_S) * random.uniform(0.8, 1.0)

    def turn(self) -> None:
        """Say what this code declares, and make the passes that are due."""
        engine, app, worker = self._worker.engine, self._app.name, self._worker.id
        ours = self._app.reconcilers
        if ours and self._declared_as != worker:  # also after it was held for dead
            engine.run(reconcile.declare(app, worker, [one.rule for one in ours.values()]))
            self._declared_as = worker
        for stored in engine.run(reconcile.look(app)):
            if self._stop.is_set():
                return
            one = ours.get(stored.name)
            if one is not None and self._is_ours(stored, one):
                self._see_to(stored, one)
            lost = one is None and not stored.live and stored.gone_at_us is None
            if lost and engine.run(reconcile.end(app, stored.name)):
                emit(
                    logger,
                    logging.WARNING,
                    events.RECONCILE_GONE,
                    reconcile=stored.name,
                    task=stored.task,
                )

    def _is_ours(self, stored: Stored, one: Reconciler) -> bool:
        """Whether it is as this code declares it; a newer deploy's is left to that, until that is gone."""
        if stored.spec == one.rule.text and stored.gone_at_us is None:
            return True
        if stored.current and stored.gone_at_us is None:
            return False
        self._worker.engine.run(reconcile.adopt(self._app.name, one.rule))
        return False  # looked at again in the next turn, as it is then

    def _see_to(self, stored: Stored, one: Reconciler) -> None:
        engine, app = self._worker.engine, self._app.name
        if not stored.due or not self._take(one):
            return
        self._kept_at = time.monotonic()
        try:
            result = Sweep(
                self._app, one, by=f"worker {self._worker.id}", go_on=lambda: self._go_on(one)
            ).run()
        except Stopped:
            return
        except Exception as error:  # also whatever the declared sides raise: nobody could check
            pause_us = min(one.rule.every_us, round(RETRY_S * 1e6))
            said = f"{type(error).__name__}: {error}" if not isinstance(error, DutifulError) else str(error)
            engine.run(reconcile.fail(app, one.name, said, pause_us))
            emit(logger, logging.ERROR, events.RECONCILE_FAILED, reconcile=one.name, error=said)
            return
        for queue in result.queues:
            engine.wake(queue)
        say(result)

    def _take(self, one: Reconciler) -> bool:
        walker = f"worker {self._worker.id}"
        return self._worker.engine.run(reconcile.take(self._app.name, one.rule, walker, round(LEASE_S * 1e6)))

    def _go_on(self, one: Reconciler) -> bool:
        """Asked between pieces; keeps the lease on the way."""
        if time.monotonic() - self._kept_at > LEASE_S / 4:
            self._kept_at = time.monotonic()
            if not self._take(one):
                return False
        return not self._stop.is_set()


def say(result: Result) -> None:
    """What a pass found, in the log: an error where the governor stopped it."""
    made, counts = result.made, result.made.counts
    bad = counts.missing + counts.late + counts.surplus
    level = logging.ERROR if made.governed.said in ("stopped", "waiting") else logging.WARNING
    emit(
        logger,
        level if bad else logging.INFO,
        events.RECONCILED,
        reconcile=made.name,
        whole=made.whole,
        expected=counts.expected,
        missing=counts.missing,
        late=counts.late,
        surplus=counts.surplus,
        enqueued=result.enqueued,
        governor=made.governed.said or "let through",
        run=result.run,
    )
