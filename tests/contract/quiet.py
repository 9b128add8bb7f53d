"""A worker on a clock that only the test moves: what it sends in a minute in which nothing happens.

Its parts take their turns in one thread, each when it would, and chance is in the middle. So the answer is
exact, and the minutes take no time.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from dutiful import App
from dutiful.operations import workers
from dutiful.operations.plan import Step
from dutiful.worker.options import WorkerOptions
from dutiful.worker.worker import Worker

MINUTE = 60.0
OURS = (
    "fetch",
    "settle",
    "heart",
    "chores",
    "lookups",
    "watching",
    "books",
    "schedules",
    "reconciling",
    "gates",
)


class Quiet:
    """The worker, its parts by name, and what they have sent so far."""

    def __init__(self, app: App, options: WorkerOptions) -> None:
        self.now = 1000.0
        self.sent: Counter[str] = Counter()
        """How many statements went to the database, by the part that sent them."""
        self.names: Counter[str] = Counter()
        """The same, by their names; what is asked together is one statement on PostgreSQL, and has many."""
        self._waits: list[float] = []
        app.engine.clock = self.us
        app.engine.wait = lambda queues, timeout_s: self._waits.append(timeout_s)  # type: ignore[assignment, method-assign]
        self.worker = Worker(app, options)
        self.worker.start()
        for engine in (app.engine, self.worker.heart._engine):
            engine.clock, engine.observe = self.us, self._see  # type: ignore[attr-defined]
        self._on_sqlite = app.engine.name == "sqlite"
        self._part = "start"
        chores = self.worker.chores
        self._parts: dict[str, Callable[[], float]] = {
            "fetch": self._fetch,
            "beat": self._beat,
            "chores": chores.turn,
            **{part._chore: part._go for part in (*chores._beside, *self.worker.duties)},
        }
        self._due = dict.fromkeys(self._parts, self.now)

    def us(self) -> int:
        return round((1_900_000_000 + self.now) * 1e6)

    def minutes(self, count: float) -> None:
        """So many go by."""
        end = self.now + count * MINUTE
        while (at := min(self._due.values())) < end:
            part = min(self._due, key=self._due.__getitem__)
            self.now, self._part = max(self.now, at), part
            self._due[part] = self.now + self._parts[part]()
        self.now = end

    def close(self) -> None:
        """Leave; there is nobody who would end what is under way."""
        self.worker.engine.run(workers.leave(self.worker.id))
        if self.worker._file is not None:
            self.worker._file.close()
        if self.worker._heart_engine is not self.worker.engine:
            self.worker._heart_engine.close()

    def note(self) -> None:
        """A statement was sent."""
        self.sent[self._part] += 1

    def _see(self, step: Step) -> None:
        self.names[step.name] += 1
        if self._on_sqlite:
            self.note()

    def _fetch(self) -> float:
        self._waits.clear()
        self.worker.fetcher._round()
        return self._waits[0] if self._waits else 0.0

    def _beat(self) -> float:
        self.worker.heart.beat()
        return self.worker.options.beat_s


@contextmanager
def quiet(app: App, **options: Any) -> Iterator[Quiet]:
    """Within, time stands still; the worker has no threads."""
    made: list[Quiet] = []
    begin, execute = threading.Thread.start, psycopg.Cursor.execute

    def now() -> float:
        return made[0].now if made else 1000.0

    def start(thread: threading.Thread) -> None:
        if thread.name not in {f"dutiful-{name}" for name in OURS}:
            begin(thread)

    def sent(cursor: Any, *args: Any, **more: Any) -> Any:
        if made:
            made[0].note()
        return execute(cursor, *args, **more)

    here = SimpleNamespace(**{**vars(time), "monotonic": now})
    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("dutiful.worker.") and getattr(module, "time", None) is time:
                patch.setattr(module, "time", here)
        for name in ("heart", "worker"):
            patch.setattr(f"dutiful.worker.{name}.steady_now", now)
        patch.setattr(random, "random", lambda: 0.5)
        patch.setattr(random, "uniform", lambda low, high: (low + high) / 2)
        patch.setattr(threading.Thread, "start", start)
        patch.setattr(psycopg.Cursor, "execute", sent)
        one = Quiet(app, WorkerOptions(**options))
        made.append(one)
        try:
            yield one
        finally:
            made.clear()
            one.close()
