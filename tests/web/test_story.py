"""O1: on call, from the alert to the verdict, by one person with a browser, in at most twelve clicks."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import dutiful
from dutiful.model.operators import Operator
from dutiful.operations import audit
from dutiful.supervise.ops import Ops, Wanted
from dutiful.web.pages import build
from dutiful.web.site import Site
from tests.web.browser import Serving, tab

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(400)]

JOBS = 12
CLICKS_MAX = 12
PATIENCE_S = 150.0
ROOT = Path(__file__).parents[2]

ANN = Operator("ann", "Ann", "operator", how="web", address="10.0.0.7")

SHOP = """
from pathlib import Path
from dutiful import Alerts, App, Webhook

app = App("shop", {url!r}, release="r1", alerts=Alerts(Webhook({hook!r}, name="hook"), page={page!r}))


@app.task(name="mail.send", retry=0, owner="mail team")
def send(number: int) -> None:
    if not Path({mended!r}).exists():
        raise TimeoutError(f"no answer from smtp-{{number}}.example after 30 s")
"""


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on loopback: its address, and what it has heard."""
    heard: list[dict[str, Any]] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def worker(folder: Path) -> Iterator[None]:
    """A real worker process with the shop's code; drained at the end."""
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.web.story_worker", "story_shop:app"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": path},
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()


class Person:
    """Clicks, and counts them; to go to an address or back is a click, too."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.clicks = 0

    def click(self, what: str) -> None:
        self.clicks += 1
        self.page.click(what)

    def open(self, address: str) -> None:
        self.clicks += 1
        self.page.goto(address)

    def choose(self, what: str, value: str) -> None:
        self.clicks += 1
        self.page.select_option(what, value)


def until(page: Any, done: Callable[[], object], why: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := done()):
        assert time.monotonic() < deadline, why
        page.wait_for_timeout(100)
    return found


@pytest.mark.parametrize(
    "store", [pytest.param("sqlite_url"), pytest.param("postgres_url", marks=pytest.mark.postgres)]
)
def test_o1_from_the_alert_to_the_verdict(
    browser: Any, request: pytest.FixtureRequest, tmp_path: Path, store: str
) -> None:
    url = request.getfixturevalue(store)
    app = dutiful.App("shop", url)

    @app.task(name="mail.send", retry=0)
    def send(number: int) -> None: ...

    app.migrate()
    for number in range(JOBS):
        send.enqueue(number)
    site = Site.of_store(url, "shop", authorize=lambda request: ANN)
    mended = tmp_path / "mended"
    ops = Ops(app, Operator("test", perms="viewer"))
    with receiver() as (hook, heard), Serving(build(site)) as serving:
        text = SHOP.format(url=url, hook=hook, page=serving.address, mended=str(mended))
        (tmp_path / "story_shop.py").write_text(text)
        with worker(tmp_path), tab(browser, serving.address) as watched:
            page, person = watched.page, Person(watched.page)
            page.set_default_timeout(60_000)

            def alerts(event: str) -> list[dict[str, Any]]:
                return [one for one in heard if one["event"] == event and one["number"] == "unseen"]

            def dead() -> int:
                return ops.count(Wanted(task="mail.send"))

            # The alert names the thing, and leads to it.
            [alert] = until(page, lambda: alerts("raised"), (tmp_path / "worker.log").read_text())
            assert "in mail.send" in alert["sentence"]
            until(page, lambda: dead() == JOBS, "not all are dead")
            person.open(alert["link"])
            # The cause, then one of its jobs.
            person.click("tbody tr >> nth=0 >> a.id")
            page.wait_for_selector("text=no answer from smtp-")
            # It is mended where the worker finds it; back to the cause, and one of them is tried.
            mended.touch()
            person.clicks += 1
            page.go_back()
            person.click(".bar >> text=Retry…")
            page.wait_for_selector("dialog[open]")
            page.fill("dialog[open] input[name=reason]", "the mail host is back")
            assert page.input_value("dialog[open] select[name=limit]") == "1"
            person.click("dialog[open] button.main")
            until(page, lambda: dead() == JOBS - 1, "none was tried")
            # It is done: then the rest. The dialog leads to the operation, as a person sees first.
            page.wait_for_url("**/bulk/**")
            person.open(alert["link"])
            person.click(".bar >> text=Retry…")
            page.wait_for_selector("dialog[open]")
            page.fill("dialog[open] input[name=reason]", "it works")
            person.choose("dialog[open] select[name=limit]", "")
            person.click("dialog[open] button.main")
            until(page, lambda: dead() == 0, "the rest was not retried")
            # Resolved: the verdict says so by itself, and so does the alert.
            person.click("nav >> text=Home")
            until(page, lambda: page.title().startswith("✓"), f"the verdict: {page.title()}")
            until(page, lambda: alerts("cleared"), "nobody was told that it is over")
        assert person.clicks <= CLICKS_MAX
        assert sum(one["event"] == "raised" and one["number"] == "unseen" for one in heard) == 1
    rows = app.engine.run(audit.page("shop", limit=100))
    assert {row.actor for row in rows} == {"ann"} and {row.how for row in rows} == {"web"}
    assert sum(row.verb == "retry" and row.after == "ready" for row in rows) == JOBS
    begun = {(row.reason, row.intended) for row in rows if row.intended is not None}
    assert begun == {("the mail host is back", 1), ("it works", JOBS - 1)}
    assert ops.audit_check().broken == ()
    site.close()
    site.engine.close()
    app.close()
