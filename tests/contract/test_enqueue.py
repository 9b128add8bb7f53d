"""Enqueue, on every engine and through both faces: each duty once, and what a second request is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from dutiful.engines.contract import Engine, host_now
from dutiful.model.errors import KeyReused, SchemaMissing
from dutiful.model.ids import make_ids
from dutiful.model.jobs import REMEMBER_US, Enqueued
from dutiful.operations import audit, enqueue
from tests.contract.stores import (
    APP,
    SECOND,
    Clock,
    Run,
    claim,
    end,
    face,
    jobs,
    look,
    new,
    opened,
    store,
    store_many,
    write,
)

DAY = 86_400 * SECOND


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    with opened(store_url) as engine:
        yield engine


@pytest.fixture(params=["run", "arun"])
def run(engine: Engine, request: pytest.FixtureRequest) -> Run:
    return face(engine, request.param)


@pytest.fixture
def clock(engine: Engine) -> Clock:
    engine.clock = Clock()
    return engine.clock


def duty(engine: Engine) -> tuple[str, int, int, str]:
    """The one duty row: whose it is, its epoch, its turn, its arguments' hash."""
    [row] = look(engine, "SELECT job_id, epoch, turn, args_hash FROM dutiful.duty")
    return str(row[0]), row[1], row[2], row[3]


# ── one job, no key ─────────────────────────────────────────────────────────────────────────


def test_a_job_is_stored_as_it_was_given(run: Run, engine: Engine, clock: Clock) -> None:
    job = new(queue="mail", priority=-7, args='{"é":"\\u0000%s:now"}', args_version=3, crashes_max=5)

    assert store(run, job) == Enqueued(job.id, False)

    [row] = look(
        engine,
        "SELECT j.id, l.app, l.queue, l.priority, j.task, j.args, j.args_version, j.crashes_max, j.state,"
        " j.run_at, j.enqueued_at, j.delivery, j.key, j.run_no, j.attempt, j.epoch"
        " FROM dutiful.job AS j JOIN dutiful.lane AS l ON l.id = j.lane",
    )
    at = clock.at_us
    lane = (APP, "mail", -7)
    assert (str(row[0]), *row[1:]) == (
        *(job.id, *lane, "send", job.args, 3, 5, "ready", at, at, "at_least_once", None, 0, 0, 1),
    )


def test_the_second_job_of_a_lane_uses_the_lane_of_the_first(run: Run, engine: Engine) -> None:
    for _ in range(2):
        store(run, new(queue="mail", priority=5))
    store(run, new(queue="mail", priority=6))
    store_many(run, [new(queue="mail", priority=5), new(queue="other")])

    lanes = look(engine, "SELECT queue, priority FROM dutiful.lane ORDER BY queue, priority")
    assert lanes == [("mail", 5), ("mail", 6), ("other", 0)]
    assert len(jobs(engine)) == 5


def test_a_job_is_due_at_once_or_waits(run: Run, engine: Engine, clock: Clock) -> None:
    now, later, before = new(), new(delay_us=5 * SECOND), new(run_at_us=clock.at_us - 3 * SECOND)
    then = new(run_at_us=clock.at_us + 9 * SECOND, key="then")
    for job in (now, later):
        store(run, job)
    store_many(run, [before, then])

    rows = look(engine, "SELECT id, run_at, ready_seq IS NOT NULL FROM dutiful.job")
    at = clock.at_us
    assert {str(id): (run_at - at, bool(ready)) for id, run_at, ready in rows} == {
        now.id: (0, True),
        later.id: (5 * SECOND, False),
        before.id: (-3 * SECOND, True),
        then.id: (9 * SECOND, False),
    }


def test_without_a_test_clock_the_instants_are_the_databases(run: Run, engine: Engine) -> None:
    before = host_now()
    store(run, new(delay_us=SECOND))

    [(enqueued_at, run_at)] = look(engine, "SELECT enqueued_at, run_at FROM dutiful.job")
    assert before <= enqueued_at <= host_now()  # of this very machine
    assert run_at == enqueued_at + SECOND


