"""Effects on every store: written down before the call, called again only where that is safe."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from dutiful.engines import work
from dutiful.model.durations import microseconds
from dutiful.model.effects import LIVING_US, PATIENCE_US, EffectInDoubt, EffectWaits
from dutiful.model.errors import (
    CommitUnknown,
    EffectChanged,
    EffectNotSent,
    EffectRefused,
    EffectUnknown,
    InsideTransaction,
    InvalidEffect,
    LeaseLost,
    ResultNotKept,
    StoreUnreachable,
    Unsure,
)
from dutiful.model.jobs import Failure
from dutiful.model.keys import effect_key
from dutiful.operations import doubts, effects
from dutiful.operations.plan import Call, Operation
from tests.contract.calling import Caller, Callers, Provider
from tests.contract.stores import APP, SECOND
from tests.contract.world import World

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

LOST = TimeoutError("no answer")
APPLIED = (True, LOST)
NOT_APPLIED = (False, LOST)

HOWS = ["left", "reported", "died"]
"""The ways for a worker to be gone that prove that it is dead."""


def after(world: World, duration: str) -> None:
    world.clock.advance(microseconds(duration))


def lost(caller: Caller, **terms: Any) -> None:
    """A call whose outcome nobody knows; what came back goes on as the task's error."""
    failing = caller.provider.failing or [APPLIED]
    caller.provider.failing = failing
    error = failing[0][1]
    with pytest.raises(type(error)) as raised:
        caller.call(**terms)
    assert raised.value is error


# ── none, and done ──────────────────────────────────────────────────────────────────────────


def test_the_call_is_committed_before_it_is_made(world: World) -> None:
    callers = Callers(world)
    caller = callers.next()
    seen: list[dict[str, Any]] = []
    callers.provider.while_called = lambda: seen.append(caller.row())

    assert caller.call(request={"order": 7}, remembered="24h") == {"charge": 0}

    [row] = seen
    assert (row["state"], row["tries"], row["calls_open"], row["ended_at"]) == ("intended", 1, 1, None)
    assert (row["token"], row["job_id"], row["run_no"]) == (caller.lease.token, callers.job, 1)
    assert row["asked_at"] == row["sent_at"] == world.clock.at_us
    assert (row["remembered"], row["margin"]) == (24 * HOUR, 144 * MINUTE)
    assert row["worker"] == callers.worker
    assert row["key"] == effect_key("send", "k1", "pay") == caller.run.key("pay")
    row = caller.row()
    assert (row["state"], row["settled_by"], row["result"]) == ("done", "run", '{"charge":0}')
    assert row["settled_at"] == world.clock.at_us
    assert world.verify() == []


def test_what_is_done_is_given_again_and_nobody_is_called(world: World) -> None:
    callers = Callers(world)
    first = callers.next()
    assert first.call() == {"charge": 0}
    assert first.call() == {"charge": 0}
    assert callers.again(first).call(request="another", remembered="1h") == {"charge": 0}
    assert callers.provider.calls == 1


def test_names_and_duties_are_told_apart(world: World) -> None:
    provider = Provider()
    one = Callers(world, provider).next()
    two = Callers(world, provider).next()
    results = [caller.call(name) for caller in (one, two) for name in ("pay", "mail")]
    assert results == [{"charge": n} for n in range(4)]
    assert len(set(provider.applied)) == 4


def test_another_job_of_the_duty_finds_what_is_done(world: World) -> None:
    callers = Callers(world)
    caller = callers.next()
    caller.call()
    world.end(caller.lease, "complete")
    callers.job = world.enqueue("k1", again="once more")
    later = callers.next()
    assert later.lease.epoch == 2
    assert later.call() == {"charge": 0}
    assert callers.provider.calls == 1


def test_a_job_without_a_key_is_its_own_duty(world: World) -> None:
    callers = Callers(world)
    world.run(_cancel(callers.job))
    callers.job = world.enqueue()
    caller = callers.next()
    caller.call()
    assert caller.row()["duty"] == callers.job


@pytest.mark.parametrize("value", [None, 0, "", [], {"a": [1, None]}, "ünï\u2028"])
def test_a_result_comes_back_as_json_has_it(world: World, value: Any) -> None:
    callers = Callers(world)
    caller = callers.next()
    assert caller.call(do=lambda key: value) == value
    assert caller.call(do=lambda key: 1 / 0) == value


