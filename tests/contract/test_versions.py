"""Writes that compare first, on every kind of connection: of two that read the same, one is told."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dutiful import App, Conflict, Retry, Run
from dutiful.app.newer import quoted
from dutiful.app.versions import acompare_and_set, awrite_version, compare_and_set, write_version
from dutiful.model.errors import InvalidOption
from dutiful.model.retry import CONFLICTS_MAX, Again, Bury, judge
from dutiful.testing import run_all
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
from tests.contract.test_newer import TABLE, rows, spelt
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

READ = "SELECT id, version, body FROM article ORDER BY 1"


@pytest.fixture(autouse=True)
def tables(request: pytest.FixtureRequest) -> Any:
    found = next((name for name in ("caller", "ledger_url") if name in request.fixturenames), None)
    if found is None:
        yield
        return
    value = request.getfixturevalue(found)
    url: str = value if isinstance(value, str) else value[0]
    with seen(url) as engine:
        write(engine, "CREATE TABLE article (id integer, version integer, body text)")
        write(engine, "INSERT INTO article VALUES (1, 1, 'a'), (2, 1, NULL), (3, 1, 'twin'), (3, 1, 'twin')")
        odd = spelt(url, TABLE)
        write(engine, f"CREATE TABLE {odd} (k integer PRIMARY KEY, {spelt(url, 'n %d')} integer)")
        write(engine, f"INSERT INTO {odd} VALUES (1, 1)")
        yield
        for one in ("article", odd):
            write(engine, f"DROP TABLE {one}")


def by_its_twin(me: Caller, sync: Any, twin: Any, *args: Any, **options: Any) -> Any:
    if me.lender.loop is None:
        return sync(me.lender.lent, *args, **options)

    async def awaited() -> Any:
        return await twin(me.lender.lent, *args, **options)

    return me.do(awaited)


def set_(me: Caller, table: Any = "article", **options: Any) -> None:
    by_its_twin(me, compare_and_set, acompare_and_set, table, **options)


def version_(me: Caller, **options: Any) -> int:
    found: int = by_its_twin(me, write_version, awrite_version, "article", **options)
    return found


def test_a_row_is_changed_only_if_it_is_as_it_was_read(caller: Placed) -> None:
    url, me = caller
    me.begin()
    set_(me, key={"id": 1}, expected={"body": "a"}, new={"body": "b%s :x ?", "version": None})
    with pytest.raises(Conflict, match="id=1 is not as it was read"):
        set_(me, key={"id": 1}, expected={"body": "a"}, new={"body": "c"})
    set_(me, key={"id": 1}, expected={"body": "b%s :x ?", "version": None}, new={"version": 7})
    set_(me, key={"id": 2}, expected={"body": None}, new={"body": "was null"})
    with pytest.raises(Conflict):
        set_(me, key={"id": 9}, expected={"body": None}, new={"body": "nobody"})
    me.commit()
    assert rows(url, READ)[:2] == [(1, 7, "b%s :x ?"), (2, 1, "was null")]


def test_a_version_is_counted_on(caller: Placed) -> None:
    url, me = caller
    me.begin()
    assert version_(me, key={"id": 1}, version=("version", 1), values={"body": "b"}) == 2
    with pytest.raises(Conflict):
        version_(me, key={"id": 1}, version=("version", 1), values={"body": "late"})
    assert version_(me, key={"id": 1}, version=("version", 2), values={}) == 3
    me.commit()
    assert rows(url, READ)[0] == (1, 3, "b")


def test_any_name_is_a_name(caller: Placed) -> None:
    url, me = caller
    me.begin()
    set_(me, (TABLE,), key={"k": 1}, expected={"n %d": 1}, new={"n %d": 2})
    me.commit()
    assert rows(url, f"SELECT k, {spelt(url, 'n %d')} FROM {spelt(url, TABLE)}") == [(1, 2)]
    assert quoted("n %d") == '"n %d"'


def test_a_key_of_two_rows_is_said_and_goes_with_the_rollback(caller: Placed) -> None:
    url, me = caller
    me.begin()
    with pytest.raises(InvalidOption, match="2 rows of article have id=3"):
        set_(me, key={"id": 3}, expected={"body": "twin"}, new={"body": "x"})
    me.rollback()
    assert rows(url, READ)[2:] == [(3, 1, "twin"), (3, 1, "twin")]


def test_of_many_writers_none_is_lost(ledger_url: str) -> None:
    """Each reads, and writes what it read plus one; who is told of a conflict reads again."""

    def counts(times: int) -> int:
        lender, conflicts = patient(ledger_url), 0
        while times:
            with seen(ledger_url) as engine:
                [(number,)] = look(engine, "SELECT version FROM article WHERE id = 1")
            lender.begin()
            try:
                write_version(lender.lent, "article", key={"id": 1}, version=("version", number), values={})
                lender.commit()
                times -= 1
            except Conflict:
                lender.rollback()
                conflicts += 1
        lender.close()
        return conflicts

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(counts, [8] * 3))
    assert rows(ledger_url, READ)[0][1] == 25


@pytest.mark.parametrize(
    "options",
    [
        {"key": {}},
        {"expected": {}},
        {"new": {}},
        {"new": ["a"]},
        {"expected": {"k": 1}},
        {"new": {"": 1}},
        {"table": "a..b"},
    ],
)
def test_what_makes_no_statement_is_refused(options: dict[str, Any]) -> None:
    given: dict[str, Any] = {"table": "t", "key": {"k": 1}, "expected": {"n": 1}, "new": {"n": 2}} | options
    with pytest.raises(InvalidOption):
        compare_and_set(sqlite3.connect(":memory:"), given.pop("table"), **given)


@pytest.mark.parametrize("version", [("n", "1"), ("n", True), "n", ("v", 1)])
def test_what_is_no_version_is_refused(version: Any) -> None:
    with pytest.raises(InvalidOption):
        write_version(sqlite3.connect(":memory:"), "t", key={"k": 1}, version=version, values={"v": 1})


def test_a_planted_comparison_is_noticed(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the comparison an update is lost, and the tests above see it."""
    from dutiful.app import versions

    whole = versions._statement

    def careless(target: str, key: Any, expected: Any, new: Any, style: Any) -> Any:
        return whole(target, key, {}, new, style)

    monkeypatch.setattr(versions, "_statement", careless)
    lender = patient(ledger_url)
    lender.begin()
    with pytest.raises(pytest.fail.Exception):
        with pytest.raises(Conflict):
            compare_and_set(
                lender.lent, "article", key={"id": 1}, expected={"body": "other"}, new={"body": "b"}
            )
    lender.rollback()
    lender.close()