# ── the same id again ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("key", [None, "k"])
def test_a_repeated_id_is_the_same_job_while_that_is_live(run: Run, engine: Engine, key: str | None) -> None:
    job = new(key)
    assert store(run, job) == Enqueued(job.id, False)

    again = replace(job, repeated=True)
    assert store(run, again) == Enqueued(job.id, True)
    assert store_many(run, [again, new()])[0] == Enqueued(job.id, True)
    claim(engine, 1)
    assert store(run, again) == Enqueued(job.id, True)
    assert jobs(engine).count(job.id) == 1


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("verb", ["complete", "bury"])
def test_a_repeated_id_does_not_run_again_what_ended(
    run: Run, engine: Engine, verb: str, key: str | None
) -> None:
    job = new(key)
    store(run, job)
    end(engine, verb, reason="error" if verb == "bury" else "")

    again = replace(job, repeated=True)
    assert store(run, again) == Enqueued(job.id, True)
    other = new()
    assert store_many(run, [again, other]) == [Enqueued(job.id, True), Enqueued(other.id, False)]
    assert jobs(engine) == [other.id]


def test_a_repeated_id_that_was_cancelled_leaves_its_duty_to_others(run: Run, engine: Engine) -> None:
    from dutiful.operations import people

    job = new("k")
    store(run, job)
    engine.run(people.cancel(APP, job.id, actor="ann", reason="no"))

    again = replace(job, repeated=True)
    assert store(run, again) == Enqueued(job.id, True)
    assert store_many(run, [again]) == [Enqueued(job.id, True)]
    assert look(engine, "SELECT * FROM dutiful.duty") == []
    other = new("k")
    assert store(run, other) == Enqueued(other.id, False)
    assert jobs(engine) == [other.id]


def test_an_id_that_is_twice_in_a_batch_is_one_job(run: Run, engine: Engine) -> None:
    for job in (new(), new("k")):
        first, second = store_many(run, [job, replace(job, repeated=True)])
        assert (first, second) == (Enqueued(job.id, False), Enqueued(job.id, True))
    assert len(jobs(engine)) == 2


# ── duties ──────────────────────────────────────────────────────────────────────────────────


def test_a_second_enqueue_of_a_duty_names_the_first_job(run: Run, engine: Engine) -> None:
    job = new("k")
    assert store(run, job) == Enqueued(job.id, False)

    assert store(run, new("k")) == Enqueued(job.id, True)
    assert store_many(run, [new("k"), new("k")]) == [Enqueued(job.id, True)] * 2
    claim(engine)
    assert store(run, new("k")) == Enqueued(job.id, True)
    assert jobs(engine) == [job.id]


def test_a_key_belongs_to_one_task_of_one_app(run: Run, engine: Engine) -> None:
    for job in (new("k"), new("k", task="bill"), new("l")):
        assert not store(run, job).duplicate
    assert not run(enqueue.one("bakery", new("k"))).duplicate
    assert len(jobs(engine)) == 4


def test_a_key_twice_in_a_batch_is_one_job(run: Run, engine: Engine) -> None:
    first, other, second = new("k"), new(), new("k")

    answers = store_many(run, [first, other, second])

    assert answers == [Enqueued(first.id, False), Enqueued(other.id, False), Enqueued(first.id, True)]
    assert jobs(engine) == sorted([first.id, other.id])


@pytest.mark.parametrize("state", ["ready", "running", "done"])
def test_other_arguments_are_refused_and_the_job_is_named(run: Run, engine: Engine, state: str) -> None:
    job = new("k")
    store(run, job)
    if state == "running":
        claim(engine)
    elif state == "done":
        end(engine, "complete")
    before = look(engine, "SELECT * FROM dutiful.duty")

    for attempt in (lambda: store(run, new("k", "{}")), lambda: store_many(run, [new("k", "{}")])):
        with pytest.raises(KeyReused) as refusal:
            attempt()
        assert (refusal.value.key, refusal.value.task, refusal.value.job_id) == ("k", "send", job.id)
    assert look(engine, "SELECT * FROM dutiful.duty") == before
    assert len(jobs(engine)) == (0 if state == "done" else 1)


