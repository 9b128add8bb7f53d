"""Acknowledgements that lapse (D8), and edit and retry (D10)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest

from dutiful import App
from dutiful.model.errors import AckRefused, Changed, EditRefused, NotAllowed
from dutiful.model.operators import Operator
from dutiful.model.redaction import MASK, Secret
from dutiful.operations import acks, groups
from dutiful.operations.bulk import Wanted
from dutiful.operations.plan import Call, Steps, query
from dutiful.supervise.ops import Ops, Seen
from dutiful.testing import run_all
from tests.contract.people import ANN, many_dead, ops_in
from tests.contract.stores import APP, SECOND
from tests.contract.world import DAY, World, world_at


@pytest.fixture
def world(rows_url: str) -> Iterator[World]:
    with world_at(rows_url) as world:
        yield world


@query
def unseen(fresh: int = 99) -> Steps[list[str]]:
    """The causes that the verdict counts as unseen."""
    return [row[0] for row in (yield Call("unseen_groups", {"app": APP, "limit": 9, "fresh": fresh}))]


def cause(world: World, count: int = 2) -> str:
    many_dead(world, count)
    world.run(groups.fold())
    return str(world.run(groups.groups(APP))[0].fingerprint)


# ── D8 ──────────────────────────────────────────────────────────────────────────────────────


def test_d8_an_acknowledgement_lapses_by_time(world: World) -> None:
    ops, one = ops_in(world), cause(world)
    assert world.run(unseen()) == [one] and ops.preflight(Wanted(unseen=True)).total == 2
    outcome = ops.acknowledge(f"group:{one}", note="the card team knows")
    assert outcome.value is not None and outcome.value.count_then == 2
    assert world.run(unseen()) == [] and ops.preflight(Wanted(unseen=True)).total == 0
    world.clock.advance(DAY - 1)
    assert world.run(unseen()) == []
    world.clock.advance(1)
    assert world.run(unseen()) == [one] and ops.preflight(Wanted(unseen=True)).total == 2


def test_d8_it_lapses_when_it_has_doubled(world: World) -> None:
    ops, one = ops_in(world), cause(world)
    ops.acknowledge(f"group:{one}", note="known")
    many_dead(world, 1)
    world.run(groups.fold())
    assert world.run(unseen()) == []
    many_dead(world, 1)
    world.run(groups.fold())
    assert world.run(unseen()) == [one] and ops.preflight(Wanted(unseen=True)).total == 4
    ops.acknowledge(f"group:{one}", note="still known")
    assert world.run(unseen()) == []


def test_who_retried_the_last_one_is_told_so_before_the_bookkeeper_counts(world: World) -> None:
    ops, one = ops_in(world), cause(world)
    first, second = (line.id for line in world.run(groups.members(APP, one)))
    ops.retry(first, reason="mended")
    assert world.run(unseen()) == [one]
    ops.retry(second, reason="mended")
    assert world.run(unseen()) == []
    assert world.run(unseen(2)) == [one]  # of more than are looked at, a part might mislead
    world.run(groups.fold())
    assert world.run(unseen()) == []


def test_d8_it_lapses_when_it_has_doubled_and_nobody_has_counted(world: World) -> None:
    ops, one = ops_in(world), cause(world)
    ops.acknowledge(f"group:{one}", note="known")
    many_dead(world, 2)
    assert world.run(unseen()) == [one]


def test_d8_it_lapses_when_another_release_sees_it(world: World) -> None:
    ops, one = ops_in(world), cause(world, 9)
    ops.acknowledge(f"group:{one}", note="mended in r2")
    world.clock.advance(SECOND)
    world.sql("UPDATE dutiful.failure_group SET last_at = %s", world.clock.at_us)
    assert world.run(unseen()) == []
    world.sql("UPDATE dutiful.failure_group SET last_release = 'r2'")
    assert world.run(unseen()) == [one]


def test_who_takes_it_owns_it_and_it_can_be_withdrawn(world: World) -> None:
    ops, one = ops_in(world), cause(world)
    ops.take(f"group:{one}")
    ops.acknowledge(f"group:{one}", note="known")
    found = world.run(acks.of(APP, f"group:{one}"))
    assert (found.owner, found.acked_by, found.note) == ("ann", "ann", "known")
    ops.withdraw(f"group:{one}")
    assert world.run(unseen()) == [one]
    assert world.run(acks.listed(APP))[0].owner == "ann"
    ops.take(f"group:{one}", owner=None)
    assert [row.verb for row in ops.audit()] == ["take", "withdraw", "acknowledge", "take"]
    with pytest.raises(AckRefused):
        ops.withdraw(f"group:{one}")


def test_what_cannot_be_acknowledged(world: World) -> None:
    ops, one = ops_in(world), cause(world)
    for thing, more in (
        (f"group:{one}", {"note": " "}),
        (f"group:{one}", {"note": "n", "span_us": acks.SPAN_US_MAX + 1}),
        ("group:none", {"note": "n"}),
    ):
        with pytest.raises(AckRefused):
            ops.acknowledge(thing, **more)  # type: ignore[arg-type]
    scoped = ops_in(world, Operator("ben", perms="operator", tasks=("other",)))
    with pytest.raises(NotAllowed):
        scoped.acknowledge(f"group:{one}", note="n")
    assert world.table("ack") == []


def test_a_cause_is_found_by_how_it_begins(world: World) -> None:
    ops, one = ops_in(world), cause(world)
    assert ops.group(one[:6]).fingerprint == one
    with pytest.raises(AckRefused):
        ops.group("zz")


# ── D10 ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def shop(rows_url: str) -> Iterator[App]:
    app = App(APP, rows_url)

    @app.task(name="pay", once="pay:{order_id}", retry=0)
    def pay(order_id: int, card: Annotated[str, Secret], cents: int = 1, lines: list[int] = []) -> None:  # noqa: B006
        raise ValueError("no")

    @app.task(name="ship", retry=0, order="to:{to}")
    def ship(to: str, speed: int = 1) -> None:
        raise ValueError("no")

    app.migrate()
    yield app
    app.close()


def paid(app: App, name: str = "pay", **arguments: Any) -> str:
    given = arguments or {"order_id": 7, "card": "4242424242424242", "cents": 5}
    handle = app.tasks[name].enqueue(**given)
    run_all(app)
    return handle.id


def stored(ops: Ops, job: str) -> Any:
    return json.loads(ops.job(job).args)


def test_d10_a_secret_that_was_not_touched_is_kept_and_never_shown(shop: App) -> None:
    ops, job = Ops(shop, ANN), paid(shop)
    ops.edit(job, {"order_id": 7, "card": MASK, "cents": 9}, reason="a typo")
    assert ops.job(job).state == "ready"
    assert stored(ops, job) == {"order_id": 7, "card": "4242424242424242", "cents": 9}
    rows = ops.audit()
    assert [row.verb for row in rows] == ["retry", "edit"]
    assert "4242" not in repr(rows) and '"cents": 9' in rows[1].after and '"cents": 5' in rows[1].before
    again = shop.tasks["pay"].enqueue(order_id=7, card="4242424242424242", cents=9)
    assert (again.id, again.duplicate) == (job, True)  # its duty knows the new arguments


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"order_id": "seven", "card": MASK}, "order_id"),
        ({"order_id": 7, "card": MASK, "lines": [1, "two"]}, r"lines\[1\]"),
        ({"order_id": 7}, "card"),
        ({"order_id": 7, "card": MASK, "colour": "red"}, "colour"),
        ({"order_id": 7, "card": MASK, "lines": [MASK]}, r"lines\[0\] is only the mask"),
        ({"order_id": 8, "card": MASK}, "another duty"),
    ],
)
def test_d10_what_does_not_fit_is_refused_with_its_path(
    shop: App, arguments: dict[str, Any], says: str
) -> None:
    ops, job = Ops(shop, ANN), paid(shop)
    before = ops.job(job).args
    with pytest.raises(EditRefused, match=says):
        ops.edit(job, arguments)
    assert (ops.job(job).state, ops.job(job).args, ops.audit()) == ("dead", before, [])


def test_d10_what_stands_in_an_order_stays_in_it(shop: App) -> None:
    ops, job = Ops(shop, ANN), paid(shop, "ship", to="Rome")
    with pytest.raises(EditRefused, match="another order"):
        ops.edit(job, {"to": "Oslo"})
    ops.edit(job, {"to": "Rome", "speed": 2})
    assert stored(ops, job) == {"to": "Rome", "speed": 2}


def test_d10_only_as_it_was_seen_and_only_by_who_may(shop: App) -> None:
    ops, job = Ops(shop, ANN), paid(shop)
    seen = Seen.of(ops.job(job)).rev
    with pytest.raises(NotAllowed):
        Ops(shop, Operator("ben", perms=["view", "retry"])).edit(job, {})
    ops.retry(job)
    run_all(shop)
    with pytest.raises(Changed):
        ops.edit(job, {"order_id": 7, "card": MASK}, seen=seen)


def test_without_the_code_nothing_is_edited(world: World) -> None:
    [job] = many_dead(world, 1)
    with pytest.raises(EditRefused, match="not at hand"):
        ops_in(world).edit(job, {})