def test_a_result_is_the_same_from_the_call_and_from_the_store(world: World) -> None:
    caller = Callers(world).next()
    assert caller.call(do=lambda key: (1, 2)) == [1, 2] == caller.call()


# ── open ────────────────────────────────────────────────────────────────────────────────────


def test_a_lost_answer_leaves_it_open_and_is_the_tasks_error(world: World) -> None:
    callers = Callers(world)
    caller = callers.next()
    after(world, "1s")
    lost(caller)
    row = caller.row()
    assert (row["state"], row["calls_open"], row["settled_at"]) == ("intended", 1, None)
    assert (row["ended_at"], row["error"]) == (world.clock.at_us, "TimeoutError: no answer")


@pytest.mark.parametrize("error", [EffectUnknown("reset"), ConnectionResetError(), ValueError("500")])
def test_whatever_is_no_refusal_leaves_it_open(world: World, error: Exception) -> None:
    caller = Callers(world, Provider(failing=[(True, error)])).next()
    lost(caller)
    assert caller.row()["state"] == "intended"


def test_while_it_is_remembered_it_is_sent_again_under_the_same_key(world: World) -> None:
    callers = Callers(world)
    first = callers.next()
    lost(first, remembered="24h")
    asked_at = first.row()["asked_at"]
    after(world, "21h35m")  # the last minute before the margin
    second = callers.lapsed(first)
    assert second.call(remembered="24h") == {"charge": 0}
    row = second.row()
    assert (row["state"], row["tries"], row["asked_at"]) == ("done", 2, asked_at)
    assert (row["token"], row["run_no"]) == (second.lease.token, 2)
    assert (callers.provider.calls, len(callers.provider.applied)) == (2, 1)


@pytest.mark.parametrize("later", ["21h36m", "23h", "30d"])
def test_within_the_margin_and_after_it_is_not_sent_again(world: World, later: str) -> None:
    callers = Callers(world)
    first = callers.next()
    lost(first, remembered="24h")
    after(world, later)
    with pytest.raises(EffectInDoubt, match="may be forgotten"):
        callers.again(first).call(remembered="24h")
    assert callers.provider.calls == 1


def test_a_resend_does_not_lengthen_the_memory(world: World) -> None:
    """The provider counts from the first call that it had, and so do we."""
    callers = Callers(world)
    caller = callers.next()
    lost(caller, remembered="24h")
    for _ in range(3):
        after(world, "7h")
        caller = callers.again(caller)
        lost(caller, remembered="24h")
    assert caller.row()["calls_open"] == 4
    after(world, "1h")
    with pytest.raises(EffectInDoubt):
        callers.again(caller).call(remembered="24h")


def test_a_call_without_a_key_is_not_made_safe_by_code_that_has_one(world: World) -> None:
    callers = Callers(world)
    first = callers.next()
    lost(first)
    with pytest.raises(EffectInDoubt):
        callers.again(first).call(remembered="24h")
    assert callers.provider.calls == 1


def test_a_memory_that_was_shortened_counts_for_the_calls_before(world: World) -> None:
    callers = Callers(world)
    first = callers.next()
    lost(first, remembered="24h")
    after(world, "30m")
    second = callers.again(first)
    lost(second, remembered="1h")
    assert (second.row()["remembered"], second.row()["margin"]) == (1 * HOUR, 6 * MINUTE)
    after(world, "24m")
    with pytest.raises(EffectInDoubt):
        callers.again(second).call(remembered="24h")


def test_an_open_call_with_another_request_buries(world: World) -> None:
    callers = Callers(world)
    first = callers.next()
    lost(first, request={"amount": 10}, remembered="24h")
    second = callers.again(first)
    with pytest.raises(EffectChanged):
        second.call(request={"amount": 11}, remembered="24h")
    assert second.run._stop is not None
    assert callers.provider.calls == 1


