"""exactly_once on Django's own connection: the ORM's writes and the completion are one commit."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from dutiful import App
from dutiful.app.transactions import AsyncTransaction, Transaction
from dutiful.engines.sqlite import SqliteEngine
from dutiful.model.errors import InvalidTask
from dutiful.testing import run_all
from tests.contract import lenders
from tests.contract.shops import TABLE, Shop, add

pytest.importorskip("django")


@pytest.fixture
def shop(rows_url: str) -> Iterator[tuple[Shop, str]]:
    """An app, and the alias of Django's connection to its database."""
    if "apsw" in rows_url:
        pytest.skip("Django opens files with sqlite3")
    app = App("shop" + secrets.token_hex(4), rows_url)
    app.migrate()
    at = app.engine.path if isinstance(app.engine, SqliteEngine) else rows_url
    lender = lenders.django(at)
    yield Shop(app), lender.lent._alias
    lender.close()
    app.close()


def task(shop: Shop, alias: str, then: Any = lambda tx: None, **options: Any) -> Any:
    @shop.app.task(name="work", delivery="exactly_once", database=f"django:{alias}", retry=0, **options)
    def work(n: int, *, tx: Transaction) -> int:
        tx.execute(*add(n, "tx"))
        with tx.connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {TABLE} (order_id, note) VALUES (%s, 'orm')", [n])
        then(tx)
        return n

    return work


def test_the_body_and_the_job_are_one(shop: tuple[Shop, str]) -> None:
    at, alias = shop
    seen: list[int] = []

    def hook(tx: Any) -> None:
        from django.db import transaction

        transaction.on_commit(lambda: seen.append(len(at.receipts())), using=alias)

    handle = task(at, alias, hook, result=True).enqueue(1)
    assert [outcome.verb for outcome in run_all(at.app)] == ["committed"]
    assert at.receipts() == [(1, "orm"), (1, "tx")]
    assert at.works() == 1
    assert handle.result("1s") == 1
    assert seen == [2], "hooks run after our commit"


def test_what_raises_keeps_nothing(shop: tuple[Shop, str]) -> None:
    at, alias = shop

    def no(tx: Any) -> None:
        raise ValueError("no")

    task(at, alias, no).enqueue(1)
    assert [outcome.kind for outcome in run_all(at.app)] == ["ValueError"]
    assert (at.receipts(), at.works()) == ([], 0)


@pytest.mark.parametrize("how", ["transaction.commit", "COMMIT", "swallowed", "nested"])
def test_stray_endings(shop: tuple[Shop, str], how: str) -> None:
    at, alias = shop

    def stray(tx: Any) -> None:
        from django.db import transaction

        if how == "transaction.commit":
            transaction.commit(using=alias)
        elif how == "COMMIT":
            tx.connection.cursor().execute("COMMIT")
        elif how == "swallowed":
            transaction.set_rollback(True, using=alias)
        else:
            with transaction.atomic(using=alias):
                tx.connection.cursor().execute(f"INSERT INTO {TABLE} (order_id, note) VALUES (9, 'nested')")

    task(at, alias, stray).enqueue(1)
    [outcome] = run_all(at.app)
    if how == "nested":
        assert outcome.verb == "committed"
        assert (9, "nested") in at.receipts()
    else:
        assert outcome.verb == "bury", outcome
        assert (at.receipts(), at.works()) == ([], 0)


def test_its_enqueues_join(shop: tuple[Shop, str]) -> None:
    at, alias = shop

    @at.app.task(name="follow")
    def follow(n: int) -> None: ...

    fail = [True]
    handles: list[Any] = []

    def ask(tx: Any) -> None:
        handles.append(follow.enqueue(1))
        if fail:
            raise ValueError("no")

    work = task(at, alias, ask)
    work.enqueue(1)
    assert [outcome.verb for outcome in run_all(at.app)] == ["bury"]
    fail.clear()
    work.enqueue(2)
    assert [outcome.verb for outcome in run_all(at.app)] == ["committed", "complete"]
    assert handles[1].job().state == "done"


def test_groups_may_be_djangos(shop: tuple[Shop, str]) -> None:
    at, alias = shop

    def bad(tx: Any) -> None:
        if (2, "tx") in at_work(tx):
            raise ValueError("no")

    def at_work(tx: Any) -> list[Any]:
        return list(tx.execute(f"SELECT order_id, note FROM {TABLE} ORDER BY order_id DESC").fetchall())[:2]

    work = task(at, alias, bad, group=10)
    for n in range(4):
        work.enqueue(n)
    verbs = sorted(outcome.verb for outcome in run_all(at.app))
    assert verbs.count("committed") >= 1


def test_another_database_is_refused(shop: tuple[Shop, str], tmp_path: Any) -> None:
    at, _ = shop
    lender = lenders.django(f"{tmp_path}/other.db")
    try:
        task(at, lender.lent._alias).enqueue(1)
        [outcome] = run_all(at.app)
        assert (outcome.verb, outcome.kind) == ("bury", "InvalidOption")
    finally:
        lender.close()


def test_async_bodies_are_refused() -> None:
    app = App("wrong", "sqlite:///:memory:")
    with pytest.raises(InvalidTask):

        @app.task(delivery="exactly_once", database="django")
        async def one(*, tx: AsyncTransaction) -> None: ...
