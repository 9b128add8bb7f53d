"""Jobs of every kind, and what a hand in the tables, or a bug, could do to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dutiful.model.effects import Terms
from dutiful.model.jobs import Lease
from dutiful.operations import doubts, effects, people, starts, works
from tests.contract.stores import APP
from tests.contract.world import World

numbers = itertools.count(1)

OTHER = "018f0000-0000-7000-8000-000000000000"
THIRD = "018f0000-0000-7000-8000-000000000003"
HOUR = 3_600_000_000
TOKEN = "01234567-89ab-cdef-0123-456789abcdef"


# ── one job of each kind ────────────────────────────────────────────────────────────────────


def ready(world: World) -> str:
    return world.keyed()


def claimed(world: World, **options: Any) -> Lease:
    """A job of its own queue, so that no other is claimed in its place."""
    queue = f"q{next(numbers)}"
    world.keyed(queue=queue, **options)
    [lease] = world.claim(queue=queue)
    return lease


def running(world: World) -> str:
    return claimed(world).job_id


def ended(verb: str) -> Callable[[World], str]:
    def make(world: World) -> str:
        lease = claimed(world)
        assert world.end(lease, verb)
        return lease.job_id

    return make


tried, done, dead = ended("fail"), ended("complete"), ended("bury")


def cancelled(world: World) -> str:
    job = world.keyed()
    world.run(people.cancel(APP, job, actor="ann"))
    return job


def retried(way: Callable[[World], str]) -> Callable[[World], str]:
    def make(world: World) -> str:
        job = way(world)
        world.clock.advance(1)
        world.run(people.retry(APP, job, actor="ann"))
        return job

    return make


def of(delivery: str, way: str = "running") -> Callable[[World], str]:
    """A job with this delivery that did no work: running, or ended so."""

    def make(world: World) -> str:
        lease = claimed(world, delivery=delivery)
        assert way == "running" or world.end(lease, way)
        return lease.job_id

    return make


def worked(world: World) -> str:
    """An exactly_once job whose work was committed with its end."""
    lease = claimed(world, delivery="exactly_once")
    work = world.engine.work()
    work.begin()
    assert work.run(works.begin_work(APP, lease))
    assert work.run(works.finish_work(APP, lease, None, elsewhere=False))
    work.commit()
    return lease.job_id


def worked_elsewhere(world: World) -> str:
    """Another database has the work; the ending says which."""
    job = of("exactly_once", "complete")(world)
    world.sql("UPDATE dutiful.history SET reason = 'in books' WHERE id = %s", job)
    return job


def duplicate(world: World) -> str:
    """A job that found its duty done by another."""
    lease = claimed(world, delivery="exactly_once")
    noted(world, "work", lease, doer=OTHER)
    assert world.end(lease, "duplicate", same_as=OTHER)
    return lease.job_id


def noted(world: World, kind: str, lease: Lease, doer: str | None = None) -> None:
    """A row of the ledger, by hand."""
    with unsettled(world):
        world.sql(
            "INSERT INTO dutiful.ledger (app, task, key, epoch, kind, at, run_no, job_id, token)"
            " VALUES (%s, %s, %s, 1, %s, %s, %s, %s, %s)",
            *(APP, lease.task, lease.key, kind, world.clock(), lease.run_no),
            *((doer, TOKEN) if doer else (lease.job_id, lease.token)),
        )


@contextmanager
def unsettled(world: World) -> Iterator[None]:
    """Work without a run's mark, which PostgreSQL's trigger would refuse."""
    if world.engine.name == "postgres":
        world.sql("SET session_replication_role = replica")
    yield
    if world.engine.name == "postgres":
        world.sql("SET session_replication_role = origin")


def began(way: str = "running") -> Callable[[World], str]:
    """An at_most_once job whose body began: running, or ended so."""

    def make(world: World) -> str:
        lease = claimed(world, delivery="at_most_once")
        assert world.run(starts.start(APP, lease)).what == "stored"
        assert way == "running" or world.end(lease, way)
        return lease.job_id

    return make


def cut_off(world: World) -> str:
    """An at_most_once body that was cut off: in doubt."""
    lease = claimed(world, delivery="at_most_once")
    assert world.run(starts.start(APP, lease)).what == "stored"
    assert world.end(lease, "release", started=True)
    return lease.job_id


def reported(world: World) -> str:
    """And it said how it ended, after all."""
    lease = claimed(world, delivery="at_most_once")
    assert world.run(starts.start(APP, lease)).what == "stored"
    assert world.end(lease, "release", started=True)
    assert world.end(lease, "complete", started=True)
    return lease.job_id


def in_doubt(world: World) -> str:
    """An effect of which nobody knows whether it was applied."""
    job = called(False, "doubt")(world)
    world.clock.advance(HOUR)
    return job


def decided(way: Callable[[World], str], verb: str, **options: Any) -> Callable[[World], str]:
    """A person said what became of it."""

    def make(world: World) -> str:
        job = way(world)
        world.run(getattr(doubts, verb)(APP, job, actor="ann", reason="looked", **options))
        world.clock.advance(1)
        return job

    return make


def called(settle: bool = True, way: str = "running") -> Callable[[World], str]:
    """A job that called the world outside."""

    def make(world: World) -> str:
        lease = claimed(world)
        whose = effects.Caller(APP, lease.task, str(lease.key), "pay", "k", lease.job_id, lease.token)
        assert world.run(effects.intend(whose, Terms.of("pay"), None)) == 1
        assert not settle or world.run(effects.settle(whose, 1, b"{}"))
        assert way == "running" or world.end(lease, way)
        return lease.job_id

    return make


def failure(run_no: str, table: str = "job") -> str:
    """An INSERT that says that a run of the job failed."""
    return (
        "INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, kind, message)"
        f" SELECT id, {run_no}, 0, 1, 'Strange', '' FROM dutiful.{table} WHERE id = %s"
    )


def once_more() -> str:
    """An INSERT of another job's ending, for the same duty and epoch."""
    names = (
        "finished_at, lane, run_at, enqueued_at, claimed_at, run_no, attempt, epoch, args_version, crashes,"
        " crashes_max, state, outcome, delivery, task, key, args, reason"
    )
    return (
        f"INSERT INTO dutiful.history (id, last_token, {names}) SELECT '{THIRD}', '{TOKEN}', {names}"
        " FROM dutiful.history WHERE id = %s"
    )


