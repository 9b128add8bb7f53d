"""Bugs put into the product on purpose: the simulation must notice each, within so many seeds."""

from __future__ import annotations

import pytest

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.simulation import run


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.what.replace(" ", "-"))
def test_a_planted_bug_is_found(bug: Bug) -> None:
    with bug.plant():
        for seed in range(bug.seeds):
            problem = run(seed, tune=bug.tune).problem
            if problem is not None:
                assert bug.says in problem
                return
    pytest.fail(f"{bug.what}: {bug.seeds} seeds, and nobody noticed")
