"""Reconciliations on the page: what each says of itself, its rows, its verbs; the numbers that they move."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dutiful
from dutiful.cli.root import run
from dutiful.model.operators import Operator
from dutiful.model.verdict import NAMES
from dutiful.operations import audit, health, reconcile, reconcile_views, registry, workers
from dutiful.operations.reconcile import Counts, Found, Stored
from dutiful.web.pages import build
from dutiful.web.screens import reconcile as screen
from dutiful.web.site import Site
from dutiful.worker.bookkeeping import declared_of
from tests.contract.markets import HOUR, RECEIPTS, Market
from tests.web import shop
from tests.web.conftest import Page, Shop, empty_store


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty store on each engine."""
    with empty_store(request.param, request, tmp_path_factory) as url:
        yield url


@pytest.fixture
def page(url: str) -> Iterator[Page]:
    """A shop with reconciliations in every state."""
    app = shop.make(url)
    made = Shop(app, shop.fill(app, 3))
    shop.reconciled(app, made.ids)
    found = made.page()
    yield found
    found.site.close()
    app.close()


def stored(page: Page, name: str) -> Stored:
    assert page.site.app is not None
    return next(one for one in page.site.app.engine.run(reconcile.look("shop")) if one.name == name)


def text(page: Page, path: str, **more: Any) -> str:
    got = page.get(path, **more)
    assert got.status == 200, (path, got.body)
    plain = re.sub(r"<[^>]*>", " ", got.body.decode())
    return html.unescape(" ".join(plain.split()))


def test_every_state_is_said_in_words(page: Page) -> None:
    rows = {row["name"]: row for row in json.loads(page.get("/reconcile.json").body)["rows"]}
    assert {name: row["state"] for name, row in rows.items()} == {
        "charges": "active", "invoices": "cannot check", "photos": "paused", "receipts": "active",
        "refunds": "stopped", "shipments": "never run",
    }  # fmt: skip
    assert rows["receipts"]["last"]["coverage"] == 99.9  # three of 12,043 are too young: never 100
    listed = text(page, "/reconcile")
    for words in (
        "never run yet", "cannot check OperationalError: no such table: invoices", "stopped by the governor",
        "paused by ann until in 23h", "12,004 of 12,043", "55 missing", "1 surplus", "quick",
    ):  # fmt: skip
        assert words in listed, words
    assert "No pass was made yet, so nothing is known" in text(page, "/reconcile/shipments")
    assert "LOST and DOUBLED are unknown: OperationalError" in text(page, "/reconcile/invoices")
    one = text(page, "/reconcile/receipts")
    assert "a quick one, by worker 4: duties due from" in one and "All of the window" in one
    got = page.get("/reconcile/nothing")
    assert got.status == 404 and b"There is no reconciliation" in got.body


def test_what_it_finds_is_whose_the_task_is(page: Page) -> None:
    app = page.site.app
    assert app is not None
    app.engine.run(registry.register("shop", "", [declared_of(task) for task in app.tasks.values()]))
    page.site._verdict = None
    owners = {one.key: one.owner for one in page.site.verdict().things}
    assert owners["reconcile:receipts"] == owners["reconcile:receipts:surplus"] == "mail team"
    assert "3 of 4 tasks are compared" in text(page, "/reconcile")


def test_each_number_opens_its_rows_a_page_at_a_time(page: Page) -> None:
    assert page.site.app is not None
    listed = page.get("/reconcile").body.decode()
    for kind, key in (("late", 77), ("surplus", 78), ("stuck", 79), ("people", 80)):
        path = f"/reconcile/receipts?class={kind}"
        assert path in listed
        assert [one["key"] for one in json.loads(page.get(path.replace("?", ".json?")).body)["findings"]] == [
            f"receipt:{key}"
        ]
    assert "is done 2 times" in text(page, "/reconcile/receipts?class=surplus")
    seen, path = [], "/reconcile/receipts?class=missing"
    while path:
        found = json.loads(page.get(path.replace("receipts?", "receipts.json?")).body)
        seen += [one["key"] for one in found["findings"]]
        if len(seen) == screen.PAGE:  # what is found meanwhile comes later, and what is closed is gone
            found_now = Found("receipt:000", "missing", 1)
            shop._pass(page.site.app, "receipts", Counts(1, missing=1), 1, found=[found_now], whole=False)
        path = found["next"]
    assert sorted(seen) == sorted([*(f"receipt:{n}" for n in range(55)), "receipt:000"])
    closed = json.loads(page.get("/reconcile/receipts.json?class=closed").body)["findings"]
    assert {one["key"] for one in closed} == {f"receipt:{n}" for n in range(55, 60)}
    assert {one["job_id"] for one in closed} != {None}
    for wrong in ("class=nonsense", "class=missing&after=nonsense", "before=x"):
        assert page.get(f"/reconcile/receipts?{wrong}").status == 200


def test_what_the_governor_stopped_is_approved_once_with_a_reason(page: Page) -> None:
    assert page.site.app is not None
    path = "/reconcile/refunds/approve"
    assert "found 60 missing; more than 20 were not believed" in text(page, path)
    form = page.fields(path)
    assert page.post(path, form).status == 422  # no reason
    assert page.post(path, form | {"reason": "x", "run": "what"}).status == 409
    assert stored(page, "refunds").approved is None
    for _ in range(2):  # the second sending of a form does nothing
        assert page.post(path, form | {"reason": "a new shop"}).status == 303
    assert stored(page, "refunds").approved == 60
    [row] = page.site.app.engine.run(audit.page("shop", verb="approve_reconcile"))
    assert (row.actor, row.reason, row.subject) == (
        "ann",
        "a new shop",
        f"reconcile refunds pass {form['run']}",
    )
    assert page.get(path).status == 409 and "approved, the next pass goes on" in text(
        page, "/reconcile/refunds"
    )
    assert page.get("/reconcile/charges/approve").status == 409


