"""How PostgreSQL carries out the statements of a group on connections whose planner is the user's.

Read whole, the ledger made the completion of a group cost 337 µs a job after 20,000 jobs, and ever more.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from dutiful.model.ids import make_id
from dutiful.sql.render import render
from tests.contract.sessions import sessions
from tests.contract.test_claim_plans import nodes
from tests.contract.world import World

pytestmark = pytest.mark.postgres
MANY = 20_000


@pytest.fixture
def full(pg_world: World) -> World:
    """A ledger that was analysed while it was empty."""
    pg_world.sql("ALTER TABLE dutiful.ledger SET (autovacuum_enabled = false)")
    pg_world.sql("ANALYZE dutiful.ledger")
    pg_world.sql("ALTER TABLE dutiful.ledger DISABLE TRIGGER USER")
    pg_world.sql(
        "INSERT INTO dutiful.ledger (app, task, key, epoch, kind, at, run_no, job_id, token)"
        " SELECT 'app', 'send', n::text, 1, 'work', 0, 1, gen_random_uuid(), gen_random_uuid()"
        " FROM generate_series(1, %s) AS n",
        MANY,
    )
    return pg_world


def plan_of(world: World, name: str) -> list[dict[str, Any]]:
    group = [
        {"id": make_id(), "token": make_id(), "task": "send", "key": str(n), "epoch": 1, "result": None}
        for n in range(50)
    ]
    given = {"app": "'app'", "rows": f"'{json.dumps(group)}'", "now": "0"}
    text, names = render("postgres", name, "dollar", True).parts[0]
    for number, key in sorted(enumerate(names, 1), reverse=True):
        text = text.replace(f"${number}", given[key])
    with sessions(world, 1) as [session]:
        for setting in ("enable_seqscan", "enable_hashjoin", "enable_bitmapscan"):
            session.execute(f"SET {setting} = on")
        [(plan,)] = session.execute(f"EXPLAIN (FORMAT json) {text}")
    return list(nodes(json.loads(plan) if isinstance(plan, str) else plan))


def check_the_ledger_is_not_read_whole(world: World, name: str) -> None:
    on_ledger = [node for node in plan_of(world, name) if node.get("Relation Name") == "ledger"]
    reads = [node for node in on_ledger if node["Node Type"] not in ("ModifyTable", "Tid Scan")]
    assert reads
    for node in reads:
        assert node["Node Type"] in ("Index Scan", "Index Only Scan"), node
        assert "key" in node["Index Cond"], node


@pytest.mark.parametrize("name", ["finish_works", "finish_works_elsewhere", "forget_works"])
def test_a_group_looks_its_rows_up(full: World, name: str) -> None:
    check_the_ledger_is_not_read_whole(full, name)
