"""Calls to third parties and failovers: nothing is wrong but what is waived, and that is wrong indeed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.protocol.bounds import Bounds
from tests.protocol.configurations import CALLS_AND_FAILOVERS
from tests.protocol.explore import Explored, explore
from tests.protocol.machine import Machine
from tests.protocol.search import search
from tests.protocol.suspects import Bounds as Suspects

STATES_MIN = 1_100_000
"""With those of the deliveries, two million."""

explored: dict[str, Explored] = {}

WAIVED = [
    (bounds, name) for bounds in CALLS_AND_FAILOVERS if isinstance(bounds, Bounds) for name in bounds.waived
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bounds", CALLS_AND_FAILOVERS, ids=lambda bounds: bounds.name)
def test_nothing_is_wrong(bounds: Bounds | Suspects) -> None:
    result = explored[bounds.name] = explore(bounds)
    assert not result.wrong, f"\n{result.story}"


def test_enough_states_were_seen() -> None:
    if len(explored) < len(CALLS_AND_FAILOVERS):
        pytest.skip("counted only when all of this file is run")
    assert sum(result.states for result in explored.values()) >= STATES_MIN


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("bounds", "invariant"), WAIVED, ids=lambda value: getattr(value, "name", value))
def test_what_a_failover_waives_it_does_break(bounds: Bounds, invariant: str) -> None:
    kept = {name: why for name, why in bounds.waived.items() if name != invariant}
    found = search(Machine(replace(bounds, waived=kept)))
    assert [line for line in found.wrong if line.startswith(f"{invariant}:")]
