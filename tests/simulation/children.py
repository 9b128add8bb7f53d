"""Child processes, simulated: each is a process of the world that carries out one job at a time.

What the child does with a job is the real :func:`dutiful.worker.run.carry_out`; the pipes are queues.
"""

from __future__ import annotations

from typing import Any

from tests.simulation.scheduler import Process, Scheduler, Task
from tests.simulation.threads import SimpleQueue, real_us

START_US = 300_000


def children_class(world: Scheduler) -> Any:
    """What stands for ``ChildProcess`` in this world."""
    from dutiful.worker import run as real

    class SimulatedChild:
        def __init__(self, process: Process) -> None:
            self._process = process
            self._inward = SimpleQueue(world)
            self._outward: list[Any] = []
            self._reader: Task | None = None
            self._ready = False
            self.pid = process.pid
            process.on_death.append(self._tell)

        @classmethod
        def start(cls, app_path: str) -> SimulatedChild:
            parent = world.process
            simulation = parent.kept["simulation"]
            simulation.child_may_start()
            process = simulation.new_process("child", host=parent.host, parent=parent)
            child = cls(process)
            world.spawn(process, "main", child._main)
            return child

        def _main(self) -> None:
            simulation = self._process.kept["simulation"]
            world.sleep(START_US)
            if simulation.child_dies_at_start():
                world.kill(self._process)
            app = simulation.new_app(self._process)
            self._ready = True
            self._tell()
            while (lease := self._inward.get()) is not None:
                ending = real.carry_out(app, app.find_task(lease.task), lease, real.run_of(lease))
                world.point()
                self._outward.append(ending)
                self._tell()
            world.kill(self._process)

        def _tell(self) -> None:
            if self._reader is not None:
                world.wake(self._reader)

        def _await(self, done: Any, timeout_s: float | None) -> None:
            me = world.task
            until = None if timeout_s is None else world.now + real_us(me.process, timeout_s)
            while not done() and not self._process.dead:
                if until is not None and world.now >= until:
                    raise TimeoutError
                self._reader = me
                world.wait(None if until is None else until - world.now)
                self._reader = None

        def ready(self) -> bool:
            try:
                self._await(lambda: self._ready, 30.0)
            except TimeoutError:
                return False
            return self._ready and not self._process.dead

        @property
        def alive(self) -> bool:
            return not self._process.dead

        def send(self, lease: Any) -> None:
            if self._process.dead:
                raise BrokenPipeError
            self._inward.put(lease)

        def receive(self, timeout_s: float | None) -> Any:
            self._await(lambda: self._outward, timeout_s)
            return self._outward.pop(0) if self._outward else None

        def kill(self) -> None:
            world.kill(self._process)

        def close(self) -> None:
            world.kill(self._process)

        def reap(self) -> None:
            assert self._process.dead

        def exit_text(self) -> str:
            return "signal SIGKILL"

    return SimulatedChild
