"""Reconciliation: expected, in flight, done; what is missing is made once, and no alarm is false."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dutiful import App, Late
from dutiful.app import reconcile_pass
from dutiful.app.reconcile_pass import Sweep
from dutiful.model.errors import InvalidReconcile, ReconcileRefused
from dutiful.model.verdict import judge
from dutiful.operations import numbers, people, reconcile, verify
from dutiful.sources import SqlTable
from tests.contract.markets import DAY, HOUR, MINUTE, ORDERS, RECEIPTS, Market, counted
from tests.contract.reconcile_worlds import explore


@pytest.fixture
def market(rows_url: str) -> Iterator[Market]:
    found = Market(rows_url)
    yield found
    found.close()


def test_what_is_missing_is_found_and_made_once(market: Market) -> None:
    """Missing, waiting, young, dead, done and done twice, told apart; mended by one job each."""
    market.order(*range(1, 9))
    market.order(20, ago_us=MINUTE)  # too young
    market.receipt(1)
    market.receipt(2), market.receipt(2)
    market.send.enqueue(3)
    market.body = lambda order_id: 1 / 0 if order_id == 4 else None  # type: ignore[method-assign]
    market.send.enqueue(4)
    assert sorted(market.work()) == ["bury", "committed"]
    market.send.enqueue(5)
    result = market.sweep()
    found = {"expected": 9, "ok": 2, "young": 1, "waiting": 1, "people": 1, "missing": 3, "surplus": 1}
    assert counted(result) == found and result.enqueued == 3
    assert {(one.key, one.kind, one.made) for one in market.found()} == {
        ("receipt:6", "missing", True), ("receipt:7", "missing", True), ("receipt:8", "missing", True),
        ("receipt:2", "surplus", False), ("receipt:4", "people", False),
    }  # fmt: skip
    assert market.sweep().enqueued == 0  # two passes at once do no harm
    market.work()
    market.later()
    assert counted(market.sweep()) == {"expected": 9, "ok": 6, "young": 1, "people": 1, "surplus": 1}
    assert market.receipts() == [1, 2, 2, 3, 5, 6, 7, 8]
    assert {(one.key, one.kind) for one in market.found()} == {
        ("receipt:2", "surplus"),
        ("receipt:4", "people"),
    }
    assert market.app.engine.run(verify.check("shop")) == []


def test_a_doubled_effect_moves_doubled(market: Market) -> None:
    """And a missing one that cannot be mended moves LOST; both go when it is well again."""

    def amounts() -> tuple[int, int]:
        found = judge(market.app.engine.run(numbers.numbers("shop")))
        return found.number("lost").amount, found.number("doubled").amount

    market.order(1, 2)
    market.send.enqueue(1), market.send.enqueue(2)
    market.work()
    market.sweep()
    assert amounts() == (0, 0)
    market.receipt(1)
    market.sql(f"DELETE FROM {RECEIPTS} WHERE order_id = 2")
    market.later()
    result = market.sweep(whole=True)
    [lost] = [one for one in market.found() if one.kind == "missing"]
    assert not lost.made and result.enqueued == 0 and "says that it is done" in lost.why
    assert amounts() == (1, 1) and market.work() == []
    market.receipt(2)
    market.sql(f"DELETE FROM {RECEIPTS} WHERE order_id = 1")
    market.receipt(1)
    market.later()
    market.sweep(whole=True)
    assert amounts() == (0, 0) and market.found() == []
    assert {one.closed_us for one in market.found(everything=True)} == {market.clock.at_us}


def test_done_and_not_expected_is_seen_where_all_is_looked_at(market: Market) -> None:
    """But neither work that was late nor what came while the pass looked."""
    market.order(1, ago_us=12 * DAY)  # before the window, and done within it
    market.receipt(1, ago_us=DAY)
    market.receipt(77)
    result = market.sweep()
    assert counted(result) == {"surplus": 1, "unexpected": 1}
    assert [(one.key, one.why) for one in market.found()] == [("receipt:77", "is done and not expected")]


def test_a_wrong_query_stops_at_twenty_and_waits(market: Market) -> None:
    """The governor: no flood, not in the passes after it either; a person's word lets as many through."""
    market.order(*range(100, 150))
    first = market.sweep()
    assert (first.made.governed.said, first.enqueued) == ("stopped", 20)
    market.later()
    second = market.sweep()
    assert (second.made.governed.said, second.enqueued) == ("waiting", 0)
    number = judge(market.app.engine.run(numbers.numbers("shop"))).number("lost")
    assert number.amount == 30
    with pytest.raises(ReconcileRefused):
        market.app.engine.run(reconcile.approve("shop", 10**6, actor="ann"))
    assert first.run is not None and second.run is not None
    name, _ = market.app.engine.run(reconcile.approve("shop", second.run, actor="ann", reason="a new shop"))
    market.later()
    third = market.sweep()
    assert (name, third.made.governed.said, third.enqueued) == ("send", "approved", 30)
    assert market.sweep().made.governed.said == ""
    assert market.app.engine.run(verify.check("shop")) == []


