"""Four workers that all look after the schedules, and kill -9: each instant is one job."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes.schedules import MODULE, rampage
from tests.processes.support.workers import Place


@pytest.mark.serial
@pytest.mark.parametrize("url", ["sqlite_url", pytest.param("postgres_url", marks=pytest.mark.postgres)])
def test_each_instant_is_one_job_under_kill_9(
    url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place = Place(request.getfixturevalue(url), tmp_path, MODULE)
    place.app.migrate()
    try:
        count = rampage(place, seconds=8, every_s=1.0, seed=5)
        print(count)
        assert count.kills >= 3 and count.instants >= 6
        assert (count.doubled, count.missing, count.skipped) == (0, 0, 0)
        assert count.jobs == count.instants
        place.verified()
    finally:
        place.close()
        print(place.output()[-4000:])
