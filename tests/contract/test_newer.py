"""``write_if_newer`` on every kind of connection: the greatest number stays, whoever is late."""

from __future__ import annotations

import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dutiful.app.newer import awrite_if_newer, quoted, write_if_newer
from dutiful.model.errors import InvalidOption, UnsupportedConnection
from tests.contract import lenders
from tests.contract.ledger_stores import (
    apsw_ledger_url,
    caller,
    ledger_url,
    postgres_ledger_url,
    shared_ledger_url,
    sqlite_ledger_url,
)
from tests.contract.once_crowd import patient
from tests.contract.stores import look, write
from tests.contract.test_once import Placed
from tests.contract.turn_callers import Caller, seen

__all__ = [
    "apsw_ledger_url",
    "caller",
    "ledger_url",
    "postgres_ledger_url",
    "shared_ledger_url",
    "sqlite_ledger_url",
]

TABLE, COLUMN = 'Od"d :t %d.;', 'n"o %d :x'
"""Whatever can be a name."""


def spelt(url: str, name: str) -> str:
    """As :func:`~tests.contract.stores.write` takes it: psycopg reads percent signs."""
    return quoted(name).replace("%", "%%" if url.startswith("postgres") else "%")


@pytest.fixture(autouse=True)
def tables(request: pytest.FixtureRequest) -> Any:
    """Made anew for each test, and dropped: the PostgreSQL database is shared."""
    found = next((name for name in ("caller", "ledger_url") if name in request.fixturenames), None)
    if found is None:
        yield
        return
    value = request.getfixturevalue(found)
    url: str = value if isinstance(value, str) else value[0]
    with seen(url) as engine:
        columns = "account integer, kind text, run_no integer, cents integer, note text"
        write(engine, f"CREATE TABLE balance ({columns}, PRIMARY KEY (account, kind))")
        odd = spelt(url, TABLE)
        write(engine, f"CREATE TABLE {odd} (k integer PRIMARY KEY, {spelt(url, COLUMN)} integer)")
        yield
        for one in ("balance", odd):
            write(engine, f"DROP TABLE {one}")


def newer(me: Caller, table: Any, **options: Any) -> bool:
    """By the twin that fits."""
    if me.lender.loop is None:
        return write_if_newer(me.lender.lent, table, **options)

    async def awaited() -> bool:
        return await awrite_if_newer(me.lender.lent, table, **options)

    return me.do(awaited)


def rows(url: str, sql: str = "SELECT account, kind, run_no, cents, note FROM balance ORDER BY 1, 2") -> Any:
    with seen(url) as engine:
        return [tuple(row) for row in look(engine, sql)]


def test_the_greatest_number_stays(caller: Placed) -> None:
    url, me = caller
    me.begin()
    options: dict[str, Any] = {"key": {"account": 1, "kind": "a%s"}}
    assert newer(me, "balance", number=("run_no", 3), values={"cents": 30, "note": "é :x ?"}, **options)
    assert not newer(me, "balance", number=("run_no", 2), values={"cents": 20}, **options)
    assert not newer(me, "balance", number=("run_no", 3), values={"cents": 99}, **options)
    assert newer(me, "balance", number=("run_no", 4), values={"cents": 40, "note": None}, **options)
    assert newer(me, "balance", key={"account": 1, "kind": "b"}, number=("run_no", 1))
    me.commit()
    assert rows(url) == [(1, "a%s", 4, 40, None), (1, "b", 1, None, None)]


def test_it_goes_with_the_callers_rollback(caller: Placed) -> None:
    url, me = caller
    me.begin()
    assert newer(me, "balance", key={"account": 1, "kind": "a"}, number=("run_no", 1))
    me.rollback()
    assert rows(url) == []


def test_a_row_without_a_number_is_older_than_any(caller: Placed) -> None:
    url, me = caller
    me.begin()
    me.execute("INSERT INTO balance (account, kind) VALUES (1, 'a')")
    assert newer(me, "balance", key={"kind": "a", "account": 1}, number=("run_no", -5))
    me.commit()
    assert rows(url) == [(1, "a", -5, None, None)]