def copied(source: str, target: str) -> str:
    """An INSERT that copies a job's row into another of the three tables."""
    names = (
        "id, lane, run_at, enqueued_at, claimed_at, run_no, attempt, epoch, args_version, crashes,"
        " crashes_max, delivery, task, key, args, last_token"
    )
    more = {
        "job": ("state, ready_seq", "'ready', NULL"),
        "dead": ("died_at, reason", "1, 'error'"),
        "history": ("finished_at, state, outcome", "1, 'done', 'performed'"),
    }[target]
    return (
        f"INSERT INTO dutiful.{target} ({names}, {more[0]}) SELECT {names}, {more[1]}"
        f" FROM dutiful.{source} WHERE id = %s"
    )


def sets(table: str, key: str = "id") -> Callable[[str], str]:
    return lambda change: f"UPDATE dutiful.{table} SET {change} WHERE {key} = %s"


in_job, in_dead, in_history = sets("job"), sets("dead"), sets("history")
in_ledger, in_effect, in_duty = sets("ledger", "job_id"), sets("effect", "job_id"), sets("duty", "job_id")
UNNOTED = "DELETE FROM dutiful.ledger WHERE job_id = %s"
UNENDED = "DELETE FROM dutiful.history WHERE id = %s"
UNAUDITED = "DELETE FROM dutiful.audit WHERE subject = %s"
CLOSED = (
    "UPDATE dutiful.worker SET gone_at = 1, gone_how = 'left', reaped_at = 1"
    " WHERE id = (SELECT j.worker FROM dutiful.job AS j WHERE j.id = %s)"
)

