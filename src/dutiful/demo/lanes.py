"""The three lanes as the director sees them: how to start one, and what its queue says now."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

from ..engines.sqlite import SqliteEngine
from ..model.verdict import Verdict
from ..operations import inspect
from ..operations.inspect import JobLine, JobView
from ..supervise.verdict import verdict
from .naive import START, Queue
from .orders import Order
from .places import Folder
from .points import Report

APP = "demo"
LOCK_S = 0.5


class Lane(Protocol):
    """One of the three."""

    letter: str
    title: str

    def open(self, orders: Sequence[Order]) -> None:
        """Make the queue; A's and B's hold all orders then."""

    def command(self) -> list[str]:
        """What ``python`` is to be given for a worker."""
        ...

    def is_recorded(self, report: Report) -> bool:
        """Whether the queue holds this order for done."""
        ...

    def left(self) -> int:
        """How many orders the queue still holds."""
        ...

    def can_be_written(self) -> bool:
        """Whether nobody who is stopped holds the queue's write lock."""
        ...

    def close(self) -> None:
        """Let go of the files."""


class NaiveLane:
    """Lane A or B."""

    def __init__(self, letter: str, title: str, folder: Folder) -> None:
        self.letter, self.title = letter, title
        self._queue = Queue(folder.queue(letter))

    def open(self, orders: Sequence[Order]) -> None:
        """See :class:`Lane`."""
        self._queue.open(orders)

    def command(self) -> list[str]:
        """See :class:`Lane`."""
        return ["-c", START, self.letter, str(Path(__file__).parents[1])]

    def is_recorded(self, report: Report) -> bool:
        """See :class:`Lane`."""
        return not self._queue.has(report.order_id)

    def left(self) -> int:
        """See :class:`Lane`."""
        return self._queue.left()

    def can_be_written(self) -> bool:
        """See :class:`Lane`. These workers have one thread, which holds nothing at a point."""
        return True

    def close(self) -> None:
        """See :class:`Lane`."""
        self._queue.close()


class DutifulLane:
    """Lane C; it looks into the store as the command line does."""

    letter = "C"
    title = "dutiful"

    def __init__(self, folder: Folder, app_path: str, lease_s: float) -> None:
        self._app_path, self._lease_s = app_path, lease_s
        self._folder = folder
        self.url = folder.jobs_url
        self._engine = SqliteEngine(str(folder.jobs))
        self._read = 0

    def open(self, orders: Sequence[Order]) -> None:
        """See :class:`Lane`. The producer does the enqueuing, from a process of its own."""
        self._engine.migrate()
        rows = [{"order_id": order.id, "cents": order.cents, "currency": order.currency} for order in orders]
        self._folder.orders.write_text(json.dumps(rows))

    def command(self) -> list[str]:
        """See :class:`Lane`."""
        # One body at a time, as in lanes A and B: a kill hits one order, and that is the one aimed at.
        options = ["--concurrency", "1", "--lease", f"{self._lease_s}s"]
        return ["-m", "dutiful", "worker", self._app_path, *options]

    def is_recorded(self, report: Report) -> bool:
        """See :class:`Lane`."""
        return self.job(report.job_id).state == "done"

    def left(self) -> int:
        """See :class:`Lane`; the dead ones are not counted."""
        queues = self._engine.run(inspect.queues(APP))
        return sum(queue.due + queue.later + queue.running + queue.in_doubt for queue in queues)

    def job(self, job_id: str) -> JobView:
        """One job."""
        return self._engine.run(inspect.job(APP, job_id))

    def dead(self) -> list[JobLine]:
        """The jobs that wait for a person."""
        return self._engine.run(inspect.dead(APP))

    def verdict(self) -> Verdict:
        """Whether anything is lost, doubled, late or unseen."""
        return verdict(self._engine, APP)

    def events(self) -> list[dict[str, object]]:
        """What the workers have reported since the last call."""
        try:
            text = self._folder.events.read_bytes()[self._read :]
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def can_be_written(self) -> bool:
        """See :class:`Lane`; waits a moment for those who are at work."""
        try:
            with closing(sqlite3.connect(self._folder.jobs, timeout=LOCK_S, isolation_level=None)) as probe:
                probe.execute("BEGIN IMMEDIATE")
                probe.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        return True

    def close(self) -> None:
        """See :class:`Lane`."""
        self._engine.close()
