"""``dutiful queue pause|resume|late`` and ``job cancel`` of a run, as people and as programs read them."""

from __future__ import annotations

from dutiful.model.jobs import Lane, NewWorker
from dutiful.operations import claims, lanes, workers
from tests.cli.conftest import Shop


def test_a_pause_is_said_wherever_one_looks_and_ends(shop: Shop) -> None:
    id = shop.enqueue("charge", "order_id=1")
    [queue] = shop("queue", "list", "--json").document["queues"]
    name = queue["name"]
    assert queue["paused"] is None
    assert shop("queue", "pause", name).code == 2  # a reason is asked for
    assert shop("queue", "pause", name, "--reason", "x", "--until", "soon").code == 2
    assert shop("queue", "pause", "nothing", "--reason", "x").code == 5
    paused = shop("queue", "pause", name, "--reason", "work on it", "--until", "2h", "--json").document
    assert paused["paused"] and paused["until"]
    [queue] = shop("queue", "list", "--json").document["queues"]
    assert queue["paused"]["reason"] == "work on it" and queue["paused"]["until"] == paused["until"]
    assert "PAUSED" in shop("queue", "list").out
    why = shop("job", "why", id, "--json").document
    assert why["cause"] == "queue_paused" and any("work on it" in line for line in why["details"])
    assert shop("queue", "resume", name, "--json").document["paused"] is False
    assert shop("job", "why", id, "--json").document["cause"] != "queue_paused"


def test_a_limit_is_set_shown_audited_and_taken_back(shop: Shop) -> None:
    shop.enqueue("mail", "to=ann")
    assert shop("queue", "limit", "mail", "3").code == 2  # a reason is asked for
    for wrong in ("0", "-1", "many", "1.5", "99999999"):
        answer = shop("queue", "limit", "--reason", "x", "--", "mail", wrong)
        assert answer.code == 2 and "dutiful queue pause mail" in answer.err, wrong
    assert shop("queue", "limit", "nothing", "3", "--reason", "x").code == 5
    typed = ("queue", "limit", "mail", "3", "--reason", "the host is slow", "--as", "ann")
    said = shop(*typed, "--json").document
    assert (said["limit"], said["limit_declared"], said["limited"]) == (3, None, True)
    [queue] = shop("queue", "list", "--json").document["queues"]
    assert queue["limit"] == 3
    assert (queue["limited"]["by"], queue["limited"]["reason"]) == ("ann", "the host is slow")
    assert "mail is limited to 3 (declared: no limit) by ann" in shop("queue", "list").err
    answer = shop("queue", "limit", "mail", "none", "--reason", "it is well again")
    assert answer.out == "Queue mail has no limit.\n"
    [queue] = shop("queue", "list", "--json").document["queues"]
    assert queue["limit"] is None and queue["limited"] is None
    rows = shop("audit", "list", "--json").document["rows"]
    assert [(row["verb"], row["before"], row["after"]) for row in rows[:2]] == [
        ("limit", "limit 3", "no limit"),
        ("limit", "no limit", "limit 3"),
    ]
    assert shop("audit", "verify").code == 0


def test_what_was_late_is_counted(shop: Shop) -> None:
    shop.enqueue("charge", "order_id=1")
    assert shop("queue", "late", "--since", "7d", "--json").document["queues"] == []
    assert shop("queue", "late").code == 0


def test_a_run_is_asked_to_stop(shop: Shop) -> None:
    id = shop.enqueue("charge", "order_id=1")
    app = shop.app
    me = app.engine.run(workers.register(NewWorker(app.name, "here", 1, 30_000_000, 1, "[]", "{}")))
    asked = [Lane(row.id) for row in app.engine.run(lanes.lanes(app.name))]
    app.engine.run(claims.claim(me, asked, app.known(), 1))
    answer = shop("job", "cancel", id, "--reason", "no need")
    assert answer.code == 0 and "asked to stop" in answer.out
    job = shop("job", "show", id, "--json").document
    assert job["job"]["state"] == "running" and job["job"]["cancel_asked_at"]
    assert job["audit"][-1]["after"] == "asked to stop"
