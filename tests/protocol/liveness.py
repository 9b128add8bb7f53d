"""L1: with faults stopped, every job reaches done, cancelled, dead or in doubt, whatever order things take.

Backwards from the settled states over the steps that need no fault, no person and no producer: a
state is good if it is settled, or if it has such steps and each of them leads to a good state. That
is stronger than "can reach": no schedule at all avoids the end, so a fair one does not either.
"""

from __future__ import annotations

from array import array

from tests.protocol.search import Graph


def stuck(graph: Graph) -> int | None:
    """The first state from which the machine may never settle; none if there is none."""
    count = len(graph.settled)
    good = bytearray(graph.settled)
    waits = array("I", bytes(4 * count))
    starts = array("I", bytes(4 * (count + 1)))
    for source, target in zip(graph.sources, graph.targets, strict=True):
        waits[source] += 1
        starts[target + 1] += 1
    for at in range(count):
        starts[at + 1] += starts[at]
    into = array("I", bytes(4 * len(graph.sources)))
    place = array("I", starts)
    for source, target in zip(graph.sources, graph.targets, strict=True):
        into[place[target]] = source
        place[target] += 1
    todo = [number for number in range(count) if good[number]]
    while todo:
        target = todo.pop()
        for at in range(starts[target], starts[target + 1]):
            source = into[at]
            waits[source] -= 1
            if not waits[source] and not good[source]:
                good[source] = 1
                todo.append(source)
    number = good.find(0)
    return None if number < 0 else number
