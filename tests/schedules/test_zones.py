"""On the nights when clocks change nothing fires twice, and nothing is left out: ours against the oracle."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from dutiful.model import schedules
from dutiful.model.schedules import Spec, first, instant_text
from tests.schedules.oracle import Rule
from tests.schedules.zones import EXPRESSIONS, Count, campaign, compare

STRANGE = (
    ("Pacific/Apia", "2011-12-30T10:00"),  # a day is left out
    ("Australia/Lord_Howe", "2026-04-04T15:00"),  # half an hour
    ("Antarctica/Troll", "2026-03-29T01:00"),  # two hours
    ("Africa/Monrovia", "1972-01-07T00:44:30"),  # an offset with seconds
    ("America/Sao_Paulo", "2018-11-04T03:00"),  # at midnight
    ("America/New_York", "2026-11-01T06:00"),
)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def fires(cron: str, tz: str, after: str, count: int) -> list[str]:
    return [instant_text(one) for one in first(Spec("t", cron=cron, tz=tz).after(at(after) * 10**6), count)]


@pytest.mark.parametrize(("zone", "change"), STRANGE)
def test_the_days_around_a_strange_change(zone: str, change: str) -> None:
    count = Count()
    compare(zone, at(change), count, set(), [Rule(text) for text in EXPRESSIONS[4:]])
    assert count.occurrences > 300 and count.wrong == []


def test_a_sample_of_all_zones() -> None:
    """A part of the zones, a part of their changes; all of them are compared by hand."""
    names = sorted(available_timezones())[::29]
    count = campaign(names, every=13, first=2005, last=2012)
    assert count.changes > 3 and count.wrong == []


def test_half_past_one_fires_once_where_it_comes_twice() -> None:
    assert fires("30 1 * * *", "America/New_York", "2026-10-31T12:00", 2) == [
        "2026-11-01T05:30Z",
        "2026-11-02T06:30Z",
    ]
    # Also for a worker that begins between the two.
    assert fires("30 1 * * *", "America/New_York", "2026-11-01T06:10", 1) == ["2026-11-02T06:30Z"]


def test_what_is_left_out_fires_once_when_the_clock_is_set() -> None:
    assert fires("30 2 * * *", "Europe/Vienna", "2026-03-28T12:00", 2) == [
        "2026-03-29T01:00Z",  # 03:00, which follows 02:00
        "2026-03-30T00:30Z",
    ]
    assert fires("0,30 2 * * *", "Europe/Vienna", "2026-03-28T12:00", 2)[1] == "2026-03-30T00:00Z"


def test_hours_pass_as_they_do() -> None:
    assert fires("0 * * * *", "Europe/Vienna", "2026-10-24T23:30", 3) == [
        "2026-10-25T00:00Z",  # 02:00
        "2026-10-25T01:00Z",  # 02:00
        "2026-10-25T02:00Z",
    ]


def test_where_the_cron_library_alone_would_be_wrong() -> None:
    """A fixed hour with an open minute is doubled; who begins between the two gets an instant of the past."""
    from cronsim import CronSim

    zone = ZoneInfo("America/New_York")
    plain = CronSim("*/30 1 * * *", datetime(2026, 10, 31, 12, tzinfo=zone))
    assert len([one for one in (next(plain) for _ in range(4)) if one.date().day == 1]) == 4
    ours = fires("*/30 1 * * *", "America/New_York", "2026-10-31T12:00", 3)
    assert ours == ["2026-11-01T05:00Z", "2026-11-01T05:30Z", "2026-11-02T06:00Z"]
    between = datetime(2026, 11, 1, 1, 10, tzinfo=zone, fold=1)
    assert next(CronSim("30 1 * * *", between)).timestamp() < between.timestamp()  # in the past


def test_an_oracle_that_takes_the_doubled_hour_twice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: times of day are looked up as the hours are."""
    monkeypatch.setattr(schedules, "_times_of_day", schedules._real_hours)
    count = Count()
    compare("America/New_York", at("2026-11-01T06:00"), count, set(), [Rule("30 1 * * *")])
    assert count.wrong and "2026-11-01T06:30Z" in count.wrong[0]


def test_intervals_are_real_time() -> None:
    spec = Spec("t", every_us=90 * 60 * 10**6, tz="Europe/Vienna")
    found = first(spec.after(at("2026-03-28T20:00") * 10**6), 12)
    assert {later - one for one, later in pairwise(found)} == {90 * 60 * 10**6}
    assert all(one % spec.every_us == 0 for one in found)  # type: ignore[operator]
