"""A clock that stands still until a test moves it; give it to the app: ``App(…, clock=Clock())``."""

from __future__ import annotations

from datetime import UTC, datetime

from ..model.durations import Duration, microseconds


class Clock:
    """Gives the instant that a test has set, in microseconds since 1970, UTC."""

    def __init__(self, start: datetime | None = None) -> None:
        begin = start if start is not None else datetime(2026, 1, 15, 12, tzinfo=UTC)
        if begin.utcoffset() is None:
            raise ValueError("start is a datetime without time zone")
        self.us = round(begin.timestamp() * 1_000_000)

    def __call__(self) -> int:
        return self.us

    @property
    def now(self) -> datetime:
        """The instant as a datetime in UTC."""
        return datetime.fromtimestamp(self.us / 1_000_000, UTC)

    def advance(self, duration: Duration) -> None:
        """Let so much time pass: ``clock.advance("5m")``."""
        self.us += microseconds(duration, what="advance")
