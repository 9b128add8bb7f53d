"""Rows are chosen one by one, large numbers typed, jobs found by key, secrets shown once; tasks, alerts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from dutiful.model.operators import Operator
from dutiful.operations import alerts, audit, bulk, inspect, page_reads, registry, workers
from dutiful.operations.bulk import Wanted
from dutiful.testing import run_all
from dutiful.web import bulk_verbs
from dutiful.worker.bookkeeping import declared_of
from tests.contract.world import Eye
from tests.web import shop
from tests.web.conftest import Page, Shop

_numbers = iter(range(7000, 9000))


def dead(filled: Shop, many: int) -> list[str]:
    """So many dead jobs that no other test touches."""
    orders = [3 * next(_numbers) for _ in range(many)]
    ids = [filled.app.tasks["shop.send_receipt"].enqueue(one, "c@example.com").id for one in orders]
    run_all(filled.app)
    return ids


def walked(filled: Shop, location: str) -> bulk.Bulk:
    """The bulk operation that an answer leads to, when it is over."""
    import time

    bulk_id = re.findall(r"/bulk/([0-9a-f-]{36})", location)[0]
    until = time.monotonic() + 20
    while (one := filled.app.engine.run(bulk.show("shop", bulk_id))).state != "done":
        assert time.monotonic() < until, one
        time.sleep(0.02)
    return one


def test_rows_that_were_chosen_and_no_others(filled: Shop, page: Page) -> None:
    ids = dead(filled, 4)
    text = page.get("/dead/jobs?task=shop.send_receipt").body.decode()
    assert all(f'form="chosen" name="id" value="{one}"' in text for one in ids)
    chosen = f"/dead/retry?id=none&id={ids[0]}&id={ids[2]}&task=shop.send_receipt"
    asked = page.get(chosen).body.decode()
    assert "Retry 2 dead jobs?" in asked and "among 2 that were named" in asked
    form = page.fields(chosen) | {"reason": "mended", "limit": ""}
    done = page.post(chosen, form)
    assert done.status == 303, done.body.decode()[-600:]
    one = walked(filled, dict(done.headers)["location"])
    assert (one.intended, one.done) == (2, 2)
    states = [filled.app.engine.run(inspect.job("shop", job)).state for job in ids]
    assert states == ["ready", "dead", "ready", "dead"]


def test_nothing_chosen_means_nothing_and_not_all(filled: Shop, page: Page) -> None:
    dead(filled, 1)
    for verb in ("retry", "discard"):
        got = page.get(f"/dead/{verb}?id=none")
        assert got.status == 409 and "No job was chosen" in got.body.decode()
        got = page.post(f"/dead/{verb}?id=none", {"reason": "x", "expected": "1", "action_id": ""})
        assert got.status == 409 and "No job was chosen" in got.body.decode()


@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_a_large_number_is_typed(
    filled: Shop, page: Page, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(bulk_verbs, "TYPED_ABOVE", 2)
    ids = dead(filled, 3)
    path = f"/dead/{verb}?" + "&".join(f"id={one}" for one in ids)
    assert "type that number" in page.get(path).body.decode()
    form = page.fields(path) | {"reason": "all of them", "limit": ""}
    assert form["expected"] == "3"
    for typed in ("", "2", "33", "three"):
        got = page.post(path, form | {"typed": typed})
        assert got.status == 409 and "3 jobs are meant" in got.body.decode()
        # whoever leaves out what was expected has to type it all the same
        assert page.post(path, form | {"typed": typed, "expected": ""}).status == 409
    assert {filled.app.engine.run(inspect.job("shop", one)).state for one in ids} == {"dead"}
    if verb == "retry":  # one may always be tried
        one = page.fields(path) | {"reason": "first one", "limit": "1", "typed": ""}
        assert page.post(path, one).status == 303
        return
    done = page.post(path, form | {"typed": " 3 "})
    assert done.status == 303 and walked(filled, dict(done.headers)["location"]).done == 3


def test_all_that_match_are_counted_exactly(filled: Shop) -> None:
    run = filled.app.engine.run
    for wanted in (
        Wanted(),
        Wanted(task="shop.send_receipt"),
        Wanted(error="SMTP", queue="mail"),
        Wanted(ids=()),
    ):
        listed = run(bulk.page("shop", wanted, bound_us=1 << 61, limit=10_000))
        assert run(page_reads.count("shop", wanted)) == len(listed)


def test_a_job_is_found_by_its_key(filled: Shop, page: Page) -> None:
    job_id = filled.ids["receipt 1"]
    found = page.get("/find?q=receipt:1")
    assert dict(found.headers)["location"] == f"/jobs/{job_id}"
    rows = json.loads(page.get("/jobs.json?key=receipt:1").body)["rows"]
    assert [row["id"] for row in rows] == [job_id]
    assert json.loads(page.get("/jobs.json?key=receipt:1&state=dead").body)["rows"] == []
    nobody = dict(page.get("/find?q=receipt:none").headers)["location"]
    assert "No job that fits holds the key" in page.get(nobody).body.decode()
    assert dict(page.get("/find?q=mail").headers)["location"] == "/jobs?queue=mail"
    assert dict(page.get("/find?q=shop.charge").headers)["location"] == "/jobs?task=shop.charge"
    page.who = Operator("bo", "Bo", "operator", how="web", queues=("billing",), tasks=("*",))
    assert json.loads(page.get("/jobs.json?key=receipt:1").body)["rows"] == []


# ── secrets ─────────────────────────────────────────────────────────────────────────────────


def test_a_secret_is_shown_once_to_whoever_may_and_says_why(filled: Shop, page: Page) -> None:
    path = f"/jobs/{filled.ids['secret']}/reveal"
    assert "show secrets" in page.get(f"/jobs/{filled.ids['secret']}").body.decode()
    form = page.fields(path)
    assert shop.SECRET not in page.get(path).body.decode()
    assert page.post(path, form | {"reason": " "}).status == 422
    shown = page.post(path, form | {"reason": "the bank asks"})
    assert shown.status == 200 and shop.SECRET in shown.body.decode()
    assert dict(shown.headers)["cache-control"] == "no-store"
    again = page.post(path, form | {"reason": "the bank asks"})
    assert again.status == 409 and shop.SECRET not in again.body.decode()
    notes = [(row["actor"], row["reason"]) for row in reveals(filled)]
    assert notes == [("ann", "the bank asks")]
    assert "ann did reveal" in page.get(f"/jobs/{filled.ids['secret']}").body.decode()


def reveals(filled: Shop) -> list[dict[str, Any]]:
    return [row for row in filled.app.engine.run(audit.of(filled.ids["secret"])) if row["verb"] == "reveal"]


def test_a_secret_is_not_shown_to_others(filled: Shop, page: Page) -> None:
    path, before = f"/jobs/{filled.ids['secret']}/reveal", len(reveals(filled))
    form = page.fields(path) | {"reason": "curious"}
    page.who = Operator("bo", "Bo", "operator", how="web")
    assert "show secrets" not in page.get(f"/jobs/{filled.ids['secret']}").body.decode()
    assert page.get(path).status == page.post(path, form).status == 403
    fixed = filled.page(readonly=True)
    assert "show secrets" not in fixed.get(f"/jobs/{filled.ids['secret']}").body.decode()
    assert fixed.post(path, form).status == 403
    fixed.site.close()
    assert len(reveals(filled)) == before


# ── tasks, alerts and settings ──────────────────────────────────────────────────────────────


def test_tasks_as_the_releases_say_them(filled: Shop, page: Page) -> None:
    run = filled.app.engine.run
    tasks = [declared_of(task) for task in filled.app.tasks.values()]
    assert "shop.resize" in " ".join(json.loads(page.get("/tasks.json").body)["new"])
    run(registry.register("shop", "2026.11.1", tasks[:1]))
    run(registry.register("shop", "2026.11.2", tasks))
    rows = {row["name"]: row for row in json.loads(page.get("/tasks.json?runs=1").body)["rows"]}
    assert set(rows) == {"shop.send_receipt", "shop.charge", "shop.resize", "shop.report"}
    receipt = rows["shop.send_receipt"]
    assert (receipt["queue"], receipt["owner"], receipt["delivery"]) == ("mail", "mail team", "at_least_once")
    assert [(one["release"], one["workers"]) for one in receipt["releases"]] == [
        ("2026.11.2", 1),
        ("2026.11.1", 0),
    ]
    groups = json.loads(page.get("/dead.json?task=shop.send_receipt").body)["rows"]
    assert receipt["dead"] == sum(one["jobs"] for one in groups) > 0 and receipt["groups"] == len(groups)
    one = json.loads(page.get("/tasks/shop.send_receipt.json").body)
    assert [row["fingerprint"] for row in one["groups"]] == [row["fingerprint"] for row in groups]
    assert ["once", "receipt:{order_id}"] in one["facts"] and len(one["jobs"]) == 10
    text = page.get("/tasks/shop.send_receipt").body.decode()
    assert "mail team" in text and "2026.11.1" in text
    assert page.get("/tasks/nobody.knows").status == 404


def test_alerts_say_who_was_told_and_what_came_of_it(filled: Shop, page: Page) -> None:
    run = filled.app.engine.run
    empty = page.get("/alerts").body.decode()
    assert "nobody is told of anything" in empty and "Nobody was told of anything yet" in empty
    run(alerts.declare("shop", {"ops": "webhook", "mail": "smtp"}))
    path = "/alerts/ops/test"
    form = page.fields(path) | {"reason": "is it alive"}
    first, second = page.post(path, form), page.post(path, form)
    assert (first.status, second.status) == (303, 303)
    told = json.loads(page.get("/alerts.json").body)["told"]
    assert [(one["channel"], one["event"], one["state"]) for one in told] == [("ops", "proof", "waits")]
    [message] = run(alerts.take("shop", ["ops"], 5))
    run(alerts.failed("shop", message, "the answer was HTTP 500"))
    told = json.loads(page.get("/alerts.json").body)["told"]
    assert (told[0]["state"], told[0]["error"]) == ("failing", "the answer was HTTP 500")
    run(alerts.sent("shop", message))
    page_of = json.loads(page.get("/alerts.json").body)
    assert page_of["told"][0]["state"] == "sent"
    assert {one["name"]: one["proven"] for one in page_of["channels"]} == {"ops": True, "mail": False}
    assert run(audit.page("shop", verb="try_channel"))[0].reason == "is it alive"
    page.who = Operator("bo", "Bo", "operator", how="web")
    assert page.get(path).status == page.post(path, form).status == 403
    run(workers.turn("heartbeat:shop", 1))
    assert json.loads(page.get("/alerts.json").body)["heartbeat_us"] is not None


def test_settings_say_who_you_are_and_mask_what_is_secret(filled: Shop, page: Page) -> None:
    from dutiful.model.alerts import Alerts, Command, Smtp, Webhook

    filled.app.engine.run(
        alerts.declare("shop", {"webhook hooks.example": "webhook", "m": "smtp", "c": "command"})
    )
    filled.app.alerts = Alerts(
        Webhook("https://hooks.example/T0/s3cr3t-path", headers={"X-Key": "s3cr3t-head"}),
        Smtp(
            "mx.example", "jobs@example.com", ("ops@example.com",), user="u", password="s3cr3t-pass", name="m"
        ),
        Command(("/usr/bin/page", "--token", "s3cr3t-arg"), name="c"),
        heartbeat="https://beat.example/s3cr3t-beat",
    )
    try:
        text = page.get("/alerts").body.decode() + page.get("/alerts.json").body.decode()
    finally:
        filled.app.alerts = None
    assert "s3cr3t" not in text
    for shown in ("hooks.example", "ops@example.com", "mx.example", "/usr/bin/page", "beat.example", "X-Key"):
        assert shown in text
    mine = json.loads(page.get("/alerts.json").body)["settings"]
    assert mine["you"] == "ann" and "reveal_secrets" in mine["permissions"]
    assert mine["marked"]["shop.charge"] == ["card"] and "password" in mine["denied"]
    eye = Eye(filled.app.engine)
    [(number,)] = eye.sql("SELECT max(number) FROM dutiful.version")
    eye.close()
    assert dict(mine["versions"])["Tables"] == f"version {number}"
    assert dict(mine["kept"])["Done and cancelled jobs"] == "for 7d"
