"""What the worker takes from ``threading``, ``queue``, ``time``, ``os`` and ``socket``, simulated.

Each object here behaves as the one it stands for, in the process whose turn it is; where that one
would let other threads run, so does this.
"""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tests.simulation.scheduler import SECOND, Over, Process, Scheduler, Task


class Lock:
    """``threading.Lock``."""

    def __init__(self, world: Scheduler) -> None:
        self._world = world
        self.owner: Task | None = None
        self._waiters: deque[Task] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        world = self._world
        if world.over:
            raise Over
        me = world.task
        until = None if timeout < 0 else world.now + real_us(me.process, timeout)
        while self.owner is not None and self.owner.process.dead is False:
            if not blocking or (until is not None and world.now >= until):
                return False
            self._waiters.append(me)
            world.wait(None if until is None else until - world.now)
            if me in self._waiters:
                self._waiters.remove(me)
        self.owner = me
        return True

    def release(self) -> None:
        if self._world.over:  # also a generator that is collected lets go
            self.owner = None
            return
        assert self.owner is not None, "release of a lock that nobody holds"
        self.owner = None
        while self._waiters:
            waiter = self._waiters.popleft()
            if waiter.waiting and not waiter.process.dead:
                self._world.wake(waiter)
                break

    def locked(self) -> bool:
        return self.owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *raised: object) -> None:
        self.release()


class RLock(Lock):
    """``threading.RLock``."""

    def __init__(self, world: Scheduler) -> None:
        super().__init__(world)
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self.owner is self._world.task or super().acquire(blocking, timeout):
            self._depth += 1
            return True
        return False

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            super().release()


class Condition:
    """``threading.Condition``. A notified waiter may find that another was quicker, as in life."""

    def __init__(self, world: Scheduler, lock: Lock | None = None) -> None:
        self._world = world
        self._lock = RLock(world) if lock is None else lock
        self._waiters: list[Task] = []

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *raised: object) -> None:
        self._lock.release()

    acquire = property(lambda self: self._lock.acquire)
    release = property(lambda self: self._lock.release)

    def wait(self, timeout: float | None = None) -> bool:
        me = self._world.task
        self._waiters.append(me)
        self._lock.release()
        woken = self._world.wait(None if timeout is None else real_us(me.process, timeout))
        if me in self._waiters:
            self._waiters.remove(me)
        self._lock.acquire()
        return woken

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        clock = self._world.process
        until = None if timeout is None else clock.monotonic() + timeout
        while not (found := predicate()):
            left = None if until is None else until - clock.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return found

    def notify(self, n: int = 1) -> None:
        for waiter in self._waiters[:n]:
            self._world.wake(waiter)
        del self._waiters[:n]

    def notify_all(self) -> None:
        self.notify(len(self._waiters))


class Event:
    """``threading.Event``."""

    def __init__(self, world: Scheduler) -> None:
        self._world = world
        self._flag = False
        self._waiters: list[Task] = []

    def is_set(self) -> bool:
        return self._flag

    def set(self) -> None:
        self._flag = True
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            self._world.wake(waiter)

    def clear(self) -> None:
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._flag:
            me = self._world.task
            self._waiters.append(me)
            self._world.wait(None if timeout is None else real_us(me.process, timeout))
        return self._flag


class Thread:
    """``threading.Thread``: a task of the process that makes it."""

    def __init__(
        self,
        world: Scheduler,
        target: Callable[..., object],
        args: Sequence[Any] = (),
        name: str = "thread",
        daemon: bool | None = None,
    ) -> None:
        self._world = world
        self._target = target
        self._args = args
        self.name = name.removeprefix("dutiful-")
        self.ident: int | None = None
        self._task: Task | None = None

    def start(self) -> None:
        self.ident = id(self)
        self._task = self._world.spawn(
            self._world.process, self.name, lambda: (self._target(*self._args), None)[1]
        )

    def join(self, timeout: float | None = None) -> None:
        assert self._task is not None, "join before start"
        process = self._world.process
        self._world.join(self._task, None if timeout is None else real_us(process, timeout))

    def is_alive(self) -> bool:
        return self._task is not None and self._task.alive


class SimpleQueue:
    """``queue.SimpleQueue``."""

    def __init__(self, world: Scheduler) -> None:
        self._world = world
        self._items: deque[Any] = deque()
        self._waiters: deque[Task] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)
        if self._waiters:
            self._world.wake(self._waiters.popleft())

    def get(self) -> Any:
        while not self._items:
            me = self._world.task
            self._waiters.append(me)
            self._world.wait()
            if me in self._waiters:
                self._waiters.remove(me)
        if self._world.over:
            raise Over
        return self._items.popleft()


def real_us(process: Process, seconds: float) -> int:
    """So many seconds by the process's own clock, in microseconds of the world's."""
    return max(0, int(seconds * SECOND / process.rate) + 1)


class Threading:
    """Stands for the module ``threading``."""

    def __init__(self, world: Scheduler) -> None:
        self._world = world

    def Lock(self) -> Lock:
        return Lock(self._world)

    def RLock(self) -> RLock:
        return RLock(self._world)

    def Condition(self, lock: Lock | None = None) -> Condition:
        return Condition(self._world, lock)

    def Event(self) -> Event:
        return Event(self._world)

    def Thread(self, **options: Any) -> Thread:
        return Thread(self._world, **options)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the simulation has no threading.{name}: write it in tests/simulation/threads.py"
        )


class Time:
    """Stands for the module ``time``. No clock goes on while a process is suspended, as on some systems."""

    def __init__(self, world: Scheduler) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.process.monotonic()

    perf_counter = monotonic

    def clock_gettime(self, _clock: int) -> float:
        return self.monotonic()

    def time_ns(self) -> int:
        return (EPOCH_US + self._world.now) * 1000

    def time(self) -> float:
        return self.time_ns() / 1e9

    def sleep(self, seconds: float) -> None:
        self._world.wait(real_us(self._world.process, seconds))


EPOCH_US = 1_800_000_000 * SECOND


class Os:
    """Stands for the module ``os`` where it is asked who we are."""

    def __init__(self, world: Scheduler, chance: random.Random) -> None:
        self._world = world
        self._chance = chance

    def getpid(self) -> int:
        return self._world.process.pid

    def cpu_count(self) -> int:
        return 2

    def urandom(self, size: int) -> bytes:
        return self._chance.randbytes(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


class Socket:
    """Stands for the module ``socket``."""

    def __init__(self, world: Scheduler) -> None:
        self._world = world

    def gethostname(self) -> str:
        return self._world.process.host


class Queue:
    """Stands for the module ``queue``."""

    def __init__(self, world: Scheduler) -> None:
        self._world = world

    def SimpleQueue(self) -> SimpleQueue:
        return SimpleQueue(self._world)
