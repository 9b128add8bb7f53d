"""Enqueue against others at work on the same duty: whoever waits, and whatever ends, one job is open."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.errors import DeadlockDetected, SerializationFailure, UniqueViolation

from dutiful.engines.contract import Engine
from dutiful.engines.urls import open_engine
from dutiful.model.errors import JobNotFound, StoreBusy, WrongState
from dutiful.model.jobs import Ending, Enqueued
from dutiful.operations import enqueue, people, settle
from dutiful.operations.plan import Operation
from dutiful.sql import statements
from dutiful.sql.render import render
from tests.contract import lenders
from tests.contract.lenders import Lender
from tests.contract.stores import APP, Run, claim, end, jobs, look, new, opened, store, write

LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
SNAPSHOTS = LEVELS[1:]

levels = pytest.mark.parametrize("level", LEVELS)
snapshots = pytest.mark.parametrize("level", SNAPSHOTS)


@pytest.fixture
def server(postgres_url: str) -> Iterator[Engine]:
    with opened(postgres_url) as engine:
        engine.run(enqueue.one(APP, new("other")))  # the lane is there
        end(engine, "complete")
        yield engine


@contextmanager
def caller(url: str, level: str) -> Iterator[Lender]:
    """A caller in a transaction of that level, which has looked at something already."""
    lender = lenders.psycopg_plain(url)
    try:
        lender.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        lender.execute("SELECT count(*) FROM dutiful.duty")
        yield lender
    finally:
        lender.close()


class Waiting:
    """An enqueue in a thread of its own, on a caller's connection."""

    def __init__(self, engine: Engine, lender: Lender, key: str = "k", **options: Any) -> None:
        self._engine, self._lender = engine, lender
        self._threads = ThreadPoolExecutor(1)
        operation = enqueue.one(APP, new(key, **options))
        self._answer: Future[Enqueued] = self._threads.submit(lender.run, engine, operation)

    def until_it_waits(self) -> None:
        """Until another transaction's lock keeps it."""
        pid = self._lender.lent.info.backend_pid
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not self._answer.done():
            sql = "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s"
            if look(self._engine, sql, pid) == [("Lock",)]:
                return
        pytest.fail("it did not wait")

    def answer(self) -> Enqueued:
        try:
            return self._answer.result(20)
        finally:
            self._threads.shutdown()


def sqlstate(error: BaseException | None) -> str | None:
    """Of the driver's error, in whatever wrapper a library gives it."""
    while error is not None:
        for of in (error, getattr(error, "orig", None)):
            state = getattr(of, "sqlstate", None) or getattr(of, "pgcode", None)
            if state:
                return str(state)
        error = error.__cause__
    return None


# ── one after the other ─────────────────────────────────────────────────────────────────────


@pytest.mark.postgres
@snapshots
@pytest.mark.parametrize("make", lenders.POSTGRES.values(), ids=lenders.POSTGRES)
def test_what_a_snapshot_does_not_show_is_a_serialization_failure(
    server: Engine, level: str, make: Callable[[str], Lender]
) -> None:
    lender = make(server.url)
    lender.begin()
    lender.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
    lender.execute("SELECT count(*) FROM dutiful.duty")
    first = store(server.run, new("k"))

    with pytest.raises(Exception) as failure:
        lender.run(server, enqueue.one(APP, new("k")))

    assert sqlstate(failure.value) == "40001"
    lender.rollback()
    # The caller's second try sees it.
    lender.begin()
    lender.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
    assert lender.run(server, enqueue.one(APP, new("k"))) == Enqueued(first.id, True)
    lender.commit()
    lender.close()
    assert jobs(server) == [first.id]


@pytest.mark.postgres
@levels
def test_who_waited_for_a_commit_does_not_store_a_second_job(server: Engine, level: str) -> None:
    with caller(server.url, level) as first, caller(server.url, level) as second:
        job = first.run(server, enqueue.one(APP, new("k")))
        waiting = Waiting(server, second)
        waiting.until_it_waits()
        first.commit()

        if level == "READ COMMITTED":
            assert waiting.answer() == Enqueued(job.id, True)
        else:
            with pytest.raises(SerializationFailure):
                waiting.answer()
        second.rollback()
    assert jobs(server) == [job.id]


