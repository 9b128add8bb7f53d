"""``dutiful gate`` and ``job why``: who is through, who waits, and for whom."""

from __future__ import annotations

from msgspec.structs import replace

from dutiful import Lock, Order, Rate
from dutiful.model.jobs import NewWorker
from dutiful.operations import workers
from tests.cli.conftest import Shop


def test_gates_are_listed_and_named_as_what_a_job_waits_for(shop: Shop) -> None:
    app = shop.app
    app.migrate()
    assert "No job stands at a gate" in shop("gate", "list").err

    @app.task(name="pack", order=Order("customer:{customer}"), lock=Lock("bench:{bench}", slots=2))
    def pack(customer: int, bench: int = 1) -> None: ...

    @app.task(name="ask", rate=Rate(6, per="1m", key="host:{host}"))
    def ask(host: str) -> None: ...

    first, second, *others = [pack.enqueue(customer) for customer in (7, 7, 8, 9)]
    asked = [ask.enqueue("x") for _ in range(8)][-1]  # the first ones may start at once
    listed = shop("gate", "list")
    assert listed.code == 0 and "customer:7" in listed.out and first.id in listed.out
    document = shop("gate", "list", "--json").document
    assert document["schema"] == "dutiful/gate.list/1"
    standing = {(one["kind"], one["key"]): one["standing"] for one in document["gates"]}
    assert standing[("order", "customer:7")] == 2 and standing[("lock", "bench:1")] == 3
    shown = shop("gate", "show", "customer:7")
    assert f"{second.id}  waits" in shown.out
    assert shop("gate", "show", "customer:7", "--json").document["gates"][0]["first"][1]["waits"]

    row = NewWorker("shop", "h", 1, 10**15, 1, '["default"]', '{"pack": 1, "ask": 1}')
    app.engine.run(workers.register(row))
    assert f"waits behind job {first.id} of order customer:7" in shop("job", "why", second.id).out
    assert "2 of 2 places of lock bench:1 are held by" in shop("job", "why", others[1].id).out
    assert "rate host:x allows its start in about" in shop("job", "why", asked.id).out
    app.close()


def test_who_holds_a_place_and_cannot_begin_is_named_with_what_to_do(shop: Shop) -> None:
    app = shop.app
    app.migrate()

    @app.task(name="slow", queue="night", lock="account:{account}")
    def slow(account: int) -> None: ...

    @app.task(name="quick", queue="default", lock="account:{account}")
    def quick(account: int) -> None: ...

    holder, waits = slow.enqueue(1), quick.enqueue(1)
    row = NewWorker("shop", "h", 1, 10**15, 1, '["default"]', '{"quick": 1}')
    app.engine.run(workers.register(row))
    told = shop("job", "why", waits.id).out
    assert (
        f'Job {holder.id} holds its place, and no live worker of queue "night" knows its task "slow"' in told
    )
    app.engine.run(workers.register(replace(row, queues='["night"]', tasks='{"slow": 1}')))
    assert "holds its place" not in shop("job", "why", waits.id).out

    assert shop("queue", "pause", "night", "--reason", "stocktaking").code == 0
    assert (
        f'Job {holder.id} holds its place while its queue "night" is paused'
        in shop("job", "why", waits.id).out
    )
    assert (
        f"{holder.id}  is through, and waits for the paused queue night"
        in shop("gate", "show", "account:1").out
    )
    assert shop("gate", "show", "account:1", "--json").document["gates"][0]["first"][0]["queue_paused"]
