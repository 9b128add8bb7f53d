"""What users' own tests need: a run to call a task with, a clock to move, and jobs run in place.

Everything is the real thing: ``App("shop", "sqlite://")`` keeps its jobs in memory, and
:func:`run_all` claims, runs and ends them as a worker does, in the calling thread.
"""

from __future__ import annotations

from .asserting import Enqueued, assert_enqueued, enqueued
from .clock import Clock
from .crashing import crash_at
from .doubts import look_up_all
from .running import Outcome, run, run_all

__all__ = [
    "Clock",
    "Enqueued",
    "Outcome",
    "assert_enqueued",
    "crash_at",
    "enqueued",
    "look_up_all",
    "run",
    "run_all",
]
