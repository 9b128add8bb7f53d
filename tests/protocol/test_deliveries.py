"""The protocol of the deliveries keeps its invariants in every state, and always comes to an end."""

from __future__ import annotations

import pytest

from dutiful.model.states import VERBS
from tests.protocol.bounds import Bounds
from tests.protocol.configurations import CALLS_AND_FAILOVERS, DELIVERIES
from tests.protocol.explore import Explored, explore
from tests.protocol.suspects import Bounds as Suspects

STATES_MIN = 900_000
"""Of the two million that all explorations of a test run see; the others are of calls and failovers."""

explored: dict[str, Explored] = {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bounds", DELIVERIES, ids=lambda bounds: bounds.name)
def test_nothing_is_wrong(bounds: Bounds | Suspects) -> None:
    result = explored[bounds.name] = explore(bounds)
    assert not result.wrong, f"\n{result.story}"


def test_enough_states_were_seen() -> None:
    if len(explored) < len(DELIVERIES):
        pytest.skip("counted only when all of this file is run")
    assert sum(result.states for result in explored.values()) >= STATES_MIN


def test_only_these_verbs_are_left_to_the_exploration_of_calls() -> None:
    if len(explored) < len(DELIVERIES):
        pytest.skip("counted only when all of this file is run")
    seen = frozenset().union(*(result.verbs for result in explored.values()))
    assert set(VERBS) - seen == {"resume"}


def test_configurations_have_names_of_their_own() -> None:
    names = [bounds.name for bounds in (*DELIVERIES, *CALLS_AND_FAILOVERS)]
    assert len(set(names)) == len(names)
