"""Alerts: who is told, of what, and did it come through; settings: who you are, what is hidden and kept."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from msgspec import Struct

from ...model.alerts import Alerts, Apprise, Command, Quiet, Smtp, Webhook
from ...model.operators import PERMISSIONS
from ...model.redaction import MASK
from ...model.spans import span
from ...operations import alerts, bulk, health, page_reads
from ...operations.alerts import ALERT_KEEP_US, MESSAGE_KEEP_US
from ...operations.unseen import PROOF_US
from ...sql import migrations
from ..asking import Ask
from .rows import cut

RAISED_MAX = 50
TOLD_MAX = 50
SAID_CHARS = 300


class ChannelRow(Struct, frozen=True):
    """A way by which somebody is told. ``proven_us``: when a message last came through it."""

    name: str
    kind: str
    to: str
    """Where it leads, as this process's code has it; what is secret of it is masked."""
    proven_us: int | None
    proven: bool
    failed_us: int | None
    error: str | None


class AlertRow(Struct, frozen=True):
    """Something that was raised."""

    key: str
    number: str
    sentence: str
    owner: str
    raised_us: int
    cleared_us: int | None
    seen: bool


class ToldRow(Struct, frozen=True):
    """A message: to whom, about what, and what became of it ("sent", "waits", "failing", "dropped")."""

    channel: str
    event: str
    about: str
    made_us: int
    state: str
    at_us: int | None
    tries: int
    error: str | None


class Settings(Struct, frozen=True):
    """What nobody changes on the page, and everybody asks."""

    you: str
    name: str
    how: str
    permissions: list[str]
    held_to: list[str]
    readonly: bool
    hosts: list[str] | None
    marked: dict[str, list[str]]
    """Secret parameters by task."""
    denied: list[str]
    """Names of values that are secret wherever they are."""
    rule: bool
    """Whether the app has a rule of its own."""
    kept: list[tuple[str, str]]
    versions: list[tuple[str, str]]


class AlertPage(Struct, frozen=True):
    """Channels, what was raised, what was told, and the settings."""

    channels: list[ChannelRow]
    raised: list[AlertRow]
    told: list[ToldRow]
    quiet: str
    page: str
    heartbeat: str
    heartbeat_us: int | None
    """When a worker last said outside that alerts work."""
    settings: Settings
    now_us: int


def alert_page(ask: Ask) -> AlertPage:
    """All of it."""
    app, now = ask.site.name, ask.run(health.now())
    ours = (ask.site.app.alerts if ask.site.app is not None else None) or Alerts()
    return AlertPage(
        channels=_channels(ask, ours, now),
        raised=[_raised(ask, one) for one in ask.run(alerts.raised(app, limit=RAISED_MAX))],
        told=[_told(ask, one) for one in ask.run(alerts.messages(app, TOLD_MAX))],
        quiet=_quiet(ours.quiet),
        page=ours.page,
        heartbeat=f"{_host(ours.heartbeat)}, {MASK}" if ours.heartbeat else "",
        heartbeat_us=ask.run(page_reads.begun_us(f"heartbeat:{app}")),
        settings=_settings(ask),
        now_us=now,
    )


def _channels(ask: Ask, ours: Alerts, now: int) -> list[ChannelRow]:
    return [
        ChannelRow(
            one.name,
            one.kind,
            _to(ours, one.name),
            one.proven_us,
            one.proven_us is not None and now - one.proven_us <= 2 * PROOF_US,
            one.failed_us,
            None if one.error is None else cut(ask.site.redactor.text(one.error), SAID_CHARS),
        )
        for one in ask.run(alerts.channels(ask.site.name))
    ]


