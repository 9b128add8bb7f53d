"""Bugs put into the product on purpose, each with what it is and in how many seeds it must be noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

import dutiful.app.app
import dutiful.app.effects
import dutiful.worker.chores
import dutiful.worker.settler
import dutiful.worker.starting
import dutiful.worker.work
from dutiful.engines.sqlite_transactions import OwnTransaction
from dutiful.model.brake import Brake
from dutiful.model.effects import Send
from dutiful.model.ids import make_id
from dutiful.model.jobs import Ending, NewJob
from dutiful.operations import people, settle, workers, works
from dutiful.operations.plan import Operation, Step
from dutiful.worker.chores import Chores
from dutiful.worker.settler import Settler
from dutiful.worker.starting import _Asking
from dutiful.worker.worker import Worker
from tests.contract.planting import Change, planted
from tests.simulation.simulation import Simulation

OWN = r"json_extract\(e\.value, '\$\.token'\)"
THEIRS = (
    "(SELECT coalesce(t.token, t.last_token) FROM main.dutiful_job AS t"
    " WHERE t.id = json_extract(e.value, '$.id'))"
)


def as_drawn(world: Simulation) -> None:
    """The seed says it all."""


def zombies(world: Simulation) -> None:
    """Bodies are slow and beats are late: runs are taken over while they go on."""
    world.workers_wanted, world.slow_share = 3, 0.9
    world.faults.rates |= {"late_beat": 1 / 10, "pause_past_lease": 1 / 1500}
    world.faults.rates.pop("kill", None)


def zombies_that(kind: str, *tasks: str) -> Callable[[Simulation], None]:
    """Those, and their bodies do this."""

    def tune(world: Simulation) -> None:
        zombies(world)
        world.kinds = {kind: 3, "good": 1}
        world.mix = dict.fromkeys(tasks or ("work", "once"), 1)

    return tune


def many_die(world: Simulation) -> None:
    """Several workers at once, and nobody of their hosts is left to ask the kernel."""
    world.faults.rates = {"kill": 1 / 400}
    world.workers_wanted, world.one_host = 4, False


def lost_answers(*tasks: str) -> Callable[[Simulation], None]:
    """Every few commits the answer is lost."""

    def tune(world: Simulation) -> None:
        world.faults.rates |= {
            "commit_lost_applied": 1 / 8,
            "commit_lost_not_applied": 1 / 8,
            "kill": 1 / 500,
        }
        world.mix = dict.fromkeys(tasks or ("work", "once"), 1)

    return tune


def lost_endings(world: Simulation) -> None:
    """The commit of an ending is not made now and then, and no other: after a lost claim a worker looks at
    what it holds, which would mend it.
    """
    world.faults.rates = {"commit_lost_not_applied": 1 / 4}
    world.faults.lost_in = frozenset({"settle"})
    world.kinds, world.mix = {"good": 1}, {"work": 1}


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug. ``says`` is in what is found; within ``seeds`` seeds it must be.

    ``tune`` makes worlds in which it matters more often.
    """

    what: str
    plant: Callable[[], AbstractContextManager[None]]
    says: str
    seeds: int = 40
    tune: Callable[[Simulation], None] = as_drawn


def sql(**changes: list[Change]) -> Callable[[], AbstractContextManager[None]]:
    """Statements of SQLite that read otherwise."""
    return lambda: planted("sqlite", changes)


def patched(holder: Any, name: str, instead: Any) -> Callable[[], AbstractContextManager[None]]:
    """A name of the product that means something else."""

    @contextmanager
    def plant() -> Iterator[None]:
        whole = getattr(holder, name)
        setattr(holder, name, instead)
        try:
            yield
        finally:
            setattr(holder, name, whole)

    return plant


def both(*plants: Callable[[], AbstractContextManager[None]]) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def plant() -> Iterator[None]:
        first, second = plants
        with first(), second():
            yield

    return plant


# ── what stands in the place of sound code ──────────────────────────────────────────────────


