"""The page in a real Chromium: H2, H3, D5, L1, L2, L3, S3 of the acceptance tests."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from dutiful.model.ids import make_id
from dutiful.model.jobs import NewJob
from dutiful.operations import audit, enqueue
from dutiful.web.site import Site
from tests.web.browser import Serving, live, tab, until
from tests.web.conftest import Shop

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(180)]

_numbers = iter(range(10_000))


def dead(filled: Shop) -> str:
    """A dead job that no other test touches."""
    from dutiful.testing import run_all

    number = 3 * (1000 + next(_numbers))
    job_id = filled.app.tasks["shop.send_receipt"].enqueue(number, "b@example.com").id
    run_all(filled.app)
    return job_id


def screens(filled: Shop) -> list[str]:
    job = filled.ids["secret"]
    listed = [
        "/",
        "/charts",
        "/attention",
        "/dead",
        "/dead/jobs",
        "/jobs",
        f"/jobs/{job}",
        "/bulk",
        "/queues",
        "/schedule",
    ]
    return [
        *listed,
        "/workers",
        "/locks",
        "/doubts",
        "/audit",
        "/tasks",
        "/tasks/shop.charge",
        "/alerts",
        f"/jobs/{job}/retry",
        "/jobs/none",
        "/nothing",
    ]


# ── D: once ─────────────────────────────────────────────────────────────────────────────────


def test_d5_clicked_twice_reloaded_and_gone_back(browser: Any, address: str, filled: Shop) -> None:
    job_id = dead(filled)
    with tab(browser, address, java_script_enabled=False) as watched:
        watched.expected = (
            "409",
        )  # gone back, the browser asks for the form anew: it is of a job that is ready
        watched.go(f"/jobs/{job_id}/retry")
        watched.page.dblclick("form.ask button.main", no_wait_after=True)
        watched.page.wait_for_selector(".said")
        watched.page.reload()
        watched.page.go_back()
        watched.page.click("form.ask button.main")
        watched.page.wait_for_load_state()
    notes = [row["verb"] for row in filled.app.engine.run(audit.of(job_id))]
    assert notes == ["retry"]


def test_d6_a_dialog_says_that_it_changed(browser: Any, address: str, filled: Shop) -> None:
    from dutiful.operations import people

    job_id = dead(filled)
    with tab(browser, address) as watched:
        watched.expected = ("409",)
        watched.go(f"/jobs/{job_id}")
        watched.page.click(".bar >> text=Retry…")
        watched.page.wait_for_selector("dialog[open]")
        filled.app.engine.run(people.retry("shop", job_id, actor="bo"))
        watched.page.click("dialog[open] button.main")
        watched.page.wait_for_selector("dialog[open] >> text=it is ready")


# ── H and L: live ───────────────────────────────────────────────────────────────────────────


def test_l1_updates_keep_what_a_person_holds(browser: Any, address: str, filled: Shop) -> None:
    job_id = dead(filled)
    with tab(browser, address) as watched:
        watched.go("/dead/jobs")
        live(watched)
        page = watched.page
        page.click(f"#r-{job_id} .acts a >> nth=0")
        page.wait_for_selector("dialog[open]")
        page.fill("dialog[open] input[name=reason]", "half a sen")
        for number in range(3):
            filled.app.tasks["shop.resize"].enqueue(f"/l1/{number}.jpg")
            page.wait_for_timeout(1100)
        assert page.input_value("dialog[open] input[name=reason]") == "half a sen"
        page.keyboard.press("Escape")
        page.check(f"#c-{job_id}")
        # focus is kept while rows change in place, and a new row waits until it is asked for
        page.focus(f"#r-{job_id} [data-row]")
        newer = dead(filled)
        page.wait_for_selector("#newrows")
        assert page.evaluate("document.activeElement.closest('tr')?.id") == f"r-{job_id}"
        assert page.query_selector(f"#r-{newer}") is None
        assert page.is_checked(f"#c-{job_id}") and page.inner_text("#many") == "1 chosen below:"
        page.click("#newrows button")
        page.wait_for_selector(f"#r-{newer}")
        # selected text stops them
        page.evaluate(f"getSelection().selectAllChildren(document.getElementById('r-{job_id}'))")
        third = dead(filled)
        page.wait_for_timeout(2500)
        assert page.query_selector("#newrows") is None and page.query_selector(f"#r-{third}") is None
        page.evaluate("getSelection().removeAllRanges()")
        page.wait_for_selector("#newrows")


def test_h2_the_page_turns_to_cannot_say_by_itself(
    browser: Any, address: str, site: Site, filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dutiful.supervise.verdict import unreadable
    from dutiful.web import site as module

    with tab(browser, address) as watched:
        watched.go("/")
        live(watched)
        assert not watched.page.title().startswith("? ")
        monkeypatch.setattr(module, "verdict", lambda reader, app: unreadable(app, "the bookkeeper is gone"))
        until(watched, "document.title.startsWith('? ')", 15)
        watched.page.wait_for_selector("section.verdict.unknown")


def test_h3_what_is_cut_off_says_so_and_recovers(browser: Any, asgi: Any) -> None:
    first = Serving(asgi)
    with tab(browser, first.address) as watched:
        watched.expected = ("Failed to load", "ERR_", "net::")
        with first:
            watched.go("/queues")
            live(watched)
        watched.page.wait_for_selector("#notlive:not([hidden])", timeout=25_000)
        assert "Not live: showing" in watched.page.inner_text("#notlive")
        assert watched.page.title().startswith("? ")
        with Serving(asgi, first.port):
            watched.page.wait_for_selector("#notlive", state="hidden", timeout=30_000)
            until(watched, "!document.title.startsWith('? ')")


def test_l2_twelve_tabs_load_and_tick(browser: Any, address: str) -> None:
    context = browser.new_context()
    tabs = [context.new_page() for _ in range(12)]
    for one in tabs:
        one.goto(f"{address}/queues")
    for one in tabs:
        one.wait_for_selector("#asof.on")
    context.close()


def test_l3_many_viewers_ask_the_store_as_one_does(asgi: Any, site: Site, address: str) -> None:
    import http.client

    host = address.removeprefix("http://")
    streams = []
    before = asgi.state.ticker.looks
    for _ in range(50):
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("GET", "/live")
        streams.append((connection, connection.getresponse()))
    began = time.monotonic()
    for _, answer in streams:
        assert answer.readline().startswith(b"retry:")
    time.sleep(3)
    spent = time.monotonic() - began
    assert asgi.state.ticker.looks - before <= spent / 0.9 + 4
    for connection, _ in streams:
        connection.close()
    deadline = time.monotonic() + 10
    while asgi.state.ticker._listeners and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not asgi.state.ticker._listeners
    time.sleep(1.5)
    still = asgi.state.ticker.looks
    time.sleep(2)
    assert asgi.state.ticker.looks == still


# ── S3: what is stored never acts ───────────────────────────────────────────────────────────

CORPUS = (
    "<script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    '"><svg onload=window.hit=1>',
    '<div hx-get="/hit" hx-trigger=load>x</div>',
    '<a href="javascript:window.hit=1">x</a>',
    "{{7*7}}${7*7}",
    "'-window.hit=1-'",
)


def test_s3_stored_markup_is_text(browser: Any, address: str, filled: Shop) -> None:
    from dutiful.testing import run_all
    from tests.contract.world import Eye

    evil = " ".join(CORPUS)
    job = NewJob(
        id=make_id(),
        task=evil[:190],
        queue="mail",
        priority=0,
        args=b'{"x": "' + evil.replace('"', '\\"').encode() + b'"}',
        args_hash="h",
        key=evil[:200],
    )
    filled.app.engine.run(enqueue.one("shop", job))
    odd = filled.app.tasks["shop.resize"].enqueue(evil, width=5000).id
    run_all(filled.app)
    eye = Eye(filled.app.engine)
    eye.sql("UPDATE dutiful.worker SET host = %s", evil)
    eye.sql(
        "UPDATE dutiful.failure SET kind = %s, message = %s, traceback = %s WHERE job_id = %s",
        evil,
        evil,
        evil,
        odd,
    )
    facts = '{"tags": ["' + evil.replace('"', '\\"') + '"], "once": null}'
    eye.sql(
        "INSERT INTO dutiful.task (app, name, release, version, queue, priority, owner, delivery, declared,"
        " first_at, seen_at) VALUES ('shop', 'shop.charge', %s, 1, 'mail', 0, %s, %s, %s, 1, 2)",
        evil,
        evil,
        evil,
        facts,
    )
    eye.sql(
        "INSERT INTO dutiful.alert_channel (app, name, kind, seen_at, error)"
        " VALUES ('shop', %s, 'webhook', 1, %s)",
        evil,
        evil,
    )
    eye.sql(
        "INSERT INTO dutiful.alert (app, key, raised_at, number, sentence, size, told, owner, seen)"
        " VALUES ('shop', 'x', 1, 'late', %s, 1, 0, %s, %s)",
        evil,
        evil,
        False,
    )
    eye.sql(
        "INSERT INTO dutiful.audit (at, actor, verb, app, subject, before, after, reason)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        1,
        evil,
        evil,
        "shop",
        evil,
        evil,
        evil,
        evil,
    )
    eye.sql(
        "UPDATE dutiful.queue SET paused_at = 1, paused_by = %s, pause_reason = %s WHERE name = 'billing'",
        evil,
        evil,
    )
    eye.close()
    with tab(browser, address) as watched:
        watched.expected = ("404",)
        for path in [
            *screens(filled),
            f"/jobs/{job.id}",
            f"/jobs/{odd}",
            "/dead/jobs?error=" + "%3Cscript%3E",
            "/jobs?task=%3Cimg%20src=x%3E",
        ]:
            watched.go(path)
            watched.page.wait_for_timeout(60)
            assert watched.page.evaluate("window.hit") is None, path
            assert not watched.page.evaluate(
                "document.querySelectorAll('main script, main svg, main [hx-get], main [onerror]').length"
            )
        assert not [url for url in watched.requests if re.search(r"/(hit|x)$", url)]
        # and the same once more through a live update, by whose path the markup is parsed anew
        watched.go("/jobs")
        live(watched)
        filled.app.tasks["shop.resize"].enqueue("/s3.jpg")
        watched.page.wait_for_timeout(2500)
        assert watched.page.evaluate("window.hit") is None
