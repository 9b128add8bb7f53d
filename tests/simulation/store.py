"""The store of a simulated world: the real engine and the real SQL over one SQLite database in memory.

What is the simulator's is the connection. All processes share one, so one transaction is open at a
time, as on SQLite one writer is: who wants to begin waits for it, and is told "locked" after a while.
Faults happen at its statements and commits; a killed process's transaction is rolled back.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dutiful.engines.sqlite import SqliteEngine
from dutiful.model.errors import CommitUnknown
from dutiful.operations.plan import Call, Operation, Step
from dutiful.sql.render import render
from tests.simulation.faults import Faults
from tests.simulation.scheduler import SECOND, Over, Process, Scheduler, Task
from tests.simulation.threads import EPOCH_US, real_us

T = TypeVar("T")

BUSY_S = 5.0
REPEATED = frozenset({"settle", "beat", "bury", "lapse", "leave", "report_dead", "sweep", "turn"})
"""What may arrive twice. Not claims, which nothing sends twice, nor enqueues: those are asked twice."""


class RawConnection(sqlite3.Connection):
    """Shared by all processes, so none of them may change how it behaves."""

    isolation_level = property(lambda self: None, lambda self, level: None)  # type: ignore[assignment]

    def set_authorizer(self, authorize: object) -> None: ...


class Store:
    """The one database, and who holds it."""

    def __init__(self, world: Scheduler, faults: Faults, lease_us: int) -> None:
        self.world = world
        self.faults = faults
        self.lease_us = lease_us
        self.raw = sqlite3.connect(
            ":memory:", isolation_level=None, cached_statements=512, factory=RawConnection
        )
        tokens = random.Random(f"{faults.chance.random()}/tokens")
        self.raw.create_function("randomblob", 1, tokens.randbytes)  # tokens are the seed's, too
        self.owner: SimulatedConnection | None = None
        self.steps: list[Step] = []
        """The statements of the transaction that is open."""
        self.outage_until = 0
        self.hoping: list[Task] = []
        """Who waits for a hint."""
        self.on_commit: Callable[[list[Step]], None] = lambda steps: None
        self.on_read: Callable[[str, list[Step], Any], None] = lambda name, steps, answer: None
        self.note: Callable[..., None] = lambda *what: None
        self._waiters: list[Task] = []
        self._delayed: list[Task] = []

    def delay(self, duration_us: int) -> None:
        """A fault keeps the caller waiting: until faults stop, at most."""
        task = self.world.task
        self._delayed.append(task)
        self.world.wait(duration_us)
        self._delayed.remove(task)

    def delay_no_more(self) -> None:
        """Faults stop."""
        for task in self._delayed:
            self.world.wake(task)

    def clock(self) -> int:
        """The database's clock."""
        return EPOCH_US + self.world.now

    def rows(self, text: str, *params: object) -> list[tuple[Any, ...]]:
        """What is committed; only for who looks on, while no transaction is open."""
        return self.raw.execute(text, params).fetchall()

    def look(self, operation: Operation[T]) -> T:
        """Carry out what only reads, aside from everything, between two steps of the world."""
        steps, rows = operation.begin(), None
        while True:
            try:
                step = next(steps) if rows is None else steps.send(rows)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            params = {**step.params, "now": self.clock()}  # type: ignore[union-attr]
            for text, _ in render("sqlite", step.name, "named").parts:
                rows = self.raw.execute(text, params).fetchall()

    def take(self, connection: SimulatedConnection, until: int | None) -> bool:
        """Wait until no transaction is open; False if it takes too long."""
        world = self.world
        while self.owner is not None:
            if until is not None and world.now >= until:
                return False
            self._waiters.append(world.task)
            world.wait(None if until is None else until - world.now)
        self.owner = connection
        self.steps = world.task.steps = []
        return True

    def free(self) -> None:
        """The transaction is over."""
        self.owner = None
        waiters, self._waiters = self._waiters, []
        for task in waiters:
            self.world.wake(task)

    def died(self, process: Process) -> None:
        """What a process leaves undone when it dies."""
        if self.owner is not None and self.owner.process is process:
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
            self.free()
        self.hoping = [task for task in self.hoping if task.process is not process]


