"""What became of a commit that got no answer, as the read-back by token tells it; never a guess."""

from __future__ import annotations

from enum import Enum


class Fate(Enum):
    """The four answers; only the first two are about this very commit."""

    COMMITTED = "committed"
    """It stands: the run's work is kept and its job is done."""
    NOT_COMMITTED = "not committed"
    """It does not, and never will: the run still owns its job, and may do its work again."""
    SUPERSEDED = "superseded"
    """The run is over: another run, or a person, owns the job. Nothing of this one is kept."""
    UNKNOWN = "unknown"
    """The database cannot be asked: the run stops, and is left to the reaper."""
