"""exactly_once in another database: the ledger there is the proof, and the queue follows it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dutiful import App, Transaction
from dutiful.model.errors import CommitUnknown
from dutiful.operations import settle, verify, workers
from dutiful.testing import run_all
from tests.contract.shops import Shop, add
from tests.contract.test_exactly_once import carried, claimed


@pytest.fixture
def shop(rows_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """Jobs in a store of each kind, work in another of the same kind."""
    if rows_url.startswith("sqlite"):
        _, _, options = rows_url.partition("?")
        other = f"sqlite:///{tmp_path}/books.db" + (f"?{options}" if options else "")
    else:
        other = request.getfixturevalue("postgres_url")
    app = App("shop" + secrets.token_hex(4), rows_url, databases={"books": other})
    app.migrate()
    app.engine_of("books").migrate()
    yield Shop(app, "books")
    app.close()


def entry(shop: Shop, **options: Any) -> Any:
    @shop.app.task(name="entry", delivery="exactly_once", database="books", once="entry:{n}", **options)
    def entry(n: int, *, tx: Transaction = Transaction.given) -> int:
        tx.execute(*add(n, "work"))
        return n * 10

    return entry


def sound(shop: Shop) -> None:
    assert shop.app.engine.run(verify.check(shop.app.name, full=True)) == []


def test_the_work_is_there_and_the_job_is_done_here(shop: Shop) -> None:
    handle = entry(shop, result=True).enqueue(1)
    assert [outcome.verb for outcome in run_all(shop.app)] == ["complete"]
    assert (shop.receipts(), shop.works()) == ([(1, "work")], 1)
    assert handle.result("1s") == 10
    sound(shop)


def test_killed_between_the_two_commits_nothing_is_done_twice(shop: Shop) -> None:
    """The work is committed there, and the queue was never told: the next run finds the ledger row."""
    handle = entry(shop, result=True).enqueue(1)
    [lease] = claimed(shop)
    ending = carried(shop.app, lease)
    assert ending.verb == "complete"  # and is not stored: the worker dies here
    engine = shop.app.engine
    [(worker,)] = Shop.sql(_queue(shop), f"SELECT max(id) FROM {_table(shop, 'worker')}")
    engine.run(workers.bury([worker], silent=False))
    assert len(engine.run(workers.lapse())) == 1
    assert engine.run(settle.settle([ending], worker)) == [ending]
    outcomes = run_all(shop.app)
    assert [outcome.verb for outcome in outcomes] == ["complete"]
    assert (shop.receipts(), shop.works()) == ([(1, "work")], 1)
    assert handle.result("1s") == 10, "the ledger kept the result"
    sound(shop)


def test_a_second_job_of_the_duty_is_a_duplicate(shop: Shop) -> None:
    task = entry(shop)
    task.using(remember="0s").enqueue(1)
    run_all(shop.app)
    second = task.using(remember="0s").enqueue(1)
    assert [outcome.verb for outcome in run_all(shop.app)] == ["duplicate"]
    assert second.job().outcome == "duplicate"
    assert shop.receipts() == [(1, "work")]
    sound(shop)


@pytest.mark.parametrize("kept", [True, False])
def test_a_commit_without_an_answer_is_asked_of_the_ledger(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    entry(shop).enqueue(1)
    kind = type(shop.engine.work())
    commit, cuts = kind.commit, [1]

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
    assert [outcome.verb for outcome in run_all(shop.app)] == ["complete"]
    assert (shop.receipts(), shop.works()) == ([(1, "work")], 1)
    sound(shop)


def test_a_database_without_a_ledger_says_what_to_type(rows_url: str, tmp_path: Path) -> None:
    app = App("bare" + secrets.token_hex(4), rows_url, databases={"books": f"sqlite:///{tmp_path}/bare.db"})
    app.migrate()

    @app.task(delivery="exactly_once", database="books", retry=0)
    def entry(n: int, *, tx: Transaction = Transaction.given) -> None: ...

    entry.enqueue(1)
    [outcome] = run_all(app)
    assert (outcome.verb, outcome.kind) == ("bury", "LedgerMissing")
    assert "dutiful migrate --ledger" in outcome.message
    app.close()


def _queue(shop: Shop) -> Shop:
    queue = Shop.__new__(Shop)
    queue.engine = shop.app.engine
    return queue


def _table(shop: Shop, name: str) -> str:
    return f"dutiful.{name}" if shop.app.engine.name == "postgres" else f"dutiful_{name}"
