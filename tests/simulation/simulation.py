"""One seed is one run: workers, producers, people and faults in one thread, and what came of it.

The run has three parts. First everything goes wrong that the seed has in store; then faults stop, and
the world must come to rest by itself; then the workers are told to stop, and the invariants are asked.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greenlet import getcurrent

from dutiful.app.handle import Handle
from dutiful.app.running import Run
from dutiful.app.transactions import Transaction
from dutiful.engines.sqlite_drivers import StandardDriver
from dutiful.engines.sqlite_schema import upgrade
from dutiful.model.errors import DutifulError
from dutiful.worker.options import WorkerOptions
from dutiful.worker.worker import Worker
from tests.simulation import invariants, seams, shop
from tests.simulation.faults import Faults
from tests.simulation.people import start_person
from tests.simulation.producers import start_producer
from tests.simulation.provider import Provider
from tests.simulation.scheduler import SECOND, Process, Scheduler
from tests.simulation.store import SimulatedConnection, SimulatedEngine, Store
from tests.simulation.watch import Watch

REST_S = 900
"""How long the world may take to come to rest when faults have stopped."""

STEPS_MAX = 400_000

WORK = "INSERT INTO work VALUES (:job, :run_no, :task, :duty, :epoch)"

STRIKES: dict[str, tuple[str, ...]] = {
    "line": ("kill", "pause", "pause_past_lease", "suspend", "drain", "halt"),
    "statement": ("kill_in_transaction", "pause", "pause_past_lease", "suspend", "drain", "halt"),
    "commit": ("kill_after_commit", "kill", "pause", "pause_past_lease", "clock_skew", "outage"),
}
NEVER = {"invariant_broken"}
"""Events of the product that say that something is wrong with it."""

MIXES = (0, 0, 1, 1, 3)

LINES_MORE = 15.0
"""How much more often what strikes anywhere strikes in a body, where it matters."""

CHILD_STRIKES = ("kill_child", "pause", "pause_past_lease")


@dataclass
class Report:
    """What came of a seed."""

    seed: int
    problem: str | None = None
    trace: list[str] = field(default_factory=list)
    digest: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    verbs: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    runs: int = 0
    steps: int = 0
    virtual_s: float = 0.0


class Simulation:
    """One world."""

    def __init__(self, seed: int) -> None:
        self.seed = str(seed)
        self.number = seed
        self.chance = random.Random(f"{seed}/plan")
        chance = self.chance
        self.faults = Faults(self.seed)
        self.world = Scheduler(self.seed, switch=chance.choice((0.05, 0.2, 0.5)))
        self.lease_s = chance.choice((5.0, 10.0, 10.0, 20.0))
        self.lease_us = round(self.lease_s * SECOND)
        self.workers_wanted = chance.choice((1, 2, 2, 3, 3, 4))
        self.one_host = chance.random() < 0.5
        self.slots = chance.choice((1, 2, 4))
        self.jobs_wanted = chance.randint(6, 24)
        self.trouble_s = chance.uniform(1.5, 5) * self.lease_s + 10
        weights = {name: chance.choice(MIXES) for name in shop.TASKS}
        self.mix = weights if any(weights.values()) else dict.fromkeys(shop.TASKS, 1)
        """How much of each task there is."""
        self.kinds = shop.KINDS
        self.waited_us = 0
        """How long the director waited for the store since the faults stopped."""
        self.slow_share = 0.35
        """How many jobs may take longer than a lease."""
        self.store = Store(self.world, self.faults, self.lease_us)
        self.watch = Watch(self.store)
        self.store.on_commit = self.watch.committed
        self.store.on_read = self.watch.answered
        self.store.note = self.note
        self.bodies = shop.Bodies(self)
        self.provider = Provider(self)
        self.acknowledged: dict[str, int] = {}
        """Jobs whose producer was told that they are stored, with their numbers."""
        self.task_of: dict[str, str] = {}
        self.poisoned: Counter[int] = Counter()
        self.processes: list[Process] = []
        self.workers: dict[Process, Worker | None] = {}
        self.trace: list[tuple[int, str, tuple[Any, ...]]] = []
        self.events: Counter[str] = Counter()
        self.surprises: list[str] = []
        self.closing = False
        self._pids = 100
        self.numbers = iter(range(self.jobs_wanted))
        self.producing = 0
        """Producers that are at work."""
        self.acting = 0
        """People who are in the middle of something."""

    # ── what is said ────────────────────────────────────────────────────────────────────────

    def note(self, *what: Any) -> None:
        """One line of the trace, if the world has not ended."""
        if self.world.over:
            return
        task = getattr(getcurrent(), "task", None)
        self.trace.append((self.world.now, repr(task) if task is not None else "world", what))

    def emit(self, record: logging.LogRecord) -> None:
        """One of the product's own events."""
        event = getattr(record, "event", None)
        if event is None or record.exc_info:
            self.surprises.append(
                f"{record.getMessage()} {record.exc_info[1]!r}" if record.exc_info else record.getMessage()
            )
            self.note("SURPRISE", self.surprises[-1])
            return
        self.events[event] += 1
        if event in NEVER:
            self.surprises.append(f"{event} {record.fields}")  # type: ignore[attr-defined]
        self.note("event", event, *sorted((k, str(v)) for k, v in record.fields.items() if k != "pid"))  # type: ignore[attr-defined]

    # ── processes ───────────────────────────────────────────────────────────────────────────

    def new_process(self, kind: str, *, host: str | None = None, parent: Process | None = None) -> Process:
        """A process of the simulated world."""
        self._pids += 1
        host = host or ("host" if self.one_host else f"host{self._pids}")
        process = Process(self.world, f"{kind}{self._pids}", host, self._pids)
        process.parent = parent
        self.processes.append(process)
        process.kept |= {"simulation": self, "kind": kind, "strike": self.strike}
        process.on_death.append(lambda: self.store.died(process))
        if parent is not None:
            parent.on_death.append(lambda: self.world.kill(process))
        return process

    def new_app(self, process: Process) -> shop.Shop:
        """The app, as it is in a process; called there."""
        process.kept["engine"] = SimulatedEngine(self.store, process)
        return shop.app

    def start_worker(self) -> None:
        """A new worker process."""
        process = self.new_process("worker")
        self.workers[process] = None

        def main() -> None:
            options = WorkerOptions(
                concurrency=self.slots, lease=self.lease_s, poll=2.0, drain_timeout=self.lease_s / 2
            )
            worker = Worker(self.new_app(process), options, app_path="simulated")
            self.workers[process] = worker
            try:
                worker.run()
            except DutifulError as error:
                self.note("worker gave up", type(error).__name__)
            self.world.kill(process)

        def died() -> None:
            del self.workers[process]
            self.note("died", process.name)
            if not self.closing:
                delay = round(self.lease_us * self.chance.uniform(0.02, 1.0))
                self.world.later(delay, lambda: None if self.closing else self.start_worker())

        process.on_death.append(died)
        self.world.spawn(process, "main", main)

    def child_may_start(self) -> None:
        """Raises OSError where the fault strikes."""
        if self.faults.hits("child_start_failed"):
            raise OSError("no more processes")

    def child_dies_at_start(self) -> bool:
        return self.faults.hits("child_start_failed")

    # ── faults ──────────────────────────────────────────────────────────────────────────────

    def strike(self, where: str) -> None:
        """A step was done: time passes, and chance may strike."""
        world, faults = self.world, self.faults
        process = world.process
        world.point()
        kind = process.kept["kind"]
        if kind == "child":
            fault = faults.pick(CHILD_STRIKES)
        elif kind == "worker":
            fault = faults.pick(STRIKES[where], LINES_MORE if where == "line" else 1.0)
        elif kind == "producer" and where != "line":
            fault = faults.pick(("kill",))
        else:
            return
        if fault is not None:
            self._carry_out(fault, process)

    def _carry_out(self, fault: str, process: Process) -> None:
        world, faults, lease = self.world, self.faults, self.lease_us
        self.note("fault", fault)
        match fault:
            case "pause":
                world.pause(process, round(lease * faults.part(0.02, 0.9)))
            case "pause_past_lease":
                world.pause(process, round(lease * faults.part(1.0, 3)))
            case "suspend":
                world.pause(process, round(lease * faults.part(0.5, 3)), clock_stops=True)
            case "clock_skew":
                process.set_rate(faults.chance.choice((0.3, 0.7, 0.95, 1.05, 1.5, 3.0)))
            case "outage":
                self.store.outage_until = world.now + round(lease * faults.part(0.05, 2))
            case "drain" | "halt":
                worker = self.workers.get(process)
                if worker is not None:
                    getattr(worker, fault)()
            case _:
                world.kill(process)

    def stop_faults(self) -> None:
        """From now on nothing goes wrong any more."""
        self.faults.on = False
        self.store.outage_until = 0
        self.store.delay_no_more()
        for process in self.processes:
            self.world.resume(process)
            process.set_rate(1.0)

    # ── what others do in it ────────────────────────────────────────────────────────────────

    def accepted(self, handle: Handle[Any], task: str, n: int) -> None:
        """A producer has got its answer."""
        self.acknowledged[handle.id] = n
        self.task_of[handle.id] = task
        self.note("accepted", handle.id, task, n, "again" if handle.duplicate else "new")

    def work_beside(self, run: Run) -> None:
        """What a body does to its user's table, in a transaction of its own."""
        connection = SimulatedConnection(self.store, self.world.process)
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(WORK, self._work_of(run))
            self.strike("statement")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def work_in(self, tx: Transaction, run: Run) -> None:
        """The same in the transaction of the run."""
        tx.execute(WORK, self._work_of(run))
        self.strike("statement")

    def _work_of(self, run: Run) -> dict[str, object]:
        epoch = self.watch.epochs[run.job_id, run.run_no]
        return {"job": run.job_id, "run_no": run.run_no, "task": run.task, "duty": run.duty, "epoch": epoch}

    # ── the run ─────────────────────────────────────────────────────────────────────────────

    def direct(self) -> None:
        """The three parts."""
        world = self.world
        for _ in range(self.workers_wanted):
            self.start_worker()
        for _ in range(self.chance.choice((1, 2))):
            start_producer(self)
        if self.chance.random() < 0.6:
            start_person(self)
        world.sleep(round(self.trouble_s * SECOND))
        while self.producing:
            world.sleep(SECOND)
        self.stop_faults()
        self.note("faults stop")
        held = self._held_by_the_dead()
        from_us, self.waited_us = world.now, 0
        while self.acting or self._unfinished():
            world.sleep(SECOND // 4)
            self._wait_for_store()
            # While a body holds the file's lock (its transaction may be long), nobody can take anything over.
            invariants.taken_over(self, held, world.now - from_us - self.waited_us)
            if world.now - from_us > REST_S * SECOND or world.steps > STEPS_MAX:
                left = self.store.rows(
                    "SELECT id, state, task, run_no, attempt FROM dutiful_job WHERE state <> 'in_doubt'"
                )
                raise invariants.Broken(
                    f"L1: no rest {(world.now - from_us) / SECOND:.0f} s after the faults: {left}"
                )
        self.note("at rest")
        world.sleep(round(2.5 * self.lease_us))  # what is still on the wire
        self.closing = True
        self.last_pids = {process.pid for process in self.workers}
        for worker in list(self.workers.values()):
            if worker is not None:
                worker.drain()
        from_us = world.now
        while self.workers:
            world.sleep(SECOND // 4)
            if world.now - from_us > 120 * SECOND:
                raise invariants.Broken(f"these do not stop: {list(self.workers)}")
        invariants.at_the_end(self)

    def _unfinished(self) -> int:
        self._wait_for_store()
        return int(self.store.rows("SELECT count(*) FROM dutiful_job WHERE state <> 'in_doubt'")[0][0])

    def _wait_for_store(self) -> None:
        while self.store.owner is not None:
            self.world.sleep(1000)
            self.waited_us += 1000

    def _held_by_the_dead(self) -> dict[str, str]:
        """Running jobs whose worker process is dead, with their tokens."""
        self._wait_for_store()
        pids = {process.pid for process in self.workers}
        rows = self.store.rows(
            "SELECT j.id, j.token, w.pid FROM dutiful_job AS j JOIN dutiful_worker AS w ON w.id = j.worker"
        )
        return {job: token for job, token, pid in rows if pid not in pids}


@functools.cache
def _tables() -> bytes:
    """An empty store, as the real engine makes it."""
    connection = StandardDriver().connect(":memory:", timeout_s=1)
    upgrade(connection, ":memory:")
    raw = connection.raw
    raw.execute("CREATE TABLE work (job text, run_no integer, task text, duty text, epoch integer)")
    return bytes(raw.serialize())


def run(
    seed: int, *, keep_trace: bool = False, tune: Callable[[Simulation], None] = lambda world: None
) -> Report:
    """Carry out one seed; ``problem`` says what is wrong, or is None. ``tune`` may change what was drawn."""
    simulation = Simulation(seed)
    tune(simulation)
    shop.app.simulation = simulation
    simulation.store.raw.deserialize(_tables())
    report = Report(seed)
    world = simulation.world
    director = world.spawn(world.outside, "director", simulation.direct)
    handler = logging.Handler()
    handler.emit = simulation.emit  # type: ignore[method-assign]
    logger = logging.getLogger("dutiful")
    kept = logger.level, logger.propagate, list(logger.handlers)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [handler]
    try:
        with seams.simulated(
            world, simulation.seed, lambda url, clock=None: SimulatedEngine(simulation.store, world.process)
        ):
            world.run(until=lambda: not director.alive)
    except Exception as error:
        report.problem = f"{type(error).__name__}: {error}"
    finally:
        logger.level, logger.propagate, logger.handlers = kept
        simulation.store.raw.close()
    if report.problem is None and simulation.surprises:
        report.problem = f"unexpected: {simulation.surprises[0]}"
    lines = [f"{at / SECOND:11.6f} {who} " + " ".join(map(str, what)) for at, who, what in simulation.trace]
    report.digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    report.trace = lines if keep_trace or report.problem else []
    report.faults, report.verbs, report.events = (
        simulation.faults.counts,
        simulation.watch.verbs,
        simulation.events,
    )
    report.jobs, report.runs = len(simulation.watch.run_nos), len(simulation.watch.tokens)
    report.steps, report.virtual_s = world.steps, world.now / SECOND
    return report
