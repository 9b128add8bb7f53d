"""Locks by name, on every store: who is let in, in what turn, and what a late holder can still do."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from dutiful import App
from dutiful.app import lock_keeper
from dutiful.app.lock_stores import EngineLocks
from dutiful.engines.work import open_work
from dutiful.model.errors import (
    InsideTransaction,
    InvalidOption,
    LockBusy,
    LockLost,
    LockNotHeld,
    SlotsDiffer,
)
from dutiful.model.locks import TICKET_US, LockAsk
from dutiful.operations import locks
from tests.contract.stores import APP, SECOND
from tests.contract.world import World

LEASE = 30 * SECOND


def wanted(token: str, *, waits: bool = True, slots: int = 1, name: str = "import") -> LockAsk:
    return LockAsk(APP, name, token, slots, LEASE, f"who {token}", waits)


def ask(world: World, token: str, **options: Any) -> Any:
    return world.run(locks.ask(wanted(token, **options)))


# ── the operations, on a clock that is moved ────────────────────────────────────────────────


def test_one_is_let_in_and_the_others_wait_in_turn(world: World) -> None:
    assert ask(world, "a").grant_no == 1
    assert ask(world, "b").waiting and ask(world, "c").waiting
    assert [one.who for one in ask(world, "d", waits=False).holders] == ["who a"]
    assert world.run(locks.turns(["b", "c"])) == set()
    assert world.run(locks.release("a"))
    assert world.run(locks.turns(["b", "c"])) == {"b"}
    assert ask(world, "c").waiting  # out of turn
    assert not ask(world, "d", waits=False).waiting  # nobody who comes later goes first
    assert ask(world, "b").grant_no == 2
    assert not world.run(locks.release("a"))


def test_asked_again_with_its_token_it_is_the_same_ask(world: World) -> None:
    """As after a commit of which nobody knows whether it took place."""
    assert ask(world, "a").grant_no == ask(world, "a").grant_no == 1
    ask(world, "b")
    ask(world, "b")
    assert len(world.run(locks.listed(APP))) == 2


def test_a_lapsed_holder_is_passed_by_and_can_change_nothing(world: World) -> None:
    assert ask(world, "a").grant_no == 1
    world.clock.advance(LEASE - 1)
    assert ask(world, "b").waiting
    assert world.run(locks.renew(["a", "b"])) == {"a", "b"}
    world.clock.advance(LEASE)
    assert world.run(locks.renew(["a"])) == set()  # too late, though nobody has taken it
    assert ask(world, "c").grant_no == 2  # b's ticket has lapsed as well
    before = world.tables(["lock", "lock_ask"])
    assert world.run(locks.renew(["a", "b"])) == set()
    assert not world.run(locks.release("a"))
    assert world.tables(["lock", "lock_ask"]) == before


def test_a_dead_waiter_is_passed_by(world: World) -> None:
    ask(world, "a")
    ask(world, "dead")
    world.clock.advance(TICKET_US // 2)
    ask(world, "b")
    world.clock.advance(TICKET_US // 2)
    assert world.run(locks.release("a"))
    assert world.run(locks.turns(["b", "dead"])) >= {"b"}
    assert ask(world, "b").grant_no == 2
    assert ask(world, "dead").waiting  # it asks anew, at the back
    assert [line.who for line in world.run(locks.listed(APP))] == ["who b", "who dead"]


def test_a_semaphore_has_so_many_slots(world: World) -> None:
    assert [ask(world, token, slots=3).grant_no for token in "abc"] == [1, 2, 3]
    assert ask(world, "d", slots=3).waiting and ask(world, "e", slots=3).waiting
    world.run(locks.release("b"))
    assert ask(world, "e", slots=3).waiting
    assert ask(world, "d", slots=3).grant_no == 4
    assert sorted(line.slot for line in world.run(locks.listed(APP)) if line.slot) == [1, 2, 3]


def test_another_number_of_slots_is_refused_while_the_lock_is_in_use(world: World) -> None:
    ask(world, "a", slots=2)
    assert ask(world, "b", slots=3).slots == 2
    world.run(locks.release("a"))
    assert ask(world, "b", slots=3).grant_no == 2


def test_breaking_is_audited_and_the_next_number_is_greater(world: World) -> None:
    ask(world, "a")
    ask(world, "b")
    with pytest.raises(LockNotHeld):
        world.run(locks.break_lock(APP, "import", actor="ann", reason="hung", grant_no=9))
    assert world.run(locks.break_lock(APP, "import", actor="ann", reason="hung")) == [(1, "who a")]
    assert world.audits("lock:import") == ["break"]
    assert world.run(locks.renew(["a", "b"])) == {"b"}
    assert not world.run(locks.release("a"))
    assert ask(world, "b").grant_no == 2


def test_locks_of_other_apps_and_names_are_others(world: World) -> None:
    assert ask(world, "a").grant_no == 1
    assert ask(world, "b", name="export").grant_no == 1
    assert world.run(locks.ask(replace(wanted("c"), app="other"))).grant_no == 1
    assert {line.app for line in world.run(locks.listed(None))} == {APP, "other"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE dutiful.lock SET slots = 1", "more live holders than slots"),
        ("UPDATE dutiful.lock SET grant_no = 1", "a grant was given out that its lock does not know of"),
        ("UPDATE dutiful.lock_ask SET slot = 9 WHERE slot = 1", "a slot that the lock does not have"),
        ("DELETE FROM dutiful.lock", "a holder of a lock that has no row"),
    ],
)
def test_verify_finds_locks_with_too_many_holders(world: World, change: str, problem: str) -> None:
    ask(world, "a", slots=2)
    ask(world, "b", slots=2)
    assert world.verify() == []
    world.sql(change)
    [finding] = world.verify()
    assert finding.invariant == "I13"
    assert [(row["id"], row["problem"]) for row in finding.rows] == [("import", problem)]
    world.clock.advance(LEASE)
    assert world.verify() == []  # they have lapsed


# ── app.lock, on the store's own clock ──────────────────────────────────────────────────────


@pytest.fixture
def app(rows_url: str) -> Iterator[App]:
    made = App(APP, rows_url)
    made.migrate()
    yield made
    made.close()


def test_a_block_holds_the_lock(app: App) -> None:
    with app.lock("import") as held:
        first = held.grant_no
        assert (held.name, held.trusted) == ("import", True)
        held.check()
        with pytest.raises(LockBusy, match=rf"held by .* pid {os.getpid()} \(grant {first}"):
            with app.lock("import", wait=0):
                raise AssertionError
        with pytest.raises(LockBusy, match="after 100ms"):
            with app.lock("import", wait="0.1s"):
                raise AssertionError
        with pytest.raises(SlotsDiffer, match="slots=1, and was asked for with slots=2"):
            with app.lock("import", slots=2):
                raise AssertionError
    with app.lock("import", wait=0) as held:
        assert held.grant_no > first
    assert app.keeper.store.listed(APP) == []


def test_a_block_that_raises_gives_it_back_as_well(app: App) -> None:
    with pytest.raises(KeyError), app.lock("import"):
        raise KeyError
    with app.lock("import", wait=0):
        pass


def test_waiters_are_let_in_in_the_order_of_asking(app: App) -> None:
    came: list[tuple[int, int]] = []

    def wait_for_it(number: int) -> None:
        with app.lock("import") as held:
            came.append((number, held.grant_no))

    threads = [threading.Thread(target=wait_for_it, args=(number,)) for number in range(6)]
    with app.lock("import"):
        for count, thread in enumerate(threads, 2):
            thread.start()
            until(lambda count=count: len(app.keeper.store.listed(APP)) == count)
    for thread in threads:
        thread.join()
    assert [number for number, _ in came] == list(range(6))
    assert [number for _, number in came] == sorted({number for _, number in came})


def test_a_lock_is_renewed_for_as_long_as_it_is_held(app: App) -> None:
    with app.lock("import", lease="0.6s") as held, app.lock("other", lease="30s"):
        seen = app.keeper.store.listed(APP, "import")[0].until_us
        until(lambda: app.keeper.store.listed(APP, "import")[0].until_us > seen + 600_000)
        assert held.grant_no


def test_what_is_not_renewed_is_not_trusted_in_time(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The margin: trust ends while the lease still runs."""
    monkeypatch.setattr(EngineLocks, "renew", lambda self, tokens: 1 / 0)
    lock = app.lock("import", lease="1.5s")
    held = lock.__enter__()
    until(lambda: not held.trusted)
    [line] = app.keeper.store.listed(APP)
    assert line.until_us - line.now_us > 0 or line.lapsed  # a slow machine may have slept through it
    with pytest.raises(LockLost, match="it was not renewed in time"):
        held.check()
    lock.__exit__(None, None, None)  # nobody else was let in: it was ours to the end


