"""The machine on SQLite alone, and on SQLite and PostgreSQL in step.

A longer run: ``DUTIFUL_STATEFUL=2000x50 ./dev test tests/stateful`` (examples x steps).
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.machine import Machine, Store

SQLITE = "60x30"
BOTH = "24x30"


def size(usual: str) -> settings:
    examples, steps = map(int, os.environ.get("DUTIFUL_STATEFUL", usual).split("x"))
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


def play(usual: str, *urls: str) -> None:
    stores = [Store(url) for url in urls]
    played = type("Played", (Machine,), {"stores": stores})
    try:
        run_state_machine_as_test(played, settings=size(usual))  # type: ignore[no-untyped-call]
    finally:
        for store in stores:
            store.close()


@pytest.mark.timeout(0)
def test_sqlite_does_as_the_model_says(sqlite_url: str) -> None:
    play(SQLITE, sqlite_url)


@pytest.mark.timeout(0)
def test_both_stores_do_as_the_model_says(sqlite_url: str, postgres_url: str) -> None:
    play(BOTH, sqlite_url, postgres_url)
