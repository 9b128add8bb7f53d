"""Locks held by real processes that are killed and stopped: never more holders than slots."""

from __future__ import annotations

import pytest

from tests.processes.locks import PLANTS, campaign, problems


def test_killed_and_stopped_holders_never_are_more_than_the_slots(store_url: str) -> None:
    came = campaign(store_url, turns=60, seed=7)
    assert came["problems"] == [] and came["verify"] == []
    assert came["grants"] >= 60 and came["kills"] and came["stops"]


@pytest.mark.parametrize("plant", sorted(PLANTS))
def test_planted_bugs_are_seen_in_the_history(postgres_url: str, plant: str) -> None:
    for seed in range(5):
        try:
            if campaign(postgres_url, turns=80, seed=seed, plant=plant)["problems"]:
                return
        except AssertionError as stopped:
            assert "a holder ended by itself" in str(stopped)  # a constraint of the schema refused it
            return
    raise AssertionError("five campaigns did not notice it")


def line(name: str, grant_no: int, at: int, who: str = "a") -> dict[str, object]:
    return {"name": name, "grant_no": grant_no, "at": at, "who": who}


def test_the_checker_sees_what_must_not_be() -> None:
    fine = [line("one", 1, 10), line("one", 1, 20), line("one", 2, 30, "b")]
    assert problems(fine) == []
    assert problems([*fine, line("one", 1, 40)])  # it held on beside the next one
    assert problems([*fine, line("one", 2, 31, "c")])  # one number for two
    assert problems([line("three", n, at) for n in range(4) for at in (1, 9)])
    assert not problems([line("three", n, at) for n in range(3) for at in (1, 9)])
