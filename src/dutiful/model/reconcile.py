"""Reconciliation, as rules: what is expected against what is in flight and what is done.

Each expected duty is of one class: ``ok``; ``young``, due for less than the grace; ``waiting``, with an
open job; ``stuck``, with one that is open for too long; ``people``, with one that is dead or in doubt;
``missing``; ``late``, missing for longer than the declaration allows. ``surplus`` is done twice, or done and
not expected.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from .errors import InvalidReconcile

Class = Literal["ok", "young", "waiting", "stuck", "people", "missing", "late", "surplus"]
Then = Literal["run", "skip", "people"]

FINDINGS: Final[tuple[Class, ...]] = ("missing", "late", "surplus", "stuck", "people")
"""The classes that are written down, each with its age."""

FREE: Final = 20
"""So many missing ones are always enqueued, and no more where the governor stops a pass."""
SHARE: Final = 0.02
TIMES: Final = 3
TRAIL: Final = 20
"""So many passes before this one say what is usual."""

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
WHOLE_US: Final = DAY_US
"""The whole window is looked at so often, beside the quick passes over what is new."""
EARLY_US: Final = DAY_US
"""Evidence is read from so long before the first due instant: work may have been done before it was due."""
MARGIN_US: Final = HOUR_US
"""So long before it forgets what was done, memory counts as no evidence any more."""


class Rule(Struct, frozen=True):
    """What decides about a duty, as declared. ``memory_us``: for how long it is known here, without evidence
    in the business data, that a duty was done; None for ever. ``attend_us``: how long one may wait for a
    person.
    """

    name: str
    task: str
    every_us: int
    grace_us: int
    window_us: int
    late_us: int | None = None
    then: Then = "run"
    memory_us: int | None = None
    sources: str = ""
    attend_us: int | None = None

    def __post_init__(self) -> None:
        if self.window_us <= self.grace_us:
            raise InvalidReconcile(
                f"reconcile {self.name!r}: window= is not longer than grace=, so nothing is looked at.",
                hint='As in: grace="15m", window="7d".',
            )
        if self.memory_us is not None and self.window_us > self.memory_us:
            raise InvalidReconcile(
                f"reconcile {self.name!r}: window= reaches further back than it is remembered here what was "
                "done, so that duties done long ago would be taken for missing, and done again.",
                hint="Give done=, evidence in the business data; or a shorter window=; or a longer "
                "App(keep=…) and remember=.",
            )

    @property
    def text(self) -> str:
        """The rule as one text: another one is another rule."""
        facts = (self.task, self.every_us, self.grace_us, self.window_us, self.late_us, self.then)
        mark = hashlib.sha256(
            repr((facts, self.memory_us, self.attend_us, self.sources)).encode()
        ).hexdigest()[:16]
        return f"every {self.every_us} grace {self.grace_us} window {self.window_us} {mark}"

    @property
    def whole_us(self) -> int:
        """How often the whole window is looked at."""
        return max(self.every_us, WHOLE_US)

    def stuck_us(self, opened_us: int, deadline_us: int | None) -> int:
        """From when on a job that was enqueued then is open for too long."""
        return deadline_us if deadline_us is not None else opened_us + max(2 * self.grace_us, HOUR_US)

    def since(self, now_us: int) -> int:
        """Where the window begins."""
        reach = self.window_us
        if self.memory_us is not None:
            reach = min(reach, max(self.memory_us - MARGIN_US, self.memory_us // 2))
        return now_us - reach

    def since_quick(self, now_us: int, watermark_us: int | None) -> int:
        """Where a quick pass begins: behind the watermark by an overlap, and never before the window."""
        if watermark_us is None:
            return self.since(now_us)
        mark = min(watermark_us, now_us - self.grace_us)
        return max(self.since(now_us), mark - max(self.grace_us, self.every_us))


class Duty(Struct, frozen=True):
    """An expected duty, and what was found of it: how often it is done, and its job, if it has one."""

    key: str
    due_us: int
    done: int = 0
    given_up: bool = False
    state: str | None = None
    dead: bool = False
    opened_us: int = 0
    deadline_us: int | None = None


def classify(rule: Rule, duty: Duty, now_us: int) -> Class:
    """What is to be said of a duty. Evidence counts for more than jobs: a job may lag behind its work."""
    if duty.done > 1:
        return "surplus"
    if duty.done or duty.given_up:
        return "ok"
    if duty.dead or duty.state == "in_doubt":
        return "people"
    if duty.state is not None:
        return "stuck" if now_us > rule.stuck_us(duty.opened_us, duty.deadline_us) else "waiting"
    if duty.due_us > now_us - rule.grace_us:
        return "young"
    if rule.late_us is not None and duty.due_us < now_us - rule.late_us:
        return "late"
    return "missing"


def limit(expected: int, before: Sequence[int]) -> int:
    """So many missing ones are believed. ``before``: how many were missing in the passes before this one,
    without those that were stopped; or a wrong query would become usual by being asked often.
    """
    usual = statistics.median(before[:TRAIL]) if before else 0
    return max(FREE, int(SHARE * expected), int(TIMES * usual))


class Governed(Struct, frozen=True):
    """How many may be enqueued, and what is said: "", "stopped", "waiting" (stopped before) or "approved"."""

    allowed: int
    said: str = ""


def govern(missing: int, most: int, approved: int | None, stopped: bool) -> Governed:
    """The governor's word. More than ``most`` is a wrong query until a person has approved so many, and what
    has been added to them since.
    """
    if missing <= most:
        return Governed(missing)
    if approved is not None and missing <= approved + max(FREE, approved // 10):
        return Governed(missing, "approved")
    return Governed(0, "waiting") if stopped else Governed(FREE, "stopped")


def moved(until_us: int, open_dues: Iterable[int], horizon_us: int | None) -> int:
    """The watermark after a pass: the smallest due instant that is still open, and never past the horizon,
    before which no transaction began that is still under way: what it commits may be due before others.
    """
    marks = [until_us, *open_dues]
    if horizon_us is not None:
        marks.append(horizon_us)
    return min(marks)
