"""How PostgreSQL finds the jobs of a bulk operation: each by its id, however many are dead.

Joined with the list of ids, and asked for in their order, all the dead were walked once for each of the
list (our sessions avoid sorts): 2.6 s for 500 of 3,000, and ever more.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from dutiful.engines.postgres import SESSION
from dutiful.model.ids import make_id
from dutiful.sql.render import render
from tests.contract.sessions import sessions
from tests.contract.test_claim_plans import nodes
from tests.contract.world import World

pytestmark = pytest.mark.postgres
SETS = {
    "look_at_dead": "dead",
    "judge_dead": "dead",
    "revive_dead_set": "dead",
    "close_dead_set": "dead",
    "judge_waived": "history",
    "unwaive_dead_set": "history",
}


@pytest.fixture
def full(pg_world: World) -> World:
    """Many dead, and known to be many."""
    world = pg_world
    world.enqueue()
    world.sql(
        "INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, run_no, attempt, epoch,"
        " args_version, crashes, crashes_max, reason, delivery, task, args)"
        " SELECT gen_random_uuid(), l.id, n, 0, 0, 1, 1, 1, 1, 0, 3, 'error', 'at_least_once', 'send', '{}'"
        " FROM generate_series(1, 5000) AS n, dutiful.lane AS l"
    )
    world.sql("ANALYZE dutiful.dead")
    return world


def plan_of(world: World, name: str, text: str | None = None) -> list[dict[str, Any]]:
    ids = [make_id() for _ in range(500)]
    rows = [{"id": one, "same_as": None, "ended_at": 1} for one in ids]
    given = {
        "app": "'app'", "ids": f"'{json.dumps(ids)}'", "rows": f"'{json.dumps(rows)}'", "now": "0",
        "outcome": "'waived'", "remember": "0",
    }  # fmt: skip
    asked, names = render("postgres", name, "dollar", True).parts[0]
    asked = text or asked
    for number, key in sorted(enumerate(names, 1), reverse=True):
        asked = asked.replace(f"${number}", given[key])
    with sessions(world, 1) as [session]:
        for setting, value in SESSION.items():
            if setting.startswith("enable_"):
                session.execute(f"SET {setting} = {value}")
        [(plan,)] = session.execute(f"EXPLAIN (FORMAT json) {asked}")
    return list(nodes(json.loads(plan) if isinstance(plan, str) else plan))


def check(plan: list[dict[str, Any]], table: str) -> None:
    reads = [
        node
        for node in plan
        if node.get("Relation Name", "").startswith(table) and node["Node Type"] != "ModifyTable"
    ]
    assert reads
    for node in reads:
        assert "Scan" in node["Node Type"] and "id" in node.get("Index Cond", ""), node


@pytest.mark.parametrize("name", SETS)
def test_each_job_of_a_set_is_looked_up(full: World, name: str) -> None:
    check(plan_of(full, name), SETS[name])


def test_a_join_with_the_list_is_noticed(full: World) -> None:
    with pytest.raises(AssertionError):
        check(
            plan_of(
                full,
                "look_at_dead",
                "SELECT d.id FROM jsonb_array_elements_text($3::jsonb) AS e(value)"
                " JOIN dutiful.dead AS d ON d.id = e.value::uuid ORDER BY d.id",
            ),
            "dead",
        )