def test_a_pass_is_asked_for_and_put_off(page: Page) -> None:
    assert page.site.app is not None
    run_store = page.site.app.engine.run
    assert not stored(page, "charges").due
    path = "/reconcile/charges/run"
    assert page.post(path, page.fields(path) | {"reach": "whole"}).status == 303
    assert stored(page, "charges").due and stored(page, "charges").whole_due("here") == "asked"
    path = "/reconcile/charges/pause"
    assert page.post(path, page.fields(path)).status == 422
    assert page.post(path, page.fields(path) | {"reason": "a move", "until": "soon"}).status == 422
    assert page.post(path, page.fields(path) | {"reason": "a move", "until": "2h"}).status == 303
    assert stored(page, "charges").state == "paused" and not stored(page, "charges").due
    got = page.post("/reconcile/charges/run", page.fields("/reconcile/charges/run"))
    assert got.status == 409 and b"paused by ann" in got.body
    path = "/reconcile/charges/resume"
    assert page.post(path, page.fields(path)).status == 303 and stored(page, "charges").due
    assert page.post(path, page.fields(path)).status == 409
    verbs = [row.verb for row in run_store(audit.page("shop", subject="reconcile charges"))]
    assert verbs == ["resume_reconcile", "pause_reconcile", "run_reconcile"]
    for worker in run_store(health.workforce("shop"))[0]:
        run_store(workers.leave(worker.id))
    got = page.post("/reconcile/charges/run", page.fields("/reconcile/charges/run"))
    assert got.status == 409 and b"nobody would make a pass" in got.body
    assert "no worker has its code" in text(page, "/reconcile/charges")


def test_who_may_not_sees_no_button(page: Page) -> None:
    assert b"/run" in page.get("/reconcile/charges").body
    viewer = Operator("bo", "Bo", "viewer", how="web")
    assert b"/run" not in page.get("/reconcile/charges", who=viewer).body
    assert page.get("/reconcile/charges/run", who=viewer).status == 403


def test_s4_a_key_that_is_made_of_a_secret_is_not_shown(tmp_path: Path) -> None:
    app = dutiful.App("shop", f"sqlite:///{tmp_path / 'shop.db'}")
    app.migrate()

    @app.task(name="shop.send_receipt", once="pay:{card.password}")
    def pay(card: dict[str, str]) -> None: ...

    one = app.reconcile(pay, expected="SELECT 1", done="SELECT 1", name="receipts")
    app.engine.run(reconcile.adopt("shop", one.rule))
    shop._pass(app, "receipts", Counts(1, missing=1), 1, found=[Found("pay:hunter2-is-secret", "missing", 1)])
    site = Site(app, authorize=lambda request: None)
    found = Page(build(site), site).get("/reconcile/receipts.json").body.decode()
    assert "redacted" in found and "hunter2" not in found
    site.close()
    app.close()


# ── the numbers that waited for reconciliation ──────────────────────────────────────────────


def four(page: Page) -> dict[str, int]:
    page.site._verdict = None
    found = json.loads(page.get("/verdict.json").body)
    return {name: found["numbers"][name]["amount"] for name in NAMES}


def told(url: str, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """What ``dutiful verdict`` says."""
    run(["verdict", "--store", url, "--json"])
    found = json.loads(capsys.readouterr().out)
    return {name: found["numbers"][name]["amount"] for name in NAMES}


def test_h4_h5_a_doubled_and_a_lost_effect_move_their_numbers_on_the_page_and_in_the_command(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """H4: a doubled effect moves DOUBLED, a lost one LOST, each links to its row; H5: everywhere alike."""
    market = Market(url)
    market.clock.at_us = time.time_ns() // 1000 - 3 * HOUR  # the command goes by the true clock
    site = Site(market.app, authorize=lambda request: None)
    page = Page(build(site), site)
    market.order(1, 2)
    market.send.enqueue(1), market.send.enqueue(2)
    market.work()
    market.sweep()
    assert (four(page)["lost"], four(page)["doubled"]) == (0, 0)
    market.receipt(1)  # somebody sends one more by hand
    market.later()
    market.sweep(whole=True)
    assert (four(page)["lost"], four(page)["doubled"]) == (0, 1) and told(url, capsys) == four(page)
    home = page.get("/").body.decode()
    assert 'href="/reconcile/send?class=surplus"' in home
    assert "receipt:1" in text(page, "/reconcile/send?class=surplus")
    market.sql(f"DELETE FROM {RECEIPTS} WHERE order_id = 2")  # a receipt is lost, and its job is done
    market.later()
    market.sweep(whole=True)
    assert (four(page)["lost"], four(page)["doubled"]) == (1, 1) and told(url, capsys) == four(page)
    attention = page.get("/attention").body.decode()
    assert 'href="/reconcile/send?class=missing"' in attention
    assert "says that it is done, and the evidence does not" in text(page, "/reconcile/send?class=missing")
    market.receipt(2)
    market.sql(f"DELETE FROM {RECEIPTS} WHERE order_id = 1")
    market.receipt(1)
    market.later()
    market.sweep(whole=True)
    assert (four(page)["lost"], four(page)["doubled"]) == (0, 0) and told(url, capsys) == four(page)
    assert market.app.engine.run(reconcile_views.open_counts("shop")) == {}
    site.close()
    market.close()