class Ends(Sweep):
    """A job ends after what is in flight was read, and before what is done is."""

    market: Market

    def _read_done(self, spool: Any) -> None:
        self.market.work()
        super()._read_done(spool)


class WrongOrder(Ends):
    """The planted bug: what is done is read before what is in flight."""

    def _look(self, spool: Any) -> None:
        self._read_expected(spool)
        Sweep._read_done(self, spool)
        self.market.work()
        self._read_in_flight(spool)

    def _again(self, keys: list[str]) -> Any:
        return {}


@pytest.mark.parametrize(("kind", "alarms"), [(Ends, {}), (WrongOrder, {"missing": 5})])
def test_a_job_that_ends_during_a_pass_is_no_false_alarm(
    market: Market, kind: type[Ends], alarms: Any
) -> None:
    market.order(*range(5))
    for n in range(5):
        market.send.enqueue(n)
    sweep = kind(market.app, market.one, by="test")
    sweep.market = market
    assert counted(sweep.run()) == ({"expected": 5, "ok": 5} if not alarms else {"expected": 5, **alarms})


def test_the_watermark_waits_for_what_is_open(market: Market) -> None:
    market.order(1, ago_us=5 * HOUR)
    market.order(2, ago_us=HOUR)
    market.sweep()  # both are enqueued, and not done
    [stored] = market.app.engine.run(reconcile.look("shop"))
    assert stored.watermark_us == market.clock.at_us - 5 * HOUR
    market.work()
    market.later()
    result = market.sweep()
    [stored] = market.app.engine.run(reconcile.look("shop"))
    assert not result.made.whole and stored.watermark_us == market.clock.at_us - 15 * MINUTE
    assert result.made.since_us == market.clock.at_us - 10 * MINUTE - 5 * HOUR - 15 * MINUTE
    market.later(DAY)
    assert market.sweep().made.whole  # once a day all is looked at


def test_a_missing_one_does_not_fall_out_of_the_window(rows_url: str) -> None:
    market = Market(rows_url, late="people")
    market.order(1)
    market.later(5 * HOUR)
    assert counted(market.sweep()) == {"expected": 1, "late": 1}
    market.later(20 * DAY)
    result = market.sweep()
    assert counted(result) == {"expected": 1, "late": 1} and result.enqueued == 0
    assert [one.kind for one in market.found()] == ["late"]
    market.send.enqueue(1)
    market.work()
    market.later(DAY)
    market.sweep()
    assert market.found() == []
    market.close()


@pytest.mark.parametrize(("then", "enqueued", "open_"), [("run", 1, 1), ("skip", 0, 0), ("dead", 0, 1)])
def test_late_ones_go_by_the_policy(rows_url: str, then: str, enqueued: int, open_: int) -> None:
    market = Market(rows_url, late=Late("2h", then=then))
    market.order(1, ago_us=3 * HOUR)
    result = market.sweep()
    assert (counted(result), result.enqueued) == ({"expected": 1, "late": 1}, enqueued)
    assert len(market.found()) == open_
    market.close()


