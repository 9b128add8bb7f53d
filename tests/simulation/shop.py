"""The app that the simulated workers run: tasks whose bodies do what the seed says of each job.

One App for all processes: its engine is that of the process whose turn it is. There is a task for each
delivery; a delivery that comes to be gets a task here, and its invariant in ``invariants.py``.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dutiful import App, GiveUp, Retry, RetryIn, Run, Snooze
from dutiful.app.transactions import Transaction
from dutiful.engines.contract import Engine
from tests.simulation.provider import MARGIN, QUIET, REMEMBERED
from tests.simulation.scheduler import Over, Process
from tests.simulation.watch import Broken

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

RETRY = Retry(4, first="1s", longest="15s")

KINDS: dict[str, int] = {
    "good": 50,
    "flaky": 15,
    "hopeless": 7,
    "snoozes": 6,
    "asks": 5,
    "gives up": 6,
    "poison": 4,
    "follows": 7,
}
"""What a body does, and how often: decided for each job by its number."""

FOLLOWER = 100_000
"""What a job that follows another is numbered from."""


class Shop(App):
    """The app of a simulated world."""

    simulation: Simulation

    @property
    def engine(self) -> Engine:
        engine = self.simulation.world.process.kept["engine"]
        return engine  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the body of one job does."""

    kind: str
    lines: int
    times: int
    """How often it fails, snoozes or kills before it is good."""
    slow: bool
    """Whether it may take longer than a lease."""


class Bodies:
    """What bodies did: for the invariants."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.begun: Counter[tuple[str, int]] = Counter()
        self.returned: set[tuple[str, int]] = set()
        self.raised: set[tuple[str, int]] = set()
        self.begins: Counter[str] = Counter()
        self.starts: Counter[tuple[str, str, int]] = Counter()
        """at_most_once: by task, duty and epoch, how often a body began."""
        self.owners: dict[tuple[str, int], Process] = {}
        """In which process a body began."""
        self._plans: dict[int, Plan] = {}

    def plan(self, n: int) -> Plan:
        """The plan of job number n."""
        if n not in self._plans:
            chance = random.Random(f"{self._simulation.seed}/job/{n}")
            kinds = self._simulation.kinds
            [kind] = chance.choices(list(kinds), list(kinds.values()))
            most = 99 if kind in ("flaky", "poison", "asks") else 4
            times = chance.choice((1, 1, 2, 3, most))
            self._plans[n] = Plan(
                kind, chance.randint(1, 4), times, chance.random() < self._simulation.slow_share
            )
        return self._plans[n]

    def work(self, n: int, run: Run, tx: Transaction | None = None, *, late: bool = False) -> int:
        """The body of every task."""
        simulation = self._simulation
        plan = self.plan(n)
        self._begins(run, plan)
        tries = self.begins[run.job_id]
        try:
            for line in range(plan.lines):
                simulation.strike("line")
                if plan.slow:
                    simulation.world.sleep(round(simulation.lease_us * simulation.chance.uniform(0, 1.2)))
                if line == plan.lines // 2:
                    if late:
                        with run.transaction() as tx:
                            pass
                    if tx is not None:  # before it may fail: then it must not be there
                        simulation.work_in(tx, run)
                    if run.task == "charge":
                        self._charge(n, run)
                    if tries <= plan.times:
                        self._misbehave(plan, n)
            if tx is None:
                simulation.work_beside(run)
        except Over:
            raise
        except BaseException:
            self.raised.add((run.job_id, run.run_no))
            raise
        self.returned.add((run.job_id, run.run_no))
        simulation.note("body returns", run.job_id, run.run_no)
        return n

    def _begins(self, run: Run, plan: Plan) -> None:
        simulation = self._simulation
        self.begun[run.job_id, run.run_no] += 1
        self.begins[run.job_id] += 1
        self.owners[run.job_id, run.run_no] = simulation.world.process
        simulation.note("body begins", run.job_id, run.run_no, plan.kind)
        if run.task in AT_MOST_ONCE:
            duty = run.task, run.duty, simulation.watch.epochs[run.job_id, run.run_no]
            self.starts[duty] += 1
            if self.starts[duty] > 1:
                simulation.world.fail(Broken(f"at_most_once: {duty} was begun {self.starts[duty]} times"))
                raise Over

    def _charge(self, n: int, run: Run) -> None:
        """A call to the world outside, of the kind that the job's number says."""
        provider = self._simulation.provider
        terms: dict[str, Any] = {}
        if n % 3 == 0:
            terms = {"remembered": REMEMBERED, "margin": MARGIN}
        if n % 3 == 1 or n % 2:
            terms |= {"lookup": provider.lookup, "quiet": QUIET}
        keyed = "remembered" in terms
        answer = run.effect("card", do=lambda key: provider.charge(key, run, keyed), request=n % 4, **terms)
        provider.believed(run.key("card"), answer)

    def _misbehave(self, plan: Plan, n: int) -> None:
        simulation = self._simulation
        match plan.kind:
            case "flaky":
                raise ValueError(f"job {n} fails")
            case "hopeless":
                raise KeyError(n)
            case "snoozes":
                raise Snooze(simulation.chance.uniform(0.1, 8))
            case "asks":
                raise RetryIn(simulation.chance.uniform(0.1, 8))
            case "gives up":
                raise GiveUp("so it was planned")
            case "poison":
                simulation.note("poison", n)
                simulation.poisoned[n] += 1
                simulation.world.kill(simulation.world.process)
            case "follows":
                work.enqueue(n + FOLLOWER)


app = Shop("shop", "sqlite://")


@app.task(name="work", retry=RETRY, result=True)
def work(n: int, *, run: Run = Run.given) -> int:
    return app.simulation.bodies.work(n, run)


@app.task(name="once", once="{n}", retry=RETRY, queue="other")
def once(n: int, *, run: Run = Run.given) -> int:
    return app.simulation.bodies.work(n, run)


@app.task(name="limited", retry=RETRY, timeout="4s")
def limited(n: int, *, run: Run = Run.given) -> int:
    return app.simulation.bodies.work(n, run)


@app.task(name="isolated", retry=RETRY, isolation="process", priority=5)
def isolated(n: int, *, run: Run = Run.given) -> int:
    return app.simulation.bodies.work(n, run)


@app.task(name="charge", once="{n}", retry=RETRY)
def charge(n: int, *, run: Run = Run.given) -> int:
    return app.simulation.bodies.work(n, run)


@app.task(name="exact", once="{n}", retry=RETRY, delivery="exactly_once")
def exact(n: int, *, tx: Transaction, run: Run = Run.given) -> int:
    return app.simulation.bodies.work(n, run, tx)


@app.task(name="late", retry=RETRY, delivery="exactly_once", result=True)
def late(n: int, *, run: Run = Run.given) -> int:
    return app.simulation.bodies.work(n, run, late=True)


@app.task(name="most", once="{n}", delivery="at_most_once")
def most(n: int, *, run: Run = Run.given) -> int:
    return app.simulation.bodies.work(n, run)


TASKS: dict[str, Any] = {
    "work": work,
    "once": once,
    "limited": limited,
    "isolated": isolated,
    "charge": charge,
    "exact": exact,
    "late": late,
    "most": most,
}
AT_MOST_ONCE = frozenset({"most"})
EXACTLY_ONCE = frozenset({"exact", "late"})
