"""Work in another database than the queue's: its ending says where, and the checker knows that."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dutiful import App
from dutiful.app.transactions import AsyncTransaction, Transaction
from dutiful.operations import verify
from dutiful.testing import run_all
from tests.contract.shops import Shop, add
from tests.contract.stores import look, write


@pytest.fixture
def shop(rows_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    if rows_url.startswith("sqlite"):
        _, _, options = rows_url.partition("?")
        books = f"sqlite:///{tmp_path}/books.db?{options}"
    else:
        books = request.getfixturevalue("postgres_url")
    app = App("shop" + secrets.token_hex(4), rows_url, databases={"books": books})
    app.migrate()
    app.engine_of("books").migrate()
    yield Shop(app, "books")
    app.close()


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_an_ending_says_where_its_work_is(shop: Shop, kind: str) -> None:
    options: Any = {"name": "credit", "delivery": "exactly_once", "database": "books"}
    if kind == "plain":

        @shop.app.task(**options)
        def credit(order_id: int, *, tx: Transaction) -> None:
            tx.execute(*add(order_id, "work"))

    else:

        @shop.app.task(**options)
        async def credit(order_id: int, *, tx: AsyncTransaction) -> None:
            await tx.execute(*add(order_id, "work"))

    job = shop.app.find_task("credit").enqueue(7).id
    [outcome] = run_all(shop.app)
    assert outcome.verb == "complete"
    assert shop.receipts() == [(7, "work")]
    engine = shop.app.engine
    assert look(engine, "SELECT reason FROM dutiful.history WHERE id = %s", job) == [("in books",)]
    assert engine.run(verify.check(shop.app.name, full=True)) == []


def test_a_duplicate_says_where_its_duty_was_done(shop: Shop) -> None:
    @shop.app.task(name="credit", once="credit:{order_id}", delivery="exactly_once", database="books")
    def credit(order_id: int, *, tx: Transaction) -> None:
        tx.execute(*add(order_id, "work"))

    first = credit.enqueue(7).id
    assert [outcome.verb for outcome in run_all(shop.app)] == ["complete"]
    write(shop.app.engine, "DELETE FROM dutiful.duty")  # it was remembered no longer
    second = credit.enqueue(7).id
    assert [outcome.verb for outcome in run_all(shop.app)] == ["duplicate"]
    ending = "SELECT same_as, reason FROM dutiful.history WHERE id = %s"
    [(same_as, reason)] = look(shop.app.engine, ending, second)
    assert (str(same_as), reason) == (first, "in books")
    assert shop.receipts() == [(7, "work")]
    assert shop.app.engine.run(verify.check(shop.app.name, full=True)) == []
    assert shop.app.engine.run(verify.elsewhere(shop.app.name)) == {"books": 1}


@pytest.mark.parametrize("delivery", ["exactly_once", "at_most_once"])
def test_jobs_of_a_task_that_became_at_least_once_are_no_finding(shop: Shop, delivery: Any) -> None:
    """They were stored with one promise, and done with another."""
    before = App(shop.app.name, shop.app.url)
    before.task(name="credit", delivery=delivery)(lambda: None)
    before.find_task("credit").enqueue()
    before.close()

    @shop.app.task(name="credit")
    def credit() -> None:
        pass

    assert [outcome.verb for outcome in run_all(shop.app)] == ["complete"]
    assert shop.app.engine.run(verify.check(shop.app.name, full=True)) == []
    reasons = look(shop.app.engine, "SELECT reason FROM dutiful.history WHERE delivery = %s", delivery)
    assert reasons == [("as at_least_once",)]
