"""What becomes of occurrences that are due: made, left to a person, or skipped and why. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from .schedules import ALL_MAX, Spec

What = Literal["make", "wait", "skip"]

BATCH = 2_000
"""So many occurrences are judged in one transaction; what is left after them follows in the next one."""

LATER_ONE = "missed; a later one is run"
MISSED = "missed"
BEYOND = f"missed; only the latest {ALL_MAX} are made up for"
BEYOND_PEOPLE = f"missed; only the latest {ALL_MAX} wait for a person"
REMOVED = "the schedule was removed"


class Pause(Struct, frozen=True):
    """From when until when (None: still) a schedule is paused, by whom and why."""

    at_us: int
    until_us: int | None
    by: str
    reason: str

    def holds(self, at_us: int) -> bool:
        """Whether an occurrence of this instant falls into it."""
        return self.at_us < at_us and (self.until_us is None or at_us <= self.until_us)

    def over(self, now_us: int) -> bool:
        """Whether it has ended."""
        return self.until_us is not None and self.until_us <= now_us

    @property
    def why(self) -> str:
        """What is recorded of the occurrences in it."""
        return f"paused by {self.by}: {self.reason}"


class Verdict(Struct, frozen=True):
    """One occurrence, or with ``skip`` some in a row, up to ``upto_us``."""

    what: What
    at_us: int
    why: str = ""
    upto_us: int = 0
    instants: int = 1


def judge(
    spec: Spec, due: Sequence[int], now_us: int, pause: Pause | None = None, *, more: bool = False
) -> list[Verdict]:
    """The verdicts on instants that are due, in order; ``more``: at least ``ALL_MAX`` later ones are due.

    What is no later than the spec's grace is made, whatever is declared about those that were missed.
    """
    paused = {at for at in due if pause is not None and pause.holds(at)}
    open_ = [at for at in due if at not in paused]
    missed = [at for at in open_ if now_us - at > spec.grace_us]
    on_time = set(open_) - set(missed)
    last = set() if more else set(missed[-ALL_MAX:])
    single = missed[-1] if missed and not on_time and not more else None

    def of(at: int) -> tuple[What, str]:
        if at in paused and pause is not None:
            return "skip", pause.why
        if at in on_time:
            return "make", ""
        if spec.missed == "run_last":
            return ("make", "missed; the last one") if at == single else ("skip", LATER_ONE)
        if spec.missed == "run_all":
            return ("make", MISSED) if at in last else ("skip", BEYOND)
        if spec.missed == "people":
            return ("wait", MISSED) if at in last else ("skip", BEYOND_PEOPLE)
        return "skip", MISSED

    return list(_together((at, *of(at)) for at in due))


def _together(found: Iterator[tuple[int, What, str]]) -> Iterator[Verdict]:
    """Skips in a row, for one reason, as one."""
    run: Verdict | None = None
    for at, what, why in found:
        if run is not None and what == "skip" and run.why == why:
            run = Verdict("skip", run.at_us, why, at, run.instants + 1)
            continue
        if run is not None:
            yield run
            run = None
        one = Verdict(what, at, why, at)
        if what == "skip":
            run = one
        else:
            yield one
    if run is not None:
        yield run
