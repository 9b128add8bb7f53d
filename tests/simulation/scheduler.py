"""One thread that plays many: virtual time, and a seed that says who goes on next.

A *task* is a thread of the simulated world (a greenlet); it goes on until it waits for something, or
until chance takes the turn from it at a *point*. A *process* has tasks, a clock of its own that may
run wrongly, and can be paused or killed between any two points: then its tasks stop where they are,
and nothing of theirs, no ``finally`` either, is carried out.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

SECOND = 1_000_000
STEP_US = (20, 400)
"""What a step takes of the world's time, at least and at most."""


class Over(BaseException):
    """The world has ended: thrown into whatever is left in it."""


class Task:
    """One simulated thread."""

    __slots__ = (
        "alive",
        "calls",
        "fiber",
        "name",
        "process",
        "steps",
        "ticket",
        "timed_out",
        "waiters",
        "waiting",
    )

    def __init__(self, process: Process, name: str, target: Callable[[], None]) -> None:
        self.process = process
        self.name = name
        self.alive = True
        self.waiting = False
        self.timed_out = False
        self.ticket = 0
        """Names one wait: a timer of an earlier one wakes nobody."""
        self.waiters: list[Task] = []
        self.calls = ""
        """The operation that it is in, if in one."""
        self.steps: list[Any] = []
        """The statements of its last transaction."""
        self.fiber = greenlet(target)

    def __repr__(self) -> str:
        return f"{self.process.name}/{self.name}"


class Process:
    """One simulated process: its tasks, its clock, and what belongs to it."""

    def __init__(self, world: Scheduler, name: str, host: str, pid: int) -> None:
        self.world = world
        self.name = name
        self.host = host
        self.pid = pid
        self.parent: Process | None = None
        self.dead = False
        self.paused = False
        self.pauses = 0
        self.stopped_clock_at: int | None = None
        self.parked: list[Task] = []
        self.rate = 1.0
        self.suspended_us = 0
        """How long the clock stood still, as that of a suspended machine does."""
        self._clock_from = (world.now, 1000.0 + pid)
        self.on_death: list[Callable[[], None]] = []
        self.kept: dict[str, Any] = {}

    def monotonic(self) -> float:
        """This process's own clock, in seconds."""
        at, value = self._clock_from
        return value + (self.world.now - at - self.suspended_us) / SECOND * self.rate

    def set_rate(self, rate: float) -> None:
        """From now on the clock runs so many times as fast as time."""
        self._clock_from = (self.world.now, self.monotonic())
        self.suspended_us = 0
        self.rate = rate

    def __repr__(self) -> str:
        return self.name


