"""All steps of the protocol over one state, in the form that the search wants."""

from __future__ import annotations

from tests.protocol import answers, bodies, claims, effects, faults, invariants, people, producers
from tests.protocol.bounds import Bounds
from tests.protocol.nouns import GONE, SETTLED, Label, State, Store
from tests.protocol.protocol import Protocol, Step


class Machine:
    """One configuration, whole or with one rule weakened."""

    def __init__(self, bounds: Bounds, weak: str = "") -> None:
        self.bounds = bounds
        self.protocol = Protocol(bounds, weak)

    def first(self) -> State:
        return self.bounds.first()

    def steps(self, s: State) -> list[Step]:
        p = self.protocol
        found = list(producers.steps(p, s))
        found += claims.steps(p, s)
        found += bodies.steps(p, s)
        found += answers.steps(p, s)
        found += effects.steps(p, s)
        found += faults.steps(p, s)
        found += people.steps(p, s)
        return found

    def canonical(self, s: State) -> State:
        """Workers are alike: of all orders of them, the sorted one stands for all."""
        runs = s.runs
        if len(runs) == 2:
            if runs[0] <= runs[1]:
                return s
            order = [1, 0]
        else:
            order = sorted(range(len(runs)), key=runs.__getitem__)
            if order == list(range(len(runs))):
                return s
        name = {old + 1: new + 1 for new, old in enumerate(order)}
        name |= {0: 0, GONE: GONE}
        behind = s.behind
        if isinstance(behind, Store):
            behind = _renamed(behind, name)
        return s._replace(db=_renamed(s.db, name), behind=behind, runs=tuple(runs[old] for old in order))

    def wrong_in(self, s: State) -> list[str]:
        return invariants.wrong_in(self.protocol, s)

    def wrong_step(self, s: State, label: Label, t: State) -> list[str]:
        return invariants.wrong_step(self.protocol, s, label, t)

    def settled(self, s: State) -> bool:
        return not [job for job in s.db.jobs if job.state not in SETTLED]


def _renamed(db: Store, name: dict[int, int]) -> Store:
    for job in db.jobs:
        if name[job.worker] != job.worker:
            return db._replace(jobs=tuple([job._replace(worker=name[job.worker]) for job in db.jobs]))
    return db