def test_without_evidence_our_own_records_count(rows_url: str) -> None:
    for delivery in ("exactly_once", "at_least_once"):
        market = Market(rows_url, done=None, delivery=delivery)
        market.order(*range(1, 4))
        market.send.enqueue(1), market.send.enqueue(2)
        market.work()
        assert counted(market.sweep()) == {"expected": 3, "ok": 2, "missing": 1}
        job = market.send.enqueue(9)
        people_said = market.app.engine.run(people.cancel("shop", job.id, actor="ann"))
        assert people_said is not None
        market.sql("DELETE FROM dutiful.job"), market.sql("DELETE FROM dutiful.duty")
        market.close()


def test_rows_that_name_no_duty_are_refused(market: Market) -> None:
    for expected, says in (
        (f"SELECT id, paid_at AS due FROM {ORDERS}", "'id', which is no argument of send"),
        (f"SELECT id AS order_id FROM {ORDERS}", "without an instant as due"),
        (
            f"SELECT id AS order_id, paid_at AS due, 1 AS colour FROM {ORDERS}",
            "'colour', which is no argument",
        ),
    ):
        market.order(1) if expected.startswith("SELECT id, ") else None
        market.app.reconcilers.clear()
        market.one = market.app.reconcile(market.send, expected=expected, done=None)
        with pytest.raises(InvalidReconcile, match=says):
            market.sweep()
    market.app.reconcilers.clear()
    market.receipt(1)
    market.one = market.app.reconcile(
        market.send, expected="SELECT 1 WHERE 1 = 0", done=f"SELECT order_id AS id FROM {RECEIPTS}"
    )
    with pytest.raises(InvalidReconcile, match="done yields no 'order_id', which once="):
        market.sweep()


def test_declarations_that_cannot_work_are_refused() -> None:
    app = App("shop", "sqlite://")

    @app.task(name="plain")
    def plain(n: int) -> None: ...

    @app.task(name="keyed", once="k:{n}", remember="1d")
    def keyed(n: int) -> None: ...

    for make, says in (
        (lambda: app.reconcile(plain, expected="SELECT 1"), "has no once="),
        (lambda: app.reconcile(keyed, expected="SELECT :day", done="x"), "has a parameter :day"),
        (lambda: app.reconcile(keyed, expected="SELECT 1"), "further back than it is remembered"),  # I10
        (lambda: app.reconcile(keyed, expected="SELECT 1", done="SELECT 1", database="x"), "none of App"),
        (
            lambda: app.reconcile(keyed, expected="SELECT 1", done="SELECT 1", window="1m"),
            "nothing is looked at",
        ),
        (lambda: app.reconcile(keyed, expected="SELECT 1", done="SELECT 1", late="never"), "is no policy"),  # type: ignore[call-overload]
        (lambda: app.task(name="x", reconcile=None)(lambda: None), "needs a reason"),
    ):
        with pytest.raises(InvalidReconcile, match=says):
            make()  # type: ignore[no-untyped-call]
    app.close()


class Pile:
    """Another system's dead jobs: rows with handles, gone when they are acknowledged."""

    def __init__(self, *ids: int) -> None:
        self.left = {f"h{n}": {"order_id": n} for n in ids}
        self.told: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[tuple[dict[str, int], str]]:
        return iter([(row, handle) for handle, row in self.left.items()])

    def acknowledge(self, handle: str, outcome: str) -> None:
        self.told.append((handle, outcome))
        del self.left[handle]


