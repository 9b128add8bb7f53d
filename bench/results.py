"""What a run has found so far, and the figures made of it: medians with their range, ratios, JSON."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.calls import Outcome
from bench.contestants import FLOOR, OURS, Contestant
from bench.measures import Measure

Cell = tuple[str, str, str]  # engine, who plays, call


@dataclass(frozen=True)
class Figure:
    """The median of the rounds, their lowest and highest, or why there is none."""

    median: float | None = None
    low: float | None = None
    high: float | None = None
    problem: str | None = None

    @classmethod
    def of(cls, values: Sequence[float], problem: str | None = None) -> Figure:
        if not values:
            return cls(problem=problem)
        return cls(statistics.median(values), min(values), max(values))


def against(ratio: float | None, wanted: float | None) -> dict[str, Any]:
    """The ratio to a peer, and whether it reaches what is wanted there; nothing may be wanted."""
    met = None if ratio is None or wanted is None else ratio >= wanted
    return {"ratio": ratio, "target": None if wanted is None else f"ratio ≥ {wanted:g}", "met": met}


@dataclass
class Results:
    """Outcomes by engine, contestant and call, in the order they came."""

    outcomes: dict[Cell, list[Outcome]] = field(default_factory=lambda: defaultdict(list))

    def add(self, engine: str, contestant: Contestant, call: str, outcome: Outcome) -> None:
        self.outcomes[engine, contestant.plays, call].append(outcome)

    def figure(self, measure: Measure, who: str) -> Figure:
        """The figure of one row for the floor, for ours or for a peer."""
        outcomes = self.outcomes.get((measure.engine, who, measure.call), [])
        picked = [measure.pick(outcome.value) for outcome in outcomes if outcome.value is not None]
        problems = [outcome.problem for outcome in outcomes if outcome.problem]
        return Figure.of([value for value in picked if value is not None], problems[0] if problems else None)

    def ratio(self, measure: Measure, other: str) -> float | None:
        """Ours ÷ the other's, as rates; for times and costs too, so that less than 1 is better there."""
        ours, theirs = self.figure(measure, OURS).median, self.figure(measure, other).median
        return None if ours is None or not theirs else ours / theirs

    def note(self, measure: Measure, who: str) -> str | None:
        """What a reader must know about a cell: a churn that was cut short."""
        if measure.name != "held_drain":
            return None
        churned = [o.value["churned"] for o in self.outcomes[measure.engine, who, "held"] if o.value]
        return f"after {min(churned):,} jobs" if churned else None

    def as_json(self, measures: Sequence[Measure], peers: Sequence[str]) -> list[dict[str, Any]]:
        """The rows as ``--json`` writes them; where a figure is missing stands the reason, or null."""
        return [self._row(measure, peers) for measure in measures]

    def _row(self, measure: Measure, peers: Sequence[str]) -> dict[str, Any]:
        ours, floor, target = self.figure(measure, OURS), self.figure(measure, FLOOR), measure.target
        there = [peer for peer in peers if (measure.engine, peer, measure.call) in self.outcomes]
        return {
            "name": measure.key,
            "title": measure.title,
            "unit": measure.unit,
            "ours": self._plain(measure, OURS),
            "low": ours.low,
            "high": ours.high,
            "floor": self._plain(measure, FLOOR),
            "ratio": self.ratio(measure, FLOOR),
            "target": str(target) if target else None,
            "met": target.met(ours.median, floor.median) if target else None,
            "peers": {peer: self._plain(measure, peer) for peer in there},
            "against": {
                peer: against(self.ratio(measure, peer), measure.peer_targets.get(peer)) for peer in there
            },
        }

    def courses(self) -> dict[str, list[tuple[float, float]]]:
        """For everybody under a held snapshot: seconds since it was taken, and jobs a second."""
        found = {}
        for (_, who, call), outcomes in self.outcomes.items():
            values = [outcome.value for outcome in outcomes if outcome.value is not None]
            if call == "held" and values:
                found[who] = max((value["course"] for value in values), key=len)
        return found

    def _plain(self, measure: Measure, who: str) -> float | str | None:
        figure = self.figure(measure, who)
        return figure.problem if figure.median is None else figure.median
