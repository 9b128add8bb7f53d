"""Runs that somebody asked to stop: told at the next beat; made to, where that can be, after a grace.

A plain body in a thread cannot be made to: it sees ``run.cancelled``. An async one is cancelled after the
grace, a child process killed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..operations import workers

if TYPE_CHECKING:
    from .worker import Worker

GRACE_S = 5.0
"""How long a body that was told has time to end by itself."""


class Cancels:
    """What is asked of one worker's runs."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._told: dict[str, float] = {}

    def look(self) -> None:
        """After a beat that said so: who is asked to stop? Tells them, or makes those that had their time."""
        worker = self._worker
        now = time.monotonic()
        asked = worker.engine.run(workers.asked_to_cancel([worker.id, *worker.children.rows()]))
        running = {held.lease.token: held for held in worker.holdings.held()}
        told: dict[str, float] = {}
        for _job, token in asked:
            told[token] = self._told.get(token, now)
            due = now - told[token] >= GRACE_S
            held = running.get(token)
            if held is None:
                if due:
                    worker.children.cancel(token)
                continue
            held.run._cancelled = True
            if due and held.task.is_async:
                worker.loop.cancel(held)
        self._told = told