# ── in a task ───────────────────────────────────────────────────────────────────────────────


def test_conflicts_are_uncharged_and_bounded() -> None:
    """Ten for each charged attempt, then one is charged, until no try is left."""
    attempt, run_no, seen_ = 1, 1, []
    while True:
        verdict = judge(Conflict("x"), attempt=attempt, run_no=run_no, retry=Retry(2), chance=1.0)
        if isinstance(verdict, Bury):
            break
        seen_.append(verdict.charged)
        assert verdict.charged or 100_000 <= verdict.delay_us <= 5_000_000
        attempt += verdict.charged
        run_no += 1
    free = [False] * CONFLICTS_MAX
    assert seen_ == [*free, True, *free, True, *free]
    assert verdict.reason == "exhausted"
    never = judge(Conflict("x"), attempt=1, run_no=1, retry=Retry(2, never=(Conflict,)), chance=0)
    assert isinstance(never, Bury)
    alone = judge(ExceptionGroup("g", [Conflict("x")]), attempt=1, run_no=1, retry=Retry(0), chance=0)
    assert alone == Again(100_000, False, None)


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_a_task_that_meets_a_conflict_runs_again_uncharged(delivery: Any, rows_url: str) -> None:
    app = App("shop", rows_url)
    app.migrate()
    tries: list[tuple[int, int]] = []

    @app.task(name="t", retry=0, delivery=delivery)
    def body(*, run: Run = Run.given) -> None:
        tries.append((run.run_no, run.attempt))
        if len(tries) < 3:
            raise Conflict("somebody else was first")

    job = body.enqueue()
    for _ in range(3):
        run_all(app)
        write(app.engine, "UPDATE dutiful.job SET run_at = 0")
    assert tries[:3] == [(1, 1), (2, 1), (3, 1)]
    assert job.job().state == "done"
    app.close()
