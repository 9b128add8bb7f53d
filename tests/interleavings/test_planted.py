"""Bugs put into the statements on purpose: some schedule of a play must show each."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.contract.planting import Change, planted
from tests.interleavings.plays import Play, Stage


@dataclass(frozen=True, slots=True)
class Bug:
    """``play`` shows it, and ``says`` is in what is found."""

    what: str
    changes: dict[str, list[Change]]
    play: Play
    says: str


TAKEN = r"taken AS MATERIALIZED \(.*?\), claimed AS"
FIRST = (
    "SELECT j.id FROM dutiful.job AS j WHERE j.state = 'ready' AND j.ready_seq IS NOT NULL AND NOT j.suspect"
    " AND (:known::jsonb -> j.task) IS NOT NULL AND :lanes::jsonb IS NOT NULL"
    " ORDER BY j.ready_seq LIMIT :n::integer"
)

BUGS = [
    Bug(
        "a claim by naive sub-select",
        {"claim_jobs": [(TAKEN, f"taken AS ({FIRST}), claimed AS")]},
        ("claim one", "claim all"),
        "run",
    ),
    Bug(
        "a claim that reads first and writes by id",
        {"claim_jobs": [(TAKEN, f"taken AS MATERIALIZED ({FIRST}), claimed AS")]},
        ("claim one", "claim one"),
        "run",
    ),
    Bug(
        "a claim that does not look at the state again",
        {
            "claim_jobs": [
                ("AND j.state = 'ready' AND NOT j.suspect", "AND NOT j.suspect"),
                (" SKIP LOCKED\\) AS j", ") AS j"),
            ]
        },
        ("claim one", "claim all"),
        "",
    ),
    Bug(
        "a lapse by id, not by token",
        {"lapse_jobs": [(r"(ARRAY\[h\.id\]\)) AND j\.token = h\.token", r"\1"), (" SKIP LOCKED", "")]},
        ("reap", "leave of the silent"),
        "",
    ),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.what.replace(" ", "-"))
def test_a_planted_bug_is_found(stage: Stage, bug: Bug) -> None:
    assert stage.explore(bug.play) == []
    with planted("postgres", bug.changes):
        [found] = stage.explore(bug.play)
    assert bug.says in found
