"""Bugs planted into people's verbs: each is noticed by what the tests look at."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dutiful.operations import audit, bulk, dead_sets
from dutiful.operations.plan import Steps
from dutiful.supervise.ops import action_id
from tests.contract.people import EVERY, many_dead, ops_in, walk
from tests.contract.planting import planted
from tests.contract.test_audit import acted, broken, mended_by_hand
from tests.contract.world import World


def test_an_action_id_that_is_not_checked_is_noticed(store_world: World) -> None:
    world, ops, once = store_world, ops_in(store_world), action_id()
    world.enqueue()

    def twice() -> int:
        for _ in range(2):
            ops.pause_queue("default", reason="r", action_id=once)
        return len(ops.audit())

    careless = [("DO NOTHING", "DO UPDATE SET at = excluded.at")]
    with planted(world.engine.name, {"take_action": careless}):
        assert twice() == 2
    assert twice() == 2  # as it is: the two rows of before, and no more


def test_a_bulk_operation_over_whoever_is_dead_now_is_noticed(store_world: World) -> None:
    """The list is not gone by: newcomers are taken too, and the counts do not come out."""
    world, ops = store_world, ops_in(store_world)
    many_dead(world, 2)
    begun = ops.retry_all(EVERY).value
    assert begun is not None
    many_dead(world, 2, queue="new")
    uuid = "::text" if world.engine.name == "postgres" else ""
    anew = (
        f"SELECT row_number() OVER () AS no, d.id{uuid}, d.run_no FROM dutiful.dead AS d WHERE :bulk <> '' "
    )
    text = anew + "AND :after >= 0 LIMIT :limit"
    if world.engine.name == "sqlite":
        text = text.replace("dutiful.dead", "main.dutiful_dead")
    else:
        text = text.replace(":bulk", ":bulk::text").replace(":after", ":after::bigint")
    with (
        planted(world.engine.name, {"next_items": [(r"SELECT .*", text)]}),
        pytest.raises(Exception, match=r"marked twice|bulk_counts"),
    ):
        world.run(bulk.step(begun.id, "w", most=9))
    walk(ops, begun.id)
    assert ops.bulk(begun.id).done == 2


def test_a_bulk_operation_that_takes_another_death_for_the_one_it_saw_is_noticed(
    store_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, ops, judge = store_world, ops_in(store_world), dead_sets.judge
    [job] = many_dead(world, 1)
    begun = ops.retry_all(EVERY).value
    assert begun is not None
    ops.retry(job)
    [lease] = world.claim()
    world.end(lease, "bury")

    def blind(app: str, ids: list[str]) -> Steps[list[dead_sets.Judged]]:
        return [replace(one, run_no=1) for one in (yield from judge(app, ids))]

    monkeypatch.setattr(dead_sets, "judge", blind)
    walk(ops, begun.id)
    assert world.state(job) == "ready"  # test_d3_one_that_was_retried_meanwhile... demands "dead"


def test_a_retry_that_is_not_judged_is_noticed(store_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets are forgotten: what D4 says is left is run."""
    from tests.contract.test_bulk import kinds

    world, ops, judged = store_world, ops_in(store_world), dead_sets.judged
    jobs = kinds(world)
    monkeypatch.setattr(dead_sets, "judged", lambda row: replace(judged(row), bucket="safe"))
    begun = ops.retry_all(EVERY).value
    assert begun is not None
    walk(ops, begun.id)
    assert world.state(jobs["begun"]) == world.state(jobs["called"]) == "ready"


def test_a_chain_without_the_hash_before_is_noticed(
    store_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = audit.digest
    monkeypatch.setattr(audit, "digest", lambda row, number, _: digest(row, number, ""))
    acted(store_world, 3)
    mended_by_hand(store_world)
    assert broken(store_world) == []  # test_s6_who_mends_the_hash... demands that row 3 is named
