"""Two sessions at the same rows: the first schedules of each pair, at the isolation levels there are."""

from __future__ import annotations

import pytest

from tests.interleavings.command import PAIRS_LIMIT
from tests.interleavings.plays import ABOUT, Stage, pairs

PLAYS = list(pairs())
PIECE = 20


@pytest.mark.parametrize("first", range(0, len(PLAYS), PIECE))
def test_no_order_of_two_breaks_an_invariant(stage: Stage, first: int) -> None:
    wrong = [text for play in PLAYS[first : first + PIECE] for text in stage.explore(play, limit=PAIRS_LIMIT)]
    assert not wrong, "\n".join(wrong)


def test_every_act_is_in_a_play() -> None:
    from tests.interleavings.acts import ACTS

    assert set(ACTS) == {name for acts in ABOUT.values() for name in acts}
