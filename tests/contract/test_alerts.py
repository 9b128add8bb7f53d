"""Alerts: one for each thing, told once, and whatever happens to whoever tells, told at all."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dutiful import Alerts, Quiet, Webhook
from dutiful.model.alerts import Message
from dutiful.model.jobs import Failure
from dutiful.operations import alerts, attention
from dutiful.operations.alerts import Taken
from dutiful.supervise import prometheus
from dutiful.worker.watching import Watching
from tests.contract.stores import APP, SECOND
from tests.contract.test_numbers import acked
from tests.contract.watching import awake, taker, verdict
from tests.contract.world import DAY, World

MINUTE = 60 * SECOND


@pytest.fixture
def world(store_world: World) -> Iterator[World]:
    awake(store_world)
    taker(store_world)
    yield store_world


class Receiver:
    """A server on this host that notes what it is told, and answers as it is told to."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 204
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.status < 300:
                    outer.got.append(json.loads(body) | {"path": self.path})
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def told(self) -> list[tuple[str, str]]:
        """Events and keys since the last look, but proofs."""
        got = [(one["event"], one["key"]) for one in self.got if one.get("event") not in (None, "proof")]
        self.got.clear()
        return got


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def watching(world: World, receiver: Receiver, **more: Any) -> Watching:
    return Watching(
        world.engine, APP, Alerts(Webhook(f"{receiver.url}/hook", name="hook"), **more), watch_s=0.0
    )


def breach(world: World, count: int = 1, name: str = "verify_x") -> None:
    world.sql("DELETE FROM dutiful.checked WHERE name = %s", name)
    if count:
        world.sql(
            "INSERT INTO dutiful.checked (app, name, invariant, at, found_at, count, jobs)"
            " VALUES (%s, %s, 'I1', 1, 1, %s, '[]')", APP, name, count,
        )  # fmt: skip


def test_a_thing_is_told_once_grows_and_is_cleared(world: World, receiver: Receiver) -> None:
    watch = watching(world, receiver)
    watch.turn()
    assert [one["event"] for one in receiver.got] == ["proof"]  # a new channel is proven at once
    assert receiver.told() == []
    breach(world)
    watch.turn(), watch.turn()
    [got] = receiver.got
    assert (got["sentence"], got["severity"]) == ("invariant I1 is broken for 1 job", "high")
    assert got["text"].startswith("dutiful shop: doubled: invariant I1 is broken for 1 job")
    assert receiver.told() == [("raised", "invariant:verify_x")]
    for count, told in ((2, ["grew"]), (3, []), (4, ["grew"]), (1, [])):
        breach(world, count)
        watch.turn()
        assert [event for event, _ in receiver.told()] == told
    breach(world, 0)
    watch.turn(), watch.turn()
    assert receiver.told() == [("cleared", "invariant:verify_x")]
    world.clock.advance(1)
    breach(world)
    watch.turn()
    assert receiver.told() == [("again", "invariant:verify_x")]
    assert len({one.key for one in world.run(alerts.raised(APP))}) == 1


def test_what_somebody_has_seen_is_not_told_until_that_lapses(world: World, receiver: Receiver) -> None:
    watch = watching(world, receiver)
    breach(world)
    watch.turn()
    assert receiver.told() == [("raised", "invariant:verify_x")]
    acked(world, "invariant:verify_x", 1, us=MINUTE)
    watch.turn()
    assert receiver.told() == []
    assert [one.seen for one in world.run(alerts.raised(APP))] == [True]
    world.clock.advance(2 * MINUTE)
    awake(world)
    watch.turn(), watch.turn()
    assert ("lapsed", "invariant:verify_x") in receiver.told()


def test_what_was_seen_before_it_was_told_is_not_told(world: World, receiver: Receiver) -> None:
    watch = watching(world, receiver)
    acked(world, "invariant:verify_x", 1)
    breach(world)
    watch.turn()
    breach(world, 0)
    watch.turn()
    assert receiver.told() == []


