"""Three sessions at the same rows: the first schedules of each sixth three."""

from __future__ import annotations

import pytest

from tests.interleavings.command import THREES_EVERY, THREES_LIMIT
from tests.interleavings.plays import Stage, threes

PLAYS = list(threes())[::THREES_EVERY]
PIECE = 40


@pytest.mark.parametrize("first", range(0, len(PLAYS), PIECE))
def test_no_order_of_three_breaks_an_invariant(stage: Stage, first: int) -> None:
    wrong = [
        text for play in PLAYS[first : first + PIECE] for text in stage.explore(play, limit=THREES_LIMIT)
    ]
    assert not wrong, "\n".join(wrong)