def test_trust_is_counted_from_before_the_grant_was_asked_for(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(lock_keeper, "steady_now", lambda: clock[0])
    monkeypatch.setattr("dutiful.app.locks.steady_now", lambda: clock[0])
    monkeypatch.setattr(lock_keeper.Keeper, "_beat", lambda self: time.sleep(0.01))
    really = EngineLocks.ask

    def slow(self: EngineLocks, wanted: LockAsk) -> Any:
        answer = really(self, wanted)
        clock[0] += 20  # the answer was long under way
        return answer

    monkeypatch.setattr(EngineLocks, "ask", slow)
    with app.lock("import", lease="30s") as held:
        assert held.trusted
        clock[0] += 5.1
        assert not held.trusted


def test_a_broken_lock_is_lost_and_its_block_learns_it(app: App) -> None:
    with pytest.raises(LockLost, match="another was let in, or somebody broke it"):
        with app.lock("import", lease="0.6s") as held:
            app.engine.run(locks.break_lock(APP, "import", actor="ann", reason="hung"))
            until(lambda: not held.trusted)
            with app.lock("import", wait=0) as next_one:
                assert next_one.grant_no == 2
            with pytest.raises(LockLost):
                held.check()
    with pytest.raises(KeyError):  # the block's own error is not hidden
        with app.lock("import", lease="0.6s"):
            app.engine.run(locks.break_lock(APP, "import", actor="ann", reason="hung"))
            raise KeyError


def test_async_blocks_too(app: App) -> None:
    came: list[int] = []

    async def one() -> None:
        async with app.lock("import", slots=2) as held:
            came.append(held.grant_no)
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(*(one() for _ in range(8)))

    asyncio.run(all_of_them())
    assert len(set(came)) == 8
    assert app.keeper.store.listed(APP) == []


def test_a_cancelled_waiter_leaves_the_queue(app: App) -> None:
    async def impatient() -> None:
        async with app.lock("import"):
            waiter = asyncio.create_task(app.lock("import").__aenter__())
            while len(await asyncio.to_thread(app.keeper.store.listed, APP)) < 2:
                await asyncio.sleep(0.01)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            assert len(app.keeper.store.listed(APP)) == 1

    asyncio.run(impatient())


def test_one_object_is_one_holder(app: App) -> None:
    lock = app.lock("import")
    with lock, pytest.raises(InvalidOption, match="through this object already"), lock:
        raise AssertionError
    with lock:
        pass


@pytest.mark.parametrize(
    "options",
    [{"slots": 0}, {"slots": True}, {"lease": "1ms"}, {"name": ""}, {"name": "a\n"}, {"name": "x" * 201}],
)
def test_what_cannot_be_a_lock_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        App(APP, "sqlite:///:memory:").lock(**({"name": "import"} | options))


def test_a_lock_in_memory(tmp_path: Any) -> None:
    app = App(APP, "sqlite:///:memory:")
    with app.lock("import"), pytest.raises(LockBusy), app.lock("import", wait=0):
        raise AssertionError
    app.close()


def test_a_body_with_an_open_transaction_does_not_wait_for_itself(sqlite_url: str) -> None:
    app = App(APP, sqlite_url)
    before = open_work.set(app.engine.work())
    try:
        with pytest.raises(InsideTransaction), app.lock("import"):
            raise AssertionError
    finally:
        open_work.reset(before)
        app.close()


def until(said: Any, within_s: float = 60.0) -> None:
    """Ask until it is so."""
    end = time.monotonic() + within_s
    while not said():
        assert time.monotonic() < end
        time.sleep(0.01)
