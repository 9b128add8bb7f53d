"""What is known of a task for the checklist, and how a line of it stands: facts and cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct, field

State = Literal["drilled", "observed", "declared", "waived", "unknown", "na", "missing"]

SIGNS: Final[dict[State, str]] = {
    "drilled": "✓",
    "observed": "✓",
    "declared": "◐",
    "waived": "~",
    "unknown": "?",
    "na": "–",
    "missing": "✗",
}
WORDS: Final[dict[State, str]] = {
    "drilled": "drilled",
    "observed": "observed",
    "declared": "declared",
    "waived": "waived",
    "unknown": "not known",
    "na": "not applicable",
    "missing": "missing",
}
OPEN: Final[frozenset[State]] = frozenset({"missing", "unknown", "declared"})
"""What a waiver can answer: nobody waives what is seen."""


class Line(Struct, frozen=True):
    """A line of the checklist: the head of its column, what it asks, the nearest rule of check ("": none)."""

    name: str
    title: str
    asks: str
    rule: str


class Drilled(Struct, frozen=True):
    """The last drill of a task. ``changed``: the code is another one now; None where that is not known."""

    outcome: str
    at_us: int
    changed: bool | None
    played: Mapping[str, tuple[int, int]]
    findings: int = 0
    why: str = ""
    calls: int | None = None


class Reconciled(Struct, frozen=True):
    """A reconciliation of a task: when it last looked, what it could not do, how much is open."""

    name: str
    looked_us: int | None
    open: int = 0
    trouble: str = ""


class Waived(Struct, frozen=True):
    """A person's answer to a line."""

    owner: str
    by: str
    reason: str
    until_us: int | None
    """None: it is in the task's declaration, and holds as long as it stands there."""
    made_us: int = 0

    def holds(self, now_us: int) -> bool:
        """Whether it has not lapsed."""
        return self.until_us is None or self.until_us > now_us


class Facts(Struct, frozen=True):
    """What is known of one task: its declaration as the newest release says it, and what the records show.

    ``duplicates``, ``skipped`` and ``gated`` are of a window over the latest endings; ``done`` and ``failed``
    of that, or of the last seven days as they are rolled up; all else is of now.
    """

    task: str
    delivery: str
    queue: str
    owner: str
    declared: Mapping[str, Any]
    now_us: int
    scheduled: bool = False
    duties: bool = False
    ledger: str | None = None
    effects: bool = False
    duplicates: int = 0
    skipped: int = 0
    gated: int = 0
    done: int = 0
    failed: int = 0
    dead: int = 0
    unseen: int = 0
    stale: int = 0
    workers: int = 0
    target_us: int | None = None
    sampled_us: int | None = None
    reconciled: Sequence[Reconciled] = ()
    drill: Drilled | None = None
    waivers: Mapping[str, Waived] = field(default_factory=dict)


class Cell(Struct, frozen=True):
    """A line of one task: how it stands, how that is known, and what to type (``fix``)."""

    line: str
    state: State
    words: str
    fix: str = ""
    waiver: Waived | None = None
    """Also one that has lapsed, which is told and holds no more."""

    @property
    def sign(self) -> str:
        """One letter for it."""
        return SIGNS[self.state]

    @property
    def said(self) -> str:
        """The state in words."""
        return WORDS[self.state]


Said = tuple[State, str, str]
"""State, words, and what to type."""
