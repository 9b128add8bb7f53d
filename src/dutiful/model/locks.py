"""Locks by name as values: what is asked for, what came of it, and what people see of it."""

from __future__ import annotations

import os
import socket

from msgspec import Struct

from .durations import Duration, microseconds
from .errors import InvalidOption

LEASE = "30s"
LEASE_US_MIN = 200_000
TICKET_US = 5_000_000
"""A waiter that was not heard of for so long is passed by."""
NAME_CHARS_MAX = 200
SLOTS_MAX = 10_000


class LockAsk(Struct, frozen=True):
    """One who wants a lock. ``token`` names this one ask for good: asked again with it, it is the same."""

    app: str
    name: str
    token: str
    slots: int
    lease_us: int
    who: str
    waits: bool

    def __post_init__(self) -> None:
        check_name(self.name)
        if (
            isinstance(self.slots, bool)
            or not isinstance(self.slots, int)
            or not 1 <= self.slots <= SLOTS_MAX
        ):
            raise InvalidOption(
                f"lock {self.name!r}: slots={self.slots!r} is no number from 1 to {SLOTS_MAX:,}."
            )


class Holder(Struct, frozen=True):
    """Who holds a lock, for a message. Instants are microseconds of the store's clock."""

    who: str
    grant_no: int
    granted_at_us: int
    until_us: int


class Answer(Struct, frozen=True):
    """What came of an ask: a grant; else a place in the queue (``waiting``), or nothing.

    ``slots``: the number that is in force, where it is another one (then nothing was asked for).
    """

    grant_no: int | None = None
    waiting: bool = False
    holders: tuple[Holder, ...] = ()
    now_us: int = 0
    slots: int | None = None


class LockLine(Struct, frozen=True):
    """One row of a list: a holder, or a waiter where ``grant_no`` is None."""

    app: str
    name: str
    slots: int
    last_grant_no: int
    ticket: int
    grant_no: int | None
    slot: int | None
    who: str
    asked_at_us: int
    granted_at_us: int | None
    until_us: int
    now_us: int

    @property
    def lapsed(self) -> bool:
        """Whether it was not heard of in time: the next one who asks passes it by."""
        return self.until_us <= self.now_us


def check_name(name: object) -> None:
    """Raises InvalidOption for what is no name of a lock."""
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise InvalidOption(
            f"{name!r} is no name for a lock: printable text of 1 to {NAME_CHARS_MAX} characters."
        )


def lease_us(lease: Duration) -> int:
    """A lease in microseconds; raises InvalidDuration, or InvalidOption below 200 ms."""
    span = microseconds(lease, what="lease", zero_ok=False)
    if span < LEASE_US_MIN:
        raise InvalidOption(f"lease={lease!r} is too short to be renewed in time: at least 200 ms.")
    return span


def whoami() -> str:
    """This process, for whoever finds the lock held."""
    return f"{socket.gethostname()} pid {os.getpid()}"
