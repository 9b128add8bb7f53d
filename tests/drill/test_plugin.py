"""The pytest plugin: an app on a store of the test's own, crashes, asserts, and drills of what tests run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(320)

SHOP = """
import sqlite3
from contextlib import closing

from dutiful import App

app = App("shop", "postgresql://nobody@127.0.0.1:1/never")


def connect():
    return closing(sqlite3.connect(app.url.removeprefix("sqlite:///")))


@app.task(once="mark:{order_id}")
def mark(order_id: int) -> None:
    with connect() as db, db:
        db.execute("UPDATE orders SET sent = 1 WHERE id = ?", (order_id,))
    tell.enqueue(order_id)


@app.task(once="count:{order_id}")
def count(order_id: int) -> None:
    with connect() as db, db:
        db.execute("UPDATE orders SET sent = sent + 1 WHERE id = ?", (order_id,))


@app.task(once="tell:{order_id}", retry=1)
def tell(order_id: int) -> None:
    if order_id == 13:
        raise OSError("not today")
"""
TESTS = """
import pytest
from plugged_shop import connect, count, mark, tell
from dutiful import testing

TABLES = "CREATE TABLE orders (id INTEGER PRIMARY KEY, sent INT); INSERT INTO orders VALUES (7, 0)"


@pytest.fixture(autouse=True)
def tables(dutiful_app):
    dutiful_app.migrate()
    with connect() as db:
        db.executescript(TABLES)


def sent():
    with connect() as db:
        return db.execute("SELECT sent FROM orders").fetchone()[0]


def test_marks(dutiful_app, run_all):
    mark.enqueue(7)
    testing.assert_enqueued(dutiful_app, mark, order_id=7, key="mark:7")
    with pytest.raises(AssertionError, match=r"2 of .*mark.* should wait, and 1 do"):
        testing.assert_enqueued(dutiful_app, mark, times=2)
    assert [outcome.verb for outcome in run_all(tasks=[mark.name])] == ["complete"]
    [follow_up] = testing.enqueued(dutiful_app, tell)
    assert follow_up.args == {"order_id": 7}
    assert sent() == 1


def test_retries(dutiful_app, dutiful_clock, run_all):
    tell.enqueue(13)
    assert [outcome.verb for outcome in run_all()] == ["fail"]
    dutiful_clock.advance("1h")
    assert [outcome.verb for outcome in run_all()] == ["bury"]


def test_a_crash_before_the_commit_loses_the_work(crash_at, run_all):
    mark.enqueue(7)
    assert crash_at(1).startswith("after UPDATE orders")
    assert sent() == 0
    assert [outcome.run_no for outcome in run_all()] == [2, 1]
    assert sent() == 1


def test_a_crash_after_the_commit_keeps_it(crash_at, run_all):
    count.enqueue(7)
    assert crash_at(2).startswith("after COMMIT #1")
    run_all()
    assert sent() == 2


def test_no_job_no_crash(crash_at):
    assert crash_at(0) is None


def test_counts(run_all):
    count.enqueue(7)
    run_all()
    assert sent() == 1
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of a user's, with its tests."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "plugged_shop.py").write_text(SHOP)
    (folder / "test_shop.py").write_text(TESTS)
    (folder / "pytest.ini").write_text(
        "[pytest]\ndutiful_app = plugged_shop:app\ndutiful_drill_limit = 6\npythonpath = .\n"
    )
    return folder


def pytest_in(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return subprocess.run(
        [*command, "-p", "dutiful.testing.plugin"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_users_tests_run_without_a_server(project: Path) -> None:
    done = pytest_in(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_with_the_option_what_tests_run_is_drilled(project: Path) -> None:
    """Acceptance: the same fixture, the same arguments; a finding fails the test."""
    done = pytest_in(project, "--dutiful-drill", "-k", "test_marks or test_counts")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "rule DU001" in done.stdout and "plugged_shop.count: findings" in done.stdout
