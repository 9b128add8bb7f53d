"""Seeds in pieces, as the tests run them, and what came of all of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.simulation.command import Totals
from tests.simulation.faults import KINDS
from tests.simulation.simulation import run

SEEDS = 500
PIECE = 10


def pieces(seeds: range) -> list[range]:
    return [seeds[at : at + PIECE] for at in range(0, len(seeds), PIECE)]


def name(seeds: range) -> str:
    return f"{seeds[0]}-{seeds[-1]}"


def hold(seeds: Sequence[int], totals: Totals) -> None:
    """Each of these seeds comes to rest with every invariant whole."""
    found = []
    for seed in seeds:
        report = run(seed)
        totals.add(report)
        if report.problem:
            found.append(f"seed {seed}: {report.problem}\n  ./dev sim --seed {seed} --verbose")
    assert not found, "\n".join(found)


def every_kind_of_fault_struck(totals: Totals, wanted: int) -> None:
    """Of the seeds that were run; a selection of them says nothing."""
    if totals.seeds < wanted:
        pytest.skip("not all seeds were run")
    missing = [kind for kind in KINDS if not totals.faults[kind]]
    assert not missing
