"""Planted bugs: the SQL is broken on purpose, and the checks of the suite must notice.

Each check is a function that is true of the sound code; it is run on the sound code first, so that it
is not the check that is broken.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from msgspec.structs import replace

from dutiful.engines.contract import Engine
from dutiful.model.errors import StoreBusy
from dutiful.model.jobs import Ending
from dutiful.operations import claims, enqueue, inspect, people, settle, verify, workers
from tests.contract import planting
from tests.contract.stores import opened
from tests.crash.examples import APP, KNOWN, World, job, worker

Check = Callable[[Engine], bool]


def planted(engine: Engine, name: str, sound: str, broken: str) -> AbstractContextManager[None]:
    """The statement ``name`` with ``broken`` in place of ``sound``, everywhere it stands."""
    return planting.planted(engine.name, {name: [(re.escape(sound), broken)]})


def clean(engine: Engine) -> bool:
    return engine.run(verify.check(APP, full=True)) == []


# ── the checks ──────────────────────────────────────────────────────────────────────────────


def a_stale_ending_is_refused(engine: Engine, verb: str = "complete") -> bool:
    world = World(engine)
    stale = world.leases[0]
    engine.run(workers.leave(world.me))
    heir = engine.run(workers.register(worker()))
    mine = engine.run(claims.claim(heir, [world.lane], KNOWN, 100)).leases
    [fresh] = [lease for lease in mine if lease.job_id == stale.job_id]
    end = Ending(verb, stale.job_id, stale.token, stale.run_no, reason="error", delay_us=1)  # type: ignore[arg-type]
    refused = engine.run(settle.settle([end], world.me)) == [end]
    now = engine.run(inspect.job(APP, stale.job_id))
    return refused and (now.state, now.run_no) == ("running", fresh.run_no)


def a_live_workers_job_is_not_lapsed(engine: Engine) -> bool:
    World(engine)
    engine.run(workers.bury())
    return engine.run(workers.lapse()) == [] and clean(engine)


def a_lapse_charges_no_attempt(engine: Engine) -> bool:
    world = World(engine)
    engine.run(workers.leave(world.gone))
    return engine.run(inspect.job(APP, world.lost)).attempt == 0


def one_open_job_for_a_duty(engine: Engine) -> bool:
    World(engine)
    first = engine.run(enqueue.one(APP, job(key="same")))
    second = engine.run(enqueue.one(APP, job(key="same")))
    return second.duplicate and second.id == first.id and clean(engine)


def an_ended_job_is_in_one_place(engine: Engine) -> bool:
    world = World(engine)
    engine.run(settle.settle(world.endings(), world.me))
    return clean(engine)


def a_retry_leaves_a_trace(engine: Engine) -> bool:
    world = World(engine)
    engine.run(people.retry(APP, world.dead, actor="ann", args_hash="h"))
    return clean(engine)


def a_gone_worker_claims_nothing(engine: Engine) -> bool:
    world = World(engine)
    engine.run(workers.leave(world.gone))
    return engine.run(claims.claim(world.gone, [world.lane], KNOWN, 10)).leases == []


def a_newer_task_is_left_alone(engine: Engine) -> bool:
    world = World(engine)
    newer = replace(job(), args_version=2)
    engine.run(enqueue.one(APP, newer))
    taken = engine.run(claims.claim(world.me, [world.lane], KNOWN, 100)).leases
    return newer.id not in {lease.job_id for lease in taken}


BUGS: list[tuple[str, Check, str, dict[str, tuple[str, str]]]] = [
    (
        "no fence on complete",
        a_stale_ending_is_refused,
        "complete_jobs",
        {
            "postgres": ("(j.token = e.token\n", "(j.id = e.id\n"),
            "sqlite": (
                "json_extract(e.value, '$.token')",
                "(SELECT t.token FROM main.dutiful_job AS t WHERE t.id = json_extract(e.value, '$.id'))",
            ),
        },
    ),
    (
        "no fence on fail",
        lambda engine: a_stale_ending_is_refused(engine, "fail"),
        "return_jobs",
        {
            "postgres": ("j.id = ANY (ARRAY[e.id]) AND j.token = e.token", "j.id = e.id"),
            "sqlite": ("WHERE j.id = e.id AND j.token = e.token", "WHERE j.id = e.id"),
        },
    ),
    (
        "no fence on bury",
        lambda engine: a_stale_ending_is_refused(engine, "bury"),
        "bury_jobs",
        {
            "postgres": ("(j.token = e.token\n", "(j.id = e.id\n"),
            "sqlite": (
                "json_extract(e.value, '$.token')",
                "(SELECT t.token FROM main.dutiful_job AS t WHERE t.id = json_extract(e.value, '$.id'))",
            ),
        },
    ),
    (
        "lapse by state, not by liveness",
        a_live_workers_job_is_not_lapsed,
        "lapse_jobs",
        dict.fromkeys(("postgres", "sqlite"), ("(w.id IS NULL OR w.gone_at IS NOT NULL)", "(1 = 1)")),
    ),
    (
        "a lapse charges an attempt",
        a_lapse_charges_no_attempt,
        "lapse_jobs",
        dict.fromkeys(("postgres", "sqlite"), ("attempt = j.attempt - 1", "attempt = j.attempt")),
    ),
    (
        "no duty row at enqueue",
        one_open_job_for_a_duty,
        "enqueue_keyed_job",
        {
            "postgres": (
                "SELECT :app, :task, :key, :id::uuid,",
                "SELECT :app, :task, :key || :id::text, :id::uuid,",
            ),
            "sqlite": ("SELECT :app, :task, :key, :id,", "SELECT :app, :task, :key || :id, :id,"),
        },
    ),
    (
        "the ended job stays where it was",
        an_ended_job_is_in_one_place,
        "bury_jobs",
        {
            "postgres": (
                "DELETE FROM dutiful.job AS j\n     USING jsonb_to_recordset(:rows::jsonb)\n        AS e(",
                "UPDATE dutiful.job AS j SET crashes = j.crashes FROM jsonb_to_recordset(:rows::jsonb) AS e(",
            ),
            "sqlite": ("DELETE FROM main.dutiful_job", "UPDATE main.dutiful_job SET crashes = crashes"),
        },
    ),
    (
        "a retry without an audit row",
        a_retry_leaves_a_trace,
        "add_audit",
        dict.fromkeys(
            ("postgres", "sqlite"),
            (":verb, :app, :subject,", "'look' || substr(:verb, 1, 0), :app, :subject,"),
        ),
    ),
    (
        "a gone worker still claims",
        a_gone_worker_claims_nothing,
        "claim_jobs",
        dict.fromkeys(("postgres", "sqlite"), ("o.gone_at IS NULL", "o.id IS NOT NULL")),
    ),
    (
        "an old worker takes newer arguments",
        a_newer_task_is_left_alone,
        "claim_jobs",
        dict.fromkeys(("postgres", "sqlite"), ("j.args_version <= ", "0 <= ")),
    ),
]


@pytest.mark.parametrize(("check", "name", "edits"), [bug[1:] for bug in BUGS], ids=[bug[0] for bug in BUGS])
def test_a_planted_bug_is_noticed(
    store_url: str, check: Check, name: str, edits: dict[str, tuple[str, str]]
) -> None:
    with opened(store_url) as engine:
        with planted(engine, name, *edits[engine.name]):
            try:
                noticed = not check(engine)
            except Exception:  # a constraint of the schema noticed it first
                noticed = True
        assert noticed


@pytest.mark.parametrize("check", [bug[1] for bug in BUGS], ids=[bug[0] for bug in BUGS])
def test_the_sound_code_passes_the_same_check(store_url: str, check: Check) -> None:
    with opened(store_url) as engine:
        assert check(engine)


@pytest.mark.postgres
def test_a_claim_that_waits_for_locked_rows_is_noticed(postgres_url: str) -> None:
    """No SKIP LOCKED: one session that holds a row would stop every claim of its lane."""
    import psycopg

    with opened(postgres_url) as engine, psycopg.connect(postgres_url) as other:
        world = World(engine)
        other.execute("SELECT 1 FROM dutiful.job WHERE id = %s FOR UPDATE", [world.keyed])
        with planted(
            engine, "claim_jobs", "LIMIT :n::integer FOR UPDATE SKIP LOCKED", "LIMIT :n::integer FOR UPDATE"
        ):
            with pytest.raises(StoreBusy):
                engine.run(claims.claim(world.me, [world.lane], KNOWN, 100))
        taken = engine.run(claims.claim(world.me, [world.lane], KNOWN, 100)).leases
        assert world.keyed not in {lease.job_id for lease in taken} and taken