def test_a_batch_with_a_reused_key_stores_nothing_at_all(run: Run, engine: Engine) -> None:
    store(run, new("k"))
    before = [look(engine, f"SELECT * FROM dutiful.{table}") for table in ("job", "duty", "lane")]

    with pytest.raises(KeyReused):
        store_many(run, [new(queue="fresh"), new("a"), *(new() for _ in range(1200)), new("k", "{}")])
    with pytest.raises(KeyReused):  # within one batch
        store_many(run, [new("b"), new("b", "{}")])

    after = [look(engine, f"SELECT * FROM dutiful.{table}") for table in ("job", "duty", "lane")]
    assert after == before


@pytest.mark.parametrize("state", ["ready", "running", "done"])
def test_keep_accepts_the_first_arguments(run: Run, engine: Engine, state: str) -> None:
    job = new("k", '{"n":1}')
    store(run, job)
    if state == "running":
        claim(engine)
    elif state == "done":
        end(engine, "complete")

    assert store(run, new("k", '{"n":2}', on_duplicate="keep")) == Enqueued(job.id, True)
    batch = [new("k", '{"n":3}', on_duplicate="keep"), new("l"), new("l", "{}", on_duplicate="keep")]
    assert [answer.duplicate for answer in store_many(run, batch)] == [True, False, True]
    rows = look(engine, "SELECT args FROM dutiful.job WHERE key = 'k'")
    assert rows == ([] if state == "done" else [(b'{"n":1}',)])


def test_replace_rewrites_a_job_that_nobody_has_begun(run: Run, engine: Engine) -> None:
    job = new("k", '{"n":1}')
    store(run, job)

    assert store(run, new("k", '{"n":2}', args_version=2, on_duplicate="replace")) == Enqueued(job.id, True)
    assert look(engine, "SELECT args, args_version FROM dutiful.job") == [(b'{"n":2}', 2)]
    assert store_many(run, [new("k", '{"n":3}', on_duplicate="replace")]) == [Enqueued(job.id, True)]
    assert look(engine, "SELECT args FROM dutiful.job") == [(b'{"n":3}',)]
    assert duty(engine)[3] == '{"n":3}'
    # The new arguments are the duty's now.
    assert store(run, new("k", '{"n":3}')).duplicate
    with pytest.raises(KeyReused):
        store(run, new("k", '{"n":1}'))


def test_replace_within_a_batch_keeps_the_last_arguments(run: Run, engine: Engine) -> None:
    first, last = new("k", '{"n":1}'), new("k", '{"n":2}', args_version=2, on_duplicate="replace")

    assert store_many(run, [first, last]) == [Enqueued(first.id, False), Enqueued(first.id, True)]
    assert look(engine, "SELECT args, args_version FROM dutiful.job") == [(b'{"n":2}', 2)]
    assert duty(engine)[3] == '{"n":2}'


@pytest.mark.parametrize("state", ["running", "done"])
def test_replace_does_not_reach_what_has_begun(run: Run, engine: Engine, state: str) -> None:
    job = new("k", '{"n":1}')
    store(run, job)
    if state == "running":
        claim(engine)
    else:
        end(engine, "complete")

    with pytest.raises(KeyReused) as refusal:
        store(run, new("k", '{"n":2}', on_duplicate="replace"))
    assert refusal.value.job_id == job.id
    assert duty(engine)[3] == '{"n":1}'


# ── done, forgotten, once more ──────────────────────────────────────────────────────────────


