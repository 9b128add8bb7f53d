"""Effects in whole runs: how a job ends when one says so, whatever its body makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import dutiful
from dutiful import App, EffectRefused, EffectUnknown, InvalidEffect, Run, Unsure, testing
from dutiful.app.transactions import Transaction
from dutiful.model.retry import Retry
from dutiful.operations import effects, inspect
from dutiful.testing import Clock, Outcome
from tests.contract.calling import Provider

LOST = TimeoutError("no answer")


class Shop:
    """An app whose clock is moved, and one provider."""

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self.app = App("shop", url, clock=self.clock)
        self.app.migrate()
        self.provider = Provider()

    def run(self) -> list[str]:
        return [outcome.verb for outcome in self.outcomes()]

    def outcomes(self) -> list[Outcome]:
        return testing.run_all(self.app)

    def job(self, id: str) -> inspect.JobView:
        return self.app.engine.run(inspect.job("shop", id))

    def effects(self, task: str, duty: str) -> list[effects.EffectView]:
        return self.app.engine.run(effects.of_duty("shop", task, duty))


@pytest.fixture
def shop(rows_url: str) -> Iterator[Shop]:
    shop = Shop(rows_url)
    yield shop
    shop.app.close()


ONCE = Retry(3, first="1s", longest="1s", jitter=0)


def charging(shop: Shop, body: Any = None, **terms: Any) -> Any:
    """A task that charges once, and what its body does about it."""

    @shop.app.task(name="charge", once="order:{n}", retry=ONCE)
    def charge(n: int, *, run: Run = Run.given) -> None:
        def call() -> Any:
            return run.effect("pay", do=shop.provider.do, **terms)

        call() if body is None else body(call)

    return charge


def test_a_job_calls_once_over_all_its_runs(shop: Shop) -> None:
    calls: list[int] = []

    @shop.app.task(name="charge", once="order:{n}", retry=ONCE, result=True)
    def charge(n: int, *, run: Run = Run.given) -> Any:
        paid = run.effect("pay", do=shop.provider.do)
        calls.append(run.run_no)
        if len(calls) < 3:
            raise OSError("something later")
        return paid

    handle = charge.enqueue(7)
    verbs = shop.run()
    for _ in range(2):
        shop.clock.advance("1s")
        verbs += shop.run()
    assert verbs == ["fail", "fail", "complete"]
    assert (calls, shop.provider.calls, handle.result()) == ([1, 2, 3], 1, {"charge": 0})


def test_a_doubt_leaves_the_job_in_doubt(shop: Shop) -> None:
    handle = charging(shop).enqueue(7)
    shop.provider.failing = [(True, LOST)]
    assert shop.run() == ["fail"]
    shop.clock.advance("1s")
    [outcome] = shop.outcomes()
    assert outcome.verb == "doubt" and "'pay'" in outcome.message
    job = shop.job(handle.id)
    assert job.state == "in_doubt"
    assert shop.run() == []
    assert shop.provider.calls == 1


SWALLOWED = {
    "except Exception": lambda call: _swallow(call, Exception),
    "a bare except": lambda call: _swallow(call, BaseException),
    "another error instead": lambda call: _swallow(call, BaseException, ValueError("mine")),
}


def _swallow(call: Any, kind: type[BaseException], instead: Exception | None = None) -> None:
    try:
        call()
    except kind:
        if instead is not None:
            raise instead from None


@pytest.mark.parametrize("how", SWALLOWED)
def test_a_doubt_cannot_be_swallowed(shop: Shop, how: str) -> None:
    handle = charging(shop).enqueue(7)
    shop.provider.failing = [(True, LOST)]
    assert shop.run() == ["fail"]
    shop.app.tasks.clear()
    charging(shop, SWALLOWED[how])
    shop.clock.advance("1s")
    assert shop.run() == ["doubt"]
    assert shop.job(handle.id).state == "in_doubt"


@pytest.mark.parametrize("how", SWALLOWED)
def test_a_wait_cannot_be_swallowed_and_costs_no_try(shop: Shop, how: str) -> None:
    handle = charging(shop, SWALLOWED[how], lookup=shop.provider.lookup, quiet="10m").enqueue(7)
    shop.provider.failing = [(False, LOST)]
    if how == "another error instead":
        assert shop.run() == ["fail"]
        shop.clock.advance("1s")
    else:  # the first error, of which nothing is known, is the body's to handle; let it come again
        assert shop.run() == ["complete"]
        return
    attempts = shop.job(handle.id).attempt
    assert shop.run() == ["snooze"]
    job = shop.job(handle.id)
    assert (job.state, job.attempt) == ("ready", attempts)
    assert job.run_at_us == shop.clock.us + 599_000_000
    shop.clock.advance("599s")
    assert shop.run() == ["complete"]
    assert (shop.provider.calls, shop.provider.lookups) == (2, 2)


def test_a_changed_request_buries_the_job(shop: Shop) -> None:
    handle = charging(shop, remembered="1h", request={"cents": 10}).enqueue(7)
    shop.provider.failing = [(True, LOST)]
    assert shop.run() == ["fail"]
    shop.app.tasks.clear()
    charging(shop, SWALLOWED["except Exception"], remembered="1h", request={"cents": 11})
    shop.clock.advance("1s")
    assert shop.run() == ["bury"]
    job = shop.job(handle.id)
    assert (job.state, job.reason) == ("dead", "changed")
    assert shop.provider.calls == 1


def test_a_refusal_is_an_ordinary_error(shop: Shop) -> None:
    charging(shop).enqueue(7)
    shop.provider.failing = [(False, EffectRefused("declined"))]
    assert shop.run() == ["fail"]
    shop.clock.advance("1s")
    assert shop.run() == ["complete"]


def test_an_unknown_outcome_waits_as_long_as_the_other_side_asked(shop: Shop) -> None:
    handle = charging(shop, remembered="24h").enqueue(7)
    shop.provider.failing = [(True, EffectUnknown("busy", retry_after=3600))]
    assert shop.run() == ["fail"]
    assert shop.job(handle.id).run_at_us == shop.clock.us + 3_600_000_000
    shop.clock.advance("1h")
    assert shop.run() == ["complete"]
    assert (shop.provider.calls, len(shop.provider.applied)) == (2, 1)


def test_a_doubt_in_a_task_group_is_a_doubt(shop: Shop) -> None:
    @shop.app.task(name="charge", once="order:{n}", retry=ONCE)
    async def charge(n: int, *, run: Run = Run.given) -> None:
        async def unsure(key: str) -> None:
            raise Unsure

        async with asyncio.TaskGroup() as group:
            group.create_task(run.aeffect("pay", do=shop.provider.do, lookup=unsure))
            group.create_task(run.aeffect("mail", do=lambda key: "sent"))

    handle = charge.enqueue(7)
    shop.provider.failing = [(True, LOST)]
    assert shop.run() == ["fail"]
    shop.clock.advance("1s")
    assert shop.run() == ["doubt"]
    assert shop.job(handle.id).state == "in_doubt"
    found = {one.name: one.state for one in shop.effects("charge", "order:7")}
    assert found["pay"] == "intended"
    # The group may have cancelled it before it was called, or even before it was written down.
    assert found.get("mail", "refused") in ("done", "refused")


def test_an_at_most_once_body_that_would_wait_is_in_doubt(shop: Shop) -> None:
    """It is never run again by the machine, so there is nothing to wait for."""
    body = charging(shop, lookup=shop.provider.lookup)
    shop.provider.failing = [(False, LOST)]
    handle = body.enqueue(7)
    assert shop.run() == ["fail"]

    shop.app.tasks.clear()
    shop.app._by_any_name.clear()

    @shop.app.task(name="charge", once="order:{n}", delivery="at_most_once", retry=0)
    def charge(n: int, *, run: Run = Run.given) -> None:
        run.effect("pay", do=shop.provider.do, lookup=shop.provider.lookup)

    shop.clock.advance("1s")
    assert shop.run() == ["doubt"]
    assert shop.job(handle.id).state == "in_doubt"


# ── exactly_once ────────────────────────────────────────────────────────────────────────────


def test_an_effect_comes_before_the_work(shop: Shop) -> None:
    calls: list[int] = []

    @shop.app.task(name="charge", once="order:{n}", delivery="exactly_once", retry=ONCE)
    def charge(n: int, *, run: Run = Run.given) -> None:
        paid = run.effect("pay", do=shop.provider.do)
        with run.transaction() as tx:
            tx.execute("SELECT 1")
            calls.append(paid["charge"])
            if len(calls) == 1:
                raise OSError("the work failed")

    charge.enqueue(7)
    assert shop.run() == ["fail"]
    shop.clock.advance("1s")
    assert shop.run() == ["committed"]
    assert (calls, shop.provider.calls) == ([0, 0], 1)


@pytest.mark.parametrize("given", [True, False], ids=["tx", "run.transaction"])
def test_inside_the_work_nothing_is_begun(shop: Shop, given: bool) -> None:
    if given:

        @shop.app.task(name="charge", once="order:{n}", delivery="exactly_once", retry=0)
        def charge(n: int, *, run: Run = Run.given, tx: Transaction) -> None:
            run.effect("pay", do=shop.provider.do)

    else:

        @shop.app.task(name="charge", once="order:{n}", delivery="exactly_once", retry=0)
        def charge(n: int, *, run: Run = Run.given) -> None:
            with run.transaction():
                run.effect("pay", do=shop.provider.do)

    shop.app.enqueue_many(charge, [7])  # type: ignore[arg-type]
    [outcome] = shop.outcomes()
    assert (outcome.verb, outcome.kind) == ("bury", "InsideTransaction")
    assert shop.provider.calls == 0 and shop.effects("charge", "order:7") == []


def test_a_batch_has_no_effects(shop: Shop) -> None:
    """The run is that of one job of many: the next time its key may be another's."""

    @shop.app.task(name="charge", batch=10, retry=0)
    def charge(ns: list[int], *, run: Run = Run.given) -> None:
        run.effect("pay", do=shop.provider.do)

    shop.app.enqueue_many(charge, [7])  # type: ignore[arg-type]
    [outcome] = shop.outcomes()
    assert (outcome.verb, outcome.kind) == ("bury", "InvalidEffect")
    assert shop.provider.calls == 0


# ── without a store ─────────────────────────────────────────────────────────────────────────


def test_a_run_of_a_test_calls_directly() -> None:
    run = testing.run(task="pay", duty_key="order:7")
    assert run.effect("pay", do=lambda key: {"key": key}) == {"key": run.key("pay")}
    assert run.effect("pay", do=lambda key: (1, 2), lookup=lambda key: 1 / 0) == [1, 2]

    async def do(key: str) -> str:
        return key

    assert asyncio.run(run.aeffect("pay", do=do)) == run.key("pay")
    with pytest.raises(EffectRefused):
        run.effect("pay", do=_raising(EffectRefused("no")))
    with pytest.raises(InvalidEffect):
        run.effect("pay", do=print, remembered="1s")
    with pytest.raises(dutiful.ResultNotKept):
        run.effect("pay", do=lambda key: object())
    run._over = True
    with pytest.raises(dutiful.LeaseLost):
        run.effect("pay", do=lambda key: 1)


def _raising(error: Exception) -> Any:
    def do(key: str) -> None:
        raise error

    return do