@pytest.mark.postgres
@levels
def test_who_waited_for_a_rollback_stores_the_job(server: Engine, level: str) -> None:
    """P12: with a look and a lock instead of the row, nobody would."""
    with caller(server.url, level) as first, caller(server.url, level) as second:
        first.run(server, enqueue.one(APP, new("k")))
        waiting = Waiting(server, second)
        waiting.until_it_waits()
        first.rollback()

        answer = waiting.answer()
        assert not answer.duplicate
        second.commit()
    assert jobs(server) == [answer.id]


@pytest.mark.postgres
def test_who_waits_too_long_is_told_that_the_duty_is_held(server: Engine) -> None:
    """P15."""
    engine = open_engine(server.url + "?options=-c%20lock_timeout%3D100ms")
    with caller(server.url, "READ COMMITTED") as holder:
        holder.run(server, enqueue.one(APP, new("k")))
        with pytest.raises(StoreBusy):
            store(engine.run, new("k"))
        holder.rollback()
        assert not store(engine.run, new("k")).duplicate
    engine.close()


@pytest.mark.postgres
@levels
@pytest.mark.parametrize("verb", ["complete", "bury"])
def test_an_ending_under_way_is_not_an_ending(server: Engine, level: str, verb: Any) -> None:
    """The enqueue names the job that is still open; when the ending is committed, it goes by that."""
    job = store(server.run, new("k", remember_us=0))
    [lease] = claim(server)
    ending = Ending(verb, lease.job_id, lease.token, lease.run_no, reason="error")
    with caller(server.url, level) as settler, caller(server.url, level) as producer:
        assert settler.run(server, settle.settle([ending], 1)) == []

        assert producer.run(server, enqueue.one(APP, new("k"))) == Enqueued(job.id, True)
        producer.rollback()
        settler.commit()
        fresh = producer.run(server, enqueue.one(APP, new("k")))
        assert not fresh.duplicate
        producer.commit()
    assert jobs(server) == [fresh.id]


@pytest.mark.postgres
@levels
@pytest.mark.parametrize("verb", ["complete", "bury"])
def test_one_of_two_takes_over_what_ended(server: Engine, level: str, verb: Any) -> None:
    store(server.run, new("k", remember_us=0))
    end(server, verb, reason="error")
    with caller(server.url, level) as first, caller(server.url, level) as second:
        job = first.run(server, enqueue.one(APP, new("k")))
        assert not job.duplicate
        waiting = Waiting(server, second)
        waiting.until_it_waits()
        first.commit()

        if level == "READ COMMITTED":
            assert waiting.answer() == Enqueued(job.id, True)
        else:
            with pytest.raises(SerializationFailure):
                waiting.answer()
        second.rollback()
    assert jobs(server) == [job.id]
    assert look(server, "SELECT turn FROM dutiful.duty WHERE key = 'k'") == [(2,)]


@pytest.mark.postgres
@levels
def test_a_duty_that_is_being_freed_is_waited_for(server: Engine, level: str) -> None:
    job = store(server.run, new("k"))
    with caller(server.url, level) as person, caller(server.url, level) as producer:
        person.run(server, people.cancel(APP, job.id, actor="ann"))
        waiting = Waiting(server, producer)
        waiting.until_it_waits()
        person.commit()

        try:
            answer = waiting.answer()
        except SerializationFailure:
            assert level == "SERIALIZABLE"
            producer.rollback()
            answer = producer.run(server, enqueue.one(APP, new("k")))
        assert not answer.duplicate
        producer.commit()
    assert jobs(server) == [answer.id]


# ── all at once ─────────────────────────────────────────────────────────────────────────────

ROUNDS, ROUNDS_MAX = 60, 3_000
ENOUGH = 10
"""So many jobs must be new; where few end in the first rounds, as on a busy machine, more are made."""
PRODUCERS = 4


@contextmanager
def retrying(engine: Engine, level: str) -> Iterator[Run]:
    """A caller who begins a transaction again after a conflict, as everybody must at that level."""
    with psycopg.connect(engine.url) as connection:
        connection.isolation_level = getattr(psycopg.IsolationLevel, level.replace(" ", "_"))

        def run(operation: Operation[Any]) -> Any:
            while True:
                try:
                    answer = engine.bind(connection).run(operation)
                    connection.commit()
                    return answer
                except (SerializationFailure, DeadlockDetected):
                    connection.rollback()
                except BaseException:
                    connection.rollback()
                    raise

        yield run