def test_a_done_duty_is_remembered_for_its_time(run: Run, engine: Engine, clock: Clock) -> None:
    job = new("k")
    store(run, job)
    clock.advance(DAY)  # remember counts from the end, not from the enqueue
    end(engine, "complete")
    clock.advance(REMEMBER_US - 1)
    assert store(run, new("k")) == Enqueued(job.id, True)

    clock.advance(1)
    other = new("k", "{}")
    assert store(run, other) == Enqueued(other.id, False)
    assert duty(engine) == (other.id, 1, 2, "{}")
    assert jobs(engine) == [other.id]


def test_how_long_a_duty_is_remembered_was_said_at_its_enqueue(
    run: Run, engine: Engine, clock: Clock
) -> None:
    store(run, new("k", remember_us=60 * SECOND))
    end(engine, "complete")
    clock.advance(60 * SECOND - 1)
    assert store_many(run, [new("k", remember_us=0)])[0].duplicate

    clock.advance(1)
    assert not store_many(run, [new("k", remember_us=0)])[0].duplicate
    end(engine, "complete")
    assert not store(run, new("k")).duplicate


def test_a_duty_is_remembered_beyond_its_history(run: Run, engine: Engine, clock: Clock) -> None:
    job = new("k")
    store(run, job)
    end(engine, "complete")
    write(engine, "UPDATE dutiful.duty SET done_at = %s", clock.at_us)  # as pruning does
    write(engine, "DELETE FROM dutiful.history")
    clock.advance(REMEMBER_US - 1)
    assert store(run, new("k")) == Enqueued(job.id, True)

    clock.advance(1)
    assert not store(run, new("k")).duplicate


def test_again_opens_the_next_epoch_and_is_audited(run: Run, engine: Engine) -> None:
    first = new("k")
    store(run, first)
    # While the job is open, there is nothing to do again.
    assert store(run, new("k", again="the printer was on fire", actor="ann")) == Enqueued(first.id, True)
    assert look(engine, "SELECT * FROM dutiful.audit") == []
    end(engine, "complete")

    second = new("k", '{"n":2}', again="the printer was on fire", actor="ann")
    assert store(run, second) == Enqueued(second.id, False)

    assert duty(engine) == (second.id, 2, 2, '{"n":2}')
    assert look(engine, "SELECT epoch FROM dutiful.job") == [(2,)]
    [entry] = run(audit.of(second.id))
    assert entry | {"at": 0} == {
        "at": 0,
        "actor": "ann",
        "verb": "again",
        "before": "performed",
        "after": "epoch 2",
        "reason": "the printer was on fire",
    }
    end(engine, "complete")
    assert not store_many(run, [new("k", again="once more")])[0].duplicate
    assert duty(engine)[1] == 3


def test_a_dead_jobs_duty_is_taken_over(run: Run, engine: Engine) -> None:
    first = new("k")
    store(run, first)
    end(engine, "bury", reason="error")

    second = new("k", '{"n":2}')
    assert store(run, second) == Enqueued(second.id, False)
    assert duty(engine) == (second.id, 1, 2, '{"n":2}')
    assert look(engine, "SELECT id, epoch FROM dutiful.job")[0][1] == 1
    assert [str(row[0]) for row in look(engine, "SELECT id FROM dutiful.dead")] == [first.id]


def test_a_dead_job_that_was_to_run_at_most_once_keeps_its_duty(run: Run, engine: Engine) -> None:
    first = new("k", delivery="at_most_once")
    store(run, first)
    end(engine, "bury", reason="error")

    assert store(run, new("k", delivery="at_most_once")) == Enqueued(first.id, True)
    assert jobs(engine) == []


# ── batches ─────────────────────────────────────────────────────────────────────────────────


def test_a_batch_is_run_in_its_order(run: Run, engine: Engine) -> None:
    store(run, new())
    batch = [new(f"k{n}" if n % 3 else None) for n in range(50)]
    batch = batch[25:] + batch[:25]  # not in the order of their ids

    store_many(run, batch)
    last = new()
    store(run, last)

    rows = look(engine, "SELECT id FROM dutiful.job ORDER BY ready_seq")
    assert [str(row[0]) for row in rows][1:] == [job.id for job in [*batch, last]]
    [(numbers,)] = look(engine, "SELECT count(DISTINCT ready_seq) FROM dutiful.job")
    assert numbers == 52