def test_with_neither_it_is_in_doubt(world: World) -> None:
    callers = Callers(world)
    first = callers.next()
    lost(first)
    second = callers.again(first)
    with pytest.raises(EffectInDoubt, match=r"'pay'.*no lookup"):
        second.call()
    assert isinstance(second.run._stop, EffectInDoubt)
    assert callers.provider.calls == 1


# ── looked up ───────────────────────────────────────────────────────────────────────────────


def test_what_a_lookup_finds_is_recorded(world: World) -> None:
    callers = Callers(world, Provider(answer={"charge": 7}))
    first = callers.next()
    lost(first)
    after(world, "1m")
    second = callers.lapsed(first)
    assert second.call(lookup=True) == {"charge": 7}
    row = second.row()
    assert (row["state"], row["settled_by"], row["tries"]) == ("done", "lookup", 1)
    assert row["token"] == first.lease.token
    assert second.call(lookup=True) == {"charge": 7}
    assert (callers.provider.calls, callers.provider.lookups) == (1, 1)


def test_it_is_not_looked_up_while_the_key_is_remembered(world: World) -> None:
    callers = Callers(world)
    first = callers.next()
    lost(first, remembered="24h", lookup=True)
    callers.again(first).call(remembered="24h", lookup=True)
    assert (callers.provider.calls, callers.provider.lookups) == (2, 0)


def test_a_forgotten_key_is_looked_up(world: World) -> None:
    callers = Callers(world, Provider(answer={"charge": 0}))
    first = callers.next()
    lost(first, remembered="1h", lookup=True)
    after(world, "55m")
    assert callers.again(first).call(remembered="1h", lookup=True) == {"charge": 0}
    assert (callers.provider.calls, callers.provider.lookups) == (1, 1)


def test_an_unsure_lookup_is_a_doubt(world: World) -> None:
    callers = Callers(world, Provider(answer=Unsure()))
    first = callers.next()
    lost(first)
    with pytest.raises(EffectInDoubt, match="unsure"):
        callers.again(first).call(lookup=True)


def test_a_lookup_that_fails_is_the_tasks_error(world: World) -> None:
    callers = Callers(world, Provider(answer=OSError("down")))
    first = callers.next()
    lost(first)
    second = callers.again(first)
    with pytest.raises(OSError, match="down"):
        second.call(lookup=True)
    assert second.run._stop is None
    callers.provider.answer = {"charge": 0}
    assert callers.again(second).call(lookup=True) == {"charge": 0}


@pytest.mark.parametrize("how", HOWS)
def test_surely_not_is_sent_again_when_the_caller_is_dead_and_it_was_quiet(world: World, how: str) -> None:
    callers = Callers(world)
    first = callers.next()
    world.sql("UPDATE dutiful.effect SET ended_at = NULL")
    _called_and_never_came_back(first)
    after(world, "1m")
    second = callers.lapsed(first, how)
    with pytest.raises(EffectWaits) as waits:
        second.call(lookup=True, quiet="10m")
    assert waits.value.delay_us == 10 * MINUTE
    after(world, "9m59s")
    third = callers.again(second, "snooze", charged=False)
    with pytest.raises(EffectWaits) as waits:
        third.call(lookup=True, quiet="10m")
    assert waits.value.delay_us == 1 * SECOND
    assert callers.provider.calls == 0
    after(world, "1s")
    fourth = callers.again(third, "snooze", charged=False)
    assert fourth.call(lookup=True, quiet="10m") == {"charge": 0}
    row = fourth.row()
    assert (row["state"], row["tries"], row["calls_open"], row["calls_alive"]) == ("done", 2, 1, 0)
    assert row["asked_at"] == world.clock.at_us
    assert callers.provider.lookups == 3


def test_surely_not_counts_from_when_the_call_came_back(world: World) -> None:
    """Its own run is dead as a caller: the call returned, and the body went on to raise."""
    callers = Callers(world)
    first = callers.next()
    callers.provider.failing = [NOT_APPLIED]
    lost(first)
    after(world, "5m")
    second = callers.again(first)
    assert second.call(lookup=True) == {"charge": 0}


def test_a_body_that_raised_is_over_although_its_call_was_not_noted(world: World) -> None:
    callers = Callers(world)
    first = callers.next()
    _called_and_never_came_back(first)
    second = callers.again(first)  # a failure of that run, which is no WorkerLost
    with pytest.raises(EffectWaits) as waits:
        second.call(lookup=True)
    assert waits.value.delay_us == 5 * MINUTE
    after(world, "5m")
    assert callers.again(second, "snooze", charged=False).call(lookup=True) == {"charge": 0}