class Race:
    """Producers store the same two duties, which nobody remembers, while their jobs end in all ways.

    A unique index says at once when two jobs of one duty are open.
    """

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine, self.seed = engine, seed
        self.answers: list[Enqueued] = []
        self._over = threading.Event()
        table = "dutiful.job" if engine.name == "postgres" else "dutiful_job"
        write(engine, f"CREATE UNIQUE INDEX tripwire ON {table} (key)")

    def run(self, producers: list[Run]) -> None:
        with ThreadPoolExecutor(len(producers) + 2) as threads:
            others = [threads.submit(self._settle), threads.submit(self._cancel)]
            try:
                storing = [threads.submit(self._store, run, n) for n, run in enumerate(producers)]
                for producer in storing:
                    producer.result()
            finally:
                self._over.set()
            for other in others:
                other.result()

    def _store(self, run: Run, number: int) -> None:
        chance = random.Random(f"{self.seed} {number}")
        for done in range(ROUNDS_MAX):
            if done >= ROUNDS and sum(not answer.duplicate for answer in self.answers) > ENOUGH:
                return
            options: dict[str, Any] = {"remember_us": 0, "again": chance.choice([None, "why not"])}
            if chance.random() < 0.5:
                self.answers.append(run(enqueue.one(APP, new(chance.choice("kl"), **options))))
            else:
                self.answers += run(enqueue.many(APP, [new(key, **options) for key in ("l", "k")]))

    def _settle(self) -> None:
        chance = random.Random(f"{self.seed} settle")
        while not self._over.is_set():
            for lease in claim(self.engine, chance.randint(1, 2)):
                verb = chance.choice(["complete", "complete", "bury", "fail"])
                ending = Ending(verb, lease.job_id, lease.token, lease.run_no, reason="error")
                assert self.engine.run(settle.settle([ending], 1)) == []

    def _cancel(self) -> None:
        chance = random.Random(f"{self.seed} cancel")
        while not self._over.is_set():
            live = jobs(self.engine)
            if live:
                try:
                    self.engine.run(people.cancel(APP, chance.choice(live), actor="ann"))
                except (JobNotFound, WrongState):
                    pass  # it was claimed, or ended, meanwhile


def _check(race: Race) -> None:
    """Each answer names a job that was stored; each job that was said to be new, was, once."""
    told = [answer.id for answer in race.answers if not answer.duplicate]
    assert len(set(told)) == len(told)
    known = set()
    for table in ("job", "dead", "history"):
        known |= {str(row[0]) for row in look(race.engine, f"SELECT id FROM dutiful.{table}")}
    assert {answer.id for answer in race.answers} <= known
    assert len(told) > ENOUGH, "hardly a race"


@pytest.mark.parametrize("seed", range(2))
def test_a_duty_that_ends_all_the_time_has_one_open_job(store_url: str, seed: int) -> None:
    with opened(store_url) as engine:
        race = Race(engine, seed)
        race.run([engine.run] * PRODUCERS)
        _check(race)


@pytest.mark.postgres
@levels
@pytest.mark.parametrize("seed", range(2))
def test_nor_has_it_in_callers_transactions(postgres_url: str, level: str, seed: int) -> None:
    with opened(postgres_url) as engine, ExitStack() as stack:
        race = Race(engine, seed)
        race.run([stack.enter_context(retrying(engine, level)) for _ in range(PRODUCERS)])
        _check(race)


@pytest.mark.postgres
def test_the_race_sees_a_duty_that_is_taken_over_blindly(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted bug: no compare-and-set on the duty's turn."""
    statement = statements("postgres")["take_over_duty"]
    blind = statement.text.replace("turn = :turn", "(true OR turn = :turn)")
    assert blind != statement.text
    monkeypatch.setitem(
        statements("postgres"), "take_over_duty", msgspec.structs.replace(statement, text=blind)
    )
    render.cache_clear()
    try:
        with opened(postgres_url) as engine, pytest.raises(UniqueViolation):
            for seed in range(20):
                race = Race(engine, seed)
                race.run([engine.run] * PRODUCERS)
                write(engine, "DROP INDEX dutiful.tripwire")
    finally:
        monkeypatch.undo()
        render.cache_clear()


def test_a_duty_that_ended_is_a_new_job_each_time(store_url: str) -> None:
    """The same duty, ended and stored again and again by one producer, is a new job each time."""
    with opened(store_url) as engine:
        for _ in range(20):
            assert not store(engine.run, new("k", remember_us=0)).duplicate
            end(engine, "complete")
        assert look(engine, "SELECT turn FROM dutiful.duty") == [(20,)]
