"""Orders and locks hold over real processes, of which some are killed."""

from __future__ import annotations

from tests.processes.gates import BURST, above, rampage


def test_orders_and_locks_hold_through_kills(store_url: str) -> None:
    found = rampage(store_url, jobs=600, keys=12, crew=3, kills=2, every_s=1.0)
    assert found.faults == []
    assert found.closed == found.jobs and found.kills == 2


def test_rates_hold_through_kills(store_url: str) -> None:
    found = rampage(store_url, jobs=200, keys=10, crew=3, kills=2, every_s=1.0, rate_us=20_000)
    assert found.faults == []
    assert found.closed == found.jobs and found.kills == 2


def test_a_window_with_one_start_too_many_is_noticed() -> None:
    paced = [n * 20_000 for n in range(50)]
    burst = sorted(paced + [300_000] * 5)
    assert above(paced, 20_000) == 0
    assert above(sorted([*paced, *[300_001] * (BURST - 1)]), 20_000) == 0
    assert above(burst, 20_000) == 1
