"""Planted bugs: what keeps an effect from being applied twice is taken out, and a check must notice.

Each check is a function that is true of the sound code; it is run on the sound code first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from dutiful.app import effects as flow
from dutiful.model.effects import EffectInDoubt, EffectRow, EffectStop, Terms
from dutiful.model.errors import EffectRefused, LeaseLost
from dutiful.operations import effects, workers
from tests.contract import planting
from tests.contract.calling import Caller, Callers, Provider
from tests.contract.stores import APP, SECOND
from tests.contract.world import World

MINUTE = 60 * SECOND
LOST = TimeoutError("no answer")

Check = Callable[[World], bool]


def asked(caller: Caller) -> effects.Caller:
    lease = caller.lease
    return effects.Caller(APP, "send", caller.run.duty, "pay", "key", lease.job_id, lease.token)


def lost(caller: Caller, **terms: Any) -> Caller:
    caller.provider.failing = [(True, LOST)]
    with pytest.raises(TimeoutError):
        caller.call(**terms)
    return caller


def calls_after(caller: Caller, **terms: Any) -> int:
    """How many calls this one makes, whatever becomes of it."""
    before = caller.provider.calls
    try:
        caller.call(**terms)
    except (EffectStop, LeaseLost):
        pass
    return caller.provider.calls - before


# ── the checks ──────────────────────────────────────────────────────────────────────────────


def it_is_written_down_before_the_call(world: World) -> bool:
    seen: list[int] = []
    callers = Callers(world, Provider(while_called=lambda: seen.append(len(world.table("effect")))))
    return calls_after(callers.next()) == 1 and seen == [1]


def a_key_in_the_margin_is_not_sent(world: World) -> bool:
    callers = Callers(world)
    first = lost(callers.next(), remembered="1h", margin="10m")
    world.clock.advance(51 * MINUTE)
    return calls_after(callers.again(first), remembered="1h", margin="10m") == 0


def a_memory_counts_from_the_first_call(world: World) -> bool:
    callers = Callers(world)
    first = lost(callers.next(), remembered="1h", margin="10m")
    world.clock.advance(40 * MINUTE)
    second = lost(callers.again(first), remembered="1h", margin="10m")
    world.clock.advance(40 * MINUTE)
    return calls_after(callers.again(second), remembered="1h", margin="10m") == 0


def a_result_is_never_overwritten(world: World) -> bool:
    caller = Callers(world).next()
    caller.call()
    world.run(effects.settle(asked(caller), 1, b'"other"'))
    world.run(effects.settle_found(asked(caller), 1, b'"other"'))
    return bool(caller.row()["result"] == '{"charge":0}')


def a_living_caller_is_not_doubled(world: World) -> bool:
    callers = Callers(world)
    first = callers.next()
    world.run(effects.intend(asked(first), Terms.of("pay"), None))
    second = callers.again(first, "snooze", charged=False)
    world.clock.advance(30 * MINUTE)
    return calls_after(second, lookup=True) == 0


def a_lost_caller_is_not_doubled(world: World) -> bool:
    callers = Callers(world)
    first = callers.next()
    world.run(effects.intend(asked(first), Terms.of("pay"), None))
    second = callers.lapsed(first, "lapsed")
    world.clock.advance(30 * MINUTE)
    return calls_after(second, lookup=True) == 0


def one_before_the_last_is_not_doubled(world: World) -> bool:
    callers = Callers(world)
    first = callers.next()
    world.run(effects.intend(asked(first), Terms.of("pay", remembered="1h"), None))
    second = lost(callers.lapsed(first, "lapsed"), remembered="1h", lookup=True)
    world.clock.advance(24 * 60 * MINUTE)
    return calls_after(callers.again(second), remembered="1h", lookup=True) == 0


def a_body_out_of_time_is_not_doubled(world: World) -> bool:
    from dutiful.model.jobs import Failure

    callers = Callers(world)
    first = callers.next()
    world.run(effects.intend(asked(first), Terms.of("pay"), None))
    second = callers.again(first, failure=Failure("TimedOut", "too long"))
    world.clock.advance(30 * MINUTE)
    return calls_after(second, lookup=True) == 0


def what_is_under_way_is_waited_for(world: World) -> bool:
    callers = Callers(world)
    first = lost(callers.next())
    return calls_after(callers.again(first), lookup=True) == 0


def an_unsure_lookup_sends_nothing(world: World) -> bool:
    from dutiful.model.errors import Unsure

    callers = Callers(world, Provider(answer=Unsure()))
    first = lost(callers.next())
    world.clock.advance(30 * MINUTE)
    return calls_after(callers.again(first), lookup=True) == 0


def a_run_that_is_over_calls_nobody(world: World) -> bool:
    callers = Callers(world)
    stale = callers.next()
    look = world.run(effects.look(asked(stale)))
    callers.lapsed(stale)
    written = world.run(effects.intend(asked(stale), Terms.of("pay"), look.row))
    return written is None and calls_after(stale) == 0


def a_run_that_is_over_repeats_nothing(world: World) -> bool:
    callers = Callers(world)
    stale = lost(callers.next(), remembered="1h")
    look = world.run(effects.look(asked(stale)))
    callers.lapsed(stale)
    written = world.run(effects.intend(asked(stale), Terms.of("pay", remembered="1h"), look.row, fresh=False))
    return written is None and calls_after(stale, remembered="1h") == 0


def a_refused_repeat_leaves_it_open(world: World) -> bool:
    callers = Callers(world)
    first = lost(callers.next(), remembered="1h")
    second = callers.again(first)
    second.provider.failing = [(False, EffectRefused("401"))]
    with pytest.raises(EffectRefused):
        second.call(remembered="1h")
    world.clock.advance(24 * 60 * MINUTE)
    return calls_after(callers.again(second), remembered="1h") == 0


def a_refusal_counts_once(world: World) -> bool:
    callers = Callers(world)
    first = lost(callers.next(), remembered="1h")
    second = callers.again(first)
    second.provider.failing = [(False, EffectRefused("401"))]
    with pytest.raises(EffectRefused):
        second.call(remembered="1h")
    world.run(effects.end_call(asked(second), 2, "again", refused=True))
    return bool(second.row()["calls_open"] == 1)


def a_late_answer_is_not_that_of_a_later_call(world: World) -> bool:
    callers = Callers(world)
    first = lost(callers.next(), remembered="1h")
    second = lost(callers.again(first), remembered="1h")
    world.run(effects.settle(asked(first), 1, b'"late"'))
    return bool(second.row()["state"] == "intended")


def a_changed_request_sends_nothing(world: World) -> bool:
    from dutiful.model.errors import EffectChanged

    callers = Callers(world)
    first = lost(callers.next(), remembered="1h", request=1)
    second = callers.again(first)
    try:
        return calls_after(second, remembered="1h", request=2) == 0
    except EffectChanged:
        return True


def a_lookup_is_of_what_was_seen(world: World) -> bool:
    """Somebody called again between the look and the write: "surely not" is not of that call."""
    callers = Callers(world)
    first = lost(callers.next())
    world.clock.advance(30 * MINUTE)
    second = callers.again(first)
    seen = world.run(effects.look(asked(second))).row
    assert world.run(effects.intend(asked(second), Terms.of("pay"), seen)) == 2
    return world.run(effects.intend(asked(second), Terms.of("pay"), seen)) is None


def a_doubt_is_not_swallowed(world: World) -> bool:
    callers = Callers(world)
    first = lost(callers.next())
    second = callers.again(first)
    try:
        second.call()
    except Exception:
        return False
    except EffectInDoubt:
        return True
    return False


def a_worker_that_fell_silent_is_not_proven_dead(world: World) -> bool:
    worker = world.worker()
    world.sql("UPDATE dutiful.worker SET beat_at = 0 WHERE id = %s", worker)
    world.run(workers.bury())
    return world.sql("SELECT gone_how FROM dutiful.worker WHERE id = %s", worker) == [("lapsed",)]


CHECKS: list[Check] = [
    it_is_written_down_before_the_call,
    a_key_in_the_margin_is_not_sent,
    a_memory_counts_from_the_first_call,
    a_result_is_never_overwritten,
    a_living_caller_is_not_doubled,
    a_lost_caller_is_not_doubled,
    one_before_the_last_is_not_doubled,
    a_body_out_of_time_is_not_doubled,
    what_is_under_way_is_waited_for,
    an_unsure_lookup_sends_nothing,
    a_run_that_is_over_calls_nobody,
    a_run_that_is_over_repeats_nothing,
    a_refused_repeat_leaves_it_open,
    a_refusal_counts_once,
    a_late_answer_is_not_that_of_a_later_call,
    a_changed_request_sends_nothing,
    a_lookup_is_of_what_was_seen,
    a_doubt_is_not_swallowed,
    a_worker_that_fell_silent_is_not_proven_dead,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_sound_code_passes(store_world: World, check: Check) -> None:
    assert check(store_world)


# ── bugs in the code ────────────────────────────────────────────────────────────────────────


def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intended only after the call."""

    def intend(asked: Any, caller: Any, row: Any, fresh: bool, unanswered: Any) -> Any:
        return 1
        yield

    monkeypatch.setattr(flow, "_intend", intend)