def test_a_source_is_told_after_the_commit(rows_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the commit and the acknowledgement is a repeat, harmless by the key."""
    pile = Pile(1, 2, 3)
    market = Market(rows_url, expected=pile)
    market.receipt(1)

    def crash(*_: Any) -> None:
        raise RuntimeError("power off")

    monkeypatch.setattr(reconcile_pass.Sweep, "_acknowledge", crash)
    with pytest.raises(RuntimeError):
        market.sweep()
    monkeypatch.undo()
    assert len(pile.left) == 3 and pile.told == []
    market.sweep()
    assert sorted(pile.told) == [("h1", "done"), ("h2", "waiting"), ("h3", "waiting")]
    market.work()
    assert pile.left == {} and market.receipts() == [1, 2, 3]
    pile.left = {"h4": {"order_id": 4}}
    market.sweep()
    assert pile.told[-1] == ("h4", "enqueued")
    market.close()


def test_functions_stand_on_either_side(rows_url: str) -> None:
    def paid(since: Any, until: Any) -> Iterator[dict[str, Any]]:
        yield from ({"order_id": n, "due": until - timedelta(hours=1)} for n in range(1, 4))

    market = Market(rows_url, expected=paid, done=lambda since, until: ["receipt:1", {"order_id": 2}])
    result = market.sweep(dry=True)
    assert (counted(result)["missing"], result.run, market.found()) == (1, None, [])
    market.close()


def test_a_table_of_another_system_is_a_source(rows_url: str, tmp_path: Path) -> None:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(tmp_path / "foreign.db")

    with closing(connect()) as other, other:
        other.execute("CREATE TABLE failed (no INTEGER PRIMARY KEY, order_id INTEGER)")
        other.executemany("INSERT INTO failed VALUES (?, ?)", [(1, 1), (2, 2), (3, 2)])
    table = SqlTable(
        connect,
        select="SELECT no AS handle, order_id FROM failed",
        acknowledge="DELETE FROM failed WHERE no = ?",
    )
    market = Market(rows_url, expected=table)
    assert market.sweep(dry=True).run is None and len(list(table)) == 3
    result = market.sweep()
    assert (counted(result)["missing"], result.enqueued, list(table)) == (2, 2, [])
    market.work()
    assert market.receipts() == [1, 2]
    market.close()


def test_verify_names_what_reaches_beyond_memory_or_lost_count(store_url: str) -> None:
    """I10 and L2, each with a bug planted into the tables."""
    market = Market(store_url)
    market.order(*range(3))
    market.sweep()
    assert market.app.engine.run(verify.check("shop")) == []

    def broken() -> list[tuple[str, object]]:
        return [(one.invariant, one.rows[0]["id"]) for one in market.app.engine.run(verify.check("shop"))]

    if market.app.engine.name == "postgres":
        market.sql("ALTER TABLE dutiful.reconcile DROP CONSTRAINT reconcile_memory")
        market.sql("ALTER TABLE dutiful.reconcile_run DROP CONSTRAINT run_whole")
    else:
        market.sql("PRAGMA ignore_check_constraints = ON")
    market.sql("UPDATE dutiful.reconcile SET memory = reach - 1")
    assert broken() == [("I10", "reconcile send")]
    market.sql("UPDATE dutiful.reconcile SET memory = %s, reach = %s", HOUR // 2, HOUR // 2)
    assert broken() == [("I10", "reconcile send receipt:0")]  # due an hour ago, and enqueued anew
    market.sql("UPDATE dutiful.reconcile SET memory = NULL")
    market.sql("DELETE FROM dutiful.reconcile_finding WHERE key = 'receipt:1'")
    assert broken() == [("L2", "reconcile send pass 1")]
    market.sql("UPDATE dutiful.reconcile_run SET findings = 2")
    market.sql("UPDATE dutiful.reconcile_run SET ok = ok + 1")
    assert broken() == [("L2", "reconcile send pass 1")]
    market.close()


def test_random_worlds_lose_things_and_all_is_found(tmp_path: Path) -> None:
    """A few of the thousand of ``python -m tests.contract.reconcile_worlds``."""
    found = [explore(seed, f"sqlite:///{tmp_path / str(seed)}.db") for seed in (1, 20, 27)]
    assert [one.wrong for one in found] == [[]] * 3
    assert sum(one.missing for one in found) > 40 and sum(one.repaired for one in found) > 20
    assert sum(one.reported for one in found) > 10


@pytest.mark.postgres
def test_and_so_it_is_on_postgresql(postgres_url: str) -> None:
    one = explore(20, postgres_url)
    assert one.wrong == [] and one.missing > 0
