"""Locks in Redis, held and waited for by processes that are killed: no holder too many, and nobody stuck."""

from __future__ import annotations

import re

import pytest

from tests.processes.redis_locks import PLANTS, campaign

SEEN = {
    "living holders are passed by": r"hold \d slots|began before|given to",
    "numbers begin anew": r"given to|began before",
    "dead holders are kept": "let in|waited",
    "dead waiters are kept": "let in|waited",
}
"""What of it is noticed; one that nobody gets past is given up after a while in which all else goes on."""


def test_killed_holders_and_waiters_leave_the_locks_in_order(redis_url: str) -> None:
    came = campaign(redis_url, turns=60, seed=7, processes=4)
    print(came)
    assert came["problems"] == [] and came["other_errors"] == 0
    assert came["grants"] >= 60 and came["killed"]["holds"] >= 3 and came["killed"]["waits"] >= 3


@pytest.mark.parametrize("plant", sorted(PLANTS))
def test_planted_bugs_are_seen(redis_url: str, plant: str) -> None:
    came = campaign(redis_url, turns=400, seed=3, processes=4, plant=plant, patience_s=12)
    print(came)
    assert came["grants"] > 0 and any(re.search(SEEN[plant], line) for line in came["problems"])
