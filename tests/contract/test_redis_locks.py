"""``App(locks=RedisLocks(url))``: what is true of locks in the database is true of those in Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dutiful import App
from dutiful.bridges import redis_scripts
from dutiful.bridges.redis_locks import RedisLocks
from dutiful.model.errors import LockLost, LockNotHeld, StoreUnreachable
from dutiful.model.locks import LockAsk
from tests.contract import test_locks as facts
from tests.contract.stores import APP, SECOND

pytestmark = pytest.mark.redis


@pytest.fixture
def app(redis_url: str) -> Iterator[App]:
    made = App(APP, "sqlite:///:memory:", locks=RedisLocks(redis_url))
    yield made
    made.close()


@pytest.mark.parametrize(
    "fact",
    [
        facts.test_a_block_that_raises_gives_it_back_as_well,
        facts.test_a_lock_is_renewed_for_as_long_as_it_is_held,
        facts.test_async_blocks_too,
        facts.test_waiters_are_let_in_in_the_order_of_asking,
        facts.test_a_block_holds_the_lock,
        facts.test_a_cancelled_waiter_leaves_the_queue,
        facts.test_one_object_is_one_holder,
    ],
)
def test_what_holds_in_a_database_holds_here(app: App, fact: Any) -> None:
    fact(app)


def wanted(token: str, **more: Any) -> LockAsk:
    options: dict[str, Any] = {"slots": 1, "lease_us": 30 * SECOND, "waits": True} | more
    return LockAsk(APP, "import", token, who=f"who {token}", **options)


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisLocks]:
    made = RedisLocks(redis_url)
    yield made
    made.close()


def test_waiters_are_let_in_in_turn_with_growing_numbers(store: RedisLocks) -> None:
    first = store.ask(wanted("a")).grant_no
    assert first is not None and store.ask(wanted("a")).grant_no == first
    assert store.ask(wanted("b")).waiting and store.ask(wanted("c")).waiting
    busy = store.ask(wanted("d", waits=False))
    assert not busy.waiting and [(one.who, one.grant_no) for one in busy.holders] == [("who a", first)]
    assert store.turns(["b", "c"]) == set()
    assert store.release(wanted("a")) and not store.release(wanted("a"))
    assert store.turns(["b", "c"]) == {"b"}
    assert store.ask(wanted("c")).waiting and store.ask(wanted("d", waits=False)).grant_no is None
    second = store.ask(wanted("b")).grant_no
    assert second is not None and second > first
    assert [(line.who, line.grant_no) for line in store.listed(APP)] == [("who b", second), ("who c", None)]
    assert store.ask(wanted("e", slots=2)).slots == 1


def test_what_has_lapsed_is_passed_by_and_stays_so(store: RedisLocks) -> None:
    first = store.ask(wanted("a", lease_us=200_000)).grant_no
    facts.until(lambda: store.ask(wanted("b", waits=False)).grant_no is not None)
    assert store.renew(["a", "b"]) == {"b"}
    assert not store.release(wanted("a"))
    [line] = store.listed(APP, "import")
    assert first is not None and line.grant_no is not None and line.grant_no > first


def test_numbers_grow_though_all_was_forgotten(store: RedisLocks) -> None:
    """A failover to a replica that had nothing yet: its grant is lost, its number never comes again."""
    first = store.ask(wanted("a")).grant_no
    store._redis.flushall()
    second = store.ask(wanted("b")).grant_no  # two holders: this is what Redis cannot promise
    assert first is not None and second is not None and second > first
    assert store.renew(["a", "b"]) == {"b"}


def test_breaking(app: App) -> None:
    store: Any = app.keeper.store
    with pytest.raises(LockNotHeld):
        store.break_lock(APP, "import", actor="ann", reason="hung")
    with pytest.raises(LockLost):
        with app.lock("import", lease="0.6s") as held:
            assert store.break_lock(APP, "import", actor="ann", reason="hung")[0][0] == held.grant_no
            facts.until(lambda: not held.trusted)


def test_one_who_waits_is_woken(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what a release publishes; without it by a poll."""
    monkeypatch.setattr("dutiful.app.lock_keeper.POLL_S", 30.0)
    came: list[float] = []

    def wait_for_it() -> None:
        with app.lock("import"):
            came.append(time.monotonic())

    waiter = threading.Thread(target=wait_for_it)
    with app.lock("import"):
        waiter.start()
        facts.until(lambda: len(app.keeper.store.listed(APP)) == 2)
    waiter.join(20)
    assert came


def test_a_server_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App(APP, "sqlite:///:memory:", locks=RedisLocks("redis://127.0.0.1:1"))
    with pytest.raises(StoreUnreachable, match="Redis cannot be reached"), app.lock("import"):
        raise AssertionError


PLANTS = [
    ("RENEW", " and tonumber(until_) > now", "", test_what_has_lapsed_is_passed_by_and_stays_so),
    (
        "ASK",
        "'-inf', now)) do forget",
        "'-inf', 0)) do forget",
        test_what_has_lapsed_is_passed_by_and_stays_so,
    ),
    ("ASK", " + 1, now)", " + 1, 0)", test_numbers_grow_though_all_was_forgotten),
    ("ASK", "- before", "", test_waiters_are_let_in_in_turn_with_growing_numbers),
]


@pytest.mark.parametrize(("script", "text", "instead", "fact"), PLANTS)
def test_planted_bugs_are_noticed(
    store: RedisLocks, monkeypatch: pytest.MonkeyPatch, script: str, text: str, instead: str, fact: Any
) -> None:
    whole = getattr(redis_scripts, script)
    assert text in whole
    monkeypatch.setattr(redis_scripts, script, whole.replace(text, instead))
    if script == "RENEW":  # a late renewal, before anybody came
        store.ask(wanted("late", lease_us=200_000))
        time.sleep(0.3)
        assert store.renew(["late"]) == {"late"}
        return
    monkeypatch.setattr(facts, "until", lambda said: _within(said, 2))
    with pytest.raises(AssertionError):
        fact(store)


def _within(said: Any, within_s: float) -> None:
    end = time.monotonic() + within_s
    while not said():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_late_renewal_brings_nothing_back(store: RedisLocks) -> None:
    store.ask(wanted("late", lease_us=200_000))
    facts.until(lambda: store.listed(APP, "import")[0].lapsed)
    assert store.renew(["late"]) == set()
