"""A short storm on each engine, and the counting itself: does it see what it is there to see?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.counting import Seen, count
from tests.chaos.run import EngineName, run

SECONDS = 20.0


@pytest.mark.serial
@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_storm_doubles_nothing_and_loses_nothing(engine: EngineName, tmp_path: Path) -> None:
    """The full size is ``./dev chaos --minutes 10``; only there must the controls break, too."""
    report = run(engine, seconds=SECONDS, seed=7, folder=tmp_path)
    assert report.problems(full=False) == []
    assert sum(report.faults.values()) > 5
    assert all(one.done for one in report.counts)


def seen(lane: str = "exactly", **fields: Any) -> Seen:
    """Two duties, both as they should be; ``fields`` say what is wrong."""
    good: dict[str, Any] = {
        "works": Counter({0: 1, 1: 1}),
        "begins": Counter({0: 1, 1: 1}),
        "ends": frozenset({0, 1}),
        "states": {0: "done(performed)", 1: "done(performed)"},
    }
    return Seen(lane, 2, **(good | fields))


def test_what_is_well_is_called_so() -> None:
    assert count(seen()).wrong == ()
    assert count(seen("at_most")).wrong == ()


@pytest.mark.parametrize(
    ("lane", "fields", "word"),
    [
        ("exactly", {"works": Counter({0: 2, 1: 1})}, "doubled"),
        ("exactly", {"works": Counter({1: 1}), "states": {1: "done(performed)"}}, "lost"),
        ("exactly", {"works": Counter({1: 1})}, "worked on 0 times"),
        ("exactly", {"states": {0: "dead", 1: "done(performed)"}}, "is dead"),
        ("exactly", {"states": {0: "done(duplicate)", 1: "done(performed)"}}, "is done(duplicate)"),
        ("at_most", {"begins": Counter({0: 2, 1: 1})}, "doubled"),
        ("at_most", {"ends": frozenset({0})}, "never came to its end"),
        ("at_most", {"ends": frozenset({0}), "states": {0: "done(performed)", 1: "ready"}}, "did not end"),
        ("at_most", {"begins": Counter({0: 1}), "states": {0: "done(performed)"}}, "lost"),
    ],
)
def test_each_anomaly_is_seen(lane: str, fields: dict[str, Any], word: str) -> None:
    assert word in " ".join(count(seen(lane, **fields)).wrong)


def test_a_doubt_is_no_loss() -> None:
    found = count(
        seen("at_most", ends=frozenset({0}), states={0: "done(performed)", 1: "in_doubt"}),
    )
    assert (found.wrong, found.in_doubt, found.happened) == ((), 1, 0)