@pytest.mark.parametrize("how", ["TimedOut", "CutOff", "snoozed"])
def test_a_caller_that_may_live_is_waited_for(world: World, how: str) -> None:
    """A plain body that is out of time goes on in its thread."""
    callers = Callers(world)
    first = callers.next()
    _called_and_never_came_back(first)
    if how != "snoozed":
        second = callers.again(first, failure=Failure(how, "its thread may go on"))
    else:
        second = callers.again(first, "snooze", charged=False)
    worker = first.row()["worker"]
    start = world.clock.at_us
    while world.clock.at_us < start + PATIENCE_US:
        with pytest.raises(EffectWaits) as waits:
            second.call(lookup=True)
        assert waits.value.delay_us == LIVING_US
        world.clock.advance(waits.value.delay_us * 10)
        world.sql("UPDATE dutiful.worker SET beat_at = %s WHERE id = %s", world.clock.at_us, worker)
        second = callers.again(second, "snooze", charged=False)
    with pytest.raises(EffectInDoubt, match="nothing shows"):
        second.call(lookup=True)
    assert callers.provider.calls == 0


def test_a_caller_of_whom_nothing_is_known_is_a_doubt(world: World) -> None:
    callers = Callers(world)
    first = callers.next()
    _called_and_never_came_back(first)
    second = callers.lapsed(first, "lapsed")
    after(world, "30d")
    with pytest.raises(EffectInDoubt, match="nothing shows"):
        second.call(lookup=True)
    assert callers.provider.calls == 0


def test_a_caller_whose_row_is_forgotten_is_a_doubt(world: World) -> None:
    callers = Callers(world)
    first = callers.next()
    _called_and_never_came_back(first)
    second = callers.lapsed(first, "died")
    world.sql("DELETE FROM dutiful.worker WHERE id = %s", first.row()["worker"])
    with pytest.raises(EffectInDoubt, match="nothing shows"):
        second.call(lookup=True)


def test_one_before_the_last_who_may_live_is_a_doubt(world: World) -> None:
    """The last caller is dead for certain; the one before it, whose call it repeated, may still call."""
    callers = Callers(world)
    first = callers.next()
    _called_and_never_came_back(first, remembered="1h")
    second = callers.lapsed(first, "lapsed")
    lost(second, remembered="1h", lookup=True)
    assert second.row()["calls_alive"] == 1
    after(world, "30d")
    third = callers.again(second)
    with pytest.raises(EffectInDoubt, match="nothing shows"):
        third.call(remembered="1h", lookup=True)
    assert callers.provider.calls == 1


def test_a_lookup_counts_only_for_the_row_it_was_about(world: World) -> None:
    """Between the look and the write somebody called again: the answer is not used."""
    callers = Callers(world)
    first = callers.next()
    callers.provider.failing = [NOT_APPLIED]
    lost(first)
    after(world, "5m")
    second = callers.again(first)

    def meddling(key: str) -> None:
        if callers.provider.lookups == 0:
            world.sql("UPDATE dutiful.effect SET tries = tries + 1, ended_at = NULL")
        callers.provider.lookup(key)

    with pytest.raises(EffectWaits):
        second.call(lookup=meddling)
    assert (callers.provider.calls, callers.provider.lookups) == (1, 2)


# ── refused ─────────────────────────────────────────────────────────────────────────────────


def test_a_refusal_is_recorded_and_may_be_tried_again(world: World) -> None:
    refused = EffectRefused("card declined")
    callers = Callers(world, Provider(failing=[(False, refused), (False, refused)]))
    first = callers.next()
    with pytest.raises(EffectRefused):
        first.call()
    row = first.row()
    assert (row["state"], row["settled_by"], row["calls_open"]) == ("refused", "run", 0)
    assert (row["error"], row["settled_at"]) == ("EffectRefused: card declined", world.clock.at_us)
    after(world, "1h")
    second = callers.again(first)
    with pytest.raises(EffectRefused):
        second.call(request="mended")
    assert (second.row()["asked_at"], second.row()["calls_open"]) == (world.clock.at_us, 0)
    assert second.call(request="mended again") == {"charge": 0}
    assert second.row()["tries"] == 3
    assert world.verify() == []


