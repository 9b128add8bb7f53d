"""Half of the seeds of every push: workers, producers, people and faults in one thread, and then peace."""

from __future__ import annotations

import pytest

from tests.simulation.command import Totals
from tests.simulation.seeds import SEEDS, every_kind_of_fault_struck, hold, name, pieces

MINE = range(0, SEEDS, 2)
totals = Totals()


@pytest.mark.parametrize("seeds", pieces(MINE), ids=name)
def test_no_seed_breaks_an_invariant(seeds: range) -> None:
    hold(seeds, totals)


def test_every_kind_of_fault_struck() -> None:
    every_kind_of_fault_struck(totals, len(MINE))