class Scheduler:
    """Whose turn it is, and what time."""

    def __init__(self, seed: str, *, switch: float) -> None:
        self.now = 0
        self.chance = random.Random(f"{seed}/turns")
        self.switch = switch
        """How likely the turn is lost at a point."""
        self.steps = 0
        self.over = False
        self.runnable: list[Task] = []
        self.failed: BaseException | None = None
        self._timers: list[tuple[int, int, Task | Callable[[], None], int]] = []
        self._numbers = itertools.count()
        self._tasks: list[Task] = []
        self._hub: greenlet | None = None
        self.outside = Process(self, "outside", "outside", 1)

    # ── tasks ───────────────────────────────────────────────────────────────────────────────

    def spawn(self, process: Process, name: str, target: Callable[[], None]) -> Task:
        """A new task; it begins when chance says so."""

        def work() -> None:
            try:
                target()
            except Over:
                pass
            except BaseException as error:
                self.fail(error)
            finally:
                task.alive = False
                for waiter in task.waiters:
                    self.wake(waiter)

        task = Task(process, name, work)
        task.fiber.task = task  # type: ignore[attr-defined]
        if self._hub is not None:
            task.fiber.parent = self._hub  # where it goes when it ends
        self._tasks.append(task)
        self.runnable.append(task)
        return task

    def fail(self, error: BaseException) -> None:
        """Something is wrong, with the product or with the simulation: the world ends."""
        if not self.over:
            self.failed = error
            self.over = True

    @property
    def task(self) -> Task:
        """Whose turn it is."""
        return getcurrent().task  # type: ignore[no-any-return, attr-defined]

    @property
    def process(self) -> Process:
        """The process whose turn it is; the outside where nobody's is."""
        task = getattr(getcurrent(), "task", None)
        return self.outside if task is None else task.process

    def wait(self, timeout_us: int | None = None) -> bool:
        """Wait until somebody wakes this task; False when the time was up before."""
        task = self.task
        if self.over:
            raise Over
        task.waiting = True
        task.timed_out = False
        task.ticket += 1
        if timeout_us is not None:
            self._at(self.now + max(timeout_us, 0), task, task.ticket)
        self._to_hub()
        return not task.timed_out

    def sleep(self, duration_us: int) -> None:
        """Let so much of the world's time pass."""
        self.wait(duration_us)

    def wake(self, task: Task) -> None:
        """What the task waits for has happened."""
        if task.waiting and not task.process.dead:
            task.waiting = False
            task.ticket += 1
            self.runnable.append(task)

    def join(self, task: Task, timeout_us: int | None = None) -> None:
        """Wait until the task has ended."""
        if task.alive:
            task.waiters.append(self.task)
            self.wait(timeout_us)

    def yield_turn(self) -> None:
        """Somebody goes on now, perhaps this very task."""
        if self.over:
            raise Over
        self.runnable.append(self.task)
        self._to_hub()

    def point(self) -> None:
        """A step was done: a little time passes, and chance may take the turn."""
        if self.over:
            raise Over
        self.steps += 1
        self.now += self.chance.randrange(*STEP_US)
        if self.chance.random() < self.switch:
            self.yield_turn()

    def later(self, delay_us: int, action: Callable[[], None]) -> None:
        """Call this from nobody's task when so much time has passed."""
        self._at(self.now + delay_us, action, 0)

    def _at(self, at: int, whom: Task | Callable[[], None], ticket: int) -> None:
        heapq.heappush(self._timers, (at, next(self._numbers), whom, ticket))

    def _to_hub(self) -> None:
        assert self._hub is not None
        self._hub.switch()
        if self.over:
            raise Over

    # ── processes ───────────────────────────────────────────────────────────────────────────

    def kill(self, process: Process) -> None:
        """All its tasks stop where they are, for good. If it is the caller's own, this never returns."""
        if process.dead:
            return
        process.dead = True
        process.paused = False
        process.parked.clear()
        self.runnable = [task for task in self.runnable if task.process is not process]
        for action in process.on_death:
            action()
        if self.process is process:
            self._to_hub()

    def pause(self, process: Process, duration_us: int, *, clock_stops: bool = False) -> None:
        """None of its tasks goes on for so long."""
        if process.paused or process.dead:
            return
        process.paused = True
        process.pauses += 1
        this = process.pauses
        process.stopped_clock_at = self.now if clock_stops else None
        self.later(duration_us, lambda: self.resume(process, this))
        if self.process is process:
            self.yield_turn()

    def resume(self, process: Process, pause: int | None = None) -> None:
        """It goes on, if it still stands in that pause (in any)."""
        if process.dead or not process.paused or pause not in (None, process.pauses):
            return
        process.paused = False
        if process.stopped_clock_at is not None:
            process.suspended_us += self.now - process.stopped_clock_at
        parked, process.parked = process.parked, []
        self.runnable += parked

    # ── the loop ────────────────────────────────────────────────────────────────────────────

    def run(self, until: Callable[[], bool]) -> None:
        """Give turns until ``until`` says that it is enough, asked before each; then end the world."""
        self._hub = getcurrent()
        try:
            while self.failed is None and not until():
                self._due()
                if not self.runnable:
                    if not self._timers:
                        raise AssertionError("everybody waits, and nothing will ever happen")
                    self.now = max(self.now, self._timers[0][0])
                    continue
                task = self._next()
                if task is not None:
                    task.fiber.switch()
        finally:
            self._end()
        if self.failed is not None:
            raise self.failed

    def _due(self) -> None:
        while self._timers and self._timers[0][0] <= self.now:
            _, _, whom, ticket = heapq.heappop(self._timers)
            if not isinstance(whom, Task):
                whom()
            elif whom.waiting and whom.ticket == ticket and not whom.process.dead:
                whom.waiting = False
                whom.timed_out = True
                self.runnable.append(whom)

    def _next(self) -> Task | None:
        place = self.chance.randrange(len(self.runnable))
        self.runnable[place], self.runnable[-1] = self.runnable[-1], self.runnable[place]
        task = self.runnable.pop()
        if task.process.dead:
            return None
        if task.process.paused:
            task.process.parked.append(task)
            return None
        return task

    def _end(self) -> None:
        """Throw out whoever is left, so that no greenlet outlives the world."""
        self.over = True
        for task in self._tasks:
            while task.fiber and not task.fiber.dead:
                task.fiber.throw(Over)
        self._hub = None
