"""Kinds of jobs in turn in one store, and the CPU time of a job of each kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from bench.processes import cpu_seconds
from bench.subject import NotMeasured


def in_turn(
    kinds: Sequence[str], size: int, cycles: int, pids: Sequence[int], carry_out: Callable[[str], None]
) -> dict[str, float]:
    """CPU microseconds of a job of each kind, of ``pids`` with all their children.

    ``carry_out(kind)`` sees ``size`` jobs of a kind through, from their enqueue to their end. Who is first
    changes from cycle to cycle; there is one more, the first, which is not counted.
    """
    spent: dict[str, float] = defaultdict(float)
    for cycle in range(cycles + 1):
        turn = cycle % len(kinds)
        for kind in [*kinds[turn:], *kinds[:turn]]:
            began = cpu_seconds(pids)
            carry_out(kind)
            ended = cpu_seconds(pids)
            if began is None or ended is None:
                raise NotMeasured("this system does not tell a process's CPU time")
            if cycle:
                spent[kind] += ended - began
    return {kind: 1e6 * spent[kind] / (cycles * size) for kind in kinds}