def reads_then_writes(self: Chores) -> None:
    """A reaper that looks who is silent, and takes back what those held, later, by what it saw."""
    engine = self._worker.engine
    silent = [row.id for row in engine.run(workers.live()) if row.beat_at_us < row.now_us - row.lease_us]
    if silent:
        engine.run(workers.lapse(silent, []))


def asks_nobody(self: Settler, batch: list[Ending], lost: list[Ending]) -> list[Ending]:
    """After a commit without an answer: it will have gone well."""
    return []


def gives_up(self: Settler, batch: list[Ending]) -> None:
    """Endings are tried once."""
    try:
        self._on_settled(batch, self._engine.run(settle.settle(batch, self._worker())))
    except Exception:
        self._on_settled(batch, [])


def never_over(endings: Any, worker: int) -> Operation[list[Ending]]:
    """An ending is always acknowledged, whether or not it matched a row."""
    real = REAL_SETTLE(endings, worker)

    def begin() -> Any:
        yield from real.begin()
        return []

    return Operation("settle", begin)


def always_finished(*args: Any, **kwargs: Any) -> Operation[bool]:
    """The work of a run is committed, whether or not the run still owned its job."""
    real = REAL_FINISH(*args, **kwargs)

    def begin() -> Any:
        yield from real.begin()
        return True

    return Operation("finish_work", begin)


def supposes_a_start(self: _Asking, error: Exception) -> float:
    """A start without an answer will have been stored."""
    self.undecided = False
    return 0.0


def another_id(job: NewJob) -> NewJob:
    """An enqueue without an answer is repeated as another job."""
    return replace(job, id=make_id())


def no_audit(verb: str, *about: Any) -> Step:
    """A person's verb leaves no trace."""
    return REAL_LOOK


def always_sends(row: Any, *given: Any) -> Any:
    """An effect that is not done is called, whatever may have become of the calls before."""
    return REAL_DECIDE(row, *given) if row is not None and row.state == "done" else Send(fresh=True)


class Careless(OwnTransaction):
    """An engine that commits after each statement."""

    def execute(self, step: Step, alone: bool) -> Any:
        rows = super().execute(step, alone)
        if not self._reads:
            self.commit()
            self.begin()
        return rows


REAL_SETTLE = settle.settle
REAL_FINISH = works.finish_work
REAL_DECIDE = dutiful.app.effects.decide
REAL_LOOK = next(workers.unreaped().begin())

RECORDED = "j.worker IN (SELECT e.value FROM json_each(:recorded) AS e)"
GONE = "w.id IS NULL OR w.gone_at IS NOT NULL"
LIVENESS = r"\(w\.id IS NULL OR w\.gone_at IS NOT NULL\)"