def _to(ours: Alerts, name: str) -> str:
    """An URL of a webhook is a secret beyond its host: whoever has it may post there."""
    one = ours.find(name)
    if isinstance(one, Webhook):
        return f"{_host(one.url)}, {MASK}" + (
            f"; headers {', '.join(sorted(one.headers))}" if one.headers else ""
        )
    if isinstance(one, Smtp):
        known = "" if one.user is None else f", user {one.user}, password {MASK}"
        return f"{', '.join(one.to)} from {one.sender} by {one.host}:{one.port}, {one.tls}{known}"
    if isinstance(one, Command):
        more = f" {MASK}" if len(one.argv) > 1 else ""
        return f"{one.argv[0]}{more}"
    if isinstance(one, Apprise):
        return f"{one.url.partition('://')[0]}://{MASK}"
    return "not in this process's code"


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or "?"


def _quiet(quiet: Quiet | None) -> str:
    if quiet is None:
        return ""
    return f"{quiet.hours} {quiet.zone}: what is below {quiet.below} waits for their end"


def _raised(ask: Ask, one: alerts.AlertLine) -> AlertRow:
    sentence = cut(ask.site.redactor.text(one.sentence), SAID_CHARS)
    return AlertRow(one.key, one.number, sentence, one.owner, one.raised_us, one.cleared_us, one.seen)


def _told(ask: Ask, one: alerts.MessageLine) -> ToldRow:
    sentence = cut(ask.site.redactor.text(one.message.sentence), SAID_CHARS)
    state, at = "waits", one.due_us
    if one.sent_us is not None:
        state, at = "sent", one.sent_us
    elif one.dropped_us is not None:
        state, at = "dropped", one.dropped_us
    elif one.error is not None:
        state = "failing"
    error = None if one.error is None else cut(ask.site.redactor.text(one.error), SAID_CHARS)
    return ToldRow(one.channel, one.event, sentence, one.made_us, state, at, one.tries, error)


# ── settings ────────────────────────────────────────────────────────────────────────────────


def _settings(ask: Ask) -> Settings:
    site, who = ask.site, ask.operator
    held = [f"queues {', '.join(who.queues)}"] if who.queues is not None else []
    held += [f"tasks {', '.join(who.tasks)}"] if who.tasks is not None else []
    return Settings(
        you=who.id,
        name=who.name,
        how=who.how,
        permissions=[one for one in PERMISSIONS if one in set(who.perms)],
        held_to=held,
        readonly=site.readonly,
        hosts=None if site.hosts is None else sorted(site.hosts),
        marked={task: sorted(names) for task, names in sorted(site.redactor.marked.items()) if names},
        denied=list(site.redactor.denied),
        rule=site.redactor.rule is not None,
        kept=_kept(ask),
        versions=_versions(ask),
    )


def _kept(ask: Ask) -> list[tuple[str, str]]:
    done = "for as long as its app says" if ask.site.app is None else f"for {span(ask.site.app.keep_us)}"
    return [
        ("Done and cancelled jobs", done),
        ("Dead jobs and those in doubt", "until a person ends them"),
        ("The audit", "for good"),
        ("Bulk operations and their lists", f"for {span(bulk.KEEP_US)} after their end"),
        ("Alerts", f"for {span(ALERT_KEEP_US)} after they were cleared"),
        ("Messages of alerts", f"for {span(MESSAGE_KEEP_US)}"),
        ("Points of charts", "by minute for 48 hours, by 10 minutes for 14 days, by hour for 400 days"),
    ]


def _versions(ask: Ask) -> list[tuple[str, str]]:
    engine = ask.site.engine
    readings: Mapping[str, Any] = ask.run(health.readings())
    database = readings.get("server_version", readings.get("version", "?"))
    release = "" if ask.site.app is None else ask.site.app.release
    return [
        ("dutiful", version("dutiful")),
        ("Tables", f"version {migrations(engine.name)[-1].number}"),
        ({"sqlite": "SQLite", "postgres": "PostgreSQL"}[engine.name], str(database)),
        ("Python", platform.python_version()),
        ("This process's release", release or "not named"),
    ]
