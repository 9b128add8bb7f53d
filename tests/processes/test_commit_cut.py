"""Commits of exactly_once work that a proxy cuts: the effect is there once, and what is reported is true.

``python -m tests.processes.commit_cut --times 500`` is the full size.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devtools.servers import PostgresConnection
from tests.processes.commit_cut import WHENS, Till, cut

TIMES = 40
HOLD_S = (0.05, 0.3)

Opened = Callable[..., Till]


@pytest.fixture
def opened(
    postgres_url: str, pg_server: PostgresConnection, migrated_template: str, tmp_path: Path
) -> Iterator[Opened]:
    """Opens a till in two databases of its own."""
    name = f"till_{secrets.token_hex(6)}"
    other_url = pg_server.create_database(name, template=migrated_template)
    tills: list[Till] = []

    def open_(**more: str) -> Till:
        tills.append(Till(postgres_url, other_url, tmp_path, **more))
        return tills[-1]

    try:
        yield open_
    finally:
        for till in tills:
            till.close()
            print(till.output()[-4000:])
        pg_server.drop_database(name)


def test_a_commit_that_was_cut_is_kept_once_or_done_again(opened: Opened) -> None:
    till = opened()
    count = cut(till, times=TIMES, seed=1, hold_s=HOLD_S)
    print(count)
    assert count.wrong == []
    assert (count.doubled, count.lost) == (0, 0)
    assert set(count.cuts) == set(WHENS)
    assert set(count.fates) == {"committed", "not committed"}
    assert count.fates.total() == count.cuts.total() == TIMES
    till.verified()


@pytest.mark.parametrize("planted", ["not kept", "impatient"])
def test_a_guess_is_noticed(opened: Opened, planted: str) -> None:
    """Planted bugs. (The ledger keeps even these from doubling an effect; what they report is wrong.)"""
    till = opened(DUTIFUL_TEST_PLANTED=planted)
    count = cut(till, times=10, seed=1, hold_s=(0.3,))
    assert any("not committed, and is there" in line for line in count.wrong)


def test_a_guess_that_it_was_kept_is_noticed(opened: Opened) -> None:
    till = opened(DUTIFUL_TEST_PLANTED="kept")
    with pytest.raises(AssertionError, match="all of this round are done"):
        cut(till, times=1, seed=1, hold_s=(0.3,), round_s=3)
