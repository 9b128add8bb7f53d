"""kill -9 at random: nothing is lost, nothing is left running, and no more repeats than was in hand."""

from __future__ import annotations

import pytest

from tests.processes.kills import LEASE_S, rampage
from tests.processes.support.workers import Place, both, place

__all__ = ["place"]


@pytest.mark.serial
@both
def test_nothing_is_lost_under_kill_9(place: Place) -> None:
    count = rampage(place, jobs=400, kills=8, workers=3, every_s=0.4, seed=7)
    print(count)
    assert count.kills >= 3
    assert (count.done, count.lost, count.running) == (400, 0, 0)
    assert count.repeats <= count.in_hand
    assert count.longest_stuck_s < 30 + 2 * LEASE_S  # generous: the machine may be busy
    place.verified()
