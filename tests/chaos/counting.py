"""What came of a chaos run: per lane, how many duties were done once, twice, or not at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Seen:
    """One lane's evidence: works by duty, what bodies said, and the jobs' states by duty."""

    lane: str
    duties: int
    works: Counter[int]
    begins: Counter[int] = field(default_factory=Counter)
    ends: frozenset[int] = frozenset()
    states: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Count:
    """The line of the table. ``happened`` are those in doubt that had in fact come to their end."""

    lane: str
    duties: int
    done: int
    doubled: int
    lost: int
    in_doubt: int
    happened: int
    wrong: tuple[str, ...]
    """What the lane promises and did not keep, as sentences."""


def count(seen: Seen) -> Count:
    """Compare what is promised with what was seen."""
    at_most = seen.lane == "at_most"
    effects = seen.begins if at_most else seen.works
    doubled = sorted(duty for duty, times in effects.items() if times > 1)
    wrong: list[str] = []
    lost: list[int] = []
    for duty in range(seen.duties):
        state = seen.states.get(duty, "nowhere")
        if at_most:
            begun, ended = duty in seen.begins, duty in seen.ends
            if state == "done(performed)" and not ended:
                wrong.append(f"duty {duty} is done, and its body never came to its end")
            if begun and not ended and state not in ("in_doubt", "dead"):
                wrong.append(f"duty {duty} began and did not end, and is {state}")
            if state not in ("done(performed)", "in_doubt", "dead") or (state == "dead" and not begun):
                lost.append(duty)
        else:
            times = seen.works.get(duty, 0)
            if times == 0:
                lost.append(duty)
            if (times > 0) != (state == "done(performed)"):
                wrong.append(f"duty {duty} was worked on {times} times, and is {state}")
    if doubled:
        wrong.append(f"doubled: {doubled[:10]}")
    if lost:
        wrong.append(f"lost: {lost[:10]}")
    doubts = [duty for duty, state in seen.states.items() if state == "in_doubt"]
    return Count(
        lane=seen.lane,
        duties=seen.duties,
        done=sum(state == "done(performed)" for state in seen.states.values()),
        doubled=len(doubled),
        lost=len(lost),
        in_doubt=len(doubts),
        happened=sum(duty in seen.ends for duty in doubts),
        wrong=tuple(wrong),
    )


def said(path: Path) -> tuple[Counter[int], frozenset[int]]:
    """Begins by duty, and the duties that came to their end, from the file that bodies append to."""
    begins: Counter[int] = Counter()
    ends: set[int] = set()
    for line in path.read_text().splitlines() if path.exists() else ():
        word, duty, *_ = line.split()
        if word == "begin":
            begins[int(duty)] += 1
        elif word == "end":
            ends.add(int(duty))
    return begins, frozenset(ends)


def table(counts: list[Count]) -> str:
    """For people, and for the page of guarantees."""
    head = (
        f"{'lane':<10}{'duties':>8}{'done':>8}{'doubled':>9}{'lost':>6}{'in doubt':>10}{'(had happened)':>16}"
    )
    rows = [
        f"{c.lane:<10}{c.duties:>8,}{c.done:>8,}{c.doubled:>9}{c.lost:>6}{c.in_doubt:>10}{c.happened:>16}"
        for c in counts
    ]
    return "\n".join([head, *rows])
