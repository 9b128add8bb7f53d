"""``dutiful alert``: what was raised, whom it reached, and whether channels work."""

from __future__ import annotations

import click

from ..model.alerts import Alerts
from ..operations import alerts
from ..operations.alerts import AlertLine, MessageLine
from ..worker.sending import NotSent, send
from .exits import BAD, DONE
from .lazy import SharedGroup
from .reach import reach, with_app
from .session import Session, pass_session
from .tables import Column
from .times import iso


@click.group("alert", cls=SharedGroup)
def alert_command() -> None:
    """Look at alerts, and try the channels."""


@alert_command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what was cleared.")
@click.option("--messages", is_flag=True, help="What was told to which channel, and what became of it.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@pass_session
def list_(session: Session, everything: bool, messages: bool, limit: int) -> None:
    """What was raised, the latest first; and the channels, each with its last proof."""
    printer = session.printer
    with reach(session) as store:
        raised = store.run(alerts.raised(store.name, open_only=not everything, limit=limit))
        channels = store.run(alerts.channels(store.name))
        told = store.run(alerts.messages(store.name, limit)) if messages else []
    if printer.json:
        fields = {
            "alerts": [_alert(one) for one in raised],
            "channels": [
                {
                    "name": one.name,
                    "kind": one.kind,
                    "proven_at": iso(one.proven_us),
                    "failed_at": iso(one.failed_us),
                    "error": one.error,
                }
                for one in channels
            ],
        }
        if messages:
            fields["messages"] = [_message(one) for one in told]
        printer.document("alert.list/1", {"app": store.name, **fields})
        return
    if messages:
        columns = [
            Column("MADE"),
            Column("CHANNEL"),
            Column("EVENT"),
            Column("THING", least=12),
            Column("BECAME", spare=1),
        ]
        rows = [[printer.clock(one.made_us), one.channel, one.event, one.key, _became(one)] for one in told]
        printer.table(columns, rows)
        return
    if raised:
        columns = [Column("RAISED"), Column("NUMBER"), Column("THING", least=24), Column("", spare=1)]
        printer.table(
            columns, [[printer.clock(one.raised_us), one.number, one.sentence, _state(one)] for one in raised]
        )
    else:
        printer.say("Nothing is raised now." if not everything else "Nothing was ever raised.")
    if not channels:
        printer.say(
            "No worker has declared a channel: App(alerts=Alerts(Webhook(…))). Nobody is told of anything."
        )
    for one in channels:
        proven = "never proven" if one.proven_us is None else f"proven {printer.clock(one.proven_us)}"
        printer.say(
            f"{one.name} ({one.kind}): {proven}{'' if one.error is None else f'; failing: {one.error}'}"
        )


@alert_command.command("test")
@click.argument("channel", required=False)
@pass_session
def test(session: Session, channel: str | None) -> int:
    """Send a test through one channel of this app's code, or through all. Exit 1 if one fails."""
    printer = session.printer
    with with_app(session) as app:
        settings = app.alerts or Alerts()
        names = [one.name for one in settings.channels]
        if channel is not None and channel not in names:
            raise click.UsageError(
                f"The app has no channel {channel!r}; it has {', '.join(names) or 'none'}."
            )
        results: dict[str, str | None] = {}
        for one in settings.channels:
            if channel in (None, one.name):
                try:
                    send(one, alerts.test_message(app.name, one.name))
                    results[one.name] = None
                except NotSent as error:
                    results[one.name] = str(error)
    if printer.json:
        printer.document(
            "alert.test/1",
            {
                "channels": [
                    {"name": name, "sent": said is None, "error": said} for name, said in results.items()
                ]
            },
        )
    else:
        for name, said in results.items():
            printer.put(f"{name}: {'sent' if said is None else said}")
        if not results:
            printer.say("The app declares no channel: App(alerts=Alerts(Webhook(…))).")
    return DONE if results and not any(results.values()) else BAD


def _state(one: AlertLine) -> str:
    return "cleared" if one.cleared_us is not None else "seen" if one.seen else ""


def _became(one: MessageLine) -> str:
    if one.sent_us is not None:
        return "sent"
    if one.dropped_us is not None:
        return "dropped"
    return f"tried {one.tries}: {one.error}" if one.error else "waits"


def _alert(one: AlertLine) -> dict[str, object]:
    return {
        "key": one.key,
        "number": one.number,
        "sentence": one.sentence,
        "size": one.size,
        "raised_at": iso(one.raised_us),
        "cleared_at": iso(one.cleared_us),
        "owner": one.owner or None,
        "seen": one.seen,
    }


def _message(one: MessageLine) -> dict[str, object]:
    return {
        "id": one.id,
        "channel": one.channel,
        "event": one.event,
        "key": one.key,
        "made_at": iso(one.made_us),
        "due_at": iso(one.due_us),
        "sent_at": iso(one.sent_us),
        "dropped_at": iso(one.dropped_us),
        "tries": one.tries,
        "error": one.error,
    }
