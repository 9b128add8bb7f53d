"""Alerts as they are declared: quiet hours, what is refused, and what a message says."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from dutiful import Alerts, Command, Quiet, Smtp, Webhook
from dutiful.model.alerts import Message, Severity
from dutiful.model.declaration_errors import DeclarationError

BERLIN = ZoneInfo("Europe/Berlin")


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1e6)


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        ("22:00-07:00", "2026-11-24T21:59", None),
        ("22:00-07:00", "2026-11-24T22:00", "2026-11-25T07:00"),
        ("22:00-07:00", "2026-11-25T03:00", "2026-11-25T07:00"),
        ("22:00-07:00", "2026-11-25T07:00", None),
        ("12:00-13:30", "2026-11-25T12:10", "2026-11-25T13:30"),
        ("12:00-13:30", "2026-11-25T11:59", None),
        ("22:00-07:00", "2026-10-24T23:00", "2026-10-25T07:00"),  # the clocks go back that night
        ("22:00-07:00", "2026-03-28T23:00", "2026-03-29T07:00"),  # and forward in this one
    ],
)
def test_quiet_hours_are_of_the_zone(hours: str, now: str, until: str | None) -> None:
    ends = Quiet(hours, "Europe/Berlin").until("normal", us(now))
    assert ends == (None if until is None else us(until))


@pytest.mark.parametrize(
    ("below", "severity", "held"),
    [("high", "high", False), ("high", "normal", True), ("normal", "normal", False), ("normal", "low", True)],
)
def test_what_is_severe_is_told_at_night(below: Severity, severity: Severity, held: bool) -> None:
    quiet = Quiet("22:00-07:00", "Europe/Berlin", below)
    assert (quiet.until(severity, us("2026-11-24T23:00")) is not None) == held


@pytest.mark.parametrize(
    "make",
    [
        lambda: Quiet("22-7-8", "Europe/Berlin"),
        lambda: Quiet("22:00-07:00", "Nowhere/At_all"),
        lambda: Quiet("22:00-22:00", "UTC"),
        lambda: Quiet("22:00-07:00", "UTC", "dire"),  # type: ignore[arg-type]
        lambda: Webhook("file:///etc/passwd"),
        lambda: Smtp("h", "a@x", ("b@x\nBcc: c@x",)),
        lambda: Smtp("h", "a@x", ()),
        lambda: Command(()),
        lambda: Alerts(Command(("a",)), Command(("/bin/a",))),
        lambda: Alerts(heartbeat="ftp://x"),
    ],
)
def test_what_cannot_work_is_refused(make: object) -> None:
    with pytest.raises(DeclarationError):
        make()  # type: ignore[operator]


def test_secrets_are_in_no_repr() -> None:
    channels = (
        Webhook("https://x.test/s3cret", {"Authorization": "s3cret"}),
        Smtp("h", "a", ("b",), password="s3cret"),
    )
    assert "s3cret" not in repr(Alerts(*channels, heartbeat="https://x.test/s3cret"))


def test_a_message_says_what_and_whose() -> None:
    message = Message(
        app="shop",
        event="again",
        key="queue:mail",
        dedup="d",
        number="late",
        severity="normal",
        sentence="queue mail: oldest due 6m 12s, target 2m",
        jobs=1,
        owner="mail",
        since="2026-11-24T17:32:33Z",
        link="https://ops/queues/mail",
        command="dutiful queue list",
    )
    assert message.title == "dutiful shop: late: again: queue mail: oldest due 6m 12s, target 2m"
    assert message.text.splitlines()[1:] == [
        "owner: mail",
        "since: 2026-11-24T17:32:33Z",
        "look: https://ops/queues/mail",
        "type: dutiful queue list",
    ]
