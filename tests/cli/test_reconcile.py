"""``dutiful reconcile``: exit codes, what is told, the governor's stop and a person's word."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from dutiful.cli.root import run

SHOP = """
    from dutiful import App, Transaction

    app = App("shop", "sqlite:///{folder}/shop.db")

    @app.task(name="send", once="receipt:{{order_id}}", delivery="exactly_once")
    def send(order_id: int, *, tx: Transaction) -> None: ...

    @app.task(name="cache", reconcile=None, because="rebuilt nightly")
    def cache() -> None: ...

    app.reconcile(
        send,
        expected="SELECT id AS order_id, paid_at AS due FROM orders WHERE paid_at >= :since",
        done="SELECT order_id FROM receipts WHERE sent_at >= :since",
    )
    app.migrate()
"""
Told = Callable[..., tuple[int, str]]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    name = f"shop_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(dedent(SHOP).format(folder=tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("shop.db")) as shop, shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, paid_at TEXT)")
        shop.execute("CREATE TABLE receipts (order_id INTEGER, sent_at TEXT)")

    def tell(*args: str) -> tuple[int, str]:
        code = run(["reconcile", "--app", f"{name}:app", *args])
        found = capsys.readouterr()
        return code, found.out + found.err

    return tell


def sql(text: str, *params: Any) -> None:
    with closing(sqlite3.connect("shop.db")) as shop, shop:
        shop.execute(text, params)


def orders(*ids: int) -> None:
    for id in ids:
        sql("INSERT INTO orders VALUES (?, datetime('now', '-1 hour'))", id)


def test_it_tells_and_mends(told: Told) -> None:
    code, said = told()
    assert (
        code == 0
        and "✓ send: 0 expected" in said
        and "1 of 2 tasks are reconciled (50 %), 1 not by choice" in said
    )
    orders(1, 2)
    sql("INSERT INTO receipts VALUES (1, datetime('now'))")
    code, said = told("--dry-run")
    assert code == 1 and "1 missing" in said and "receipt:2" in said and "enqueued" not in said
    code, said = told("--json")
    [one] = json.loads(said)["reconcilers"]
    assert code == 1 and (one["expected"], one["missing"], one["enqueued"], one["coverage"]) == (2, 1, 1, 1.0)
    code, said = told("send")
    assert code == 0 and "1 waiting" in said
    code, said = told("--list")
    assert code == 0 and "send" in said


def test_the_governor_says_how_to_go_on(told: Told) -> None:
    orders(*range(60))
    code, said = told()
    assert code == 1 and "20 enqueued" in said and "dutiful reconcile" in said and "--approve 1" in said
    code, said = told("--approve", "1", "--reason", "a new shop")
    assert code == 1 and "Pass 1 of send is approved" in said and "40 enqueued" in said
    assert told("--approve", "1")[0] == 5


def test_it_is_paused_and_goes_on(told: Told) -> None:
    told()
    assert told("send", "--pause")[0] == 5 and "reason" in told("send", "--pause")[1]
    code, said = told("send", "--pause", "--for", "2h", "--reason", "the archive moves")
    assert code == 0 and "Reconciliation send is paused" in said
    assert "PAUSED" in told("--list")[1]
    code, said = told("send", "--resume")
    assert code == 0 and "goes on" in said and "PAUSED" not in told("--list")[1]
    code, said = told("send", "--resume")
    assert code == 5 and "is not paused" in said
    wrong = (
        ("--pause",),
        ("send", "--for", "2h"),
        ("send", "--pause", "--resume"),
        ("send", "--pause", "--dry-run"),
    )
    for args in wrong:
        assert told(*args)[0] == 2, args


def test_what_cannot_be_checked_or_understood(told: Told) -> None:
    sql("DROP TABLE receipts")
    code, said = told()
    assert code == 3 and "could not check" in said and "receipts" in said
    assert told("sned") == (5, told("sned")[1]) and "did you mean send?" in told("sned")[1]
    for args in (("--since", "soon"), ("--list", "--dry-run"), ("--approve", "x")):
        assert told(*args)[0] == 2
