"""Schedules without a store: what is declared, what is refused, and what becomes of what is due."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from dutiful import App
from dutiful.model.errors import InvalidDuration, InvalidSchedule
from dutiful.model.missed import Pause, judge
from dutiful.model.schedules import ALL_MAX, Spec, occurrence_key

MINUTE = 60_000_000
HOUR = 60 * MINUTE
NOON = round(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.fixture
def app() -> App:
    return App("shop", "sqlite://")


def test_a_schedule_stands_above_or_below_the_task(app: App) -> None:
    @app.schedule("0 8 * * *")
    @app.task(name="above")
    def above() -> None: ...

    @app.task(name="below")
    @app.schedule("0 8 * * *", name="one")
    @app.schedule("@daily", name="two")
    def below() -> None: ...

    app.schedule(every="1h", name="called")(below)
    assert {name: one.task.name for name, one in app.schedules.items()} == {
        "above": "above", "one": "below", "two": "below", "called": "below",
    }  # fmt: skip
    assert below() is None  # a function still
    assert len(app.declared_schedules()) == 4


def test_a_job_has_the_instant_in_its_key_and_where_it_is_asked_for(app: App) -> None:
    @app.schedule("0 0 * * *", tz="Europe/Vienna", args={"n": 3}, at="day")
    @app.task(name="report", once="report:{n}", queue="mail", priority=5)
    def report(n: int, day: date) -> None: ...

    midnight = NOON + 10 * HOUR  # 22:00 UTC is the next day in Vienna
    job = app.schedules["report"].job(midnight)
    assert job.key == "report/2026-07-01T22:00Z" and job.run_at_us == midnight
    assert (job.queue, job.priority, job.args) == ("mail", 5, b'{"n":3,"day":"2026-07-02"}')


def test_the_instant_as_a_datetime_is_in_the_schedules_zone(app: App) -> None:
    @app.schedule("0 14 * * *", tz="Europe/Vienna", at="when")
    @app.task(name="tell")
    def tell(when: datetime) -> None: ...

    packed = app.schedules["tell"].job(NOON).args
    assert datetime.fromisoformat(tell.codec.decode(packed)["when"].isoformat()).timestamp() == NOON / 1e6


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "one of them"),
        ({"expression": "0 8 * * *", "every": "1h"}, "one of them"),
        ({"expression": "0 8 * *"}, "no cron expression"),
        ({"expression": "61 8 * * *"}, "Bad minute"),
        ({"expression": "0 0 30 2 *"}, "Bad day-of-month"),
        ({"expression": "@dayly"}, "There is no @dayly"),
        ({"expression": 8}, "is text, not int"),
        ({"expression": "0 8 * * *", "tz": "Europe/Wien"}, "did you mean Europe/Vienna"),
        ({"expression": "0 8 * * *", "tz": "../etc/passwd"}, "no time zone"),
        ({"expression": "0 8 * * *", "missed": "run"}, "missed= is run_last"),
        ({"every": "1500ms"}, "whole seconds"),
        ({"every": "1h", "name": "a b"}, "no name of a schedule"),
        ({"every": "1h", "at": "when"}, "no argument 'when'"),
        ({"every": "1h", "args": {"n": "x"}}, "argument n"),
        ({"every": "1h", "args": {}}, "argument n"),
    ],
)
def test_what_cannot_work_is_refused_at_once(app: App, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSchedule, match=said.replace("(", "\\(")):

        @app.schedule(**({"args": {"n": 1}} | fields))
        @app.task(name="t")
        def t(n: int) -> None: ...

    with pytest.raises(InvalidDuration):
        app.schedule(every="0s")


def test_two_of_one_name_are_refused_and_a_module_imported_anew_is_not(app: App) -> None:
    @app.task(name="t")
    def t() -> None: ...

    app.schedule(every="1h")(t)
    with pytest.raises(InvalidSchedule, match="Two schedules are called 't'"):
        app.schedule(every="2h")(t)

    for _ in range(2):

        @app.schedule(every="1h", name="twice")
        @app.task(name="u")
        def u() -> None: ...


def test_a_function_that_never_becomes_a_task_is_noticed(app: App) -> None:
    @app.schedule(every="1h")
    def forgotten() -> None: ...

    with pytest.raises(InvalidSchedule, match="forgotten has a schedule, and is no task"):
        app.declared_schedules()


def test_a_task_of_another_app_is_refused(app: App) -> None:
    @App("other", "sqlite://").task()
    def t() -> None: ...

    with pytest.raises(InvalidSchedule, match="another app"):
        app.schedule(every="1h")(t)


def test_a_spec_is_read_as_it_was_written() -> None:
    spec = Spec("t", cron="0 8 * * *", tz="Asia/Tokyo", missed="people", args="x")
    assert Spec.read(spec.text) == spec
    for text in ("", "{}", '{"task":"t","cron":"x"}', spec.text.replace("Asia", "Mars")):
        with pytest.raises(InvalidSchedule):
            Spec.read(text)


DUE = [NOON - back * HOUR for back in range(5, 0, -1)]


@pytest.mark.parametrize(
    ("missed", "due", "what"),
    [
        ("run_last", DUE, "skip*4 make"),
        ("run_last", [*DUE, NOON], "skip*5 make"),
        ("run_last", [NOON - MINUTE, NOON], "make make"),  # neither is missed yet
        ("run_all", DUE, "make make make make make"),
        ("skip", [*DUE, NOON], "skip*5 make"),
        ("people", [*DUE, NOON], "wait wait wait wait wait make"),
        ("run_last", [], ""),
    ],
)
def test_what_becomes_of_what_is_due(missed: Any, due: list[int], what: str) -> None:
    found = judge(Spec("t", every_us=HOUR, missed=missed), due, NOON)
    shown = [one.what if one.instants == 1 else f"{one.what}*{one.instants}" for one in found]
    assert " ".join(shown) == what
    assert sum(one.instants for one in found) == len(due)


@pytest.mark.parametrize(("missed", "what"), [("run_all", "make"), ("people", "wait")])
def test_of_very_many_the_latest_hundred_are_made(missed: Any, what: str) -> None:
    due = [NOON - back * MINUTE for back in range(500, 1, -1)]
    spec = Spec("t", every_us=MINUTE, missed=missed)
    first, *rest = judge(spec, due, NOON)
    assert (first.what, first.instants) == ("skip", len(due) - ALL_MAX)
    assert [one.what for one in rest] == [what] * ALL_MAX and rest[-1].at_us == due[-1]
    assert [one.what for one in judge(spec, due, NOON, more=True)] == ["skip"]


def test_a_pause_skips_what_falls_into_it() -> None:
    pause = Pause(DUE[1], DUE[3], "ann", "disk")
    found = judge(Spec("t", every_us=HOUR, missed="run_all"), DUE, NOON, pause)
    assert [(one.what, one.instants) for one in found] == [("make", 1), ("make", 1), ("skip", 2), ("make", 1)]
    assert found[2].why == "paused by ann: disk"


def test_a_key_has_seconds_only_where_there_are_any() -> None:
    assert occurrence_key("r", NOON) == "r/2026-07-01T12:00Z"
    assert occurrence_key("r", NOON + 1_000_000) == "r/2026-07-01T12:00:01Z"