@pytest.mark.parametrize("refusal", [EffectRefused("401"), EffectNotSent("no route")])
def test_a_refusal_says_nothing_of_the_calls_before(world: World, refusal: Exception) -> None:
    """The first call may have been applied: an expired credential, or no network, does not undo that."""
    callers = Callers(world, Provider(failing=[APPLIED, (False, refusal)]))
    first = callers.next()
    lost(first, remembered="1h")
    second = callers.again(first)
    with pytest.raises(EffectRefused):
        second.call(remembered="1h")
    assert (second.row()["state"], second.row()["calls_open"]) == ("intended", 1)
    after(world, "30d")
    with pytest.raises(EffectInDoubt):
        callers.again(second).call(remembered="1h")
    assert callers.provider.calls == 2


# ── people ──────────────────────────────────────────────────────────────────────────────────


def in_doubt(callers: Callers) -> None:
    """The job's effect has no known outcome, and its job waits for a person."""
    first = callers.next()
    lost(first)
    second = callers.again(first)
    with pytest.raises(EffectInDoubt) as doubt:
        second.call()
    assert callers.world.end(second.lease, "doubt", reason=str(doubt.value))
    assert callers.world.state(callers.job) == "in_doubt"


def test_what_a_person_found_is_given_to_the_body(world: World) -> None:
    callers = Callers(world)
    in_doubt(callers)
    world.run(doubts.resume(APP, callers.job, actor="ann", result=b'{"charge":7}'))
    caller = callers.next()
    assert caller.call() == {"charge": 7}
    assert (caller.row()["state"], caller.row()["settled_by"]) == ("done", "person ann")
    assert callers.provider.calls == 1


@pytest.mark.parametrize("new_key", [False, True])
def test_what_a_person_refuted_is_sent_again(world: World, new_key: bool) -> None:
    """Under its key, so that the other side still refuses a double; or under the one that it was given."""
    callers = Callers(world)
    in_doubt(callers)
    after(world, "5m")
    world.run(doubts.refute(APP, callers.job, actor="ann", new_key=new_key))
    seen: list[str] = []
    caller = callers.next()
    caller.call(do=lambda key: seen.append(key))
    assert seen == [caller.row()["key"]]
    assert (seen == [caller.run.key("pay")]) is not new_key
    assert world.verify() == []


def test_a_new_key_holds_for_repeats_and_lookups(world: World) -> None:
    callers = Callers(world)
    in_doubt(callers)
    after(world, "5m")
    world.run(doubts.refute(APP, callers.job, actor="ann", new_key=True))
    seen: list[str] = []
    first = callers.next()
    callers.provider.failing = [APPLIED]
    lost(first, remembered="1h")
    key = first.row()["key"]
    after(world, "1h")
    second = callers.again(first)
    assert second.call(remembered="1h", lookup=lambda key: seen.append(key) or "found") == "found"
    assert seen == [key] != [second.run.key("pay")]
    assert callers.provider.applied[-1] == key


# ── the fence ───────────────────────────────────────────────────────────────────────────────


def test_a_run_that_is_over_calls_nobody(world: World) -> None:
    callers = Callers(world)
    stale = callers.next()
    fresh = callers.lapsed(stale)
    with pytest.raises(LeaseLost):
        stale.call()
    assert callers.provider.calls == 0 and world.table("effect") == []
    assert fresh.call() == {"charge": 0}
    with pytest.raises(LeaseLost):
        stale.call()
    stale.run._over = True
    with pytest.raises(LeaseLost):
        stale.call("other")


def test_a_run_that_is_over_writes_down_nothing(world: World) -> None:
    """Also when it lost its job between its look and its write."""
    callers = Callers(world)
    stale = callers.next()
    look = world.run(effects.look(_caller(stale)))
    callers.lapsed(stale)
    assert look.mine
    assert world.run(effects.intend(_caller(stale), _terms(), look.row)) is None
    assert world.table("effect") == []


