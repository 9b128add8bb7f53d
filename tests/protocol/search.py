"""Breadth-first search over the states of a machine: the shortest way to anything that is wrong."""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol


class Machine(Protocol):
    """What can be searched: states are hashable, and steps are pairs of a label and the next state."""

    def first(self) -> Any: ...

    def steps(self, s: Any) -> Iterable[tuple[Any, Any]]: ...

    def canonical(self, s: Any) -> Any:
        """Of all states that differ in names alone, the one that stands for them."""

    def wrong_in(self, s: Any) -> list[str]: ...

    def wrong_step(self, s: Any, label: Any, t: Any) -> list[str]: ...

    def settled(self, s: Any) -> bool:
        """What L1 promises to reach."""


@dataclass
class Found:
    """What a search has seen. States are known by their number, in the order of discovery."""

    states: int = 0
    steps: int = 0
    seconds: float = 0.0  # of one core
    wrong: list[str] = field(default_factory=list)
    story: list[Any] = field(default_factory=list)
    verbs: set[str] = field(default_factory=set)
    whole: bool = False
    graph: Graph | None = None


@dataclass
class Graph:
    """The steps that need nobody's help and no fault, as pairs of numbers; and which states are settled."""

    sources: array[int] = field(default_factory=lambda: array("I"))
    targets: array[int] = field(default_factory=lambda: array("I"))
    settled: bytearray = field(default_factory=bytearray)
    parents: array[int] = field(default_factory=lambda: array("I"))
    labels: array[int] = field(default_factory=lambda: array("H"))
    names: list[Any] = field(default_factory=list)

    def story(self, number: int) -> list[Any]:
        """The labels on the shortest way to a state."""
        told = []
        while number:
            told.append(self.names[self.labels[number]])
            number = self.parents[number]
        return told[::-1]


def search(machine: Machine, *, states_max: int = 1 << 31, compact: bool = False) -> Found:
    """Visit every state, or stop at the first that is wrong.

    ``compact`` remembers states by their 64-bit hash alone, in a quarter of the memory: two of ten
    million would be taken for one with a chance of some 1 : 400,000.
    """
    collecting = gc.isenabled()
    gc.disable()  # states hold no circles, and looking for them would take half of the time
    try:
        return _search(machine, states_max, compact)
    finally:
        if collecting:
            gc.enable()


def _search(machine: Machine, states_max: int, compact: bool) -> Found:
    began = time.process_time()
    first = machine.canonical(machine.first())
    graph, found = Graph(), Found()
    numbers: dict[Hashable, int] = {hash(first) if compact else first: 0}
    names: dict[Any, int] = {}
    graph.parents.append(0)
    graph.labels.append(0)
    graph.settled.append(machine.settled(first))
    found.wrong = machine.wrong_in(first)
    level = [first]
    number = 0
    steps = 0
    while level and not found.wrong and len(numbers) < states_max:
        following = []
        for s in level:
            for label, t in machine.steps(s):
                steps += 1
                wrong = machine.wrong_step(s, label, t)
                t = machine.canonical(t)
                known = numbers.setdefault(hash(t) if compact else t, len(numbers))
                name = names.get(label)
                if name is None:
                    name = names[label] = len(names)
                    graph.names.append(label)
                if known == len(graph.parents):
                    graph.parents.append(number)
                    graph.labels.append(name)
                    graph.settled.append(machine.settled(t))
                    following.append(t)
                    wrong += machine.wrong_in(t)
                if wrong:
                    found.wrong = wrong
                    found.story = [*graph.story(number), label]
                    break
                if label.kind == "machine":
                    graph.sources.append(number)
                    graph.targets.append(known)
            if found.wrong:
                break
            number += 1
        level = following
    found.states, found.steps = len(numbers), steps
    found.verbs = {label.verb for label in names}
    found.whole = not level
    found.graph = graph
    found.seconds = time.process_time() - began
    return found
