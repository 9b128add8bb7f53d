"""Planted bugs in ``dutiful.once``: each is noticed by the check that guards against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
import pytest

from dutiful.app import once as once_module
from dutiful.engines.bound_block import Block, block_on
from dutiful.model.errors import DutifulError
from dutiful.operations import turns
from dutiful.operations.plan import Call, Operation, Steps, operation
from dutiful.operations.turns import Taken
from tests.contract import lenders
from tests.contract import test_once as blocks
from tests.contract import test_once_races as races
from tests.contract.ledger_stores import (
    apsw_ledger_url,
    ledger_url,
    postgres_ledger_url,
    shared_ledger_url,
    sqlite_ledger_url,
)
from tests.contract.lenders import Lender
from tests.contract.turn_callers import Caller, place

__all__ = ["apsw_ledger_url", "ledger_url", "postgres_ledger_url", "shared_ledger_url", "sqlite_ledger_url"]

T = TypeVar("T")

NOTICED = (AssertionError, DutifulError, psycopg.errors.Error)
"""What a check sees by itself, or is told by what stands below the planted bug."""


def plain(url: str) -> Lender:
    at = place(url)
    if url.endswith("apsw"):
        return lenders.apsw_manual(at)
    return lenders.standard(at) if url.startswith("sqlite") else lenders.psycopg_plain(at)


def noticed(check: Callable[..., None], *args: Any) -> None:
    """The check finds the bug; a pytest.raises in it that finds nothing raises Failed."""
    with pytest.raises((*NOTICED, pytest.fail.Exception)):
        check(*args)


def noticed_in_time(check: Callable[..., None], url: str, *args: Any) -> None:
    """The same where it takes two who meet: a crowd on a busy machine may come one after the other."""
    with pytest.raises((*NOTICED, pytest.fail.Exception)):
        for _ in range(10):
            check(url, *args)
            _empty(url)


# ── the key ─────────────────────────────────────────────────────────────────────────────────


@operation
def looks_first(scope: str, key: str, request: str | None) -> Steps[Taken]:
    """Decides by a look, and takes whatever the insert says for its own."""
    names = {"scope": scope, "key": key}
    rows = yield Call("find_turn", names)
    if rows:
        return Taken(False, rows[0][0], rows[0][2])
    rows = yield Call("take_turn", {**names, "request": request})
    return Taken(True, rows[0][0] if rows else 0)


@operation
def waits_for_nobody(scope: str, key: str, request: str | None) -> Steps[Taken]:
    """ON CONFLICT and no wait: whoever finds the key under way takes it for done."""
    names = {"scope": scope, "key": key}
    if (yield Call("try_turn", names))[0][0]:
        rows = yield Call("take_turn", {**names, "request": request})
        if rows:
            return Taken(True, rows[0][0])
    rows = yield Call("find_turn", names)
    return Taken(False, *(rows[0][0], rows[0][2]) if rows else (0, None))


@pytest.mark.postgres
def test_a_look_before_the_insert_is_noticed(
    postgres_ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    races.check_a_second_waits(postgres_ledger_url, "commit")
    _empty(postgres_ledger_url)
    monkeypatch.setattr(turns, "take", looks_first)
    noticed(races.check_a_second_waits, postgres_ledger_url, "commit")


@pytest.mark.postgres
def test_a_conflict_without_a_wait_is_noticed(
    postgres_ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dutiful.sql import Statement, statements
    from dutiful.sql.render import render

    text = "SELECT pg_try_advisory_xact_lock(hashtext(:scope || :key))"
    monkeypatch.setitem(statements("postgres"), "try_turn", Statement("try_turn", text, "planted", "x.sql"))
    monkeypatch.setattr(turns, "take", waits_for_nobody)
    noticed(races.check_a_second_waits, postgres_ledger_url, "commit")
    _empty(postgres_ledger_url)
    noticed_in_time(races.check_a_crowd, postgres_ledger_url, 8)
    render.cache_clear()


class KeyLast(Block):
    """Uses the key up when the block is over."""

    def open(self, operation: Operation[T], lasts: Callable[[T], bool]) -> T:
        self._runner.enter()
        self._runner.open_block()
        self.first = operation
        return Taken(True, 0)  # type: ignore[return-value]

    def keep(self, operation: Operation[bool]) -> None:
        carry_out(self._runner, self.first)
        carry_out(self._runner, operation)
        self._runner.keep_block()


def carry_out(runner: Any, operation: Operation[Any]) -> None:
    """Without a look at what comes of it."""
    steps = operation.begin()
    try:
        step = next(steps)
        while True:
            step = steps.send(runner.execute(step))
    except StopIteration:
        pass


def test_a_key_that_is_used_up_after_the_block_is_noticed(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once_module, "block_on", lambda connection: KeyLast(_runner(connection)))
    noticed(races.check_a_second_waits, ledger_url, "commit")


def _runner(connection: object) -> Any:
    return block_on(connection)._runner


# ── the savepoint ───────────────────────────────────────────────────────────────────────────


class ReleasesFirst(Block):
    """Writes the result when the savepoint is gone."""

    def keep(self, operation: Operation[bool]) -> None:
        self._runner.keep_block()
        carry_out(self._runner, operation)


class NoWayBack(Block):
    """Lets the block's writes stand when it raises."""

    def undo(self, error: BaseException) -> None:
        self._runner.keep_block()


class Trusting(Block):
    """Does not look whether the block is what it was."""

    def keep(self, operation: Operation[bool]) -> None:
        carry_out(self._runner, operation)


@pytest.mark.parametrize(
    ("bug", "check"),
    [
        (ReleasesFirst, blocks.check_a_refused_result),
        (NoWayBack, blocks.check_a_failed_block),
        (Trusting, lambda url, me: blocks.check_an_ended_block(url, me, "commit")),
        (Trusting, lambda url, me: blocks.check_an_ended_block(url, me, "rollback")),
    ],
    ids=["result outside", "no way back", "trusting a commit", "trusting a rollback"],
)
def test_a_careless_savepoint_is_noticed(
    ledger_url: str, bug: type[Block], check: Callable[[str, Caller], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    me = Caller(plain(ledger_url))
    check(ledger_url, me)
    me.close()
    _empty(ledger_url)
    me = Caller(plain(ledger_url))
    monkeypatch.setattr(once_module, "block_on", lambda connection: bug(_runner(connection)))
    noticed(check, ledger_url, me)
    me.close()


def _empty(url: str) -> None:
    lender = plain(url)
    for table in ("orders", "dutiful.ledger" if url.startswith("postgres") else "dutiful_ledger"):
        lender.begin()
        lender.execute(f"DELETE FROM {table}")
        lender.commit()
    lender.close()