def test_a_late_answer_is_recorded_while_nobody_else_has_called(store_world: World) -> None:
    callers = Callers(store_world)
    stale = callers.next()
    fresh: list[Caller] = []
    callers.provider.while_called = lambda: fresh.append(callers.lapsed(stale))
    assert stale.call(remembered="1h") == {"charge": 0}
    assert stale.row()["state"] == "done"
    assert fresh[0].call(remembered="1h") == {"charge": 0}
    assert callers.provider.calls == 1


def test_a_late_answer_is_not_recorded_over_a_later_call(store_world: World) -> None:
    callers = Callers(store_world)
    stale = callers.next()
    fresh: list[Caller] = []

    def overtaken() -> None:
        callers.provider.while_called = lambda: None
        fresh.append(callers.lapsed(stale))
        callers.provider.failing = [APPLIED]
        lost(fresh[0], remembered="1h")

    callers.provider.while_called = overtaken
    with pytest.raises(LeaseLost):
        stale.call(remembered="1h")
    assert fresh[0].row()["state"] == "intended"
    assert fresh[0].call(remembered="1h") == {"charge": 0}


def test_results_are_immutable(world: World) -> None:
    callers = Callers(world)
    caller = callers.next()
    caller.call()
    before = caller.row()
    mine = _caller(caller)
    after(world, "1h")
    assert not world.run(effects.settle(mine, 1, b'"other"'))
    assert not world.run(effects.settle_found(mine, 1, b'"other"'))
    assert not world.run(effects.end_call(mine, 1, "no", refused=True))
    look = world.run(effects.look(mine))
    assert world.run(effects.intend(mine, _terms(), None)) is None
    stale = _replaced(look.row, state="intended")
    assert world.run(effects.intend(mine, _terms(), stale)) is None
    assert caller.row() == before


def test_a_refusal_counts_once(world: World) -> None:
    """Its note is repeated if its commit got no answer."""
    callers = Callers(world)
    first = callers.next()
    lost(first, remembered="1h")
    second = callers.again(first)
    callers.provider.failing = [(False, EffectRefused("no"))]
    with pytest.raises(EffectRefused):
        second.call(remembered="1h")
    assert not world.run(effects.end_call(_caller(second), 2, "no", refused=True))
    assert second.row()["calls_open"] == 1


# ── answers of the database that are lost ───────────────────────────────────────────────────


class Breaking:
    """An engine whose commit of one operation gets no answer, applied or not."""

    def __init__(self, world: World, name: str, applied: bool, times: int = 1) -> None:
        self.engine, self.name, self.applied, self.times = world.engine, name, applied, times

    def run(self, operation: Operation[Any]) -> Any:
        if operation.name != self.name or not self.times:
            return self.engine.run(operation)
        self.times -= 1
        if self.applied:
            self.engine.run(operation)
        raise CommitUnknown("cut")

    async def arun(self, operation: Operation[Any]) -> Any:
        if operation.name != self.name or not self.times:
            return await self.engine.arun(operation)
        self.times -= 1
        if self.applied:
            await self.engine.arun(operation)
        raise CommitUnknown("cut")


def breaking(caller: Caller, name: str, applied: bool, times: int = 1) -> None:
    from dutiful.app.effects import EffectMeans

    engine: Any = Breaking(caller.world, name, applied, times)
    caller.run._effects = EffectMeans(engine, APP, caller.lease.token)


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("times", [1, 3])
def test_a_lost_answer_to_intend_is_asked_for(world: World, applied: bool, times: int) -> None:
    callers = Callers(world)
    caller = callers.next()
    breaking(caller, "intend", applied, times)
    assert caller.call() == {"charge": 0}  # without keys or lookup: one that is only thought open is no doubt
    assert (caller.row()["tries"], callers.provider.calls) == (1, 1)


@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_answer_to_a_resend_is_asked_for(world: World, applied: bool) -> None:
    callers = Callers(world)
    first = callers.next()
    lost(first, remembered="1h")
    second = callers.again(first)
    breaking(second, "intend", applied)
    assert second.call(remembered="1h") == {"charge": 0}
    assert (second.row()["tries"], callers.provider.calls) == (2, 2)