def without_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(row: EffectRow, terms: Terms) -> int | None:
        return row.asked_at_us + row.remembered_us if row.remembered_us and terms.remembered_us else None

    monkeypatch.setattr(EffectRow, "window_ends_us", ends)


def unsure_is_surely_not(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = flow.decide

    def decide(row: Any, now: int, terms: Terms, answer: Any = None) -> Any:
        return sound(row, now, terms, "surely_not" if answer == "unsure" else answer)

    monkeypatch.setattr(flow, "decide", decide)


def without_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Terms.of
    monkeypatch.setattr(flow.Terms, "of", lambda name, **given: sound(name, **{**given, "quiet": 0}))


def without_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Terms.of
    monkeypatch.setattr(flow.Terms, "of", lambda name, **given: sound(name, **{**given, "request": None}))


def a_doubt_is_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "EffectInDoubt", RuntimeError)


CODE: list[tuple[Callable[[pytest.MonkeyPatch], None], Check]] = [
    (unwritten, it_is_written_down_before_the_call),
    (without_margin, a_key_in_the_margin_is_not_sent),
    (unsure_is_surely_not, an_unsure_lookup_sends_nothing),
    (without_quiet, what_is_under_way_is_waited_for),
    (without_hash, a_changed_request_sends_nothing),
    (a_doubt_is_an_exception, a_doubt_is_not_swallowed),
]


