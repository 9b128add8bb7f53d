"""A part of a worker that has its turn now and again, in a thread of its own: it holds up nothing else."""

from __future__ import annotations

import logging
import threading

from ..app import events
from ..app.events import emit
from ..model.errors import DutifulError

logger = logging.getLogger("dutiful.worker")


class Part:
    """Takes its turns from one thread. What a turn raises is logged, and the next one comes all the same.

    ``chore`` names it in the log, ``thread`` its thread.
    """

    def __init__(self, chore: str, thread: str) -> None:
        self._chore = chore
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=thread, daemon=True)

    def start(self) -> None:
        """Begin. The worker has an id by now."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way, or in five seconds."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def _first(self) -> float:
        """In how many seconds the first turn comes."""
        raise NotImplementedError

    def _go(self) -> float:
        """A turn; returns in how many seconds the next one comes."""
        raise NotImplementedError

    def _pause_after(self, error: Exception) -> float:
        """The same after a turn that raised."""
        raise NotImplementedError

    def _work(self) -> None:
        pause = self._first()
        while not self._stop.wait(pause):
            try:
                pause = self._go()
            except DutifulError as error:
                emit(logger, logging.WARNING, events.CHORE_FAILED, chore=self._chore, error=str(error))
                pause = self._pause_after(error)
            except Exception as error:
                logger.exception("chore_failed chore=%r", self._chore)
                pause = self._pause_after(error)