@pytest.mark.parametrize("name", ["settle", "settle_found"])
@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_answer_to_settling_is_asked_for(world: World, name: str, applied: bool) -> None:
    callers = Callers(world, Provider(answer={"charge": 0}))
    caller = callers.next()
    if name == "settle_found":
        lost(caller)
        caller = callers.again(caller)
    breaking(caller, name, applied)
    assert caller.call(lookup=True) == {"charge": 0}
    assert (caller.row()["state"], callers.provider.calls) == ("done", 1)


def test_a_database_that_is_gone_when_the_answer_comes_leaves_it_open(world: World) -> None:
    callers = Callers(world)
    caller = callers.next()
    breaking(caller, "settle", False, times=99)
    with pytest.raises(CommitUnknown):
        caller.call(remembered="1h")
    assert (caller.row()["state"], caller.row()["calls_open"]) == ("intended", 1)
    assert callers.again(caller).call(remembered="1h") == {"charge": 0}
    assert len(callers.provider.applied) == 1


def test_an_error_is_not_hidden_by_a_database_that_cannot_note_it(world: World) -> None:
    callers = Callers(world, Provider(failing=[APPLIED]))
    caller = callers.next()
    breaking(caller, "end_call", False)
    lost(caller, remembered="1h")
    assert caller.row()["ended_at"] is None


def test_a_database_that_cannot_be_reached_calls_nobody(world: World) -> None:
    class Gone:
        def run(self, operation: Operation[Any]) -> Any:
            raise StoreUnreachable("gone")

        async def arun(self, operation: Operation[Any]) -> Any:
            raise StoreUnreachable("gone")

    from dutiful.app.effects import EffectMeans

    caller = Callers(world).next()
    engine: Any = Gone()
    caller.run._effects = EffectMeans(engine, APP, caller.lease.token)
    with pytest.raises(StoreUnreachable):
        caller.call()
    assert caller.provider.calls == 0


# ── what is refused before anything is begun ────────────────────────────────────────────────


def test_inside_the_runs_transaction_nothing_is_begun(world: World) -> None:
    caller = Callers(world).next()
    mark: Any = object()
    token = work.open_work.set(mark)
    try:
        with pytest.raises(InsideTransaction):
            caller.call()
    finally:
        work.open_work.reset(token)
    assert caller.provider.calls == 0 and world.table("effect") == []


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"do": None}, {"lookup": "x"}, {"request": object()}, {"remembered": "5m"}],
    ids=["name", "do", "lookup", "request", "remembered"],
)
def test_what_cannot_work_is_refused_before_anything_is_begun(
    store_world: World, wrong: dict[str, Any]
) -> None:
    caller = Callers(store_world).next()
    with pytest.raises(InvalidEffect):
        caller.call(**{"name": "pay", **wrong})
    assert caller.provider.calls == 0 and store_world.table("effect") == []


# ── results that cannot be stored ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "value",
    [object(), "x" * 65_536, [float("inf")], {"a": {1, 2}, "b": print}],
    ids=["object", "big", "inf", "f"],
)
def test_a_result_that_cannot_be_stored_is_done_and_never_called_again(world: World, value: Any) -> None:
    callers = Callers(world)
    caller = callers.next()
    calls: list[str] = []

    def do(key: str) -> Any:
        calls.append(key)
        return value

    with pytest.raises(ResultNotKept, match="is done, but"):
        caller.call(do=do, remembered="1h")
    row = caller.row()
    assert (row["state"], row["result"]) == ("done", None)
    assert row["error"].startswith("The result")
    with pytest.raises(ResultNotKept, match="is done, but"):
        callers.again(caller).call(do=do, remembered="1h", lookup=True)
    assert len(calls) == 1


# ── async and cancelled ─────────────────────────────────────────────────────────────────────


def test_an_async_function_given_to_the_plain_twin_is_not_begun(store_world: World) -> None:
    caller = Callers(store_world).next()

    async def do(key: str) -> None:
        raise AssertionError

    with pytest.raises(EffectNotSent, match="aeffect"):
        caller.call(do=do)
    assert caller.row()["state"] == "refused"
    assert caller.call() == {"charge": 0}


