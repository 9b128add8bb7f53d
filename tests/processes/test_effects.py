"""Workers that charge are killed, and the provider answers badly: each charge is applied once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.effects import ChargingPlace, check, rampage

on_each = pytest.mark.parametrize(
    "place",
    [
        pytest.param("sqlite_url", id="sqlite"),
        pytest.param("postgres_url", id="postgres", marks=pytest.mark.postgres),
    ],
    indirect=True,
)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ChargingPlace]:
    """A place on each engine; what its workers said is shown where the test fails."""
    yield from _placed(ChargingPlace(request.getfixturevalue(request.param), tmp_path, seed=7))


@pytest.fixture
def planted(request: pytest.FixtureRequest, sqlite_url: str, tmp_path: Path) -> Iterator[ChargingPlace]:
    """A place whose workers have a bug."""
    yield from _placed(ChargingPlace(sqlite_url, tmp_path, seed=7, rate=0.4, plant=request.param))


def _placed(place: ChargingPlace) -> Iterator[ChargingPlace]:
    try:
        place.migrate()
        yield place
    finally:
        place.close()
        print(place.output()[-4000:])


@pytest.mark.serial
@pytest.mark.timeout(400)
@on_each
def test_each_effect_is_applied_once_under_kill_9(place: ChargingPlace) -> None:
    count = rampage(place, kills=15, workers=3, every_s=0.8, seed=7)
    print(count)
    check(count)
    place.verified()
    assert count.blocked, "no call was repeated: nothing was tested"
    assert count.found, "nothing was looked up"


@pytest.mark.serial
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("planted", "kind", "says"),
    [
        ("never forgotten", "blind", "forgotten it|applied twice"),
        ("a new key each time", "remembered", "applied twice"),
    ],
    indirect=["planted"],
)
def test_the_count_notices_a_planted_bug(planted: ChargingPlace, kind: str, says: str) -> None:
    count = rampage(planted, kills=5, workers=2, every_s=0.5, seed=7, kinds=(kind,))
    print(count)
    with pytest.raises(AssertionError, match=says):
        check(count)
