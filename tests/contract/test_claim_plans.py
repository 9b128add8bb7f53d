"""How PostgreSQL carries out our hot statements: by their indexes, without a sort, and each claim HOT.

The plans are generic ones over statistics that were taken while the table was empty: what a cached plan
of a worker looks like that began before the jobs came.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from dutiful.engines.urls import open_engine
from dutiful.model.gates import Gate
from dutiful.operations import claims, enqueue, settle
from dutiful.sql.render import render
from tests.contract.sessions import PATIENCE_S, Session, sessions
from tests.contract.stores import APP, loaded, new
from tests.contract.world import KNOWN, World, ending

MANY = 100_000


def nodes(plan: Any) -> Iterator[dict[str, Any]]:
    if isinstance(plan, list):
        for part in plan:
            yield from nodes(part)
    elif isinstance(plan, dict):
        if "Node Type" in plan:
            yield plan
        for part in plan.values():
            yield from nodes(part)


def generic_plan(
    session: Session, name: str, arguments: list[str], change: Callable[[str], str] = str
) -> list[dict[str, Any]]:
    """The nodes of the plan that a prepared statement has once it is used again and again."""
    session.execute("SET plan_cache_mode = force_generic_plan")
    text, names = render("postgres", name, "dollar", True).parts[0]
    text = change(text)
    assert len(names) == len(arguments), names
    session.execute(f"PREPARE asked AS {text}")
    [(plan,)] = session.execute(f"EXPLAIN (FORMAT json) EXECUTE asked({', '.join(arguments)})")
    session.execute("DEALLOCATE asked")
    return list(nodes(json.loads(plan) if isinstance(plan, str) else plan))


@pytest.fixture
def full(pg_world: World) -> World:
    """Analysed while it was empty, and then 100,000 jobs came."""
    pg_world.sql("ALTER TABLE dutiful.job SET (autovacuum_enabled = false)")
    pg_world.sql("ANALYZE dutiful.job")
    pg_world.worker()
    pg_world.run(loaded(10))
    pg_world.sql(
        "INSERT INTO dutiful.job (id, lane, run_at, enqueued_at, delivery, crashes_max, task, args_version,"
        " args) SELECT gen_random_uuid(), 1, 0, 0, 'at_least_once', 3, 'send', 1, '{}'"
        " FROM generate_series(1, %s)",
        MANY,
    )
    return pg_world


def check_the_claims_plan(world: World) -> None:
    with sessions(world, 1) as [session]:
        arguments = {
            "worker": "1",
            "lanes": '\'[{"lane": 1, "mark": 0}]\'',
            "known": "'{\"send\": 1}'",
            "n": "100",
            "promote": "false",
            "now": "0",
        }
        names = render("postgres", "claim_jobs", "dollar", True).parts[0][1]
        plan = generic_plan(session, "claim_jobs", [arguments[name] for name in names])
    kinds = [node["Node Type"] for node in plan]
    assert not [kind for kind in kinds if "Sort" in kind], "a sort locks rows that it does not take"
    on_job = [node for node in plan if node.get("Relation Name") == "job"]
    assert not [node for node in on_job if node["Node Type"] == "Seq Scan"]
    by_lane = [node for node in on_job if node.get("Index Name") == "job_ready"]
    assert by_lane, [node.get("Index Name") for node in on_job]
    assert "ready_seq >" in by_lane[0]["Index Cond"] and "lane =" in by_lane[0]["Index Cond"]


def test_the_claims_plan_has_no_sort_and_uses_the_ready_index(full: World) -> None:
    check_the_claims_plan(full)


@pytest.mark.parametrize("name", ["complete_jobs", "bury_jobs", "return_jobs", "who_holds"])
def test_an_ending_finds_its_job_by_the_primary_key(full: World, name: str) -> None:
    with sessions(full, 1) as [session]:
        names = render("postgres", name, "dollar", True).parts[0][1]
        arguments = {"rows": "'[]'", "now": "0", "worker": "1"}
        plan = generic_plan(session, name, [arguments[given] for given in names])
    scans = [node for node in plan if node.get("Relation Name") == "job" and "Scan" in node["Node Type"]]
    assert {node.get("Index Name") for node in scans} == {"job_pkey"}
    assert {node["Node Type"] for node in scans} == {"Index Scan"}


NAMING = (
    "claim_jobs", "claim_suspect", "sweep_ready", "come_to_gates", "complete_jobs", "return_jobs",
    "bury_jobs", "doubt_jobs", "close_jobs", "expire_jobs", "who_holds", "finish_works",
)  # fmt: skip


def walks(world: World, name: str, change: Callable[[str], str] = str) -> list[str]:
    """The indexes that a statement would walk whole."""
    given = {"rows": "'[]'", "lanes": "'[]'", "known": "'{}'", "promote": "true", "turn": "NULL"}
    with sessions(world, 1) as [session]:
        names = render("postgres", name, "dollar", True).parts[0][1]
        plan = generic_plan(session, name, [given.get(one, "1") for one in names], change)
    scans = [one for one in plan if one.get("Relation Name") == "job" and "Scan" in one["Node Type"]]
    assert scans
    return [one.get("Index Name", one["Node Type"]) for one in scans if "Index Cond" not in one]


@pytest.fixture
def emptied(pg_world: World) -> World:
    """Analysed when all jobs had ended, and their pages were still there: nothing is what is expected."""
    pg_world.sql("ALTER TABLE dutiful.job SET (autovacuum_enabled = false)")
    pg_world.worker()
    pg_world.run(loaded(1_000))
    pg_world.sql("DELETE FROM dutiful.job")
    pg_world.sql("ANALYZE dutiful.job")
    [found] = pg_world.sql("SELECT relpages > 0, reltuples FROM pg_class WHERE oid = 'dutiful.job'::regclass")
    assert found == (True, 0)
    return pg_world


def test_jobs_are_found_one_by_one_though_none_was_expected(emptied: World) -> None:
    assert {name: walks(emptied, name) for name in NAMING} == {name: [] for name in NAMING}


def test_a_plain_join_would_walk_all_jobs(emptied: World) -> None:
    """The planted bug: the order of an index invites to begin with the jobs."""

    def joined(text: str) -> str:
        return re.sub(r"= ANY \(ARRAY\[(\w+\.id)\]\)", r"= \1", text)

    assert "job_pkey" in walks(emptied, "claim_jobs", joined) + walks(emptied, "complete_jobs", joined)


def fetched_at_gates(world: World, jobs: int) -> int:
    """How many rows of jobs are fetched while so many come to gates that are free, among 2,000 others."""
    world.run(loaded(2_000))
    free = [new(gates=(Gate("lock", f"l{n}", 1),)) for n in range(jobs)]
    with psycopg.connect(world.engine.url) as caller:  # type: ignore[attr-defined]
        world.engine.bind(caller).run(enqueue.many(APP, free))
        asked = (
            "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE schemaname = 'dutiful' AND relname = 'job'"
        )
        row = caller.execute(asked).fetchone()
        caller.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what a COMMIT does
        after = caller.execute(asked).fetchone()
    assert row and after
    return int(after[0]) - int(row[0])


def test_jobs_at_free_gates_are_found_one_by_one_though_none_was_expected(emptied: World) -> None:
    assert 100 <= fetched_at_gates(emptied, 100) <= 1_000


def test_a_plain_join_at_free_gates_would_walk_all_jobs(emptied: World) -> None:
    """The planted bug: free gates were seven times as dear once the table was analysed."""
    [(text,)] = emptied.sql("SELECT pg_get_functiondef('dutiful.pass_free'::regproc)")
    joined = text.replace("j.id = ANY (ARRAY[n.id])", "j.id = n.id")
    assert joined != text
    emptied.sql(joined)
    assert fetched_at_gates(emptied, 100) > 2_000


@pytest.mark.parametrize("name", ["claim_suspect", "waiting_suspect"])
def test_a_suspect_is_found_by_an_index_of_its_own(full: World, name: str) -> None:
    with sessions(full, 1) as [session]:
        names = render("postgres", name, "dollar", True).parts[0][1]
        arguments = {"worker": "1", "lanes": "'[1]'", "known": "'{\"send\": 1}'", "now": "0"}
        plan = generic_plan(session, name, [arguments[name] for name in names])
    indexes = {node.get("Index Name") for node in plan if node.get("Relation Name") == "job"}
    assert "job_suspect" in indexes and indexes <= {"job_suspect", "job_pkey", None}
    assert not [node for node in plan if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "job"]


def test_a_look_walks_no_more_than_a_claim(full: World) -> None:
    with sessions(full, 1) as [session]:
        names = render("postgres", "waiting_jobs", "dollar", True).parts[0][1]
        lanes = '\'[{"lane": 1, "mark": 0}]\''
        arguments = {"lanes": lanes, "known": "'{\"send\": 1}'", "now": "0"}
        plan = generic_plan(session, "waiting_jobs", [arguments[name] for name in names])
    assert not [node for node in plan if "Sort" in node["Node Type"]]
    on_job = [node for node in plan if node.get("Relation Name") == "job"]
    assert {node.get("Index Name") for node in on_job} == {"job_ready", "job_waiting"}
    [by_lane] = [node for node in on_job if node["Index Name"] == "job_ready"]
    assert "ready_seq >" in by_lane["Index Cond"] and "lane =" in by_lane["Index Cond"]


def test_a_claim_touches_few_rows_of_many(full: World) -> None:
    """By what the server counted: rows fetched by the index are those that were claimed."""
    full.sql("SELECT pg_stat_reset()")
    reply = full.run(claims.claim(1, full.lanes(), KNOWN, 100))
    assert len(reply.leases) == 100
    full.engine.close()
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        [(updated, seq_scans, fetched)] = full.sql(
            "SELECT n_tup_upd, seq_scan, idx_tup_fetch FROM pg_stat_user_tables"
            " WHERE schemaname = 'dutiful' AND relname = 'job'"
        )
        if updated == 100:
            break
        time.sleep(0.02)
    assert (updated, seq_scans) == (100, 0)
    assert fetched <= 400  # found, and found again to be updated


def check_claims_are_hot(world: World) -> None:
    """100 % of them, in a fresh table: no index entry is made for a claim."""
    jobs = 5000
    world.sql("ALTER TABLE dutiful.job SET (autovacuum_enabled = false)")
    with closing(open_engine(world.engine.url)) as engine:
        engine.run(loaded(jobs // 2))
        engine.run(enqueue.many(APP, [new(f"k{number}") for number in range(jobs // 2)]))
    worker = world.worker()
    leases = []
    while taken := world.claim(worker, 100):
        leases += taken
    assert len(leases) == jobs
    world.engine.close()  # a session reports what it counted when it ends
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        [(updated, hot)] = world.sql(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
            " WHERE schemaname = 'dutiful' AND relname = 'job'"
        )
        if updated == jobs:
            break
        time.sleep(0.02)
    assert (updated, hot) == (jobs, jobs), "a claim wrote an index entry"


def test_every_claim_is_a_hot_update(pg_world: World) -> None:
    check_claims_are_hot(pg_world)


def test_a_batch_of_endings_is_as_quick_among_many_jobs(full: World) -> None:
    """Not by the clock: by the pages that the statement looks at."""
    leases = full.claim(1, 100)
    rows = settle._rows("complete_jobs", [ending(lease, "complete") for lease in leases])
    with sessions(full, 1) as [session]:
        text, names = render("postgres", "complete_jobs", "dollar", True).parts[0]
        given = {"rows": rows, "now": full.clock()}
        [(plan,)] = session.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {text}", *(given[name] for name in names)
        )
    top = plan[0]["Plan"]
    assert top["Actual Rows"] == 100
    assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 100 * 40