def test_plain_functions_may_be_given_to_the_async_twin(store_world: World) -> None:
    caller = Callers(store_world).next()
    assert asyncio.run(_closing(store_world, caller.run.aeffect("pay", do=lambda key: 7))) == 7


def test_a_cancelled_call_stays_open(rows_url: str) -> None:
    from tests.contract.world import world_at

    with world_at(rows_url, "arun") as world:
        caller = Callers(world).next()

        async def cancelled() -> None:
            begun = asyncio.Event()

            async def do(key: str) -> None:
                begun.set()
                await asyncio.sleep(60)

            task = asyncio.create_task(caller.run.aeffect("pay", do=do))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        assert world._loop is not None
        world._loop.run(cancelled())
        row = caller.row()
        assert (row["state"], row["ended_at"], row["calls_open"]) == ("intended", None, 1)


@pytest.mark.parametrize("name", ["intend", "settle"])
def test_a_cancel_waits_for_what_is_being_written(rows_url: str, name: str) -> None:
    """Cancelled while the call was written down: it is not made, and not open. While settled: it is done."""
    from dutiful.app.effects import EffectMeans
    from tests.contract.world import world_at

    with world_at(rows_url, "arun") as world:
        caller = Callers(world).next()
        writing, go_on = threading.Event(), asyncio.Event()

        class Slow:
            async def arun(self, operation: Operation[Any]) -> Any:
                if operation.name == name:
                    writing.set()
                    await go_on.wait()
                return await world.engine.arun(operation)

        async def cancelled() -> None:
            engine: Any = Slow()
            caller.run._effects = EffectMeans(engine, APP, caller.lease.token)
            task = asyncio.create_task(caller.run.aeffect("pay", do=caller.provider.do))
            while not writing.is_set():
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task

        assert world._loop is not None
        world._loop.run(cancelled())
        state, calls = {"intend": ("refused", 0), "settle": ("done", 1)}[name]
        assert (caller.row()["state"], caller.provider.calls) == (state, calls)


# ── looked at ───────────────────────────────────────────────────────────────────────────────


def test_the_effects_of_a_duty_are_listed(world: World) -> None:
    caller = Callers(world).next()
    caller.call("pay", remembered="1h")
    after(world, "1s")
    caller.provider.failing = [APPLIED]
    lost(caller, name="mail")
    one, two = world.run(effects.of_duty(APP, "send", "k1"))
    assert (one.name, one.state, one.result) == ("pay", "done", b'{"charge":0}')
    assert (two.name, two.state, two.error, two.calls_open) == (
        "mail",
        "intended",
        "TimeoutError: no answer",
        1,
    )
    assert world.run(effects.of_duty(APP, "send", "k2")) == []


def _called_and_never_came_back(caller: Caller, **terms: Any) -> None:
    """It was written down; what then became of the process is not known. (The provider did not get it.)"""
    assert caller.world.run(effects.intend(_caller(caller), _terms(**terms), None)) == 1


def _caller(caller: Caller) -> effects.Caller:
    lease = caller.lease
    key = caller.run.key("pay")
    return effects.Caller(APP, "send", caller.run.duty, "pay", key, lease.job_id, lease.token)


def _terms(**terms: Any) -> Any:
    from dutiful.model.effects import Terms

    return Terms.of("pay", **terms)


def _replaced(row: Any, **fields: Any) -> Any:
    from msgspec.structs import replace

    return replace(row, **fields)


def _cancel(job_id: str) -> Any:
    from dutiful.operations import people

    return people.cancel(APP, job_id, actor="ann")


async def _closing(world: World, call: Any) -> Any:
    try:
        return await call
    finally:
        if world.engine.name == "postgres":
            await world.engine.aclose()  # type: ignore[attr-defined]


def test_a_call_is_one_statement_each(store_world: World) -> None:
    """A look, the write before the call, the write after it: each a transaction of one statement."""
    caller = Callers(store_world).next()
    seen: list[Any] = []
    engine: Any = store_world.engine
    engine.observe = seen.append
    caller.call()
    engine.observe = None
    assert effects.intend(_caller(caller), _terms(), None).durable
    assert [step.name for step in seen] == ["look_at_effect", "intend_effect", "settle_effect"]
    assert all(isinstance(step, Call) and step.alone for step in seen)