# (name, the job, the invariant that names it, statements about it)
# fmt: off
BROKEN: list[tuple[str, Callable[[World], str], str, list[str]]] = [
    ("worked by another run", worked, "I1", [in_ledger(f"token = '{TOKEN}'")]),
    ("worked twice elsewhere", worked_elsewhere, "I1", [once_more()]),
    ("began, and no ledger", began(), "I2", [UNNOTED]),
    ("died begun, and no ledger", began("bury"), "I2", [UNNOTED]),
    ("done begun, and no ledger", began("complete"), "I2", [UNNOTED]),
    ("in doubt, and no ledger", cut_off, "I2", [UNNOTED]),
    ("reported, and no ledger", reported, "I2", [UNNOTED]),
    ("done, and never begun", began("complete"), "I2", [in_history("started_at = NULL")]),
    ("begun unsaid", began(), "I2", [in_job("started_at = NULL")]),
    ("begun by another run", began(), "I2", [in_ledger(f"token = '{TOKEN}'")]),
    ("begun, and ready", of("at_most_once", "fail"), "I2", [in_job("started_at = 1")]),
    ("begun, and returned", began(), "I2",
     [in_job("state = 'ready', last_token = token, token = NULL, worker = NULL, started_at = NULL")]),
    ("done by no run", done, "I4", [in_history("run_no = 0, attempt = 0")]),
    ("done with no token", done, "I4", [in_history("last_token = NULL")]),
    ("a duplicate of nothing", done, "I4", [in_history("outcome = 'duplicate'")]),
    ("a duplicate of another", duplicate, "I4", [in_history(f"same_as = '{THIRD}'")]),
    ("a duplicate of nobody's work", duplicate, "I4", [in_history("key = 'another'")]),
    ("a failure while it runs", running, "I5", [failure("run_no")]),
    ("a failure of no run", ready, "I5", [failure("run_no + 1")]),
    ("a failure after the last run", dead, "I5", [failure("run_no + 1", "dead")]),
    ("failed and performed", done, "I5", [failure("run_no", "history")]),
    ("running for a closed worker", running, "I5", [CLOSED]),
    ("performed, and no work", worked, "I6", [UNNOTED]),
    ("worked and died", worked, "I6", [copied("history", "dead"), UNENDED]),
    ("worked and live", worked, "I6", [copied("history", "job"), UNENDED]),
    ("worked and cancelled", worked, "I6", [in_history("state = 'cancelled', outcome = NULL")]),
    ("more tries than runs, dead", dead, "I7", [in_dead("attempt = 5")]),
    ("more tries than runs, done", done, "I7", [in_history("attempt = 5")]),
    ("runs counted back", retried(cancelled), "I7", [in_history("run_no = 7")]),
    ("a duty without a row", ready, "I8", ["DELETE FROM dutiful.duty WHERE job_id = %s"]),
    ("a duty of another", ready, "I8", [in_duty(f"job_id = '{OTHER}'")]),
    ("running with no token", running, "I9", [in_job("token = NULL")]),
    ("ready with a token", ready, "I9", [in_job(f"token = '{TOKEN}'")]),
    ("running for nobody", running, "I9", [in_job("worker = NULL")]),
    ("running uncounted", running, "I9", [in_job("run_no = 0, attempt = 0")]),
    ("tried, token lost", tried, "I9", [in_job("last_token = NULL")]),
    ("dead, token lost", dead, "I9", [in_dead("last_token = NULL")]),
    ("done, token lost", done, "I9", [in_history("last_token = NULL")]),
    ("in doubt, token lost", cut_off, "I9", [in_job("last_token = NULL")]),
    ("in doubt about nothing", running, "I9", [in_job("doubt = 'why', doubt_at = 1")]),
    ("in doubt for no reason", tried, "I9", [in_job("state = 'in_doubt'")]),
    ("back from the dead", retried(dead), "I12", [UNAUDITED]),
    ("back from an ending", retried(cancelled), "I12", [UNAUDITED]),
    ("waived by nobody", decided(dead, "waive"), "I12", [UNAUDITED]),
    ("a doubt waived by nobody", decided(cut_off, "waive"), "I12", [UNAUDITED]),
    ("confirmed by nobody", decided(cut_off, "confirm"), "I12", [UNAUDITED]),
    ("refuted by nobody", decided(cut_off, "refute", accept_risk=True), "I12", [UNAUDITED]),
    ("an effect resumed by nobody", decided(in_doubt, "resume"), "I12", [UNAUDITED]),
    ("an effect refuted by nobody", decided(in_doubt, "refute", accept_risk=True), "I12", [UNAUDITED]),
    ("begun again by nobody", retried(began("bury")), "I12", [UNAUDITED]),
    ("reported by nobody", reported, "I12", [in_history("reason = NULL")]),
    ("settled, and open", called(False), "I15", [in_effect("settled_at = 1")]),
    ("called by no run", called(), "I15", [in_effect("tries = 0")]),
    ("settled before it was intended", called(), "I15", [in_effect("asked_at = asked_at + 86400000000")]),
    ("calls miscounted", called(False), "I15", [in_effect("calls_open = 2")]),
    ("refused and applied", called(), "I15", [in_effect("state = 'refused'")]),
    ("called by a later run", called(way="fail"), "I15", [in_effect("run_no = 2")]),
    ("called by a run after the last", called(way="complete"), "I15", [in_effect("run_no = 2")]),
    ("called by another", called(way="bury"), "I15", [in_effect(f"token = '{TOKEN}'")]),
    ("the ledger's run changed", worked, "I16", [in_ledger("run_no = 9")]),
    ("the ledger's kind changed", began("complete"), "I16", [in_ledger("kind = 'work'")]),
    ("live and dead", dead, "place", [copied("dead", "job")]),
    ("live and done", done, "place", [copied("history", "job")]),
    ("dead and done", done, "place", [copied("history", "dead")]),
    ("done twice", done, "place", [copied("history", "history")]),
    ("no lane, live", ready, "lane", [in_job("lane = 999")]),
    ("no lane, dead", dead, "lane", [in_dead("lane = 999")]),
    ("no lane, done", done, "lane", [in_history("lane = 999")]),
    ("running, never ready", running, "ready", [in_job("ready_seq = NULL")]),
    ("a number not given", ready, "ready", [in_job("ready_seq = 1000000")]),
    ("an unknowing gate", ready, "ready", [in_job("gate = 1, ready_seq = NULL")]),
]
# fmt: on