@pytest.mark.parametrize(("bug", "check"), CODE, ids=[bug.__name__ for bug, _ in CODE])
def test_a_bug_in_the_code_is_noticed(
    store_world: World,
    bug: Callable[[pytest.MonkeyPatch], None],
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bug(monkeypatch)
    assert not check(store_world)


# ── bugs in the SQL ─────────────────────────────────────────────────────────────────────────

TOKEN = r"token = :token(?:::uuid)?"

SQL: list[tuple[str, str, str, str, Check]] = [
    # the statement, what is replaced, by what, who notices
    ("intend without the fence", "intend_effect", rf" AND j\.{TOKEN}", "", a_run_that_is_over_calls_nobody),
    ("resend without the fence", "resend_effect", rf" AND j\.{TOKEN}", "",
     a_run_that_is_over_repeats_nothing),
    ("resend whatever was seen", "resend_effect", r"AND e\.tries = :seen_tries", "",
     a_lookup_is_of_what_was_seen),
    ("a resend is a first call", "resend_effect", r"ELSE e\.asked_at END", "ELSE 2000000000000000 END",
     a_memory_counts_from_the_first_call),
    ("the last caller alone", "resend_effect", r"e\.calls_alive \+ :alive(?:::integer)?", "0",
     one_before_the_last_is_not_doubled),
    ("a resend closes the calls before", "resend_effect", r"ELSE e\.calls_open \+ 1 END", "ELSE 1 END",
     a_refused_repeat_leaves_it_open),
    ("settled again", "settle_effect", r" AND (?:e\.)?state = 'intended'", "", a_result_is_never_overwritten),
    ("found again", "settle_effect_found", r" AND (?:e\.)?state = 'intended'", "",
     a_result_is_never_overwritten),
    ("settled by an earlier call", "settle_effect", rf"AND (?:e\.)?{TOKEN} AND (?:e\.)?tries = :tries", "",
     a_late_answer_is_not_that_of_a_later_call),
    ("refused twice", "end_call", r" AND (?:e\.)?ended_at IS NULL", "", a_refusal_counts_once),
    ("a living caller is dead", "look_at_effect", r"coalesce\(e\.ended_at,",
     "coalesce(e.ended_at, e.sent_at,", a_living_caller_is_not_doubled),
    ("a silent worker is dead", "look_at_effect", r"'died'\)", "'died', 'lapsed')",
     a_lost_caller_is_not_doubled),
    ("out of time is over", "look_at_effect", r"'TimedOut', ", "", a_body_out_of_time_is_not_doubled),
    ("lost is over", "look_at_effect", r", 'WorkerLost'", "", a_lost_caller_is_not_doubled),
    ("silent is died", "bury_workers", r"ELSE 'lapsed' END", "ELSE 'died' END",
     a_worker_that_fell_silent_is_not_proven_dead),
]  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "sound", "broken", "check"), [line[1:] for line in SQL], ids=[line[0] for line in SQL]
)
def test_a_bug_in_the_sql_is_noticed(
    store_world: World, statement: str, sound: str, broken: str, check: Check
) -> None:
    with planted(store_world, statement, sound, broken):
        assert not check(store_world)


def planted(world: World, statement: str, sound: str, broken: str) -> AbstractContextManager[None]:
    return _both(world, {statement: [(sound, broken.replace("\\", r"\\"))]})


@contextmanager
def _both(world: World, changes: dict[str, list[planting.Change]]) -> Iterator[None]:
    if world.engine.name == "sqlite":
        changes = {
            name: [(re.sub(r"::\w+", "", old), new) for old, new in all] for name, all in changes.items()
        }
    with planting.planted(world.engine.name, changes):
        yield
