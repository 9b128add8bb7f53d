"""What lets lane C's workers be watched and stopped. Nothing here takes part in the work.

Made before the tasks are declared, it tells of the workers' own log events, stops runs at the named
points, plays the order that fails, and ends the process when the demonstration is gone.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator

from ..app.app import App
from ..app.running import Run
from .places import Folder, Settings
from .points import LOOK_S, Where, is_laid, point

ORPHAN_S = 0.5


class CardRefused(Exception):
    """Raised for one order until somebody mends what makes it fail; another try would not help."""


class Instruments:
    """The demonstration's eyes and hands in a worker process of lane C."""

    def __init__(self, app: App, folder: Folder) -> None:
        self._app = app
        self._folder = folder
        self._recording: threading.Thread | None = None
        app.on_start(self._started)
        app.around(self._around)

    def refuse_poison(self, order_id: str) -> None:
        """Raise for the poison order, unless it was mended."""
        if order_id == self._folder.settings().poison and not self._folder.mended.exists():
            raise CardRefused(f"the card of order {order_id} is not understood")

    def point(self, where: Where, order_id: str, run: Run) -> None:
        """Be at a named point of a run.

        The record is the worker's own doing, after the body has returned. So a thread asks the store
        until it says done, and is at the point "after the record" then.
        """
        point(self._folder, "C", order_id, where, job_id=run.job_id, run_no=run.run_no)
        if where == "gap" and is_laid(self._folder, "C", order_id, "after"):
            self._recording = threading.Thread(target=self._after, args=(order_id, run), daemon=True)
            self._recording.start()

    def _after(self, order_id: str, run: Run) -> None:
        while self._app.handle(run.job_id).job().state != "done":
            time.sleep(LOOK_S)
        point(self._folder, "C", order_id, "after", job_id=run.job_id, run_no=run.run_no)

    def _around(self, run: Run) -> Iterator[None]:
        if self._recording is not None:  # the next body waits for what is to happen at that point
            self._recording.join()
            self._recording = None
        yield

    def _started(self) -> None:
        logging.getLogger("dutiful.worker").addHandler(_Events(self._folder))
        threading.Thread(target=_end_with, args=(self._folder.settings(),), daemon=True).start()


class _Events(logging.Handler):
    """Appends the workers' events to the folder's file, a line each."""

    def __init__(self, folder: Folder) -> None:
        super().__init__(logging.WARNING)
        self._file = os.open(folder.events, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def emit(self, record: logging.LogRecord) -> None:
        event, fields = getattr(record, "event", None), getattr(record, "fields", {})
        if event is not None:
            text = json.dumps({"event": event, "pid": os.getpid(), **fields}, default=str)
            os.write(self._file, f"{text}\n".encode())


def _end_with(settings: Settings) -> None:
    """End when the demonstration was itself killed: nobody else would tell this process to."""
    while settings.is_directed():
        time.sleep(ORPHAN_S)
    os._exit(1)