class SimulatedConnection:
    """One connection of one process, as the engine's drivers give it."""

    def __init__(self, store: Store, process: Process) -> None:
        self.store = store
        self.process = process
        self.raw = store.raw

    @property
    def in_transaction(self) -> bool:
        return self.store.owner is self

    def execute(self, sql: str, params: Mapping[str, Any] = {}) -> list[tuple[Any, ...]]:
        store = self.store
        if store.world.over:
            raise Over
        if sql.startswith("BEGIN"):
            self._begin(sql)
        elif sql.startswith("COMMIT"):
            self._commit()
        elif sql.startswith("ROLLBACK"):
            self._rollback()
        elif not sql.startswith("PRAGMA"):
            return self.raw.execute(sql, params).fetchall()
        return []

    def close(self) -> None: ...

    def _begin(self, sql: str) -> None:
        store, world, faults = self.store, self.store.world, self.store.faults
        world.point()
        writes = sql.startswith("BEGIN IMMEDIATE")
        if world.now < store.outage_until:
            raise _error("unable to open database file", sqlite3.SQLITE_CANTOPEN)
        if writes and faults.hits("locked"):
            store.note("locked")
            store.delay(round(BUSY_S * SECOND * faults.part(0.01, 1)))
            raise _error("database is locked", sqlite3.SQLITE_BUSY)
        if not store.take(self, world.now + round(BUSY_S * SECOND) if writes else None):
            store.note("waited in vain for the lock")
            raise _error("database is locked", sqlite3.SQLITE_BUSY)
        self.raw.execute(sql)

    def _commit(self) -> None:
        store, faults = self.store, self.store.faults
        assert store.owner is self
        where = store.world.task.calls
        if (not faults.lost_in or where in faults.lost_in) and faults.hits("commit_lost_not_applied"):
            store.note("commit lost, not applied")
            self._rollback()
            raise CommitUnknown("the simulated connection broke at a commit")
        self.raw.execute("COMMIT")
        store.on_commit(store.steps)
        store.free()
        if faults.hits("commit_lost_applied"):
            store.note("commit lost, applied")
            raise CommitUnknown("the simulated connection broke at a commit")
        self.process.kept["strike"]("commit")

    def _rollback(self) -> None:
        if self.store.owner is self:
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
            self.store.free()


class SimulatedEngine(SqliteEngine):
    """The real engine of one process, on simulated connections."""

    _interrupted = False

    def __init__(self, store: Store, process: Process) -> None:
        self.store = store
        self.process = process
        super().__init__("/nowhere/simulated.db", clock=store.clock, timeout_s=BUSY_S)
        self.observe = self._observe

    def run(self, operation: Operation[T]) -> T:
        """The real one; what goes wrong on the way there and back is the simulator's."""
        world, faults, lease = self.store.world, self.store.faults, self.store.lease_us
        if faults.hits("late_report"):
            self.store.note("late report", operation.name)
            self.store.delay(round(lease * faults.part(0.05, 3)))
        if operation.name == "beat" and faults.hits("late_beat"):
            self.store.note("late beat")
            self.store.delay(round(lease * faults.part(1, 4)))
        self.store.note("call", operation.name)
        world.task.calls = operation.name
        try:
            answer = super().run(operation)
        except Exception as error:
            self.store.note("refused", operation.name, type(error).__name__)
            raise
        finally:
            world.task.calls = ""
        self.store.on_read(operation.name, world.task.steps, answer)
        if operation.name in REPEATED and faults.hits("report_twice"):
            delay = round(lease * faults.part(0, 2))
            world.later(delay, lambda: self._again(operation))
        if faults.hits("late_answer"):
            self.store.note("late answer", operation.name)
            self.store.delay(round(lease * faults.part(0.05, 3)))
        return answer

    def _again(self, operation: Operation[Any]) -> None:
        """What was on the wire twice: nobody gets this answer."""
        world = self.store.world
        wire = Process(world, "wire", "wire", self.process.pid)
        wire.kept["strike"] = lambda where: None

        def send() -> None:
            engine = SimulatedEngine(self.store, wire)
            try:
                SqliteEngine.run(engine, operation)
            except Exception as error:
                self.store.note("refused on the wire", operation.name, type(error).__name__)

        world.spawn(wire, f"repeated {operation.name}", send)

    def _observe(self, step: Step) -> None:
        if isinstance(step, Call):
            self.store.steps.append(step)
        if self.store.faults.hits("full"):
            self.store.note("full")
            raise _error("database or disk is full", sqlite3.SQLITE_FULL)
        self.process.kept["strike"]("statement")

    # ── the simulator's ─────────────────────────────────────────────────────────────────────

    def _connect(self, read_only: bool = False) -> SimulatedConnection:
        return SimulatedConnection(self.store, self.process)

    def wake(self, queue: str) -> None:
        """Tell all processes, or lose the hint."""
        if not self.store.faults.hits("hint_lost"):
            for task in self.store.hoping:
                self.store.world.wake(task)

    def wait(self, queues: frozenset[str], timeout_s: float) -> bool:
        """Until a hint comes, or the time is up."""
        if self._interrupted:
            self._interrupted = False
            return True
        world, hoping = self.store.world, self.store.hoping
        hoping.append(world.task)
        woken = world.wait(real_us(self.process, timeout_s))
        hoping.remove(world.task)
        return woken

    def interrupt(self) -> None:
        """End the wait that is under way, or the next one."""
        waiting = [task for task in self.store.hoping if task.process is self.process]
        self._interrupted = not waiting
        for task in waiting:
            self.store.world.wake(task)


def _error(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error
