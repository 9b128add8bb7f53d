"""D7: kill -9 of whoever walks a bulk operation; the campaign with 10,000 jobs is run by hand."""

from __future__ import annotations

from tests.processes.bulk import play


def test_d7_a_bulk_retry_goes_on_after_kill_9_and_nothing_is_done_twice(store_url: str) -> None:
    count = 600
    told = play(store_url, count, seed=7)
    assert told.kills >= 1
    assert told.done + told.skipped + told.failed == told.intended == count
    assert told.done == told.ready == count
    assert told.audited == [1] * count
