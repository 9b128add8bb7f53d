"""Instants as text: for people with the zone and how long ago, for programs as ISO 8601 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ..model.spans import ago

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(us: int | None) -> str | None:
    """``2026-11-24T05:54:34.123456Z``, exact to the microsecond; None stays None."""
    if us is None:
        return None
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def absolute(us: int, *, utc: bool) -> str:
    """``2026-11-24 05:54:34 UTC``, or in this host's zone."""
    instant = _EPOCH + timedelta(microseconds=us)
    return (instant if utc else instant.astimezone()).strftime("%Y-%m-%d %H:%M:%S %Z")


def full(us: int, now_us: int, *, utc: bool) -> str:
    """``2026-11-24 05:54:34 UTC (3m 2s ago)``."""
    return f"{absolute(us, utc=utc)} ({ago(us, now_us)})"


def parse_instant(text: str, *, utc: bool) -> datetime:
    """An ISO 8601 instant; one without a zone is in this host's (or UTC, if so asked). Raises ValueError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is not None:
        return found
    return found.replace(tzinfo=UTC) if utc else found.astimezone()
