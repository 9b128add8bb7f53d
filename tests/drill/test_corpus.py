"""V11: each planted bug of the corpus is caught, and nothing is found in a correct task.

Fast mode, and at most so many scenarios a task; ``python -m tests.drill`` plays them all.
"""

from __future__ import annotations

import pytest

from tests.drill.__main__ import play, stands_on
from tests.drill.corpus.everything import BUGS, RIGHT
from tests.drill.corpus.shop import Case

LIMIT = 20
LIMIT_RIGHT = 9
LIMIT_POSTGRES = 5
POSTGRES_BUGS = ("pg_two_transactions", "pg_async_read_modify_write", "asyncpg_check_then_insert")
POSTGRES_RIGHT = ("pg_duty_row_first", "pg_exactly_once", "asyncpg_duty_row_first")
"""A copy of a database costs the server more than a run: the others are in the big run."""
MISSED: frozenset[str] = frozenset()
"""Bugs that a drill is known not to find; at most one in twenty."""


def here(cases: list[Case]) -> list[Case]:
    return [case for case in cases if case.where != "postgres"]


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len(BUGS) >= 60 and len(RIGHT) >= 40
    assert sum(case.where != "sqlite" for case in BUGS) * 3 >= len(BUGS)
    assert len(MISSED) <= len(BUGS) * 0.05


@pytest.mark.parametrize("case", here(BUGS), ids=lambda case: case.name)
def test_a_planted_bug_is_caught(case: Case) -> None:
    report = play(case, limit=LIMIT, first=True)
    if case.name in MISSED:
        pytest.xfail("not caught, and known")
    assert report.result == "findings", report.text()


@pytest.mark.parametrize("case", here(RIGHT), ids=lambda case: case.name)
def test_nothing_is_found_in_a_correct_task(case: Case) -> None:
    report = play(case, limit=LIMIT_RIGHT)
    assert report.result == "clean", report.text()
    assert report.scenarios >= 5


@pytest.mark.postgres
def test_both_on_postgresql(postgres_url: str) -> None:
    cases = {case.name: case for case in (*BUGS, *RIGHT)}
    with stands_on(postgres_url):
        for name in POSTGRES_BUGS:
            report = play(cases[name], only="X2", limit=LIMIT_POSTGRES, first=True)
            assert report.result == "findings", report.text()
        for name in POSTGRES_RIGHT:
            report = play(cases[name], limit=LIMIT_POSTGRES)
            assert report.result == "clean", report.text()
