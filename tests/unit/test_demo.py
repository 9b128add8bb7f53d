"""The demonstration's rules without its processes: plan, orders, bank, queue, books."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from dutiful.demo import books, outcome
from dutiful.demo.bank import Bank, Charge
from dutiful.demo.crew import Member
from dutiful.demo.naive import Queue
from dutiful.demo.orders import ORDERS_MAX, Order, OrderFile, read_orders
from dutiful.demo.plan import Crash, make_plan, orders_needed
from dutiful.demo.points import Report
from dutiful.demo.reconciled import Reconciled
from dutiful.demo.story import Story
from dutiful.demo.watch import Hit
from dutiful.model.errors import InvalidOption

HEADER = "order_id,customer,amount_cents,currency,placed_at\n"


def order(name: str, cents: int = 100) -> Order:
    return Order(name, "Moss Toys", cents, "EUR", "2026-03-02T09:00:00+01:00")


def row(name: str) -> str:
    return f"{name},Moss Toys,100,EUR,2026-03-02T09:00:00+01:00\n"


# Orders


def test_the_shipped_orders_are_all_good() -> None:
    found = read_orders(None, at_least=200)
    assert (len(found.orders), found.bad, found.left_over) == (200, (), 0)
    assert len({order.currency for order in found.orders}) > 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a b,x,1,EUR,2026-03-02T09:00:00Z", "order_id 'a b' is not"),
        ("a,,1,EUR,2026-03-02T09:00:00Z", "customer '' is not"),
        ("a,x,-1,EUR,2026-03-02T09:00:00Z", "amount_cents '-1' is not"),
        ("a,x,0,EUR,2026-03-02T09:00:00Z", "amount_cents '0' is not"),
        ("a,x,1e3,EUR,2026-03-02T09:00:00Z", "amount_cents '1e3' is not"),
        ("a,x,1,euro,2026-03-02T09:00:00Z", "currency 'euro' is not"),
        ("a,x,1,EUR,2026-03-02T09:00:00", "placed_at '2026-03-02T09:00:00' is not"),
        ("a,x,1,EUR", "has 4 fields instead of 5"),
        ("first,x,1,EUR,2026-03-02T09:00:00Z", "order_id 'first' stands in line 2 already"),
        (b"a,\xff,1,EUR,2026-03-02T09:00:00Z", "customer '\\udcff' is not"),
        (f'a,"{"x" * 200_000}",1,EUR,2026-03-02T09:00:00Z', "is no row of CSV"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_left_out(tmp_path: Path, text: str | bytes, problem: str) -> None:
    path = tmp_path / "orders.csv"
    bad = text.encode() if isinstance(text, str) else text
    path.write_bytes(f"{HEADER}{row('first')}\n".encode() + bad + f"\n{row('last')}".encode())
    found = read_orders(path, at_least=2)
    assert [order.id for order in found.orders] == ["first", "last"]
    [only] = found.bad
    assert only.line == 4
    assert only.problem.startswith(problem)


def test_columns_may_stand_in_any_order_and_a_row_may_span_lines(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    head = "\ufeffnote,Currency,placed_at,amount_cents,customer,order_id\n"
    path.write_text(f'{head}"two\nlines",EUR,2026-03-02T09:00:00Z,5,x,a\n,EUR,2026-03-02T09:00:00Z,x,x,b\n')
    found = read_orders(path, at_least=1)
    assert [(order.id, order.cents) for order in found.orders] == [("a", 5)]
    assert [bad.line for bad in found.bad] == [4]


def test_of_too_many_orders_some_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + "".join(row(f"o{no}") for no in range(ORDERS_MAX + 7)))
    found = read_orders(path, at_least=1)
    assert (len(found.orders), found.left_over) == (ORDERS_MAX, 7)


def test_a_folder_is_no_file_of_orders(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="cannot be read"):
        read_orders(tmp_path, at_least=1)


# The plan


@pytest.mark.parametrize("kills", [1, 2, 9, 30])
def test_a_plan_spreads_distinct_orders_and_equal_points(kills: int) -> None:
    ids = [f"o{no}" for no in range(orders_needed(kills))]
    for seed in range(200):
        plan = make_plan(ids, kills=kills, seed=seed)
        assert plan == make_plan(ids, kills=kills, seed=seed)
        hit = [crash.order_id for crash in plan.crashes]
        assert len({*hit, plan.poison}) == kills + 2
        assert [crash.how for crash in plan.crashes] == ["stop"] + ["kill"] * kills
        points = Counter(crash.where for crash in plan.crashes[1:])
        assert max(points.values()) - min(points[where] for where in ("before", "gap", "after")) <= 1
        assert points["before"] >= 1  # else lane A would lose nothing
    assert plan != make_plan(ids, kills=kills, seed=seed + 1)


# The bank and the queue


def test_the_bank_charges_again_without_a_key_and_not_with_one(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank.db")
    bank.open()
    first = bank.charge("C", "a", 5, "EUR", key="k")
    assert bank.charge("C", "a", 5, "EUR", key="k") == first
    assert bank.charge("B", "a", 5, "EUR", key="k") != first
    assert bank.charge("B", "a", 5, "EUR") != bank.charge("B", "a", 5, "EUR")
    assert bank.counts() == {"B": 3, "C": 1}
    assert (bank.repeats("C"), bank.repeats("B"), bank.times("B", "a")) == (1, 0, 3)


def test_a_lent_message_comes_back_and_an_old_receipt_is_worth_nothing(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.db")
    queue.open([order("a"), order("b")])
    first = queue.lend(0.0)
    again = queue.lend(60.0)
    assert first is not None and again is not None and first.order_id == again.order_id == "a"
    queue.delete(first)
    assert queue.has("a")
    queue.delete(again)
    taken = queue.take()
    assert taken is not None and taken.order_id == "b"
    assert (queue.left(), queue.take(), queue.lend(1.0)) == (0, None, None)
    queue.close()


# The books


def test_the_books_count_what_the_bank_did() -> None:
    orders = [order("a"), order("b"), order("c")]
    charges = [
        Charge(1, "A", "a", 100, "EUR"),
        Charge(2, "A", "a", 100, "EUR"),
        Charge(3, "A", "a", 100, "EUR"),
        Charge(4, "A", "b", 99, "EUR"),
        Charge(5, "A", "x", 100, "EUR"),
        Charge(6, "B", "c", 100, "EUR"),
    ]
    book = books.keep("A", "some", orders, charges)
    assert (book.orders, book.charged, book.lost, book.doubled) == (3, 5, ("c",), ("a",))
    assert (book.surplus, book.wrong, book.exact) == (2, ("b", "x"), False)
    exact = books.keep("B", "other", [order("c")], charges)
    assert exact.exact


@pytest.mark.parametrize(
    ("a", "b", "c", "complaint"),
    [
        ("x", "xyy", "xy", ""),
        ("xy", "xyy", "xy", "lane A lost nothing"),
        ("x", "xy", "xy", "lane B charged nothing twice"),
        ("x", "xyy", "x", "lane C lost 1 order (y)"),
        ("x", "xyy", "xyy", "lane C charged more than once: 1 order (y)"),
        ("x", "xyy", "xyz", "lane C charged what was not ordered: 1 order (z)"),
    ],
)
def test_it_demonstrates_only_if_c_is_exact_and_the_others_are_not(
    a: str, b: str, c: str, complaint: str
) -> None:
    orders = [order("x"), order("y")]
    kept = [
        books.keep(
            lane, lane, orders, [Charge(no, lane, name, 100, "EUR") for no, name in enumerate(charged)]
        )
        for lane, charged in (("A", a), ("B", b), ("C", c))
    ]
    found = books.shortcomings(*kept)
    assert [text.startswith(complaint) for text in found] == ([True] if complaint else [])


@pytest.mark.parametrize(
    ("refused", "folded", "failure", "twice", "complaints"),
    [
        (True, 2, "", 1, []),
        (False, 2, "", 1, ["was not seen refused"]),
        (True, 1, "", 1, ["folded 1 duplicates"]),
        (True, 2, "it was not done.", 1, ["it was not done."]),
        (
            True,
            2,
            "",
            0,
            ["app.reconcile found 2 expected, 2 in order in lane B, and the books 0 lost and 1 dou"],
        ),
        (True, 2, "", None, ["lane B was not reconciled."]),
    ],
)
def test_what_was_seen_counts_beside_the_books(
    refused: bool, folded: int, failure: str, twice: int | None, complaints: list[str]
) -> None:
    orders = (order("x"), order("y"))
    charged = {"A": "x", "B": "xyy", "C": "xy"}
    charges = [Charge(0, lane, name, 100, "EUR") for lane, names in charged.items() for name in names]
    hit = Hit(
        Crash("x", "gap", "stop"), Report("C", "x", "gap", 1, 1), cast(Member, None), 1, 0.0, refused=refused
    )
    reconciled = {"A": Reconciled(2, 1, 1, 0), "C": Reconciled(2, 2, 0, 0)}
    if twice is not None:
        reconciled["B"] = Reconciled(2, 2 - twice, 0, twice)
    facts = outcome.Facts(
        charges, 1, {"A": [], "B": [], "C": [hit]}, 2, folded, "y", 1, {}, reconciled=reconciled
    )
    end = outcome.reckon(OrderFile(Path("orders.csv"), orders, ()), facts, failure)
    assert [complaint in why for complaint, why in zip(complaints, end.why, strict=True)] == [True] * len(
        complaints
    )
    assert end.ok is not bool(complaints)


# The story


def test_signs_that_a_stream_does_not_know_are_written_otherwise() -> None:
    for encoding, sign in (("utf-8", "✗"), ("ascii", "x")):
        raw = io.BytesIO()
        story = Story(io.TextIOWrapper(raw, encoding=encoding), progress_s=0.0)
        story.tell("A", "✗", "lost", "red")
        assert raw.getvalue().decode(encoding).endswith(f"A {sign} lost\n")
