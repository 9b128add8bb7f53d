"""Alerts as an app declares them: channels, quiet hours, and what a message says.

A message is about one thing, never about one job, and never carries a job's arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from .declaration_errors import DeclarationError

Event = Literal["raised", "again", "grew", "lapsed", "cleared", "proof"]
Severity = Literal["low", "normal", "high"]

SEVERITIES: Final[tuple[Severity, ...]] = ("low", "normal", "high")
SEVERITY_OF: Final[Mapping[str, Severity]] = {
    "lost": "high",
    "doubled": "high",
    "unknown": "high",
    "late": "normal",
    "unseen": "low",
}
UNKNOWN: Final = "unknown"
"""The key of the one thing that is no number: that the verdict cannot be said."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What a channel is told. ``dedup`` is the same for all messages about one thing while it lasts."""

    app: str
    event: Event
    key: str
    dedup: str
    number: str
    severity: Severity
    sentence: str
    jobs: int
    owner: str
    since: str | None
    link: str
    command: str

    @property
    def title(self) -> str:
        """One line for people."""
        if self.event == "proof":
            return f"dutiful {self.app}: alerts come through"
        what = {"raised": "", "again": "again: ", "grew": "grew: ", "lapsed": "unseen again: "}
        if self.event == "cleared":
            return f"dutiful {self.app}: cleared: {self.sentence}"
        return f"dutiful {self.app}: {self.number}: {what[self.event]}{self.sentence}"

    @property
    def text(self) -> str:
        """All of it for people."""
        lines = [self.title]
        for name, value in (
            ("owner", self.owner),
            ("since", self.since),
            ("look", self.link),
            ("type", self.command),
        ):
            if value:
                lines.append(f"{name}: {value}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Webhook:
    """POSTs each message as JSON (``Content-Type: application/json``); a 2xx answer within 10 s is success.

    ``headers`` are sent with it. No redirect is followed. Raises DeclarationError for what is no http(s) URL.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    name: str = ""
    kind = "webhook"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or f"webhook {_host(self.url)}")


@dataclass(frozen=True, slots=True)
class Smtp:
    """Mails each message. ``tls``: "starttls" (default), "ssl", or "none" for a relay on this host."""

    host: str
    sender: str
    to: tuple[str, ...]
    port: int = 587
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Literal["starttls", "ssl", "none"] = "starttls"
    name: str = ""
    kind = "smtp"

    def __post_init__(self) -> None:
        to = _words(self.to)
        if not to or any("\n" in one or "\r" in one for one in (*to, self.sender)):
            raise DeclarationError(
                "Smtp needs a sender and at least one address to mail to, without line breaks."
            )
        if self.tls not in ("starttls", "ssl", "none"):
            raise DeclarationError(f'tls={self.tls!r} is none of "starttls", "ssl", "none".')
        object.__setattr__(self, "to", to)
        object.__setattr__(self, "name", self.name or f"mail {to[0]}")


@dataclass(frozen=True, slots=True)
class Command:
    """Runs a program (no shell) with the message as JSON on its stdin; exit 0 within 10 s is success."""

    argv: tuple[str, ...]
    name: str = ""
    kind = "command"

    def __post_init__(self) -> None:
        argv = _words(self.argv)
        if not argv:
            raise DeclarationError("Command needs a program to run.")
        object.__setattr__(self, "argv", argv)
        object.__setattr__(self, "name", self.name or f"command {argv[0].rpartition('/')[2]}")


@dataclass(frozen=True, slots=True)
class Apprise:
    """Any of the channels that Apprise knows, by its URL (extra ``apprise``)."""

    url: str = field(repr=False)
    name: str = ""
    kind = "apprise"

    def __post_init__(self) -> None:
        scheme = self.url.partition("://")[0]
        object.__setattr__(self, "name", self.name or f"apprise {scheme}")


Channel = Webhook | Smtp | Command | Apprise


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours in which messages below a severity wait for their end: ``Quiet("22:00-07:00", "Europe/Berlin")``.

    Lost, doubled and cannot-say are "high", late is "normal", unseen is "low". What is cleared before the
    hours end is never told. Raises DeclarationError.
    """

    hours: str
    zone: str
    below: Severity = "high"

    def __post_init__(self) -> None:
        try:
            begin, end = self._span
            ZoneInfo(self.zone)
        except (ValueError, KeyError, OSError):
            raise DeclarationError(
                f"Quiet({self.hours!r}, {self.zone!r}) is no span of hours in a zone.",
                hint='As Quiet("22:00-07:00", "Europe/Berlin").',
            ) from None
        if begin == end:
            raise DeclarationError("Quiet hours that begin when they end are none, or all day.")
        if self.below not in SEVERITIES:
            raise DeclarationError(f"below={self.below!r} is none of {', '.join(SEVERITIES)}.")

    @property
    def _span(self) -> tuple[time, time]:
        begin, end = self.hours.split("-")
        return time.fromisoformat(begin.strip()), time.fromisoformat(end.strip())

    def until(self, severity: Severity, now_us: int) -> int | None:
        """When a message of this severity may be told, if not now."""
        if SEVERITIES.index(severity) >= SEVERITIES.index(self.below):
            return None
        begin, end = self._span
        here = datetime.fromtimestamp(now_us / 1e6, UTC).astimezone(ZoneInfo(self.zone))
        at = here.time()
        inside = begin <= at < end if begin < end else (at >= begin or at < end)
        if not inside:
            return None
        day = here.date() + timedelta(days=1 if begin > end and at >= begin else 0)
        ends = round(datetime.combine(day, end, ZoneInfo(self.zone)).timestamp() * 1e6)
        # On the night when clocks go back, the hour that comes twice may lie behind its first end.
        return ends if ends > now_us else now_us + 60_000_000


@dataclass(frozen=True, slots=True, init=False)
class Alerts:
    """Where an app's alerts go: ``App(alerts=Alerts(Webhook("https://…"), quiet=Quiet(…)))``.

    ``page`` is the address of the web page, with which links in messages begin. ``heartbeat`` is an URL of an
    outside dead-man service: workers POST the verdict there every minute while alerts can be delivered, so
    that silence is noticed by somebody else. Raises DeclarationError for two channels of one name.
    """

    channels: tuple[Channel, ...]
    quiet: Quiet | None
    page: str
    heartbeat: str | None = field(repr=False)

    def __init__(
        self, *channels: Channel, quiet: Quiet | None = None, page: str = "", heartbeat: str | None = None
    ) -> None:
        names = [one.name for one in channels]
        if len(set(names)) < len(names):
            raise DeclarationError(
                f"Two channels are called {next(name for name in names if names.count(name) > 1)!r}.",
                hint="Give one of them another name=.",
            )
        if heartbeat is not None:
            _host(heartbeat)
        object.__setattr__(self, "channels", channels)
        object.__setattr__(self, "quiet", quiet)
        object.__setattr__(self, "page", page.rstrip("/"))
        object.__setattr__(self, "heartbeat", heartbeat)

    def find(self, name: str) -> Channel | None:
        """The channel of that name."""
        return next((one for one in self.channels if one.name == name), None)


def _words(given: object) -> tuple[str, ...]:
    """One text, or several."""
    return (given,) if isinstance(given, str) else tuple(given)  # type: ignore[arg-type]


def _host(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DeclarationError("A webhook or a heartbeat needs an http(s) URL.")
    return parts.hostname
