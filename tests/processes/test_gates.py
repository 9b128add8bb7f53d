"""Orders and locks hold over real processes, of which some are killed."""

from __future__ import annotations

from tests.processes.gates import rampage


def test_orders_and_locks_hold_through_kills(store_url: str) -> None:
    found = rampage(store_url, jobs=600, keys=12, crew=3, kills=2, every_s=1.0)
    assert found.faults == []
    assert found.closed == found.jobs and found.kills == 2
