"""``dutiful schedule``: list, show, preview, run, skip, pause, resume."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dutiful.model.jobs import NewWorker
from dutiful.operations import schedules, workers
from tests.cli.conftest import Shop

SCHEDULED = """

@app.schedule("0 8 * * *", tz="Europe/Vienna", name="morning", args={"order_id": 1}, missed="people")
@app.schedule(every="15m", name="often", args={"order_id": 2})
@app.task(name="collect")
def collect(order_id: int) -> None:
    pass
"""

HOUR = 3_600_000_000


class At:
    """The store's clock."""

    def __init__(self) -> None:
        self.us = 1_768_435_200_000_000  # 2026-01-15T00:00Z

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def clock(shop: Shop) -> Iterator[At]:
    """The shop with schedules, declared by a worker that still lives."""
    path = shop.folder / f"{shop.module}.py"
    path.write_text(path.read_text() + SCHEDULED)
    clock = At()
    engine = shop.app.engine
    engine.migrate()
    engine.clock = clock
    row = NewWorker("shop", "h", 1, 10**15, 1, "[]", "{}")
    worker = engine.run(workers.register(row))
    engine.run(schedules.declare("shop", worker, shop.app.declared_schedules()))
    yield clock


def fire(shop: Shop) -> None:
    for one in shop.app.declared_schedules():
        shop.app.engine.run(schedules.fire("shop", one))


def listed(shop: Shop, name: str) -> dict[str, Any]:
    document = shop("schedule", "list", "--json").document
    [one] = [one for one in document["schedules"] if one["name"] == name]
    return dict(one)


def test_schedules_are_listed_and_shown(shop: Shop, clock: At) -> None:
    clock.us += 26 * HOUR
    fire(shop)
    assert listed(shop, "morning")["state"] == "active"
    assert listed(shop, "morning")["waiting"] == 1
    text = shop("schedule", "list")
    assert "0 8 * * * Europe/Vienna" in text.out and "every 15m" in text.out
    assert "1 occurrence waits for a person in morning, the first of 2026-01-15T07:00Z" in text.err
    shown = shop("schedule", "show", "often", "--json").document
    assert [row["state"] for row in shown["ledger"]] == ["enqueued", "skipped"]
    assert shown["ledger"][1]["occurrences"] == 103
    assert "missed; a later one is run" in shop("schedule", "show", "often").out


def test_a_person_runs_and_leaves_out(shop: Shop, clock: At) -> None:
    clock.us += 50 * HOUR
    fire(shop)
    done = shop("schedule", "run", "morning", "--at", "2026-01-15T07:00Z", "--json").document
    assert not done["duplicate"]
    again = shop("schedule", "run", "morning", "--at", "2026-01-15T07:00Z")
    assert again.out == f"It was job {done['job']} already.\n"
    left = shop("schedule", "skip", "morning", "--at", "2026-01-16T07:00Z", "--reason", "late")
    assert left.out == "2026-01-16T07:00Z of morning is left out.\n"
    assert listed(shop, "morning")["waiting"] == 0
    assert shop("schedule", "run", "morning", "--at", "2026-01-01T07:00Z").code == 5
    assert (
        shop("schedule", "skip", "morning", "--at", "2026-01-16T07:00Z").code == 5
    )  # nobody to give a reason
    assert shop("schedule", "run", "morning").out.startswith("Job ")


def test_a_schedule_is_paused_and_resumed(shop: Shop, clock: At) -> None:
    assert shop("schedule", "pause", "often").code == 5  # a reason is needed, and nobody is there
    paused = shop("schedule", "pause", "often", "--reason", "disk", "--until", "2h", "--utc")
    assert paused.out == "often is paused until 2026-01-15 02:00:00 UTC (in 2h).\n"
    assert (listed(shop, "often")["state"], listed(shop, "often")["pause_reason"]) == ("paused", "disk")
    assert shop("schedule", "resume", "often").out == "often goes on.\n"
    assert shop("schedule", "resume", "often").code == 5
    assert shop("schedule", "pause", "ofen", "--reason", "x").err.count("did you mean often?") == 1
    past = shop("schedule", "pause", "often", "--reason", "x", "--until", "2020-01-01T00:00Z")
    assert past.code == 2 and "in the past" in past.err


def test_a_preview_shows_the_nights_when_clocks_change(shop: Shop) -> None:
    asked = ("schedule", "preview", "--cron", "30 1 * * *", "--tz", "America/New_York", "--count", "3")
    document = shop(*asked, "--from", "2026-10-31T00:00Z", "--json").document
    assert [one["utc"] for one in document["times"]] == [
        "2026-10-31T05:30Z",
        "2026-11-01T05:30Z",
        "2026-11-02T06:30Z",
    ]
    assert document["nights"][0]["what"] == "01:30 comes twice; fires the first time only"
    text = shop(*asked, "--from", "2026-10-31T00:00Z").out
    assert "2026-11-01: the clock goes from 02:00 to 01:00" in text
    spring = ("--cron", "0,30 2 * * *", "--tz", "Europe/Vienna", "--from", "2026-03-01T00:00Z")
    assert (
        "02:00, 02:30 are left out; fires when the clock is set" in shop("schedule", "preview", *spring).out
    )
    hours = ("--cron", "0 * * * *", "--tz", "Europe/Vienna", "--from", "2026-03-01T00:00Z")
    assert "02:00 is left out; nothing fires: that hour never was" in shop("schedule", "preview", *hours).out


def test_a_preview_by_name_needs_no_worker(shop: Shop, clock: At) -> None:
    done = shop("schedule", "preview", "morning", "--from", "2026-07-01T00:00Z", "--count", "1")
    assert "2026-07-01T06:00Z" in done.out
    assert shop("schedule", "preview", "evening").code == 5
    assert shop("schedule", "preview").code == 2
    assert shop("schedule", "preview", "--cron", "61 * * * *").code == 2
    assert (
        "did you mean Europe/Vienna?" in shop("schedule", "preview", "--cron", "@daily", "--tz", "Vienna").err
    )