def test_any_name_is_a_name(caller: Placed) -> None:
    url, me = caller
    me.begin()
    assert newer(me, (TABLE,), key={"k": 1}, number=(COLUMN, 1))
    assert newer(me, (TABLE,), key={"k": 1}, number=(COLUMN, 2))
    schema = "main" if url.startswith("sqlite") else "dutiful"  # that is the tests' user, so its own schema
    assert newer(me, f"{schema}.balance", key={"account": 2, "kind": "a"}, number=("run_no", 1))
    me.commit()
    assert rows(url, f"SELECT k, {spelt(url, COLUMN)} FROM {spelt(url, TABLE)}") == [(1, 2)]
    assert len(rows(url)) == 1


def test_a_key_that_names_no_single_row_is_explained(caller: Placed) -> None:
    _, me = caller
    me.begin()
    with pytest.raises(InvalidOption, match=r"balance has no unique constraint over \(account\)"):
        newer(me, "balance", key={"account": 1}, number=("run_no", 1), values={"kind": "a"})
    me.rollback()


def test_the_drivers_own_errors_come_through(caller: Placed) -> None:
    _, me = caller
    me.begin()
    with pytest.raises(Exception, match="nowhere"):
        newer(me, "balance", key={"account": 1, "kind": "a"}, number=("nowhere", 1))
    me.rollback()


def test_only_the_fitting_twin_works(caller: Placed) -> None:
    _, me = caller
    options: dict[str, Any] = {"key": {"account": 1, "kind": "a"}, "number": ("run_no", 1)}
    with pytest.raises(UnsupportedConnection):
        if me.lender.loop is not None:
            write_if_newer(me.lender.lent, "balance", **options)
        else:

            async def wrong() -> bool:
                return await awrite_if_newer(me.lender.lent, "balance", **options)

            Caller.do(me, wrong)


def test_in_autocommit_it_is_a_transaction_by_itself(ledger_url: str) -> None:
    from tests.contract.turn_callers import place

    at = place(ledger_url)
    if ledger_url.endswith("apsw"):
        lender = lenders.apsw_manual(at)
    elif ledger_url.startswith("sqlite"):
        lender = lenders.standard_manual(at)
    else:
        lender = lenders.psycopg_block(at)
    assert write_if_newer(lender.lent, "balance", key={"account": 1, "kind": "a"}, number=("run_no", 1))
    assert len(rows(ledger_url)) == 1
    lender.close()


def test_of_many_writers_at_once_the_greatest_number_stays(ledger_url: str) -> None:
    numbers = list(range(1, 101))
    random.Random(7).shuffle(numbers)

    def writes(own: list[int]) -> int:
        lender, wrote = patient(ledger_url), 0
        for number in own:
            lender.begin()
            wrote += write_if_newer(
                lender.lent,
                "balance",
                key={"account": 1, "kind": "a"},
                number=("run_no", number),
                values={"cents": number * 10},
            )
            lender.commit()
        lender.close()
        return wrote

    with ThreadPoolExecutor(5) as pool:
        wrote = sum(pool.map(writes, [numbers[place::5] for place in range(5)]))
    assert rows(ledger_url) == [(1, "a", 100, 1000, None)]
    assert 1 <= wrote <= 100


@pytest.mark.parametrize(
    "options",
    [
        {"key": {}},
        {"number": ("k", 1)},
        {"number": ("n", "1")},
        {"number": ("n", True)},
        {"number": "n"},
        {"values": {"k": 1}},
        {"values": {"n": 1}},
        {"values": {"": 1}},
        {"values": {"a\0": 1}},
        {"table": ""},
        {"table": "a..b"},
        {"table": ()},
        {"key": {1: 1}},
    ],
)
def test_what_makes_no_statement_is_refused(options: dict[str, Any]) -> None:
    given: dict[str, Any] = {"table": "t", "key": {"k": 1}, "number": ("n", 1), "values": {"v": 1}} | options
    table = given.pop("table")
    with pytest.raises(InvalidOption):
        write_if_newer(sqlite3.connect(":memory:"), table, **given)


def test_a_planted_comparison_is_noticed(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the condition the last writer wins, and the tests above see it."""
    from dutiful.app import newer as module

    whole = module._statement

    def careless(*args: Any) -> Any:
        text, params = whole(*args)
        return text.partition(" WHERE ")[0] + " RETURNING 1", params

    monkeypatch.setattr(module, "_statement", careless)
    with pytest.raises(AssertionError):
        test_of_many_writers_at_once_the_greatest_number_stays(ledger_url)
