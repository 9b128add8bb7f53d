"""Jobs that share a transaction (``group=``) or a call (``batch=``), and what one costs the others."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from dutiful import App
from dutiful.app.transactions import Transaction
from dutiful.model.errors import CommitUnknown, InvalidTask, TransactionOver
from dutiful.model.jobs import Ending
from dutiful.operations import inspect, settle, verify
from dutiful.worker.batches import carry_out_batch
from dutiful.worker.groups import carry_out_group
from dutiful.worker.run import run_of
from tests.contract.shops import Shop, add
from tests.contract.test_exactly_once import claimed


@pytest.fixture
def shop(rows_url: str) -> Iterator[Shop]:
    app = App("shop" + secrets.token_hex(4), rows_url)
    app.migrate()
    yield Shop(app)
    app.close()


@dataclass
class Row:
    n: int


def grouped(shop: Shop, bad: Any = lambda n, tx: None, **options: Any) -> Any:
    options = {"delivery": "exactly_once", "group": 50, "retry": 0, "once": "row:{n}"} | options

    @shop.app.task(name="row", **options)
    def row(n: int, *, tx: Transaction) -> int:
        tx.execute(*add(n, "work"))
        bad(n, tx)
        return n

    return row


def together(shop: Shop, run: Any = carry_out_group) -> dict[int, str]:
    """Claim all, run them as one, and store what is left to be stored: verbs by order."""
    leases = claimed(shop)
    task = shop.app.find_task("row")
    numbers = {lease.token: lease for lease in leases}
    endings: list[Ending] = run(
        shop.app, task, [(lease, run_of(lease)) for lease in leases], lambda lease: True
    )
    assert len(endings) == len(leases)
    shop.app.engine.run(settle.settle(endings, 1))

    def number(token: str) -> int:
        value = task.codec.decode(numbers[token].args)["rows" if task.batched else "n"]
        return int(value.n if task.batched else value)

    return {number(ending.token): ending.verb for ending in endings}


def sound(shop: Shop) -> None:
    assert shop.app.engine.run(verify.check(shop.app.name, full=True)) == []


def test_a_group_is_one_commit(shop: Shop) -> None:
    task = grouped(shop, result=True)
    handles = [task.enqueue(n) for n in range(8)]
    assert set(together(shop).values()) == {"committed"}
    assert shop.receipts() == [(n, "work") for n in range(8)]
    assert shop.works() == 8
    assert [handle.result("1s") for handle in handles] == list(range(8))
    sound(shop)


@pytest.mark.parametrize("how", ["raises", "statement", "raises late"])
def test_one_that_fails_is_rolled_back_alone(shop: Shop, how: str) -> None:
    def bad(n: int, tx: Any) -> None:
        if n == 3 and how == "raises":
            raise ValueError("no")
        if n == 3 and how == "statement":
            tx.execute("INSERT INTO there_is_no_such_table VALUES (1)")
        if n == 7 and how == "raises late":
            raise ValueError("no")

    task = grouped(shop, bad)
    handles = {n: task.enqueue(n) for n in range(8)}
    verbs = together(shop)
    culprit = 7 if how == "raises late" else 3
    assert verbs == {n: "bury" if n == culprit else "committed" for n in range(8)}
    assert shop.receipts() == [(n, "work") for n in range(8) if n != culprit]
    assert shop.works() == 7
    assert handles[culprit].job().state == "dead"
    sound(shop)


def test_all_may_fail(shop: Shop) -> None:
    def bad(n: int, tx: Any) -> None:
        raise ValueError("no")

    task = grouped(shop, bad)
    for n in range(4):
        task.enqueue(n)
    assert set(together(shop).values()) == {"bury"}
    assert (shop.receipts(), shop.works()) == ([], 0)


def test_a_duty_that_is_done_is_left_out(shop: Shop) -> None:
    task = grouped(shop)
    task.using(remember="0s").enqueue(2)
    assert together(shop) == {2: "committed"}
    for n in range(4):
        task.using(remember="0s").enqueue(n)
    assert together(shop) == {0: "committed", 1: "committed", 2: "duplicate", 3: "committed"}
    assert shop.receipts() == [(n, "work") for n in range(4)]
    sound(shop)


def test_a_run_that_is_over_takes_nothing_with_it(shop: Shop) -> None:
    """Its job is another's: its part of the work is not kept, and the others' is."""
    jobs = "dutiful.job" if shop.engine.name == "postgres" else "dutiful_job"
    victim: list[str] = []

    def bad(n: int, tx: Any) -> None:
        if n == 2:
            tx.execute(f"DELETE FROM {jobs} WHERE id = :id", {"id": victim[0]})

    task = grouped(shop, bad)
    ids = [task.enqueue(n).id for n in range(4)]
    victim.append(ids[2])
    assert together(shop) == {0: "committed", 1: "committed", 2: "lost", 3: "committed"}
    assert shop.receipts() == [(n, "work") for n in (0, 1, 3)]


@pytest.mark.parametrize("kept", [True, False])
def test_a_commit_without_an_answer_is_read_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    task = grouped(shop)
    for n in range(4):
        task.enqueue(n)
    kind = type(shop.engine.work())
    commit = kind.commit
    cuts = [1]

    def cut(self: Any) -> None:
        if not cuts:
            return commit(self)
        cuts.clear()
        if kept:
            commit(self)
        else:
            self.rollback()
        raise CommitUnknown("cut by the test")

    monkeypatch.setattr(kind, "commit", cut)
    assert set(together(shop).values()) == {"committed"}
    assert shop.receipts() == [(n, "work") for n in range(4)]
    sound(shop)


def test_their_own_enqueues_join(shop: Shop) -> None:
    @shop.app.task(name="follow", once="follow:{n}")
    def follow(n: int) -> None: ...

    handles: list[Any] = []

    def ask(n: int, tx: Any) -> None:
        handles.append(follow.enqueue(n % 2))

    task = grouped(shop, ask)
    for n in range(4):
        task.enqueue(n)
    assert set(together(shop).values()) == {"committed"}
    assert [handle.duplicate for handle in handles] == [False, False, True, True]
    assert len({handle.id for handle in handles}) == 2
    assert all(handle.job().state == "ready" for handle in handles)


def test_a_body_may_ask_how_many_rows(shop: Shop) -> None:
    """Statements are on their way together, and what is asked of one is waited for."""
    if "apsw" in shop.app.url:
        pytest.skip("apsw's cursors do not count")
    counts: list[int] = []

    def ask(n: int, tx: Any) -> None:
        counts.append(tx.execute(*add(n, "more")).rowcount)
        counts.append(len(tx.execute("SELECT 1 UNION SELECT 2").fetchall()))

    task = grouped(shop, ask)
    for n in range(3):
        task.enqueue(n)
    together(shop)
    assert counts == [1, 2] * 3


def test_a_statement_is_given_what_its_values_were_then(shop: Shop) -> None:
    """A body may use one mapping again and again, and change a list that it has handed over."""

    @shop.app.task(name="row", delivery="exactly_once", group=50, retry=0)
    def row(n: int, *, tx: Transaction) -> None:
        sql, params = add(n, "work")
        params = dict(params)
        tx.execute(sql, params)
        [name] = [name for name, value in params.items() if value == n]
        params[name] = -1

    for n in range(4):
        row.enqueue(n)
    assert set(together(shop).values()) == {"committed"}
    assert shop.receipts() == [(n, "work") for n in range(4)]


@pytest.mark.postgres
def test_a_list_that_changes_later_is_sent_as_it_was(reused_postgres_url: str) -> None:
    shop = Shop(App("shop" + secrets.token_hex(4), reused_postgres_url))
    seen: list[Any] = []

    def ask(n: int, tx: Any) -> None:
        numbers = [n]
        answer = tx.execute("SELECT (:numbers::bigint[])[1]", {"numbers": numbers})
        numbers[0] = -1
        seen.append(answer)

    task = grouped(shop, ask)
    for n in range(4):
        task.enqueue(n)
    assert set(together(shop).values()) == {"committed"}
    assert [answer.fetchone() for answer in seen] == [(n,) for n in range(4)]
    shop.app.close()


def test_a_transaction_that_is_over_says_so(shop: Shop) -> None:
    kept: list[Transaction] = []
    task = grouped(shop, lambda n, tx: kept.append(tx))
    task.enqueue(1)
    together(shop)
    with pytest.raises(TransactionOver, match="after the body had returned"):
        kept[0].execute("SELECT 1")
    with pytest.raises(TransactionOver):
        kept[0].connection.execute("SELECT 1")
    with pytest.raises(TransactionOver):
        kept[0].session()


def batch(shop: Shop, bad: Any = lambda rows: None, **options: Any) -> Any:
    @shop.app.task(name="row", batch=50, retry=0, **options)
    def row(rows: list[Row], *, tx: Transaction) -> None:
        for one in rows:
            tx.execute(*add(one.n, "work"))
        bad(rows)

    return row


def test_a_batch_is_one_call_and_one_commit(shop: Shop) -> None:
    calls: list[int] = []
    task = batch(shop, lambda rows: calls.append(len(rows)), delivery="exactly_once")
    for n in range(6):
        task.enqueue(Row(n))
    assert set(together(shop, carry_out_batch).values()) == {"committed"}
    assert calls == [6]
    assert (len(shop.receipts()), shop.works()) == (6, 6)
    sound(shop)


def test_a_batch_fails_together(shop: Shop) -> None:
    def bad(rows: list[Row]) -> None:
        raise ValueError("no")

    task = batch(shop, bad, delivery="exactly_once")
    for n in range(3):
        task.enqueue(Row(n))
    assert set(together(shop, carry_out_batch).values()) == {"bury"}
    assert (shop.receipts(), shop.works()) == ([], 0)


def test_a_batch_at_least_once(shop: Shop) -> None:
    seen: list[int] = []

    @shop.app.task(name="row", batch=10)
    def row(rows: list[Row]) -> None:
        seen.extend(one.n for one in rows)

    for n in range(5):
        row.enqueue(Row(n))  # type: ignore[arg-type]
    assert set(together(shop, carry_out_batch).values()) == {"complete"}
    assert sorted(seen) == list(range(5))
    assert shop.app.engine.run(inspect.unfinished(shop.app.name, ["default"], shop.app.known())).ready == 0


@pytest.mark.parametrize(
    "options",
    [
        {"group": 50},
        {"group": 51, "delivery": "exactly_once"},
        {"group": 0, "delivery": "exactly_once"},
        {"group": True, "delivery": "exactly_once"},
        {"batch": 5, "group": 5, "delivery": "exactly_once"},
        {"batch": 5},
        {"batch": 5, "result": True},
        {"group": 5, "isolation": "process", "delivery": "exactly_once"},
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any]) -> None:
    app = App("wrong", "sqlite:///:memory:")
    with pytest.raises(InvalidTask):

        @app.task(**options)
        def one(n: int) -> None: ...
