"""One scenario's runs, by the real way of a job: enqueue, claim, body, ending, and what lapses.

Bodies are carried out in threads where two go in turns, or where a library keeps connections per thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..app.app import App
from ..app.task import Task, Using
from ..engines.contract import Engine
from ..engines.sqlite import SqliteEngine
from ..engines.urls import open_engine
from ..model.errors import StoreBusy
from ..model.jobs import Ending, Lane, Lease, NewWorker
from ..operations import claims, inspect, lanes, settle, workers
from ..worker.run import acarry_out, carry_out, run_of
from ..worker.unwanted import unwanted
from .boundaries import Crash, Track, tracked
from .stores import World
from .times import DrillClock

LEASE_US = 3_600_000_000
RUNS_MAX = 14
"""So many runs of one job end it, or it does not come to an end."""
STUCK_S = 30.0


Forks = Callable[[Callable[[], Ending], Track], tuple[Ending | None, BaseException | None]]


class _Standing(App):
    """An app whose engine is the run's own: two runs in one process are two workers."""

    _here: Here

    @property
    def _engine(self) -> Engine:  # type: ignore[override]
        here = self._here
        return getattr(here.local, "engine", here.first)


@dataclass
class Here:
    """The engine of a thread that has one of its own, and of all others."""

    first: Engine
    local: threading.local = field(default_factory=threading.local)


@dataclass
class Body:
    """One run under way, or ended."""

    lease: Lease
    track: Track
    thread: threading.Thread
    ending: Ending | None = None
    error: BaseException | None = None

    def join(self) -> Body:
        """Wait until it has ended; raises what is no ending of a body."""
        if self.thread.ident is not None:
            self.thread.join(STUCK_S)
        if self.thread.is_alive():
            raise RuntimeError(f"A body of {self.lease.task} did not end within {STUCK_S:.0f} s.")
        if self.error is not None:
            raise self.error
        return self