def test_thousands_of_jobs_in_one_call(run: Run, engine: Engine) -> None:
    batch = [
        new(f"k{n % 2000}" if n % 2 else None, args=f'{{"n":{n % 2000}}}', priority=n % 3)
        for n in range(2500)
    ]

    answers = store_many(run, batch)

    assert len(answers) == 2500
    # Odd numbers from 2001 on repeat the keys of 1 to 499, in another batch than theirs.
    repeated = [n for n in range(2001, 2500, 2)]
    assert [n for n, answer in enumerate(answers) if answer.duplicate] == repeated
    assert all(answers[n].id == batch[n - 2000].id for n in repeated)
    assert jobs(engine) == sorted(answer.id for answer in answers if not answer.duplicate)
    assert look(engine, "SELECT count(*) FROM dutiful.lane") == [(3,)]


def test_an_empty_batch_is_nothing(run: Run, engine: Engine) -> None:
    assert store_many(run, []) == []
    assert look(engine, "SELECT count(*) FROM dutiful.lane") == [(0,)]


@pytest.mark.postgres
@pytest.mark.parametrize("name", ["run", "arun"])
def test_a_load_brings_jobs_by_copy(postgres_url: str, name: str) -> None:
    with opened(postgres_url) as engine:
        assert engine.can_copy
        ids = make_ids(1500)
        args = [b'{"n":%d}' % n for n in range(1500)]

        done = face(engine, name)(enqueue.load(APP, new(), ids, args))

        assert done == [Enqueued(id, False) for id in ids]
        assert jobs(engine) == ids
        rows = look(engine, "SELECT args FROM dutiful.job WHERE ready_seq IS NOT NULL ORDER BY ready_seq")
        assert [json.loads(row[0])["n"] for row in rows] == list(range(1500))


@pytest.mark.postgres
def test_without_tables_it_says_so(empty_postgres_url: str) -> None:
    from dutiful.engines.urls import open_engine

    engine = open_engine(empty_postgres_url)
    try:
        for name in ("run", "arun"):
            with pytest.raises(SchemaMissing):
                store(face(engine, name), new())
    finally:
        engine.close()


# ── many at once ────────────────────────────────────────────────────────────────────────────

CROWD = 50


def test_fifty_threads_enqueue_one_duty(engine: Engine) -> None:
    start = threading.Barrier(CROWD)

    def enqueue_one(number: int) -> Enqueued:
        start.wait()
        if number % 2:
            return store(engine.run, new("k"))
        return store_many(engine.run, [new(), new("k")])[1]

    with ThreadPoolExecutor(CROWD) as threads:
        answers = list(threads.map(enqueue_one, range(CROWD)))

    _one_job_for_all(engine, answers)


def test_fifty_processes_enqueue_one_duty(engine: Engine) -> None:
    # One program forks them, once it has imported everything: fifty fresh ones would take a minute.
    engine.close()
    url = engine.url
    if engine.name == "sqlite":  # on a busy machine fifty writers may take longer than an enqueue waits
        url += ("&" if "?" in url else "?") + "timeout=60"
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("crowd.py")), url, str(CROWD)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )

    assert done.returncode == 0, done.stderr
    answers = [Enqueued(*json.loads(line)) for line in done.stdout.splitlines()]
    _one_job_for_all(engine, answers)


def _one_job_for_all(engine: Engine, answers: list[Enqueued]) -> None:
    assert Counter(answer.duplicate for answer in answers) == {False: 1, True: CROWD - 1}
    assert len({answer.id for answer in answers}) == 1
    rows = look(engine, "SELECT id FROM dutiful.job WHERE key IS NOT NULL")
    assert [str(row[0]) for row in rows] == [answers[0].id]
