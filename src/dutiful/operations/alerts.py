"""Alerts: one for each thing, raised and cleared as the verdict says; messages are stored, then sent.

What is raised, told and kept of the verdict is one transaction. A message is taken by moving the instant at
which it is due, sent, and then noted: whoever is killed between sending and noting has it sent once more,
under the same ``dedup``. It is never lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from ..model.alerts import SEVERITY_OF, UNKNOWN, Event, Message
from ..model.ids import make_id
from ..model.verdict import Thing, Verdict, judge
from .numbers import read_with
from .plan import Call, Rows, Steps, as_json, operation, query, typed
from .thing_facts import Channel
from .unseen import PROOF_US, acked

UNKNOWN_US = 120_000_000
"""A verdict that cannot be said is told after so long."""
AGAIN_US = 86_400_000_000
CHANNEL_KEEP_US = 3_600_000_000
MESSAGE_KEEP_US = 30 * 86_400_000_000
ALERT_KEEP_US = 90 * 86_400_000_000
LEASE_US = 60_000_000
"""Whoever took a message has so long to send it and note that."""
RETRY_US = 10_000_000
RETRY_MAX_US = 3_600_000_000
BATCH = 20


class OpenAlert(Struct, frozen=True):
    """What was raised and is not cleared. ``told``: its size when it was last told of, 0 if it never was."""

    key: str
    raised_us: int
    number: str
    sentence: str
    size: int
    told: int
    owner: str
    seen: bool
    now_us: int


class AlertLine(Struct, frozen=True):
    """An alert for people."""

    key: str
    raised_us: int
    cleared_us: int | None
    number: str
    sentence: str
    size: int
    owner: str
    seen: bool
    now_us: int


class MessageLine(Struct, frozen=True):
    """A message, and what became of it."""

    id: str
    channel: str
    event: str
    key: str
    made_us: int
    due_us: int
    tries: int
    sent_us: int | None
    dropped_us: int | None
    error: str | None
    message: Message
    now_us: int


class Taken(Struct, frozen=True):
    """A message to be sent now."""

    id: str
    channel: str
    event: str
    key: str
    made_us: int
    tries: int
    message: Message
    now_us: int


# ── looking ─────────────────────────────────────────────────────────────────────────────────


@query
def channels(app: str) -> Steps[list[Channel]]:
    """The channels that workers declare, and when a message last came through each."""
    return [Channel(*row) for row in (yield Call("list_channels", {"app": app}, alone=True))]


@query
def raised(app: str, *, open_only: bool = False, limit: int = 50) -> Steps[list[AlertLine]]:
    """What was raised, the latest first."""
    rows = yield Call("page_alerts", {"app": app, "open": int(open_only), "limit": limit}, alone=True)
    return [typed(AlertLine, row, flags=(7,)) for row in rows]


@query
def messages(app: str, limit: int = 50) -> Steps[list[MessageLine]]:
    """What was told, or is to be, the latest first."""
    rows = yield Call("page_messages", {"app": app, "limit": limit}, alone=True)
    return [typed(MessageLine, (*row[:10], _message(row[10]), row[11])) for row in rows]


# ── raising ─────────────────────────────────────────────────────────────────────────────────


@operation
def watch(app: str) -> Steps[Verdict]:
    """Look, keep the verdict, and raise and clear alerts by it; what is to be told waits to be sent."""
    numbers, found = yield from read_with(
        app,
        Call("open_alerts", {"app": app}),
        Call("read_acks", {"app": app}),
        Call("live_channels", {"app": app, "keep": CHANNEL_KEEP_US}),
        Call("unneeded", {"app": app, "keep": CHANNEL_KEEP_US}),
        Call("proofs_wanted", {"app": app, "every": PROOF_US}),
    )
    verdict = judge(numbers)
    acts = _acts(app, verdict, found)
    act = next(acts, None)
    yield Call("keep_verdict", {"app": app, "state": verdict.state}, alone=act is None)
    while act is not None:
        rows = yield act
        try:
            act = acts.send(rows)
        except StopIteration:
            break
    return verdict


def _acts(app: str, verdict: Verdict, found: Sequence[Rows]) -> Steps[None]:
    """What follows from a verdict; nothing, where all is as it was and told."""
    opened: dict[str, OpenAlert] = {row[0]: typed(OpenAlert, row, flags=(7,)) for row in found[0]}
    acks = {row[0]: row for row in found[1]}
    names = [row[0] for row in found[2]]
    [(channels, orphans)] = found[3]
    if channels:
        yield Call("forget_channels", {"app": app, "keep": CHANNEL_KEEP_US})
    if orphans:
        yield Call("drop_orphans", {"app": app})

    things = {thing.key: thing for thing in verdict.things}
    for key, thing in things.items():
        seen = acked(acks.get(key), thing.size, verdict.as_of_us)
        yield from _see(app, names, thing, opened.get(key), seen)
    unsure = verdict.state == "unknown" or any(one.unknown for one in verdict.numbers)
    if unsure:
        yield from _unknown(app, names, verdict, opened.get(UNKNOWN))
    unknown = {one.name for one in verdict.numbers if one.unknown}
    for key, alert in opened.items():
        gone = not unsure if key == UNKNOWN else key not in things and alert.number not in unknown
        if gone:  # of a number that is unknown, what is not seen may still be there
            yield from _clear(app, names, alert)
    for (name,) in found[4]:
        if name in names:
            sentence = f"the daily proof that {name} works; {verdict.headline}"
            proof = Thing("proof", "unseen", sentence, since_us=None, command="dutiful verdict")
            yield _told(app, name, "proof", proof, "proof", verdict.as_of_us)


def _see(app: str, names: Sequence[str], thing: Thing, alert: OpenAlert | None, seen: bool) -> Steps[None]:
    event: Event | None = None
    told = 0 if seen else thing.size
    if alert is None:
        row = _row(app, thing) | {"told": told, "seen": seen, "lately": AGAIN_US}
        rows = yield Call("raise_alert", row)
        if rows and not seen:
            event = "again" if rows[0][0] else "raised"
    else:
        if not seen:
            event = "lapsed" if alert.seen else "grew" if thing.size >= 2 * max(1, alert.told) else None
        told = told if event else alert.told
        changed = (thing.sentence, thing.size, seen) != (alert.sentence, alert.size, alert.seen)
        if event or changed:
            row = _row(app, thing) | {"told": told, "seen": seen, "before": alert.told}
            if not (yield Call("move_alert", row)):
                return  # somebody else told it at this moment
    if event:
        for name in names:
            yield _told(app, name, event, thing, thing.number, None)


def _unknown(app: str, names: Sequence[str], verdict: Verdict, alert: OpenAlert | None) -> Steps[None]:
    """That it cannot be said is told once it has lasted."""
    why = "; ".join(dict.fromkeys(one.unknown for one in verdict.numbers if one.unknown))
    thing = Thing(UNKNOWN, "unseen", f"cannot say: {why}", since_us=None, command="dutiful verdict")
    row = _row(app, thing) | {"number": UNKNOWN, "told": 0, "seen": False}
    if alert is None:
        yield Call("raise_alert", row | {"lately": 0})
        return
    lasts = alert.now_us - alert.raised_us >= UNKNOWN_US
    tell = lasts and alert.told == 0
    row |= {"told": 1 if tell else alert.told, "before": alert.told}
    if (tell or thing.sentence != alert.sentence) and (yield Call("move_alert", row)) and tell:
        for name in names:
            yield _told(app, name, "raised", thing, UNKNOWN, alert.raised_us)


def _clear(app: str, names: Sequence[str], alert: OpenAlert) -> Steps[None]:
    if not (yield Call("clear_alert", {"app": app, "key": alert.key})):
        return
    unsent = {row[0] for row in (yield Call("drop_unsent", {"app": app, "key": alert.key}))}
    thing = Thing(alert.key, "unseen", alert.sentence, 0, alert.size, alert.raised_us, alert.owner)
    for name in names:
        if alert.told and name not in unsent:
            yield _told(app, name, "cleared", thing, alert.number, alert.raised_us)


def _row(app: str, thing: Thing) -> dict[str, object]:
    said: dict[str, object] = {
        "app": app,
        "key": thing.key,
        "number": thing.number,
        "sentence": thing.sentence,
    }
    return said | {"size": thing.size, "owner": thing.owner}


def _told(app: str, channel: str, event: Event, thing: Thing, number: str, since_us: int | None) -> Call:
    since = thing.since_us if thing.since_us is not None else since_us
    message = Message(
        app=app,
        event=event,
        key=thing.key,
        dedup=f"dutiful/{app}/{thing.key}",
        number=number,
        severity=SEVERITY_OF.get(number, "low"),
        sentence=thing.sentence,
        jobs=thing.amount,
        owner=thing.owner,
        since=None if since is None else _iso(since),
        link=thing.link,
        command=thing.command,
    )
    body = msgspec.json.encode(message).decode()
    params = {"id": make_id(), "app": app, "channel": channel, "event": event, "key": thing.key, "body": body}
    return Call("add_message", params)


# ── telling ─────────────────────────────────────────────────────────────────────────────────


@operation
def declare(app: str, kinds: Mapping[str, str]) -> Steps[None]:
    """A worker has these channels, by name and kind. What no worker says for an hour is forgotten."""
    for name, kind in sorted(kinds.items()):
        yield Call("declare_channel", {"app": app, "name": name, "kind": kind})


@operation
def take(app: str, names: Sequence[str], limit: int = BATCH) -> Steps[list[Taken]]:
    """Messages to send now, for these channels. To be noted within ``LEASE_US``, or others send them."""
    params = {"app": app, "channels": as_json(list(names)), "limit": limit, "lease": LEASE_US}
    rows = yield Call("take_messages", params, alone=True)
    found = [typed(Taken, (*row[:6], _message(row[6]), row[7])) for row in rows]
    return sorted(found, key=lambda one: (one.made_us, one.id))


@operation
def sent(app: str, message: Taken) -> Steps[None]:
    """It came through."""
    yield Call("message_sent", {"id": message.id})
    yield Call("channel_proven", {"app": app, "name": message.channel})


@operation
def failed(app: str, message: Taken, error: str) -> Steps[None]:
    """It did not: again after 10 s, doubling, at most every hour, until it does."""
    delay = min(RETRY_MAX_US, RETRY_US << min(message.tries - 1, 12))
    yield Call("message_failed", {"id": message.id, "error": error, "delay": delay})
    yield Call("channel_failed", {"app": app, "name": message.channel, "error": error})


@operation
def hold(message: Taken, until_us: int) -> Steps[None]:
    """Quiet hours: it waits for their end."""
    yield Call("hold_message", {"id": message.id, "until": until_us}, alone=True)


@operation
def forget(app: str) -> Steps[None]:
    """Old messages and alerts of which nothing is to be done any more."""
    yield Call("forget_messages", {"app": app, "keep": MESSAGE_KEEP_US})
    yield Call("forget_alerts", {"app": app, "keep": ALERT_KEEP_US})


def _message(text: str) -> Message:
    return msgspec.json.decode(text, type=Message)


def _iso(us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_message(app: str, channel: str) -> Message:
    """What ``dutiful alert test`` sends."""
    thing = Thing("test", "unseen", f"a test of {channel}", 0)
    body: Any = _told(app, channel, "proof", thing, "proof", None).params["body"]
    return _message(body)