BUGS = [
    Bug(
        "complete by id, not by token",
        sql(complete_jobs=[(OWN, THEIRS)]),
        "did not hold its token",
        tune=zombies_that("good"),
    ),
    Bug(
        "bury by id, not by token",
        sql(bury_jobs=[(OWN, THEIRS)]),
        "did not hold its token",
        tune=zombies_that("gives up"),
    ),
    Bug(
        "give back by id, not by token",
        sql(return_jobs=[(r"AND j\.token = e\.token", "AND j.token IS NOT NULL")]),
        "did not hold its token",
        tune=zombies_that("snoozes"),
    ),
    Bug(
        "exactly_once: complete by id, not by token",
        sql(
            finish_work=[
                (r"j\.id = :id AND j\.token = :token", "j.id = :id"),
                (r"WHERE id = :id AND token = :token", "WHERE id = :id"),
                (r"\n\s+AND g\.token = :token", ""),
            ]
        ),
        "",
        tune=zombies_that("good", "late"),
        seeds=60,
    ),
    Bug(
        "exactly_once: a run that is over keeps its work",
        patched(works, "finish_work", always_finished),
        "",
        tune=zombies_that("good", "late"),
        seeds=60,
    ),
    Bug(
        "exactly_once: neither the ledger nor the completion knows whose the work is",
        sql(
            begin_work=[
                (
                    r"ON CONFLICT.*?DO NOTHING",
                    "ON CONFLICT (app, task, key, epoch) DO UPDATE SET token = excluded.token",
                )
            ],
            finish_work=[
                (r"j\.id = :id AND j\.token = :token", "j.id = :id"),
                (r"WHERE id = :id AND token = :token", "WHERE id = :id"),
            ],
        ),
        "",
        tune=zombies_that("good", "late"),
        seeds=60,
    ),
    Bug(
        "a reaper reads, then writes",
        both(
            patched(Chores, "reap", reads_then_writes),
            sql(
                lapse_jobs=[(LIVENESS, f"({GONE} OR {RECORDED})")],
                lapse_started=[(LIVENESS, f"({GONE} OR w.beat_at < :now - w.lease)")],
            ),
        ),
        "which lives",
    ),
    Bug(
        "a lapse by age",
        sql(lapse_jobs=[(LIVENESS, "j.claimed_at < :now - 5000000")]),
        "which lives",
    ),
    Bug(
        "a lapse gives no new number",
        sql(lapse_jobs=[(r"ready_seq = CASE WHEN j\.gates.*?dutiful_lost\) END", "ready_seq = j.ready_seq")]),
        "its old place",
    ),
    Bug(
        "a started at_most_once body lapses as if it had not begun",
        sql(
            lapse_jobs=[(r" AND j\.started_at IS NULL", "")],
            lapse_started=[(r"j\.started_at IS NOT NULL", "false")],
        ),
        "",
        tune=zombies_that("good", "most"),
    ),
    Bug("a read-back that guesses", patched(Settler, "_read_back", asks_nobody), "L1", tune=lost_endings),
    Bug("endings are tried once", patched(Settler, "_settle", gives_up), "L1"),
    Bug(
        "an ending is always acknowledged",
        patched(settle, "settle", never_over),
        "was told that",
        tune=zombies_that("good"),
    ),
    Bug(
        "a duty is taken at completion",
        sql(
            enqueue_keyed_job=[
                (
                    r"ON CONFLICT \(app, task, key\) DO NOTHING",
                    "ON CONFLICT (app, task, key) DO UPDATE SET turn = turn + 1",
                )
            ]
        ),
        "",
    ),
    Bug(
        "an enqueue is repeated as another job",
        patched(dutiful.app.app, "repeated", another_id),
        "more than once",
        tune=lost_answers("work", "late"),
    ),
    Bug("a person's verb leaves no trace", patched(people, "note", no_audit), "verify"),
    Bug("a gone worker's beat is taken", sql(beat=[(r" AND gone_at IS NULL", "")]), "L1", tune=zombies),
    Bug(
        "a gone worker claims",
        sql(claim_jobs=[(r" AND o\.gone_at IS NULL", "")]),
        "is gone",
        tune=zombies,
        seeds=60,
    ),
    Bug(
        "a claim keeps the number of the run before",
        sql(claim_jobs=[(r"run_no = run_no \+ 1", "run_no = max(run_no, 1)")]),
        "run_no",
    ),
    Bug(
        "what a lost claim took is not handed back",
        patched(Worker, "_hand_back_lost", lambda self: None),
        "L1",
        tune=lost_answers(),
    ),
    Bug(
        "a brake that never lets go",
        patched(Brake, "may_reap", lambda self, alive, silent, own, now, noted_s=None: silent < 2),
        "L1",
        tune=many_die,
    ),
    Bug(
        "at_most_once: a start without an answer is supposed to be stored",
        patched(_Asking, "failed", supposes_a_start),
        "",
        tune=lost_answers("most"),
        seeds=100,
    ),
    Bug(
        "an effect is called whatever became of the call before",
        patched(dutiful.app.effects, "decide", always_sends),
        "was applied 2 times",
        tune=lost_answers("charge"),
    ),
    Bug(
        "an engine that commits after each statement",
        patched(dutiful.engines.sqlite, "OwnTransaction", Careless),
        "",
    ),
]
