"""The power goes after each write of a story: what SQLite holds then is what was done, up to a moment.

`./dev powerloss` is the full size.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.powerloss.campaign import images, lose_power
from tests.powerloss.disk import KEPT, Sync
from tests.powerloss.history import Mode
from tests.powerloss.looking import FILE
from tests.powerloss.story import tell

IMAGES_LEAST = 1_000
"""Of each of the two: together the 2,000 that are asked for."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def looked_at(tmp_path: Path) -> Path:
    (tmp_path / "looked_at").mkdir()
    return tmp_path / "looked_at"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("mode", "own_checkpoints"), [("full", False), ("normal", True)])
def test_a_power_loss_leaves_a_prefix(
    mode: Mode, own_checkpoints: bool, store: Path, looked_at: Path
) -> None:
    told = tell(1, mode, store, words=28, own_checkpoints=own_checkpoints)
    tally = lose_power(told, looked_at, seed=1)
    print(tally.words())
    assert [str(loss) for loss in tally.found[:5]] == []
    assert tally.images >= IMAGES_LEAST
    # In mode normal the last of what was acknowledged may be missing, and was: the test can see it.
    assert (tally.missing > 0) == (mode == "normal")


@pytest.mark.parametrize("seed", range(3))
def test_what_was_written_is_what_is_there(seed: int, store: Path) -> None:
    """The layer sees all that SQLite writes: without a power loss its image is the file."""
    told = tell(seed, "normal", store)
    *_, (_, last) = ((fate, image) for _, fate, image in images(told, seed, 0) if fate is KEPT)
    assert last == {FILE: (store / FILE).read_bytes()}


def test_a_story_is_told_the_same_again(tmp_path: Path) -> None:
    """What a seed found can be looked at again. (Ids and tokens are others each time.)"""
    told = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        told.append(tell(4, "full", tmp_path / name))
    first, second = (
        [
            (type(event).__name__, getattr(event, "offset", 0), isinstance(event, Sync))
            for event in each.events
        ]
        for each in told
    )
    assert first == second
    assert [step.name for step in told[0].history.steps] == [step.name for step in told[1].history.steps]
