"""End runs in batches that form by themselves: what ends while a statement is under way goes next.

Endings are never held back by a timer. When the store does not answer, they are kept and tried again
for as long as the worker lives; after a commit without an answer the store is asked, by token, what
became of it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from ..app import events
from ..app.events import emit
from ..engines.contract import Engine
from ..model.errors import CommitUnknown, DutifulError
from ..model.jobs import Ending
from ..operations import settle

logger = logging.getLogger("dutiful.worker")

BATCH_MAX = 250
PAUSE_S = 0.25
OVER = ("committed", "lost")
"""Endings of runs that ended themselves, in their own transaction: there is nothing left to store."""


class Settler:
    """Ends runs from one thread. ``on_settled`` gets the number of runs that were ended or lost."""

    def __init__(
        self,
        engine: Engine,
        worker: Callable[[], int],
        on_settled: Callable[[list[Ending], list[Ending]], None],
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._on_settled = on_settled
        self._queue: deque[Ending] = deque()
        self._awaited: dict[str, threading.Event] = {}
        self._changed = threading.Condition(threading.Lock())
        self._waiting = False
        self._stopping = False
        self._abandon = False
        self._busy = 0
        self._thread = threading.Thread(target=self._work, name="dutiful-settle", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def put(self, ending: Ending) -> None:
        """End this run, soon. Cheap: a lock is taken only when the settler sleeps."""
        if ending.verb in OVER:
            self._tell([ending], [ending] if ending.verb == "lost" else [])
            return
        self._queue.append(ending)
        if self._waiting:
            with self._changed:
                self._changed.notify()

    def put_together(self, endings: Sequence[Ending]) -> None:
        """The same for many; those that are over already are told in one go."""
        over = [ending for ending in endings if ending.verb in OVER]
        if over:
            self._tell(over, [ending for ending in over if ending.verb == "lost"])
        for ending in endings:
            if ending.verb not in OVER:
                self.put(ending)

    def put_and_wait(self, ending: Ending) -> None:
        """End this run, and return when the store has taken it (or the settler was given up)."""
        done = self._awaited[ending.token] = threading.Event()
        self.put(ending)
        while not done.wait(1.0) and not self._abandon:
            pass

    @property
    def pending(self) -> int:
        """How many endings are not yet committed."""
        return len(self._queue) + self._busy

    def stop(self, timeout_s: float) -> bool:
        """Commit what is there, for at most ``timeout_s``; True if all was."""
        self._stopping = True
        with self._changed:
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self._abandon = True
        return not self._thread.is_alive() and not self._queue

    def _work(self) -> None:
        while True:
            if not self._queue:
                with self._changed:
                    self._waiting = True
                    while not self._queue and not self._stopping:
                        self._changed.wait(1.0)
                    self._waiting = False
                if not self._queue and self._stopping:
                    return
            batch: list[Ending] = []
            self._busy = BATCH_MAX  # never too low for a reader between the two lines
            while self._queue and len(batch) < BATCH_MAX:
                batch.append(self._queue.popleft())
            self._busy = len(batch)
            self._settle(batch)
            self._busy = 0
            if self._abandon:
                return

    def _settle(self, batch: list[Ending]) -> None:
        left = batch
        lost: list[Ending] = []
        pause, silent = PAUSE_S, False
        while left:
            try:
                refused = self._engine.run(settle.settle(left, self._worker()))
                lost += refused
                left = []
            except CommitUnknown:
                emit(logger, logging.WARNING, events.COMMIT_UNKNOWN, runs=len(left))
                left = self._read_back(left, lost)
            except Exception as error:
                if not isinstance(error, DutifulError):
                    # One bad ending must not take the others with it, nor be tried for ever.
                    left = self._one_by_one(left, lost)
                    continue
                if not silent:
                    emit(logger, logging.ERROR, events.STORE_LOST, error=str(error), runs=len(left))
                    silent = True
                if self._abandon:
                    return
                time.sleep(pause)
                pause = min(pause * 2, 5.0)
        if silent:
            emit(logger, logging.INFO, events.STORE_BACK)
        self._tell(batch, lost)

    def _tell(self, batch: list[Ending], lost: list[Ending]) -> None:
        """These runs are over, and the store knows; ``lost`` were over already."""
        for ending in lost:
            emit(
                logger,
                logging.WARNING,
                events.RUN_OVER,
                job_id=ending.job_id,
                run_no=ending.run_no,
                verb=ending.verb,
            )
        self._on_settled(batch, lost)
        for ending in batch if self._awaited else ():
            done = self._awaited.pop(ending.token, None)
            if done is not None:
                done.set()

    def _read_back(self, batch: list[Ending], lost: list[Ending]) -> list[Ending]:
        """After a commit without an answer: which of these runs are still to be ended."""
        pause = PAUSE_S
        while not self._abandon:
            try:
                found = self._engine.run(settle.who_holds(batch))
            except DutifulError:
                time.sleep(pause)
                pause = min(pause * 2, 5.0)
                continue
            lost += [ending for ending in batch if found[ending.job_id] == "superseded"]
            return [ending for ending in batch if found[ending.job_id] == "running"]
        return []

    def _one_by_one(self, batch: list[Ending], lost: list[Ending]) -> list[Ending]:
        left = []
        for ending in batch:
            try:
                refused = self._engine.run(settle.settle([ending], self._worker()))
                lost += refused
            except DutifulError:
                left.append(ending)
            except Exception:
                logger.exception("settle_refused job_id=%r verb=%r", ending.job_id, ending.verb)
                lost.append(ending)
        return left
