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
from tests.contract.stores import look


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
