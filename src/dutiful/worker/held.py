"""What a worker holds at the moment: every claimed job, and what has become of it so far."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..app.running import Run
from ..model.jobs import Lease
from .run import run_of

if TYPE_CHECKING:
    from ..app.task import Task


class Held:
    """One claimed job. Its ``stage`` only goes forward: waiting, running, ended."""

    __slots__ = (
        "cancel",
        "lease",
        "replaced",
        "returned",
        "run",
        "slot",
        "stage",
        "started",
        "stopped",
        "task",
        "worker",
    )

    def __init__(self, lease: Lease, task: Task[..., Any], worker: int) -> None:
        self.lease = lease
        self.task = task
        self.worker = worker
        self.run: Run = run_of(lease)
        self.stage = "waiting"
        self.started = 0.0
        self.slot = -1
        self.cancel: Any = None
        """How to cancel the body, where that is possible: a function without arguments."""
        self.replaced = False
        self.returned = False
        self.stopped = False
        """Whether it was we who cancelled the body."""

    def begin(self) -> None:
        """The body is about to run."""
        self.stage = "running"
        self.started = time.monotonic()
