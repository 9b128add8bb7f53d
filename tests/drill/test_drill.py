"""What a drill does beside finding: it changes nothing, names what it cannot see, and tells its stories."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from dutiful import App
from dutiful.drill import Report, drill
from tests.drill.__main__ import play
from tests.drill.corpus import apsw_tasks
from tests.drill.corpus.everything import BUGS, RIGHT
from tests.drill.corpus.shop import TABLES
from tests.drill.corpus.shop import app as shop

CASES = {case.name: case for case in (*BUGS, *RIGHT)}
RULES = {
    "insert_without_key": ("X1", "DU002"),
    "relative_update": ("X1", "DU001"),
    "work_first_mark_after": ("X3", "DU007"),
    "check_outside_transaction": ("X2", "DU003"),
    "date_from_the_clock": ("X7", "DU012"),
    "guard_that_fits_the_fixture": ("X9", "DU001"),
    "last_message_wins": ("X8", "DU028"),
    "new_parameter": ("X11", "DU036"),
    "post_without_key": ("X1", "DU004"),
    "mail_at_least_once": ("X1", "DU006"),
    "swallows_an_error": ("X6", "DU010"),
    "follow_up_without_key": ("X1", "DU020"),
}


@pytest.mark.parametrize(("name", "scenario", "rule"), [(name, *of) for name, of in RULES.items()])
def test_a_finding_names_the_line_the_reason_and_the_rule(name: str, scenario: str, rule: str) -> None:
    report = play(CASES[name], only=scenario, limit=20)
    found = report.findings[0]
    assert (found.scenario, found.rule) == (scenario, rule), report.text()
    assert found.why and found.fix and found.differs
    assert f"rule {rule}" in report.text()


def test_the_story_of_a_crash_says_after_which_line_of_the_users() -> None:
    report = play(CASES["work_first_mark_after"], only="X3")
    text = report.text()
    assert "X3 crash   after COMMIT #1 (tests/drill/corpus/bugs_sqlite.py:" in text
    assert "receipts 1 → 2 rows" in text
    assert "transaction 1 writes receipts" in text and "transaction 2 writes orders" in text


@pytest.mark.parametrize("name", ["work_first_mark_after", "post_without_key", "duty_row_and_work_together"])
def test_processes_that_end_and_exceptions_agree(name: str) -> None:
    fast, real = (play(CASES[name], only="X3", process=process) for process in (False, True))
    assert fast.counts == real.counts and fast.counts["X3"] > 1
    assert (fast.result, fast.failed) == (real.result, real.failed), real.text()


def test_the_apps_own_database_is_not_opened_and_the_app_is_as_before(tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    app = App("own", f"sqlite:///{path}")

    @app.task(once="own:{order_id}")
    def works(order_id: int) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE orders SET sent = 1 WHERE id = ?", (order_id,))

    connecting, function = sqlite3.connect, works.function
    report = drill(works, {"order_id": 7}, TABLES, limit=8)
    assert report.result == "clean", report.text()
    assert not path.exists() and app.url == f"sqlite:///{path}" and type(app) is App
    assert sqlite3.connect is connecting and works.function is function


def of(body: Any, **options: Any) -> Report:
    """A drill of a body that takes an order."""
    task = shop.task(name=f"probe-{id(body)}", once="probe:{order_id}")(body)
    try:
        return drill(task, [7], TABLES, limit=6, **options)
    finally:
        del shop.tasks[task.name], shop._by_any_name[task.name]


def test_what_no_shim_sees_makes_the_end_incomparable() -> None:
    def opens_a_socket(order_id: int) -> None:
        with socket.socket() as one:
            one.connect(("127.0.0.1", 9))

    def opens_another_file(order_id: int) -> None:
        sqlite3.connect("/tmp/dutiful-drill-other.db").close()

    def starts_a_program(order_id: int) -> None:
        os.system("true")
        __import__("subprocess").run(["true"], check=True)

    def opens_by_another_driver(order_id: int) -> None:
        apsw.Connection(":memory:")

    assert "a connection by apsw (tests/drill/" in of(opens_by_another_driver).text()
    found = of(opens_a_socket)
    assert (
        found.result == "not comparable" and "a connection to ('127.0.0.1', 9) (tests/drill/" in found.text()
    )
    assert of(opens_another_file).result == "not comparable"
    assert not Path("/tmp/dutiful-drill-other.db").exists()
    assert "the program" in of(starts_a_program).text()


def test_an_app_on_apsw_is_drilled_by_apsws_own_shim() -> None:
    connection = apsw.Connection  # as by "from apsw import Connection", before the drill

    @apsw_tasks.app.task(once="by_name:{order_id}")
    def by_name(order_id: int) -> None:
        connection(apsw_tasks.FILE).close()

    report = drill(by_name, [7], TABLES, limit=6)
    assert report.result == "not comparable" and "imported by name" in report.why
    case = CASES["apsw_two_blocks"]
    assert drill(case.task, case.args, TABLES, only="X3", process=True, first=True).result == "findings"
    assert apsw.Connection is connection
    Path(apsw_tasks.FILE).unlink()  # apsw had opened it before it could be asked


def test_columns_that_differ_from_run_to_run_are_masked_and_listed() -> None:
    report = play(CASES["time_stamp_of_the_row"], only="X1")
    assert report.masked == ["log.at"] and "masked: log.at (a hole each" in report.text()
    case = CASES["time_stamp_of_the_row"]
    told = drill(case.task, case.args, case.fixture, only="X1", volatile=["log.at"])
    assert told.result == "clean" and "a hole each" not in told.text()


def test_a_body_that_fails_undisturbed_is_not_comparable() -> None:
    def fails(order_id: int) -> None:
        raise ValueError("no such order")

    report = of(fails)
    assert report.result == "not comparable" and "ValueError: no such order" in report.text()


def test_a_limit_takes_a_part_of_each_kind_and_a_seed_says_which() -> None:
    case = CASES["work_first_mark_after"]
    one = play(case, limit=9)
    assert one.scenarios <= 9 and len(one.counts) >= 7
    assert one.document()["scenarios"] == play(case, limit=9).document()["scenarios"]


def test_a_fixture_may_be_a_function_or_a_file(tmp_path: Path) -> None:
    case = CASES["sets_a_status"]
    file = tmp_path / "shop.sql"
    file.write_text(TABLES)
    for fixture in (file, lambda connection: connection.executescript(TABLES)):
        assert drill(case.task, case.args, fixture, only="X1").result == "clean"


def test_the_reference_has_the_right_number_of_boundaries() -> None:
    report = play(CASES["idempotent_in_two_transactions"], only="X3")
    assert (report.boundaries, report.transactions, report.calls) == (5, 2, 0)
    assert report.counts["X3"] == 5
