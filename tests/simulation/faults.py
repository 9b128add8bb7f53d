"""What goes wrong, how often, and what is counted.

Each seed draws which kinds there are in its world and how many of each, so that some worlds know one
kind only, and others all of them.
"""

from __future__ import annotations

import random
from collections import Counter

KINDS: dict[str, str] = {
    "kill": "a process is killed, between any two steps of it",
    "kill_in_transaction": "a process is killed with a transaction open: it is rolled back",
    "kill_after_commit": "a process is killed after a commit, before it knows of it",
    "kill_child": "a child process is killed",
    "pause": "a process stands still, for less than its lease",
    "pause_past_lease": "a process stands still for longer than its lease, and goes on",
    "suspend": "the same, and its clock stands still as well",
    "clock_skew": "a process's clock runs too slow or too fast",
    "commit_lost_applied": "a commit is made, and its answer is lost",
    "commit_lost_not_applied": "a commit is not made, and nobody says so",
    "locked": "the store says that it is locked",
    "full": "the store refuses a statement in the middle of a transaction",
    "outage": "the store cannot be reached, for up to two leases",
    "late_report": "a statement is sent late, by up to three leases",
    "late_beat": "a beat is sent so late that the lease is over, while the bodies go on",
    "late_answer": "the answer to a transaction comes late, by up to three leases",
    "report_twice": "what was sent once arrives once more, later",
    "hint_lost": "nobody is told that there is work",
    "enqueue_twice": "a producer asks once more for what it was given",
    "drain": "a worker is told to stop, as by SIGTERM",
    "halt": "a worker is told to stop at once",
    "child_start_failed": "a child cannot be started, or dies before it is ready",
    "call_lost": "a call to the world outside does not get there",
    "call_late": "a call is applied later, and nobody waits for its answer",
    "call_refused": "a call is refused",
    "answer_lost": "a call is applied, and its answer is lost",
    "lookup_unsure": "the world outside cannot say what became of a call",
}

AT_STEPS: dict[str, float] = {
    "kill": 1 / 2500,
    "kill_in_transaction": 1 / 1200,
    "kill_after_commit": 1 / 1200,
    "kill_child": 1 / 60,
    "pause": 1 / 2500,
    "pause_past_lease": 1 / 2500,
    "suspend": 1 / 5000,
    "clock_skew": 1 / 5000,
    "commit_lost_applied": 1 / 80,
    "commit_lost_not_applied": 1 / 80,
    "locked": 1 / 80,
    "full": 1 / 600,
    "outage": 1 / 8000,
    "late_report": 1 / 100,
    "late_beat": 1 / 50,
    "late_answer": 1 / 150,
    "report_twice": 1 / 20,
    "hint_lost": 1 / 3,
    "enqueue_twice": 1 / 4,
    "drain": 1 / 8000,
    "halt": 1 / 8000,
    "child_start_failed": 1 / 4,
    "call_lost": 1 / 12,
    "call_late": 1 / 12,
    "call_refused": 1 / 12,
    "answer_lost": 1 / 8,
    "lookup_unsure": 1 / 4,
}
"""How often at each step at which it can happen, in a world of medium wickedness."""


class Faults:
    """The faults of one world."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(f"{seed}/faults")
        self.on = True
        self.counts: Counter[str] = Counter()
        self.lost_in: frozenset[str] = frozenset()
        """The operations whose commits may not be made; those of all, if none is named."""
        self._totals: dict[tuple[str, ...], float] = {}
        share = self.chance.choice((0.15, 0.4, 0.7, 1.0))
        wickedness = self.chance.choice((0.5, 1.0, 1.0, 2.0, 3.0))
        self.rates = {
            kind: rate * wickedness for kind, rate in AT_STEPS.items() if self.chance.random() < share
        }

    def hits(self, kind: str) -> bool:
        """Whether it happens here and now; then it is counted."""
        rate = self.rates.get(kind)
        if rate is None or not self.on or self.chance.random() >= rate:
            return False
        self.counts[kind] += 1
        return True

    def pick(self, kinds: tuple[str, ...], times: float = 1.0) -> str | None:
        """Which of these happens here and now, if any; then it is counted. One draw for all.

        ``times`` as often as elsewhere.
        """
        if not self.on:
            return None
        total = self._totals.get(kinds)
        if total is None:
            total = self._totals[kinds] = sum(self.rates.get(kind, 0.0) for kind in kinds)
        draw = self.chance.random()
        if draw >= total * times:
            return None
        for kind in kinds:
            draw -= self.rates.get(kind, 0.0) * times
            if draw < 0:
                self.counts[kind] += 1
                return kind
        return None

    def part(self, least: float, most: float) -> float:
        """How long, as a part of something."""
        return self.chance.uniform(least, most)
