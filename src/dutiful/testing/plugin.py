"""The pytest plugin: an app on a store of the test's own, its clock, and drills of what tests run.

``pytest --dutiful-drill`` drills every task that a test has run by ``run_all``: with the same arguments, from
the rows that stood in the database just before. A finding fails the test.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..app.app import App
from ..app.finding import find_app
from . import running
from .clock import Clock
from .crashing import crash_at as _crash_at
from .drilled import Recorder

LIMIT = 20
"""So many scenarios of each task and its arguments, unless ``dutiful_drill_limit`` says otherwise."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's one option and its setting."""
    group = parser.getgroup("dutiful")
    group.addoption(
        "--dutiful-drill",
        action="store_true",
        help="Drill every task that a test runs by run_all; see the guide.",
    )
    parser.addini(
        "dutiful_drill_limit", "How many scenarios --dutiful-drill plays of a task.", default=str(LIMIT)
    )
    parser.addini(
        "dutiful_app", "The app that the fixture dutiful_app stands for, as MODULE:APP.", default=""
    )


@pytest.fixture
def dutiful_clock() -> Clock:
    """A clock that stands still until the test moves it; ``dutiful_app`` goes by it."""
    return Clock()


@pytest.fixture
def dutiful_app(request: pytest.FixtureRequest, tmp_path: Path, dutiful_clock: Clock) -> Iterator[App]:
    """The app of the setting ``dutiful_app`` (or of DUTIFUL_APP), on a new SQLite file of the test's own.

    Its tasks, as they are declared; no server, no job of anybody else's. Afterwards it is as it was.
    """
    place = request.config.getini("dutiful_app") or os.environ.get("DUTIFUL_APP", "")
    if not place:
        pytest.fail(
            'Which app? Write dutiful_app = "MODULE:APP" under [tool.pytest.ini_options], or set DUTIFUL_APP.'
        )
    app = find_app(place)
    before = app.url, app._engine, app._clock
    app.url, app._engine, app._clock = f"sqlite:///{tmp_path / 'dutiful.db'}", None, dutiful_clock
    try:
        yield app
    finally:
        app.close()
        app.url, app._engine, app._clock = before


@pytest.fixture
def run_all(dutiful_app: App) -> Callable[..., list[running.Outcome]]:
    """``run_all()``: run every due job of ``dutiful_app``, and what those enqueue."""

    def run(**options: Any) -> list[running.Outcome]:
        return running.run_all(dutiful_app, **options)

    return run


@pytest.fixture
def crash_at(dutiful_app: App) -> Callable[[int], str | None]:
    """``crash_at(3)``: cut off the next run of ``dutiful_app``; see :func:`dutiful.testing.crash_at`."""
    return lambda boundary: _crash_at(dutiful_app, boundary)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """With ``--dutiful-drill``: note what the test runs, and drill that when it has passed."""
    if not item.config.getoption("dutiful_drill"):
        return (yield)
    with Recorder().noting() as recorder:
        result = yield
    reports = recorder.drill(limit=int(item.config.getini("dutiful_drill_limit")))
    found = [report.text() for report in reports if report.result == "findings"]
    skipped = recorder.skipped
    if skipped:
        item.user_properties.append(("dutiful_not_drilled", "; ".join(sorted(skipped))))
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)
    return result
