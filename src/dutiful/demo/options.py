"""What the demonstration is told, and the times that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

KILLS = 9
LANE_C = "dutiful.demo.lane_c:app"


class Wanted(Protocol):
    """What whoever starts the demonstration says; :class:`DemoOptions` is one of it."""

    @property
    def fast(self) -> bool: ...
    @property
    def seed(self) -> int | None: ...
    @property
    def kills(self) -> int | None: ...
    @property
    def json(self) -> bool: ...
    @property
    def keep(self) -> bool: ...
    @property
    def orders(self) -> Path | None: ...
    @property
    def opens(self) -> bool | None: ...


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of ``dutiful demo``; None is the default.

    ``opens`` a browser with the page: by default where somebody sits at a terminal with a desktop.

    ``lane_c`` is the MODULE:APP of dutiful's lane: tests put one with a planted bug there.
    """

    fast: bool = False
    seed: int | None = None
    kills: int | None = None
    json: bool = False
    keep: bool = False
    orders: Path | None = None
    opens: bool | None = None
    lane_c: str = LANE_C


@dataclass(frozen=True, slots=True)
class Pace:
    """How quickly things happen, in seconds."""

    lease_s: float
    """After so long a silent worker's work is given to another: lane B's visibility time-out, too."""
    bank_s: float
    """How long one call to the bank takes."""
    repeat_s: float
    """Between two of lane C's second requests."""
    poison_s: float
    """How long the dead order is left for people to look at."""
    visitor_s: float
    """How long it waits for somebody who has the page open to retry it."""
    verdict_s: float
    """How long the verdict at the end may take to know of everything."""
    progress_s: float
    """Between two lines of progress where they cannot be rewritten."""
    limit_s: float
    """After so long the demonstration gives up and says what was missing."""


SLOW = Pace(
    lease_s=2.0,
    bank_s=1.0,
    repeat_s=0.15,
    poison_s=6.0,
    visitor_s=60.0,
    verdict_s=20.0,
    progress_s=5.0,
    limit_s=240.0,
)
FAST = Pace(
    lease_s=1.0,
    bank_s=0.06,
    repeat_s=0.005,
    poison_s=0.2,
    visitor_s=20.0,
    verdict_s=0.0,
    progress_s=2.0,
    limit_s=180.0,
)
