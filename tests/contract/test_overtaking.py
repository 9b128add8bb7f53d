"""Marks on a real PostgreSQL under a held snapshot: nothing overtakes, nothing is forgotten or doubled."""

from __future__ import annotations

import pytest

from dutiful.engines.postgres import PostgresEngine
from tests.contract.overtaking import Race
from tests.contract.stores import opened

BATCH = 25


@pytest.mark.serial
def test_no_job_overtakes_one_of_higher_priority(postgres_url: str) -> None:
    with opened(postgres_url) as engine:
        assert isinstance(engine, PostgresEngine)
        figures = Race(engine, jobs=10_000, batch=BATCH, rate=2000, seed=1).run()
    print(figures)
    assert figures.twice == 0
    assert figures.unclaimed == figures.swept <= figures.late, "a job waits for the sweep"
    # Whoever asks for it takes it before those behind it.
    assert figures.by_visible <= BATCH
    # Whoever began behind it, because its transaction was open meanwhile, does so until the next
    # second look. Generous: the machine may be busy.
    assert figures.passed_s <= figures.look_s + figures.longest_claim_s + 2.0
