"""The part of a worker that keeps the records: folds what was noted, and counts the books.

Folding is quick and comes every ten seconds (thirty while there is nothing), by one worker for all. The books
are counted in full each time, so that what they say is no estimate; how often depends on how long that takes,
so that it is at most a fiftieth of one connection's time. In a thread of its own: a count over many millions
holds up nothing else.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ..app import events
from ..app.events import emit
from ..engines.contract import Engine
from ..operations import books, groups, metrics, registry, workers
from .looked import Looked, at_once
from .part import Part

if TYPE_CHECKING:
    from ..app.task import Task
    from .worker import Worker

logger = logging.getLogger("dutiful.worker")

FOLD_S = 10.0
IDLE_S = 30.0
"""The same while there is nothing to fold: readers count what is not folded, so that nobody waits for it."""
COUNT_SHARE = 50
"""A count is followed by so many times its duration without one."""
PIECES_MAX = 100
"""So many pieces are folded in one turn; what is left follows in the next."""
ROLL_S = 60.0
FORGET_S = 3600.0


class Bookkeeping(Part):
    """Keeps the records of all apps of a store, in turn with the other workers."""

    def __init__(
        self,
        engine: Engine,
        app: str,
        clock: Callable[[], float] = time.monotonic,
        release: str = "",
        tasks: Sequence[registry.Declared] = (),
        codes: Callable[[], Mapping[str, str]] | None = None,
        looked: Looked | None = None,
    ) -> None:
        super().__init__("books", "dutiful-books")
        self._engine = engine
        self._app = app
        self._release = release
        self._tasks = tasks
        self._codes = codes
        self._looked = looked or at_once(engine)
        self._forget_at = 0.0
        self._clock = clock
        self._idle = False
        self._count_s = FOLD_S

    @classmethod
    def of(cls, worker: Worker) -> Bookkeeping:
        """A worker's."""
        app = worker.app
        tasks = [declared_of(task) for task in app.tasks.values()]
        code_of = app.code_of
        functions = {name: task.function for name, task in app.tasks.items()}

        def codes() -> Mapping[str, str]:
            return {} if code_of is None else {name: code_of(one) for name, one in functions.items()}

        return cls(
            worker.engine, app.name, release=app.release, tasks=tasks, codes=codes, looked=worker.looks.looked
        )

    def _first(self) -> float:
        return random.random()

    def _go(self) -> float:
        self.turn()
        return self._pause()

    def _pause_after(self, error: Exception) -> float:
        return self._pause()

    def _pause(self) -> float:
        return self._period_s * random.uniform(0.9, 1.0)

    @property
    def _period_s(self) -> float:
        return IDLE_S if self._idle else FOLD_S

    def turn(self) -> None:
        """Fold, count and roll up, if it is this worker's turn."""
        engine = self._engine
        periods = {"fold": FOLD_S, "books": self._count_s, "roll": ROLL_S}
        ours, found = engine.run(books.turns({name: round(0.9e6 * of) for name, of in periods.items()}))
        self._idle = not any(found)  # also where somebody else does it
        if "fold" in ours:
            self.fold(found)
        for name, act in (("books", self.count), ("roll", self.roll)):
            if name in ours and not self._stop.is_set():
                act()
        if time.monotonic() >= self._forget_at:
            self._forget_at = time.monotonic() + FORGET_S
            self._register()
            if engine.run(workers.turn("forget_records", round(0.9 * FORGET_S * 1e6))):
                engine.run(groups.forget())
                engine.run(metrics.forget())

    def fold(self, found: tuple[bool, bool] = (True, True)) -> None:
        """Fold what there is (deltas, deaths), at most some pieces of it."""
        for there_is, fold in zip(found, (books.fold, groups.fold), strict=True):
            for _ in range(PIECES_MAX if there_is else 0):
                if not self._engine.run(fold()) or self._stop.is_set():
                    break

    def roll(self) -> None:
        """Sample what is due, roll up the minutes that are over, and say that somebody watches."""
        self._engine.run(metrics.sample())
        for _ in range(PIECES_MAX):
            if not self._engine.run(metrics.roll()) or self._stop.is_set():
                break
        self._looked("sampler", ROLL_S, "")

    def _register(self) -> None:
        """Say what this release knows of its tasks; again once an hour, so that it is seen to be in use."""
        if self._codes is not None:
            codes, self._codes = self._codes(), None
            self._tasks = [
                replace(one, facts={**one.facts, "code": codes.get(one.name, "")}) for one in self._tasks
            ]
        if self._tasks:
            self._engine.run(registry.register(self._app, self._release, self._tasks))

    def count(self) -> None:
        """Count the books of all apps, keep what they say, and say that somebody watches."""
        engine, began = self._engine, self._clock()
        counted = engine.run(books.count())
        engine.run(books.keep(counted))
        self._count_s = max(self._period_s, COUNT_SHARE * (self._clock() - began))
        self._looked("bookkeeper", self._count_s, "")
        for app, tasks in counted.items():
            if lacking := books.lacks(tasks):
                emit(
                    logger,
                    logging.ERROR,
                    events.BOOKS_DIFFER,
                    app=app,
                    tasks={one.task: one.n for one in lacking[:3]},
                )


def declared_of(task: Task[..., Any]) -> registry.Declared:
    """A task's declaration, as the registry keeps it."""
    policy = task.policy
    facts = {
        "once": None if task.once is None else task.once.text,
        "retry": policy.retry.times,
        "timeout_us": policy.timeout_us,
        "crashes": policy.crashes,
        "late": None if policy.late is None else str(policy.late),
        "isolation": policy.isolation,
        "database": policy.database,
        "lookup": task.lookup is not None,
        "gates": task.gates is not None,
        **{kind: getattr(task.gates, kind, None) is not None for kind in ("order", "lock", "rate", "fair")},
        "group": policy.group,
        "batch": policy.batch,
        "aliases": policy.aliases,
        "tags": policy.tags,
        "unreconciled": policy.because,
    }
    return registry.Declared(
        task.name, policy.version, policy.queue, policy.priority, policy.owner, policy.delivery, facts
    )
