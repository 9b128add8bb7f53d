"""``dutiful verdict`` and ``dutiful alert``: what they print, their documents, and their exit codes."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dutiful import Alerts, Command, Webhook
from dutiful.model.verdict import NAMES, WATCHERS
from dutiful.operations import alerts
from dutiful.operations.plan import Call, Steps, operation
from dutiful.supervise.prometheus import text
from dutiful.supervise.verdict import document, verdict
from tests.cli.conftest import Shop


@operation
def looked(period_us: int = 10_000_000_000) -> Steps[None]:
    """Every watcher, just now."""
    for name in WATCHERS:
        yield Call("beat_watcher", {"app": "shop", "name": name, "period": period_us, "note": ""})


def test_where_nobody_watches_it_cannot_be_said(shop: Shop) -> None:
    shop("migrate")
    done = shop("verdict")
    assert done.code == 3
    assert done.out.startswith("? Cannot say: nobody watches")
    assert "next    dutiful worker" in done.out
    nagios = shop("verdict", "--nagios")
    assert nagios.code == 3 and nagios.out.startswith("DUTIFUL UNKNOWN - Cannot say")


def test_well_and_needs_a_person(shop: Shop) -> None:
    shop("migrate")
    shop.app.engine.run(looked())
    done = shop("verdict")
    assert (done.code, done.out.splitlines()[0][:28]) == (0, "✓ Well as far as is checked:")
    assert "lost 0 ✓   doubled 0 ✓   late 0 ✓   unseen 0 ✓" in done.out
    assert shop("verdict", "--nagios").code == 0

    shop.dead(2)
    shop.app.engine.run(looked())
    done = shop("verdict")
    assert done.code == 1
    assert done.out.splitlines()[0] == "✗ Needs a person: 1 thing."
    assert "unseen 1 ✗" in done.out and "2 jobs dead" in done.out
    assert shop("verdict", "--only", "lost,late").code == 0
    nagios = shop("verdict", "--nagios")
    assert (nagios.code, nagios.out.split()[1]) == (1, "WARNING")
    assert nagios.out.endswith("unseen=1;;;0;\n")
    assert shop("verdict", "--only", "lots").code == 2


def test_a_wait_ends_when_it_is_well_or_when_it_is_over(shop: Shop) -> None:
    shop("migrate")
    begun = time.monotonic()
    assert shop("verdict", "--wait", "50ms").code == 3
    shop.app.engine.run(looked())
    assert shop("verdict", "--wait", "1h").code == 0
    assert time.monotonic() - begun < 60


def test_a_store_that_cannot_be_read_is_an_answer(small_shop: Shop) -> None:
    done = small_shop.bare("verdict", "--store", "postgresql://nobody@127.0.0.1:1/none")
    assert done.code == 3
    assert "the store cannot be read" in done.out and done.out.startswith("?")


def test_H5_the_document_the_metrics_and_the_command_are_one_object(shop: Shop) -> None:
    shop("migrate")
    shop.dead(1)
    shop.app.engine.run(looked())
    told = shop("verdict", "--json").document
    found = verdict(shop.app.engine, "shop")
    here = json.loads(json.dumps(document(found)))
    for moving in ("as_of", "watchers"):
        told.pop(moving), here.pop(moving)
    told["facts"]["oldest_due_us"] = here["facts"]["oldest_due_us"] = None
    assert told.pop("schema") == "dutiful/verdict/1"
    assert told == here
    lines = text(found).splitlines()
    for name in NAMES:
        assert (
            f'dutiful_needs_person{{app="shop",number="{name}"}} {here["numbers"][name]["amount"]}' in lines
        )


def test_the_document_has_these_fields(small_shop: Shop) -> None:
    small_shop("migrate")
    small_shop.dead(1)
    small_shop.app.engine.run(looked())
    found = small_shop("verdict", "--json").document
    assert list(found) == [
        "schema", "app", "verdict", "headline", "as_of", "since", "numbers", "things", "watchers",
        "unchecked", "facts", "queues",
    ]  # fmt: skip
    assert list(found["numbers"]) == ["lost", "doubled", "late", "unseen"]
    assert list(found["numbers"]["lost"]) == ["amount", "state", "unknown"]
    [thing] = found["things"]
    assert list(thing) == ["key", "number", "sentence", "amount", "since", "owner", "link", "command"]
    assert list(found["watchers"][0]) == ["name", "period_s", "age_s", "needed", "silent", "note"]
    assert list(found["queues"][0]) == [
        "name", "oldest_due_s", "target_s", "late", "paused_by", "due", "due_as_of",
    ]  # fmt: skip


@pytest.fixture
def address() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(404 if self.path == "/gone" else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_channels_are_tried(small_shop: Shop, address: str) -> None:
    assert small_shop("alert", "test").code == 1  # there is none
    small_shop.app.alerts = Alerts(Webhook(address, name="hook"), Webhook(f"{address}/gone", name="gone"))
    done = small_shop("alert", "test")
    assert (done.code, done.out.splitlines()) == (1, ["hook: sent", "gone: the answer was HTTP 404"])
    assert small_shop("alert", "test", "hook").code == 0
    assert small_shop("alert", "test", "nobody").code == 2
    small_shop.app.alerts = Alerts(Command(("true",), name="run"))
    found = small_shop("alert", "test", "--json").document
    assert found["channels"] == [{"name": "run", "sent": True, "error": None}]


def test_alerts_are_listed_with_their_channels(shop: Shop) -> None:
    shop("migrate")
    assert "Nothing is raised" in shop("alert", "list").err
    engine = shop.app.engine
    engine.run(alerts.declare("shop", {"hook": "webhook"}))
    shop.dead(1)
    engine.run(looked())
    engine.run(alerts.watch("shop"))
    done = shop("alert", "list")
    assert "1 job dead" in done.out and "hook (webhook): never proven" in done.err
    found = shop("alert", "list", "--messages", "--json").document
    assert {one["number"] for one in found["alerts"]} == {"unseen"}
    assert {one["event"] for one in found["messages"]} == {"raised", "proof"}
    assert "waits" in shop("alert", "list", "--messages").out