def test_cannot_say_is_told_once_it_has_lasted(world: World, receiver: Receiver) -> None:
    watch = watching(world, receiver)
    world.clock.advance(40 * SECOND)
    awake(world, ["reaper"])
    watch.turn()
    assert receiver.told() == []
    world.clock.advance(2 * MINUTE)
    awake(world, ["reaper"])
    watch.turn(), watch.turn()
    assert [one["sentence"] for one in receiver.got if one["event"] == "raised"] == [
        "cannot say: reaper silent for 2m 40s"
    ]
    assert receiver.told() == [("raised", "unknown")]
    awake(world)
    watch.turn()
    assert receiver.told() == [("cleared", "unknown")]


def test_of_an_unknown_number_nothing_is_cleared(world: World, receiver: Receiver) -> None:
    watch = watching(world, receiver)
    breach(world)
    watch.turn()
    receiver.told()
    breach(world, 0)
    world.clock.advance(40 * SECOND)
    awake(world, ["checker"])
    watch.turn()
    assert receiver.told() == []
    awake(world)
    watch.turn()
    assert receiver.told() == [("cleared", "invariant:verify_x")]


def test_a_blocked_channel_makes_unseen_unknown_until_it_takes_the_message(
    world: World, receiver: Receiver
) -> None:
    watch = watching(world, receiver)
    watch.turn()
    receiver.status = 500
    breach(world)
    watch.turn()
    found = verdict(world)
    assert found.number("unseen").unknown == "1 alert could not be delivered for 0ms"
    [line] = [one for one in world.run(alerts.messages(APP)) if one.event == "raised"]
    assert (line.tries, line.error, line.sent_us) == (1, "the answer was HTTP 500", None)
    waits = []
    for _ in range(4):
        [line] = [one for one in world.run(alerts.messages(APP)) if one.event == "raised"]
        waits.append((line.due_us - line.now_us) // SECOND)
        world.clock.at_us = line.due_us
        watch.deliver()
    assert waits == [10, 20, 40, 80]
    receiver.status = 204
    world.clock.advance(160 * SECOND)
    awake(world)
    assert watch.deliver() == 1
    assert receiver.told() == [("raised", "invariant:verify_x")]
    assert verdict(world).number("unseen").unknown == ""


def test_a_message_that_nobody_sends_is_undelivered(world: World) -> None:
    world.run(alerts.declare(APP, {"hook": "webhook"}))
    breach(world)
    world.run(alerts.watch(APP))
    world.clock.advance(61 * SECOND)
    awake(world)
    assert "2 alerts could not be delivered" in verdict(world).number("unseen").unknown


def test_who_is_killed_between_sending_and_noting_sends_it_again(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the same key for deduplication; a message is never lost for it."""
    watch = watching(world, receiver)
    watch.turn()
    breach(world)

    def killed(app: str, message: Taken) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(alerts, "sent", killed)
        with pytest.raises(SystemExit):
            watch.turn()
    other = watching(world, receiver)
    assert other.deliver() == 0  # it may still be under way
    world.clock.advance(alerts.LEASE_US)
    assert other.deliver() == 1
    first, second = [one for one in receiver.got if one["event"] == "raised"]
    assert first == second and first["dedup"] == "dutiful/shop/invariant:verify_x"


def test_two_who_send_at_once_take_different_messages(world: World) -> None:
    world.run(alerts.declare(APP, {"hook": "webhook"}))
    breach(world), breach(world, name="verify_y")
    world.run(alerts.watch(APP))
    taken = [world.run(alerts.take(APP, ["hook"], 2)) for _ in range(2)]
    assert [len(one) for one in taken] == [2, 1]
    assert len({one.id for part in taken for one in part}) == 3
    assert world.run(alerts.take(APP, ["other"], 2)) == []


def test_quiet_hours_hold_what_is_not_severe(world: World, receiver: Receiver) -> None:
    world.clock.at_us = 1_795_989_600 * SECOND  # 23:00 in Berlin
    awake(world)
    taker(world)
    watch = watching(world, receiver, quiet=Quiet("22:00-07:00", "Europe/Berlin"))
    world.sql(
        "INSERT INTO dutiful.failure_group"
        " (app, fingerprint, task, reason, kind, first_at, last_at, deaths, n)"
        " VALUES (%s, 'f', 'send', 'error', 'ValueError', 1, 1, 3, 3)", APP,
    )  # fmt: skip
    breach(world)
    watch.turn()
    assert receiver.told() == [("raised", "invariant:verify_x")]
    assert verdict(world).number("unseen").unknown == ""  # held is not undelivered
    world.clock.advance(8 * 3600 * SECOND - 1)
    watch.deliver()
    assert receiver.told() == []
    world.clock.advance(1)
    watch.deliver()
    assert receiver.told() == [("raised", "group:f")]


def test_what_is_over_before_the_night_is_over_is_never_told(world: World, receiver: Receiver) -> None:
    world.clock.at_us = 1_795_989_600 * SECOND
    awake(world)
    taker(world)
    watch = watching(world, receiver, quiet=Quiet("22:00-07:00", "Europe/Berlin"))
    world.enqueue("a")
    world.sql(
        "INSERT INTO dutiful.queue (app, name, paused_at, paused_by) VALUES (%s, 'default', 1, 'ann')", APP
    )
    watch.turn()
    assert [one.key for one in world.run(alerts.raised(APP))] == ["paused:default"]
    world.sql("UPDATE dutiful.queue SET paused_at = NULL, paused_by = NULL")
    watch.turn()
    world.clock.advance(DAY)
    watch.deliver()
    assert receiver.told() == []


def test_every_channel_is_proven_once_a_day_and_silence_is_unknown(world: World, receiver: Receiver) -> None:
    watch = watching(world, receiver)
    watch.turn(), watch.turn()
    assert len(receiver.got) == 1
    world.clock.advance(DAY + 1)
    awake(world)
    watch._declare_at = 0.0
    watch.turn(), watch.turn()
    assert [one["event"] for one in receiver.got] == ["proof", "proof"]
    world.sql("UPDATE dutiful.alert_channel SET proven_at = %s", world.clock() - 3 * DAY - SECOND)
    assert verdict(world).number("unseen").unknown == "prover silent for 3d"


def test_a_heartbeat_goes_out_while_alerts_can(world: World, receiver: Receiver) -> None:
    watch = watching(world, receiver, heartbeat=f"{receiver.url}/beat")
    watch.turn(), watch.turn()
    [beat] = [one for one in receiver.got if one["path"] == "/beat"]
    assert (beat["app"], beat["verdict"]) == ("shop", verdict(world).state)
    receiver.status = 500
    breach(world)
    watch.turn()  # the message fails
    receiver.status = 204
    world.clock.advance(5 * SECOND + 48 * SECOND)
    awake(world)
    watch._alerts = Alerts(heartbeat=f"{receiver.url}/beat")
    receiver.got.clear()
    watch.turn()
    assert receiver.got == []  # so somebody outside will ask


def test_links_begin_with_the_page_and_no_message_holds_what_an_error_said(
    world: World, receiver: Receiver
) -> None:
    watch = watching(world, receiver, page="https://ops.test/jobs/")
    world.enqueue("k1")
    [lease] = world.claim()
    world.end(lease, "bury", failure=Failure("ValueError", "s3cret", "s3cret"))
    watch.turn()
    [got] = [one for one in receiver.got if one["event"] == "raised"]
    assert got["link"].startswith("https://ops.test/jobs/dead?fp=")
    assert "s3cret" not in json.dumps(receiver.got) + json.dumps(world.tables(["alert", "alert_message"]))


def test_messages_to_a_channel_that_is_gone_are_dropped(world: World) -> None:
    world.run(alerts.declare(APP, {"hook": "webhook"}))
    breach(world)
    world.run(alerts.watch(APP))
    world.clock.advance(alerts.CHANNEL_KEEP_US + 1)
    awake(world)
    world.run(alerts.watch(APP))
    found = verdict(world)
    assert found.number("unseen").unknown == ""
    assert "alerts (no channel is set up)" in found.unchecked
    assert all(one.dropped_us for one in world.run(alerts.messages(APP)))


def test_old_messages_are_forgotten_but_none_that_is_to_be_sent(world: World) -> None:
    world.run(alerts.declare(APP, {"hook": "webhook"}))
    breach(world)
    world.run(alerts.watch(APP))
    [one] = world.run(alerts.take(APP, ["hook"], 1))
    world.run(alerts.sent(APP, one))
    world.clock.advance(31 * DAY)
    world.run(alerts.forget(APP))
    left = world.run(alerts.messages(APP))
    assert len(left) == 1 and left[0].id != one.id and isinstance(left[0].message, Message)


def test_attention_lists_each_thing_with_whose_it_is_and_who_has_seen_it(world: World) -> None:
    breach(world, 3)
    world.sql(
        "INSERT INTO dutiful.task (app, name, release, version, queue, priority, owner, delivery, declared,"
        " first_at, seen_at)"
        " VALUES (%s, 'send', 'r1', 1, 'q', 0, 'mail team', 'at_least_once', '{}', 1, 1)", APP,
    )  # fmt: skip
    world.sql(
        "INSERT INTO dutiful.failure_group"
        " (app, fingerprint, task, reason, kind, first_at, last_at, deaths, n)"
        " VALUES (%s, 'f', 'send', 'error', 'ValueError', 1, 1, 3, 3)", APP,
    )  # fmt: skip
    seen = world.run(attention.look(APP))
    assert [(one.thing.key, one.owner, one.seen) for one in seen.items] == [
        ("invariant:verify_x", "", False),
        ("group:f", "mail team", False),
    ]
    assert (seen.waiting, seen.seen, seen.lapsing, seen.cleared) == (2, 0, 0, None)
    acked(world, "invariant:verify_x", 3)
    acked(world, "group:f", 3, us=2 * DAY)
    world.sql("UPDATE dutiful.ack SET owner = 'ann', taken_at = 1 WHERE thing = 'invariant:verify_x'")
    seen = world.run(attention.look(APP))
    assert [(one.thing.key, one.owner, one.seen) for one in seen.items] == [
        ("invariant:verify_x", "ann", True),
        ("group:f", "", True),
    ]
    assert (seen.waiting, seen.seen, seen.lapsing) == (0, 2, 1)
    assert seen.verdict.number("doubled").amount == 3  # seen is not mended
    assert [one.thing.key for one in world.run(attention.look(APP, mine="ann")).items] == [
        "invariant:verify_x"
    ]
    breach(world, 6)
    [grown, _] = world.run(attention.look(APP)).items
    assert (grown.seen, grown.lapsed, grown.seen_by) == (False, True, "ann")
    world.run(alerts.watch(APP))
    breach(world, 0)
    world.run(alerts.watch(APP))
    assert world.run(attention.look(APP)).cleared == (
        "invariant I1 is broken for 6 jobs",
        world.clock(),
    )


def test_metrics_are_the_verdict(world: World) -> None:
    breach(world, 3)
    world.sql("INSERT INTO dutiful.queue (app, name, target) VALUES (%s, %s, 60000000)", APP, 'a"b')
    world.sql(
        "INSERT INTO dutiful.sample (app, queue, at, depth, oldest) VALUES (%s, %s, 5, 7, 1)", APP, 'a"b'
    )
    found = verdict(world)
    lines = prometheus.text(found).splitlines()
    assert 'dutiful_verdict{app="shop",verdict="person"} 1' in lines
    assert 'dutiful_needs_person{app="shop",number="doubled"} 3' in lines
    assert 'dutiful_queue_due_jobs{app="shop",queue="a\\"b"} 7' in lines
    assert 'dutiful_queue_target_seconds{app="shop",queue="a\\"b"} 60' in lines
    for one in found.numbers:  # H5: equal, for they are one object
        assert f'dutiful_needs_person{{app="shop",number="{one.name}"}} {one.amount}' in lines
    named = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert named == [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert len(named) == len(set(named)) >= 10
    assert {line.partition("{")[0] for line in lines if not line.startswith("#")} == set(named)
