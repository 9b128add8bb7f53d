"""The part of a worker that keeps the records: folds what was noted, and counts the books.

Folding is quick and comes every ten seconds, by one worker for all. The books are counted in full each time,
so that what they say is no estimate; how often depends on how long that takes, so that it is at most a
fiftieth of one connection's time. In a thread of its own: a count over many millions holds up nothing else.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..app import events
from ..app.events import emit
from ..engines.contract import Engine
from ..model.errors import DutifulError
from ..operations import books, groups, watchers, workers

if TYPE_CHECKING:
    from .worker import Worker

logger = logging.getLogger("dutiful.worker")

FOLD_S = 10.0
COUNT_SHARE = 50
"""A count is followed by so many times its duration without one."""
PIECES_MAX = 100
"""So many pieces are folded in one turn; what is left follows in the next."""
FORGET_S = 3600.0


class Bookkeeping:
    """Keeps the records of all apps of a store, in turn with the other workers."""

    def __init__(self, engine: Engine, app: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._app = app
        self._clock = clock
        self._count_s = FOLD_S
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="dutiful-books", daemon=True)

    @classmethod
    def of(cls, worker: Worker) -> Bookkeeping:
        """A worker's."""
        return cls(worker.engine, worker.app.name)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the statement that is under way, or in five seconds."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def _work(self) -> None:
        pause = random.random()
        while not self._stop.wait(pause):
            pause = FOLD_S * random.uniform(0.9, 1.0)
            try:
                self.turn()
            except DutifulError as error:
                emit(logger, logging.WARNING, events.CHORE_FAILED, chore="books", error=str(error))
            except Exception:
                logger.exception("chore_failed chore='books'")

    def turn(self) -> None:
        """Fold and count, if it is this worker's turn."""
        engine = self._engine
        if engine.run(workers.turn("fold", round(0.9 * FOLD_S * 1e6))):
            for _ in range(PIECES_MAX):
                if not engine.run(books.fold()) or self._stop.is_set():
                    break
            for _ in range(PIECES_MAX):
                if not engine.run(groups.fold()) or self._stop.is_set():
                    break
        if not self._stop.is_set() and engine.run(workers.turn("books", round(0.9 * self._count_s * 1e6))):
            self.count()
        if engine.run(workers.turn("forget_groups", round(FORGET_S * 1e6))):
            engine.run(groups.forget())

    def count(self) -> None:
        """Count the books of all apps, keep what they say, and say that somebody watches."""
        engine, began = self._engine, self._clock()
        counted = engine.run(books.count())
        engine.run(books.keep(counted))
        self._count_s = max(FOLD_S, COUNT_SHARE * (self._clock() - began))
        engine.run(watchers.beat("bookkeeper", round(self._count_s * 1e6)))
        for app, tasks in counted.items():
            if lacking := books.lacks(tasks):
                emit(
                    logger,
                    logging.ERROR,
                    events.BOOKS_DIFFER,
                    app=app,
                    tasks={one.task: one.n for one in lacking[:3]},
                )
