"""Planted bugs in locks: each is noticed by the test that guards against it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dutiful.app import lock_keeper
from dutiful.engines.contract import Engine
from dutiful.engines.urls import open_engine
from dutiful.model.locks import LockAsk
from dutiful.operations import locks
from tests.contract import test_locks as facts
from tests.contract.planting import Change, planted
from tests.contract.stores import APP, SECOND, opened
from tests.contract.world import World

BUGS: dict[str, tuple[Any, dict[str, list[Change]]]] = {
    "a late renewal brings a lapsed lock back": (
        facts.test_a_lapsed_holder_is_passed_by_and_can_change_nothing,
        {"renew_asks": [(r"AND (a\.)?until > :now", "")]},
    ),
    "nothing lapses": (
        facts.test_a_lapsed_holder_is_passed_by_and_can_change_nothing,
        {"drop_lapsed_asks": [(r"until <= :now", "until <= 0")]},
    ),
    "all are passed by": (
        facts.test_one_is_let_in_and_the_others_wait_in_turn,
        {"drop_lapsed_asks": [(r"until <= :now", "until > 0")]},
    ),
    "a late release takes what is another's": (
        facts.test_a_lapsed_holder_is_passed_by_and_can_change_nothing,
        {"drop_ask": [(r"WHERE token = :token", "WHERE token >= :token")]},
    ),
    "numbers do not grow": (
        facts.test_a_lapsed_holder_is_passed_by_and_can_change_nothing,
        {"note_grant": [(r"SET grant_no = :grant_no", "SET grant_no = 0")]},
    ),
    "the queue is forgotten": (
        facts.test_one_is_let_in_and_the_others_wait_in_turn,
        {"list_asks": [(r"ORDER BY a\.ticket", "AND a.grant_no IS NOT NULL ORDER BY a.ticket")]},
    ),
    "dead waiters are waited for": (
        facts.test_a_dead_waiter_is_passed_by,
        {"drop_lapsed_asks": [(r"until <= :now", "until <= :now AND grant_no IS NOT NULL")]},
    ),
}


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_planted_bug_is_noticed(world: World, bug: str) -> None:
    fact, changes = BUGS[bug]
    with planted(world.engine.name, changes), pytest.raises(Exception):
        fact(world)


# ── counting without a lock (P11) ───────────────────────────────────────────────────────────


def crowd(engines: list[Engine], slots: int) -> tuple[list[int], list[Exception]]:
    """All ask at the same moment; the grants given, and what was raised."""
    grants: list[int] = []
    errors: list[Exception] = []
    barrier = threading.Barrier(len(engines))

    def ask(number: int, engine: Engine) -> None:
        wanted = LockAsk(APP, "import", f"t{number}", slots, 30 * SECOND, "me", False)
        barrier.wait()
        try:
            answer = engine.run(locks.ask(wanted))
            if answer.grant_no is not None:
                grants.append(answer.grant_no)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=one) for one in enumerate(engines)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return grants, errors


def check_a_crowd(url: str, rounds: int = 10) -> None:
    """Of eight that ask at once three get in, each time."""
    engines = [open_engine(url) for _ in range(8)]
    try:
        for engine in engines:
            engine.run(locks.listed(APP))  # connected
        for _ in range(rounds):
            grants, errors = crowd(engines, 3)
            assert errors == [] and len(grants) == len(set(grants)) == 3
            for number in range(8):
                engines[0].run(locks.release(f"t{number}"))
    finally:
        for engine in engines:
            engine.close()


def test_a_crowd_is_let_in_by_the_number_of_slots(rows_url: str) -> None:
    with opened(rows_url):
        check_a_crowd(rows_url, 3)


@pytest.mark.postgres
def test_counting_without_the_lock_of_the_row_is_noticed(reused_postgres_url: str) -> None:
    with planted("postgres", {"lock_lock": [("FOR UPDATE", "")]}), pytest.raises(AssertionError):
        check_a_crowd(reused_postgres_url, 50)


# ── trust ───────────────────────────────────────────────────────────────────────────────────


def test_trust_that_is_counted_from_the_answer_is_noticed(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dutiful import App

    def late(self: lock_keeper.Keeper, entry: Any, grant_no: int, asked_at: float) -> None:
        entry.grant_no = grant_no
        entry.trust_from(lock_keeper.steady_now())
        self.add(entry)

    monkeypatch.setattr(lock_keeper.Keeper, "granted", late)
    app = App(APP, sqlite_url)
    with pytest.raises(AssertionError):
        facts.test_trust_is_counted_from_before_the_grant_was_asked_for(app, monkeypatch)
    app.close()


def test_trust_to_the_very_end_is_noticed(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dutiful import App

    def whole(self: lock_keeper.Entry, asked_at: float) -> None:
        self.trusted_until = asked_at + self.ask.lease_us / 1e6

    monkeypatch.setattr(lock_keeper.Entry, "trust_from", whole)
    app = App(APP, sqlite_url)
    with pytest.raises(AssertionError):
        facts.test_trust_is_counted_from_before_the_grant_was_asked_for(app, monkeypatch)
    app.close()
