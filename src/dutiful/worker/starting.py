"""Carry out an at_most_once run: its start is stored for good, then the body begins, and its end is final.

What is not known to be stored is not begun. A commit without an answer is asked for again, under the
same token, until it is certain; where that takes too long the run is handed back unbegun, and the store
knows whether that leaves it in doubt.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ..app import events
from ..app.effects import to_its_end
from ..app.events import emit
from ..app.running import Run
from ..model.errors import CommitUnknown
from ..model.jobs import Ending, Failure, Lease
from ..operations import starts
from .run import abody, arguments_of, body, completed, failed, released

if TYPE_CHECKING:
    from ..app.app import App
    from ..app.task import Task

logger = logging.getLogger("dutiful.worker")

ASK_S = 30.0
"""How long a start without an answer is asked for."""
BUSY_US = 1_000_000
"""How long a job waits whose start could not be stored because others held what it needs."""


def at_most_once(app: App, task: Task[..., Any], lease: Lease, run: Run) -> Ending:
    """The start, and then the body, in this thread."""
    try:
        arguments_of(task, lease, run)  # what cannot be read is not begun
        asking = _Asking(lease)
        while asking.undecided:
            try:
                asking.told(app.engine.run(starts.start(app.name, lease)))
            except Exception as error:
                time.sleep(asking.failed(error))
        if asking.ending is not None:
            return asking.ending
        return completed(task, lease, body(app, task, lease, run))
    except BaseException as error:
        return failed(task, lease, error)


async def aat_most_once(app: App, task: Task[..., Any], lease: Lease, run: Run) -> Ending:
    """The same for an async body. CancelledError is the caller's to explain; a start is written whole."""
    try:
        arguments_of(task, lease, run)
        asking = _Asking(lease)
        while asking.undecided:
            try:
                asking.told(await to_its_end(app.engine.arun(starts.start(app.name, lease))))
            except Exception as error:
                await asyncio.sleep(asking.failed(error))
        if asking.ending is not None:
            return asking.ending
        return completed(task, lease, await abody(app, task, lease, run))
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return failed(task, lease, error)


class _Asking:
    """Whether the body may begin: asked of the store until it has answered."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.undecided = True
        self.ending: Ending | None = None
        """How the run ends whose body must not begin."""
        self._until = time.monotonic() + ASK_S
        self._unknown = False
        self._pause = 0.02

    def told(self, start: starts.Start) -> None:
        """The store has answered."""
        self.undecided = False
        lease = self.lease
        if start.what == "lost":
            self.ending = Ending("lost", lease.job_id, lease.token, lease.run_no)
        elif start.what == "done":
            self.ending = Ending("duplicate", lease.job_id, lease.token, lease.run_no, same_as=start.same_as)

    def failed(self, error: Exception) -> float:
        """It has not; seconds to wait before it is asked again."""
        if isinstance(error, CommitUnknown):
            self._unknown = True
            emit(
                logger,
                logging.WARNING,
                events.COMMIT_UNKNOWN,
                job_id=self.lease.job_id,
                run_no=self.lease.run_no,
                what="start",
            )
        if not self._unknown or time.monotonic() + self._pause > self._until:
            self.undecided, self.ending = False, self._unbegun(error)
            return 0.0
        self._pause = min(self._pause * 2, 1.0)
        return random.uniform(0.5, 1.0) * self._pause

    def _unbegun(self, error: Exception) -> Ending:
        """Handed back. If a start was stored of which we do not know, the store leaves it in doubt."""
        emit(logger, logging.WARNING, events.START_FAILED, job_id=self.lease.job_id, error=str(error))
        why = f"its start could not be confirmed, so that the body was not begun: {error}"
        return replace(
            released(self.lease, begun=False),
            verb="snooze",
            delay_us=BUSY_US,
            reason=why,
            failure=Failure("StartUnknown", why),
            started=True,
        )
