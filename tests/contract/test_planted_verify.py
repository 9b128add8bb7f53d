"""Planted bugs: what deliveries rest on is broken in our SQL, and verify names the invariant and the job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from dutiful.model.effects import Terms
from dutiful.model.jobs import Lease
from dutiful.operations import doubts, effects, starts, workers
from dutiful.sql import EngineName
from tests.contract.broken import HOUR, claimed, cut_off, in_doubt
from tests.contract.deliveries import work
from tests.contract.planting import Change, planted
from tests.contract.stores import APP
from tests.contract.world import LEASE, RAISED, World, world_at

ANN: Any = {"actor": "ann", "reason": "looked"}


# ── what is done; each returns the job that must be named ───────────────────────────────────


def again(world: World, before: Lease, delivery: str) -> Lease:
    """Another job of the duty that this one had, its row forgotten meanwhile."""
    world.sql("DELETE FROM dutiful.duty WHERE key = %s", before.key)
    world.enqueue(before.key, queue="again", delivery=delivery)
    [lease] = world.claim(queue="again")
    return lease


def a_duty_worked_twice(world: World) -> str:
    one = claimed(world, delivery="exactly_once")
    assert work(world, one)
    second = again(world, one, "exactly_once")
    work(world, second)
    return second.job_id


def a_job_that_works(world: World) -> str:
    lease = claimed(world, delivery="exactly_once")
    work(world, lease)
    return lease.job_id


def a_duty_begun_twice(world: World) -> str:
    one = claimed(world, delivery="at_most_once")
    assert world.run(starts.start(APP, one)).what == "stored"
    assert world.end(one, "complete", started=True)
    second = again(world, one, "at_most_once")
    if world.run(starts.start(APP, second)).what == "stored":
        world.end(second, "complete", started=True)
    return second.job_id


def a_body_handed_back(world: World) -> str:
    lease = claimed(world, delivery="at_most_once")
    assert world.run(starts.start(APP, lease)).what == "stored"
    world.end(lease, "release")
    return lease.job_id


def a_body_that_begins(world: World) -> str:
    lease = claimed(world, delivery="at_most_once")
    world.run(starts.start(APP, lease))
    world.end(lease, "complete", started=True)
    return lease.job_id


def a_duplicate(world: World) -> str:
    one = claimed(world, delivery="exactly_once")
    assert work(world, one)
    second = again(world, one, "exactly_once")
    assert world.end(second, "duplicate", same_as=one.job_id)
    return second.job_id


def a_lapse(world: World) -> str:
    gone = world.worker()
    world.keyed(queue="lapses")
    [lease] = world.claim(gone, queue="lapses")
    world.die(gone)
    return lease.job_id


def a_worker_long_gone(world: World) -> str:
    job = a_lapse(world)
    world.clock.advance(2 * LEASE)
    world.run(workers.lapse())
    return job


def a_body_cut_off(world: World) -> str:
    lease = claimed(world, delivery="at_most_once")
    assert world.run(starts.start(APP, lease)).what == "stored"
    world.end(lease, "release", started=True)
    return lease.job_id


def waived(world: World) -> str:
    lease = claimed(world)
    assert world.end(lease, "bury")
    world.run(doubts.waive(APP, lease.job_id, **ANN))
    return lease.job_id


def confirmed(world: World) -> str:
    job = cut_off(world)
    world.run(doubts.confirm(APP, job, **ANN))
    return job


def refuted(world: World) -> str:
    job = cut_off(world)
    world.run(doubts.refute(APP, job, accept_risk=True, **ANN))
    return job


def resumed(world: World) -> str:
    job = in_doubt(world)
    world.run(doubts.resume(APP, job, **ANN))
    return job


def reported(world: World) -> str:
    lease = claimed(world, delivery="at_most_once")
    assert world.run(starts.start(APP, lease)).what == "stored"
    assert world.end(lease, "release", started=True)
    assert world.end(lease, "complete", started=True)
    return lease.job_id


def called_twice(world: World) -> str:
    lease = claimed(world)
    whose = effects.Caller(APP, lease.task, str(lease.key), "pay", "k", lease.job_id, lease.token)
    terms = Terms.of("pay", remembered="24h")
    assert world.run(effects.intend(whose, terms, None)) == 1
    world.clock.advance(HOUR)
    seen = world.run(effects.look(whose)).row
    world.run(effects.intend(whose, terms, seen, fresh=False))
    return lease.job_id


def refused_by_the_other_side(world: World) -> str:
    lease = claimed(world)
    whose = effects.Caller(APP, lease.task, str(lease.key), "pay", "k", lease.job_id, lease.token)
    assert world.run(effects.intend(whose, Terms.of("pay"), None)) == 1
    world.run(effects.end_call(whose, 1, "no", refused=True))
    assert world.end(lease, "fail", failure=RAISED)
    return lease.job_id


# ── what is broken ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Plant:
    name: str
    invariant: str
    act: Callable[[World], str]
    postgres: dict[str, list[Change]]
    sqlite: dict[str, list[Change]]


def both(name: str, invariant: str, act: Callable[[World], str], **changes: list[Change]) -> Plant:
    """A line that reads alike on both engines."""
    return Plant(name, invariant, act, changes, changes)


NO_CONFLICT = (r"DO NOTHING", "DO UPDATE SET result = NULL")
NO_LEDGER = {
    "postgres": [(r"USING dutiful\.ledger AS g\s+(WHERE [^\n]*)\n\s+AND g\.app.*?(?=\n\s+RETURNING)", r"\1")],
    "sqlite": [(r"AND EXISTS \(SELECT 1 FROM main\.dutiful_ledger.*?g\.token = :token\)", "")],
}
UNAUDITED = [(r"VALUES \((.*)\)", r"SELECT \1 WHERE :verb = 'nothing'")]

PLANTS = [
    Plant(
        "a conflict in the ledger that is passed over",
        "I1",
        a_duty_worked_twice,
        {"begin_work": [NO_CONFLICT], "finish_work": NO_LEDGER["postgres"]},
        {"begin_work": [NO_CONFLICT], "finish_work": NO_LEDGER["sqlite"]},
    ),
    Plant(
        "a start that is another run's",
        "I2",
        a_duty_begun_twice,
        {
            "start_job": [
                (r" AND g\.token = :token::uuid\n", "\n"),
                (r"(ARRAY\[m\.id\]\)) AND j\.token = o\.token", r"\1"),
            ]
        },
        {"start_job": [(r"\s+AND g\.token = :token\)", ")")]},
    ),
    both(
        "a begun body that is run again",
        "I2",
        a_body_handed_back,
        return_jobs=[(r" AND j\.started_at IS NULL", "")],
    ),
    Plant(
        "a start that is not in the ledger",
        "I2",
        a_body_that_begins,
        {
            "start_job": [
                (r"(FROM mine AS m)\s+ON CONFLICT", r"\1 WHERE false ON CONFLICT"),
                (
                    r"FROM mine AS m, own AS o\s+WHERE (.*ARRAY\[m\.id\]\)) AND j\.token = o\.token",
                    r"FROM mine AS m WHERE \1",
                ),
            ]
        },
        {
            "start_job": [
                (r"(WHERE j\.id = :id AND j\.token = :token)\s+ON CONFLICT", r"\1 AND false ON CONFLICT"),
                (r"AND EXISTS \(.*?\)\s+RETURNING", "RETURNING"),
            ]
        },
    ),
    Plant(
        "a duplicate of nobody",
        "I4",
        a_duplicate,
        {"complete_jobs": [(r"AS outcome, e\.same_as", "AS outcome, NULL::uuid AS same_as")]},
        {"complete_jobs": [(r"json_extract\(e\.value, '\$\.same_as'\)", "NULL")]},
    ),
    Plant(
        "a lapse that is noted and not done",
        "I5",
        a_lapse,
        {
            "lapse_jobs": [
                (r"SET state = 'ready', last_token = j\.token, token = NULL, worker = NULL,", "SET")
            ]
        },
        {
            "lapse_jobs": [
                (r"SET state = 'ready', last_token = j\.token, token = NULL, worker = NULL,", "SET")
            ]
        },
    ),
    both(
        "a gone worker's row that is closed over its jobs",
        "I5",
        a_worker_long_gone,
        lapse_jobs=[(r"LIMIT 1000", "LIMIT 0")],
        close_reaped=[(r"\s+AND NOT EXISTS \(.*\)", "")],
    ),
    Plant(
        "work under another key than the duty's",
        "I6",
        a_job_that_works,
        {"begin_work": [(r":key,", ":key || '?',")], "finish_work": NO_LEDGER["postgres"]},
        {"begin_work": [(r":key,", ":key || '?',")], "finish_work": NO_LEDGER["sqlite"]},
    ),
    Plant(
        "work that leaves its job",
        "I6",
        a_job_that_works,
        {
            "finish_work": [
                (
                    r"DELETE FROM dutiful\.job AS j\s+USING (.*?)\s+RETURNING j\.\*",
                    r"SELECT j.* FROM dutiful.job AS j, \1",
                ),
            ]
        },
        {"finish_work": [(r"DELETE FROM main\.dutiful_job", "UPDATE main.dutiful_job SET lane = lane")]},
    ),
    both(
        "a doubt that loses the run's token",
        "I9",
        a_body_cut_off,
        doubt_jobs=[(r"last_token = j\.token", "last_token = NULL")],
    ),
    both("a waiver without an audit row", "I12", waived, add_audit=UNAUDITED),
    both("a confirmation without an audit row", "I12", confirmed, add_audit=UNAUDITED),
    both("a refutation without an audit row", "I12", refuted, add_audit=UNAUDITED),
    both("a resumption without an audit row", "I12", resumed, add_audit=UNAUDITED),
    both("a report that does not say what it is", "I12", reported, complete_jobs=[("'reported'", "NULL")]),
    both(
        "a call that is not counted",
        "I15",
        called_twice,
        resend_effect=[(r"tries = e\.tries \+ 1", "tries = e.tries")],
    ),
    Plant(
        "a call by a run that is not yet there",
        "I15",
        called_twice,
        {"intend_effect": [(r"m\.run_no", "m.run_no + 1")], "resend_effect": [(r"run_no = m\.run_no,", "")]},
        {"intend_effect": [(r"j\.run_no", "j.run_no + 1")], "resend_effect": [(r"run_no = m\.run_no,", "")]},
    ),
    Plant(
        "a refusal that stays a call",
        "I15",
        refused_by_the_other_side,
        {"end_call": [(r"calls_open = e\.calls_open - :refused::integer", "calls_open = e.calls_open")]},
        {"end_call": [(r"calls_open = calls_open - :refused", "calls_open = calls_open")]},
    ),
    both(
        "a ledger that names another run",
        "I16",
        a_job_that_works,
        begin_work=[(r":run_no,", ":run_no + 1,")],
    ),
]

CASES = [
    pytest.param(plant, engine, id=f"{plant.name}-{engine}")
    for plant in PLANTS
    for engine in ("postgres", "sqlite")
]


@pytest.fixture
def world(engine: EngineName, request: pytest.FixtureRequest) -> Iterator[World]:
    name = {"postgres": "reused_postgres_url", "sqlite": "sqlite_url"}[engine]
    with world_at(request.getfixturevalue(name)) as world:
        yield world


@pytest.mark.parametrize(("plant", "engine"), CASES)
def test_a_planted_bug_is_named_with_its_job(plant: Plant, engine: EngineName, world: World) -> None:
    with planted(engine, getattr(plant, engine)):
        job = plant.act(world)
    named = {(one.invariant, row["id"]) for one in world.verify() for row in one.rows}
    assert (plant.invariant, job) in named, named


@pytest.mark.parametrize("engine", ["postgres", "sqlite"])
def test_without_a_bug_nothing_is_named(engine: EngineName, world: World) -> None:
    for act in dict.fromkeys(plant.act for plant in PLANTS):
        act(world)
        if act is a_duty_begun_twice or act is a_duty_worked_twice:  # the second waits, its duty done
            world.sql("DELETE FROM dutiful.job WHERE state = 'running'")
        assert world.verify() == [], act.__name__
