"""The machine on SQLite alone, and on SQLite and PostgreSQL in step.

A longer run: ``DUTIFUL_STATEFUL=2000x50 ./dev test tests/stateful`` (examples x steps).
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.machine import Machine, Store

EXAMPLES, STEPS = (int(number) for number in os.environ.get("DUTIFUL_STATEFUL", "60x30").split("x"))

SIZE = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


def play(*urls: str) -> None:
    stores = [Store(url) for url in urls]
    try:
        run_state_machine_as_test(type("Played", (Machine,), {"stores": stores}), settings=SIZE)  # type: ignore[no-untyped-call]
    finally:
        for store in stores:
            store.close()


@pytest.mark.timeout(0)
def test_sqlite_does_as_the_model_says(sqlite_url: str) -> None:
    play(sqlite_url)


@pytest.mark.timeout(0)
def test_both_stores_do_as_the_model_says(sqlite_url: str, postgres_url: str) -> None:
    play(sqlite_url, postgres_url)
