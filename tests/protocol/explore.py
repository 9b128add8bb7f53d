"""One configuration, explored whole: its states, what is wrong in them, and whether L1 holds."""

from __future__ import annotations

from dataclasses import dataclass

from tests.protocol import suspects
from tests.protocol.bounds import Bounds
from tests.protocol.liveness import stuck
from tests.protocol.machine import Machine
from tests.protocol.search import Machine as Searched
from tests.protocol.search import search
from tests.protocol.story import told


@dataclass(frozen=True)
class Explored:
    """What came of it; ``story`` is the shortest way to what is wrong."""

    name: str
    states: int
    steps: int
    seconds: float  # of one core
    verbs: frozenset[str]
    wrong: tuple[str, ...] = ()
    story: str = ""


def explore(bounds: Bounds | suspects.Bounds, *, compact: bool = False) -> Explored:
    """Every state, then L1 over the graph. Small enough to be sent from another process."""
    machine = suspects.Suspects(bounds) if isinstance(bounds, suspects.Bounds) else Machine(bounds)
    return explored(bounds.name, machine, compact=compact)


def explored(name: str, machine: Searched, *, compact: bool = False) -> Explored:
    """The same for any machine."""
    found = search(machine, compact=compact)
    wrong, labels = tuple(found.wrong), found.story
    if not wrong and found.graph is not None:
        number = stuck(found.graph)
        if number is not None:
            wrong, labels = ("L1: from here no job need ever be settled",), found.graph.story(number)
    return Explored(
        name,
        found.states,
        found.steps,
        found.seconds,
        frozenset(found.verbs),
        wrong,
        told(labels, wrong) if wrong else "",
    )
