"""Reconciliation at work: passes by workers, what they cannot check, pauses, and what the verdict says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dutiful.model.verdict import judge
from dutiful.operations import numbers, reconcile, reconcile_verbs, registry
from dutiful.worker.bookkeeping import declared_of
from dutiful.worker.reconciling import Reconciling
from tests.contract.markets import DAY, HOUR, MINUTE, ORDERS, Market, new_worker
from tests.contract.test_reconcile import market

__all__ = ["market"]


def test_a_declaration_that_raises_is_told_and_not_swallowed(market: Market) -> None:
    """Cannot check: LOST and DOUBLED are unknown until a pass is made again."""

    class Engine:
        name = market.app.engine.name
        run = staticmethod(market.app.engine.run)
        wake = staticmethod(lambda queue: None)

    worker = SimpleNamespace(app=market.app, engine=Engine, id=market.app.engine.run(_register(new_worker())))
    chore = Reconciling(worker)  # type: ignore[arg-type]
    market.sql(f"ALTER TABLE {ORDERS} RENAME TO {ORDERS}_away")
    chore.turn()
    [stored] = market.app.engine.run(reconcile.look("shop"))
    assert stored.error is not None and ORDERS in stored.error
    found = judge(market.app.engine.run(numbers.numbers("shop")))
    assert "reconcile send could not check" in found.number("lost").unknown
    assert "reconcile send could not check" in found.number("doubled").unknown
    market.sql(f"ALTER TABLE {ORDERS}_away RENAME TO {ORDERS}")
    market.order(1)
    chore.turn()  # too early to try again
    assert market.found() == []
    market.later(2 * MINUTE)
    chore.turn()
    assert [one.made for one in market.found()] == [True]
    assert (
        "could not check" not in judge(market.app.engine.run(numbers.numbers("shop"))).number("lost").unknown
    )
    market.later(2 * DAY + HOUR)
    found = judge(market.app.engine.run(numbers.numbers("shop")))
    assert "reconcilers silent for" in found.number("lost").unknown


@pytest.mark.parametrize(("attend", "late"), [("2h", 1), (None, 0)])
def test_a_duty_that_waits_for_a_person_too_long_is_late(
    rows_url: str, attend: str | None, late: int
) -> None:
    """Only where ``attend=`` says how long that is; it goes once the person has come."""
    market = Market(rows_url, attend=attend)
    market.order(1)
    market.body = lambda order_id: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    market.send.enqueue(1)
    market.work()
    market.sweep()

    def number() -> int:
        return judge(market.app.engine.run(numbers.numbers("shop"))).number("late").amount

    market.later(2 * HOUR)
    market.sweep()
    assert number() == 0  # for as long as that, not longer
    market.later()
    assert number() == late
    market.receipt(1)
    market.sweep(whole=True)
    assert number() == 0 and market.found() == []
    market.close()


def test_while_it_is_paused_no_worker_makes_a_pass(market: Market) -> None:
    """Until the pause has ended by itself, or a person ends it; a person's own pass is made all the same."""
    run = market.app.engine.run
    worker = SimpleNamespace(app=market.app, engine=market.app.engine, id=run(_register(new_worker())))
    chore = Reconciling(worker)  # type: ignore[arg-type]
    chore.turn()
    market.order(1, ago_us=20 * MINUTE)
    for for_us, over in ((HOUR, lambda: market.later(HOUR)), (None, lambda: run(_resumed()))):
        run(reconcile_verbs.pause("shop", "send", actor="ann", reason="the archive moves", for_us=for_us))
        market.later()
        chore.turn()
        assert market.found() == [] and market.sweep(dry=True).made.counts.missing == 1
        over()
        chore.turn()
        assert [one.made for one in market.found()] == [True]
        market.work()
        market.later()
        chore.turn()
        assert market.found() == []
        market.order(2, ago_us=20 * MINUTE) if for_us else None


def _resumed() -> Any:
    return reconcile_verbs.resume("shop", "send", actor="ann")


def _register(worker: Any) -> Any:
    from dutiful.operations import workers

    return workers.register(worker)


def test_the_verdict_says_of_how_many_tasks_nothing_is_compared(market: Market) -> None:
    app = market.app

    @app.task(name="cache", reconcile=None, because="rebuilt nightly")
    def cache() -> None: ...

    def unchecked() -> str:
        app.engine.run(registry.register("shop", "", [declared_of(task) for task in app.tasks.values()]))
        return " ".join(app.engine.run(numbers.numbers("shop")).unchecked)

    assert "business data" not in unchecked() and "reconcilers" not in unchecked()

    @app.task(name="mail")
    def mail() -> None: ...

    assert "the business data of 1 of 3 tasks" in unchecked()
