"""Boundaries: the places of a body at which a run can be cut off, found by shims while it runs.

A shim tells the track of its run before it lets a statement, a commit or a call through. The track counts
it, lets the other run go on if a schedule says so, and answers with the fault that is planned for here.
Who is cut off stays so: whatever a ``finally`` or an ``except`` still tries reaches nothing.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from types import FrameType
from typing import Any, Literal

Kind = Literal["statement", "write", "commit", "call", "file", "return"]
Fault = Literal[
    "crash", "error", "lost_applied", "lost_unapplied", "timeout_applied", "timeout", "500_applied", "429",
    "forgotten",
]  # fmt: skip
COMMIT = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:COMMIT|END)\b(?!\s+PREPARED)", re.IGNORECASE | re.DOTALL)
ROLLBACK = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:ROLLBACK|ABORT)\b(?!\s+(?:WORK\s+)?TO)", re.I | re.S)
QUIET = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:BEGIN|START|SAVEPOINT|RELEASE|PRAGMA|SET|SHOW)\b", re.I | re.S
)
WRITES = re.compile(r"\b(?:INSERT|UPDATE|DELETE|REPLACE|MERGE|COPY)\b", re.IGNORECASE)


class Crash(BaseException):
    """The run is cut off here, as by a kill."""


class UnseenIO(Exception):
    """The body reached the world by a way that no shim sees: what became of it cannot be compared."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the user's."""

    file: str
    line: int

    def __str__(self) -> str:
        short = os.path.relpath(self.file)
        return f"{self.file if short.startswith('..') else short}:{self.line}"


@dataclass(frozen=True, slots=True)
class Event:
    """One boundary: what is about to happen, and where the user wrote it."""

    number: int
    kind: Kind
    text: str
    place: Place | None
    effect: bool = False
    """Whether it is inside ``run.effect``."""

    def __str__(self) -> str:
        at = f" ({self.place})" if self.place is not None else ""
        return f"{self.text}{at}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One fault of one run: what happens at which boundary."""

    at: int
    what: Fault


@dataclass
class Track:
    """What one run did, and what is to happen to it."""

    plan: Plan | None = None
    turn: Callable[[int], None] | None = None
    """Called before each boundary: a schedule of two runs waits here."""
    blocked: Callable[[], bool] | None = None
    """Called when a lock of the other run is in the way; False: nobody can clear it."""
    kill: Callable[[], None] | None = None
    """How a crash kills: None raises, in a child process it is the end of that."""
    events: list[Event] = field(default_factory=list)
    crashed: bool = False
    struck: Event | None = None
    """Where the plan's fault took place."""
    drops: list[Callable[[], None]] = field(default_factory=list)
    """Closes the connections that the body opened."""
    commits: int = 0

    def at(self, kind: Kind, text: str) -> Fault | None:
        """A boundary is reached; the fault that the shim has to carry out, if one is planned."""
        if self.crashed:
            raise Crash
        place, effect = where()
        if place is None and kind in ("statement", "write"):
            return None  # ours
        if kind == "commit":
            self.commits += 1
            text = f"{'COMMIT' if place is not None else 'the commit by dutiful'} #{self.commits}"
        number = len(self.events)
        if self.turn is not None:
            self.turn(number)
        event = Event(number, kind, " ".join(text.split())[:80], place, effect)
        self.events.append(event)
        if self.plan is None or self.plan.at != number:
            return None
        self.struck = event
        if self.plan.what == "crash":
            self.crash()
        return self.plan.what

    def crash(self) -> None:
        """Cut the run off: its connections are closed, nothing it still tries reaches anything."""
        self.crashed = True
        if self.kill is not None:
            self.kill()
        self.drop()
        raise Crash

    def drop(self) -> None:
        """Close what the body opened and left open."""
        for one in self.drops:
            one()

    def words(self, number: int, *, before: bool = False) -> str:
        """A boundary as a story tells it: after what came last."""
        if not before and 0 < number <= len(self.events):
            return f"after {self.events[number - 1]}"
        return f"before {self.events[number]}" if number < len(self.events) else "after return"


through: ContextVar[bool] = ContextVar("drill_through", default=False)
"""Set while a shim opens a socket of its own."""


class _Local(threading.local):
    track: Track | None = None
    ours: bool = False


_local = _Local()


def track() -> Track | None:
    """The track of the run that is carried out in this thread."""
    return _local.track


@contextmanager
def tracked(one: Track) -> Iterator[None]:
    """Carry out a run in this thread: its boundaries are counted from here on."""
    _local.track = one
    try:
        yield
    finally:
        _local.track = None


@contextmanager
def unwatched() -> Iterator[None]:
    """What is done here is the drill's own."""
    before, _local.track = _local.track, None
    try:
        yield
    finally:
        _local.track = before


def is_ours() -> bool:
    """Whether what this thread does is the drill's own, and goes where it says."""
    return _local.ours


@contextmanager
def by_itself() -> Iterator[None]:
    """What is done here goes past the shims."""
    before, _local.ours = _local.ours, True
    try:
        with unwatched():
            yield
    finally:
        _local.ours = before


_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_INSTALLED = tuple(
    {p for n in ("purelib", "platlib", "stdlib", "platstdlib") if (p := sysconfig.get_path(n))}
)
_own: list[str] = []


def own(file: str) -> None:
    """The file of the task: what stands in its folder is the user's, also where it is installed."""
    _own[:] = [file] if file.startswith("<") else [os.path.dirname(os.path.abspath(file)) + os.sep]
    is_users.cache_clear()


@lru_cache(maxsize=4096)
def is_users(file: str) -> bool:
    """Whether a file is the user's code: not ours, not Python's, not a library's."""
    if file.startswith(_OURS):
        return False
    if any(file.startswith(folder) for folder in _own):
        return True
    return not file.startswith(("<", *_INSTALLED))


EFFECTS = os.path.join("dutiful", "app", "effects.py")
BASE = os.path.join("dutiful", "worker", "run.py")


def where() -> tuple[Place | None, bool]:
    """The innermost line of the user's below the body, and whether it is inside ``run.effect``."""
    frame: FrameType | None = sys._getframe(2)
    found: Place | None = None
    effect = False
    while frame is not None:
        file = frame.f_code.co_filename
        if file.endswith(BASE) and file.startswith(_OURS):
            break
        if file.endswith(EFFECTS) and file.startswith(_OURS):
            effect = True
        elif found is None and is_users(file):
            found = Place(file, frame.f_lineno)
        frame = frame.f_back
    return (found, effect) if frame is not None else (None, False)


def kind_of(sql: str) -> Kind | None:
    """What a statement is for a drill; None: nothing can be cut off there."""
    if COMMIT.match(sql):
        return "commit"
    if ROLLBACK.match(sql) or QUIET.match(sql):
        return None
    return "write" if WRITES.search(sql) else "statement"


def value(anything: Any) -> str:
    """Text of a statement, whatever a driver takes."""
    return anything.decode("utf-8", "replace") if isinstance(anything, bytes) else str(anything)