class Scene:
    """One app on one world, with the drill's clock."""

    def __init__(self, app: App, task: Task[..., Any], world: World, clock: DrillClock) -> None:
        self.app, self.task, self.world, self.clock = app, task, world, clock
        self.engine = self._engine()
        self.here = Here(self.engine)
        self.begins = 0
        self.forks: Forks | None = None
        """In process mode: what carries out a run in a child."""
        self.last: Ending | None = None
        self.failures: list[str] = []
        self.workers: list[int] = []
        self._engines = [self.engine]

    def _engine(self) -> Engine:
        engine = open_engine(self.world.url, clock=self.clock)
        if isinstance(engine, SqliteEngine):
            engine._timeout_s = 0.0  # who waits, waits at a boundary
            engine.check_schema()
            if engine._turn is not None:  # for fairness alone; who stands still would keep it
                engine._turn.close()
                engine._turn = None
        return engine

    # ── jobs ────────────────────────────────────────────────────────────────────────────────

    def enqueue(self, args: tuple[Any, ...], kwargs: dict[str, Any], id: str | None) -> tuple[str, bool]:
        """Store a job; its id, and whether the duty was known."""
        job = Using(self.task, job_id=id).new_job(args, kwargs)
        done = self.app._store(job, None)
        return done.id, done.duplicate

    def worker(self) -> int:
        """One more worker."""
        me = self.engine.run(
            workers.register(
                NewWorker(
                    app=self.app.name,
                    host="drill",
                    pid=1,
                    lease_us=LEASE_US,
                    concurrency=1,
                    queues="[]",
                    tasks="{}",
                )
            )
        )
        self.workers.append(me)
        return me

    def claim(self) -> tuple[int, Lease] | None:
        """The task's next due job, by a new worker."""
        me = self.worker()
        rows = self.engine.run(lanes.lanes(self.app.name))
        known = {name: version for name, version in self.app.known().items() if self._mine(name)}
        reply = self.engine.run(claims.claim(me, [Lane(row.id) for row in rows], known, 1, promote=True))
        lease = reply.leases[0] if reply.leases else None
        if lease is None:
            lease = self.engine.run(claims.claim_suspect(me, [row.id for row in rows], known))
        return None if lease is None else (me, lease)

    def _mine(self, name: str) -> bool:
        return self.app.find_task(name) is self.task

    def start(
        self, lease: Lease, track: Track, *, own_engine: bool = False, ended: Callable[[], None] | None = None
    ) -> Body:
        """Begin the body in a thread."""
        engine = self._engine() if own_engine else None
        if engine is not None:
            self._engines.append(engine)

        def carry() -> None:
            if engine is not None:
                self.here.local.engine = engine
            try:
                with tracked(track):
                    body.ending = self._carry(lease)
                    track.at("return", "return")
            except Crash:
                body.ending = None
            except BaseException as error:
                body.error = error
            finally:
                if track.crashed:
                    body.ending = body.error = None
                track.drop()
                if ended is not None:
                    ended()

        body = Body(lease, track, threading.Thread(target=carry, name="drill", daemon=True))
        if own_engine or _keeps_per_thread():
            body.thread.start()
        else:
            carry()
        return body

    def fork(self, lease: Lease, track: Track) -> Body:
        """Carry out the body in a child process, in which a crash is the end of it."""
        assert self.forks is not None
        self.engine.close()  # no connection is shared
        ending, error = self.forks(lambda: self._carry(lease), track)
        self.begins += 1
        if error is not None:
            raise error
        return Body(lease, track, threading.current_thread(), ending)

    def _carry(self, lease: Lease) -> Ending:
        given = run_of(lease)
        if (too_late := unwanted(self.app, lease)) is not None:
            return too_late
        if not self.task.is_async:
            return carry_out(self.app, self.task, lease, given)
        with asyncio.Runner() as loop:
            try:
                return loop.run(acarry_out(self.app, self.task, lease, given))
            finally:
                with contextlib.suppress(Exception):
                    loop.run(self.app.leave_loop())

    def settle(self, worker: int, body: Body) -> None:
        """Store how the run ended."""
        ending = body.ending
        assert ending is not None
        if ending.failure is not None:
            self.failures.append(f"{ending.failure.kind}: {ending.failure.message}")
        self.last = ending
        if ending.verb != "lost":
            self.engine.run(settle.settle([ending], worker))

    def lapse(self, worker: int) -> bool:
        """The worker is gone, and what it held lapses; False while a run holds what that needs."""
        try:
            self.engine.run(workers.bury([worker], silent=False))
            self.engine.run(workers.lapse())
        except StoreBusy:
            return False
        return True

    def crashed(self, worker: int) -> None:
        """After a kill: connections are gone, then somebody notices."""
        self.engine.close()
        if not self.lapse(worker):
            raise RuntimeError("a run that was cut off still holds the database")

    # ── runs ────────────────────────────────────────────────────────────────────────────────

    def run(self, track: Track | None = None) -> Track | None:
        """One run of the task's next due job, to its end or its crash; None if none is due."""
        claimed = self.claim()
        if claimed is None:
            return None
        worker, lease = claimed
        track = track if track is not None else Track()
        if self.forks is not None and track.plan is not None and track.plan.what == "crash":
            body = self.fork(lease, track)
        else:
            body = self.start(lease, track).join()
        if track.crashed:
            self.crashed(worker)
        else:
            self.settle(worker, body)
        return track

    def to_the_end(self, id: str) -> str:
        """Run the job until it is closed, or until nobody would run it again; its state."""
        for _ in range(RUNS_MAX):
            job = self.engine.run(inspect.job(self.app.name, id))
            if job.state not in ("ready", "running"):
                return "skipped" if job.outcome == "skipped" else job.state
            if job.run_at_us > self.clock.us:
                self.clock.us = job.run_at_us
            if self.run() is None:
                self.clock.us += 1_000_000
        return f"not ended after {RUNS_MAX} runs"

    def status(self, id: str) -> str:
        """What became of the job."""
        return self.engine.run(inspect.job(self.app.name, id)).state

    def close(self) -> None:
        """Close every connection."""
        for engine in self._engines:
            with contextlib.suppress(Exception):
                engine.close()


def _keeps_per_thread() -> bool:
    """Whether a body needs a thread of its own: for Django's connections, or beside a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "django" in sys.modules
    return True


@contextlib.contextmanager
def standing(app: App, task: Task[..., Any], world: World, clock: DrillClock) -> Iterator[Scene]:
    """The app stands on the world meanwhile; afterwards it is as it was."""
    before, function = (app.__class__, app._clock, app.url, app._others), task.function
    scene = Scene(app, task, world, clock)

    def counted(*args: Any, **kwargs: Any) -> Any:
        scene.begins += 1
        return function(*args, **kwargs)

    app.__class__, app._clock, app.url, app._others = _Standing, clock, world.url, {}
    app._here = scene.here  # type: ignore[attr-defined]
    task.function = counted
    try:
        scene.engine.run(
            lanes.declare(app.name, [(t.policy.queue, t.policy.priority) for t in app.tasks.values()])
        )
        yield scene
    finally:
        app.__class__, app._clock, app.url, app._others = before
        task.function = function
        del app._here  # type: ignore[attr-defined]
        scene.close()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The library's log is silent while bodies are cut off on purpose."""
    log = logging.getLogger("dutiful")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)
