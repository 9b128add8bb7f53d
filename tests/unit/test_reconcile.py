"""The rules of reconciliation: classes, the governor, the watermark, how far back."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dutiful.model.errors import InvalidReconcile
from dutiful.model.reconcile import DAY_US, HOUR_US, Duty, Rule, classify, govern, limit, moved

NOW = 1_768_435_200_000_000
MINUTE = 60_000_000
RULE = Rule("r", "t", 10 * MINUTE, 15 * MINUTE, 7 * DAY_US, late_us=DAY_US)
OLD, LATE, YOUNG = NOW - HOUR_US, NOW - 2 * DAY_US, NOW - MINUTE


@pytest.mark.parametrize(
    ("duty", "kind"),
    [
        (Duty("k", OLD), "missing"),
        (Duty("k", LATE), "late"),
        (Duty("k", YOUNG), "young"),
        (Duty("k", OLD, done=1), "ok"),
        (Duty("k", YOUNG, done=1), "ok"),
        (Duty("k", OLD, done=2), "surplus"),
        (Duty("k", OLD, given_up=True), "ok"),
        (Duty("k", OLD, done=2, given_up=True), "surplus"),
        (Duty("k", OLD, state="ready", opened_us=OLD), "waiting"),
        (Duty("k", OLD, state="running", opened_us=NOW - HOUR_US - 1), "stuck"),
        (Duty("k", OLD, state="ready", opened_us=NOW, deadline_us=NOW - 1), "stuck"),
        (Duty("k", OLD, state="ready", opened_us=LATE, deadline_us=NOW), "waiting"),
        (Duty("k", OLD, state="in_doubt"), "people"),
        (Duty("k", OLD, dead=True), "people"),
        (Duty("k", OLD, done=1, dead=True), "ok"),
        (Duty("k", OLD, done=1, state="ready", opened_us=LATE), "ok"),
    ],
)
def test_each_duty_is_of_one_class(duty: Duty, kind: str) -> None:
    assert classify(RULE, duty, NOW) == kind


def test_a_million_missing_stop_at_twenty() -> None:
    most = limit(1_000_000, [])
    assert most == 20_000
    stopped = govern(1_000_000, most, None, stopped=False)
    assert (stopped.allowed, stopped.said) == (20, "stopped")
    assert govern(1_000_000, most, None, stopped=True).allowed == 0
    assert govern(1_000_000, most, 1_000_000, stopped=True).allowed == 1_000_000
    assert govern(2_000_000, most, 1_000_000, stopped=True).said == "waiting"


@pytest.mark.parametrize(
    ("expected", "before", "most"),
    [
        (10, [], 20),
        (5_000, [], 100),
        (10, [50, 50, 10], 150),
        (10, [0] * 19 + [10**6], 20),
        (10, [1] * 99, 20),
    ],
)
def test_what_is_believed(expected: int, before: list[int], most: int) -> None:
    assert limit(expected, before) == most
    assert govern(most, most, None, stopped=False).allowed == most
    assert govern(most + 1, most, None, stopped=False).allowed == 20


def test_the_watermark_never_passes_what_is_open_or_may_still_come() -> None:
    assert moved(NOW, [], None) == NOW
    assert moved(NOW, [OLD], None) == OLD
    assert moved(NOW, [OLD], LATE) == LATE
    assert moved(NOW, [], NOW + 1) == NOW


def test_how_far_back_is_looked() -> None:
    assert RULE.since(NOW) == NOW - 7 * DAY_US
    assert RULE.since_quick(NOW, None) == RULE.since(NOW)
    assert RULE.since_quick(NOW, OLD) == OLD - 15 * MINUTE
    assert RULE.since_quick(NOW, NOW + DAY_US) == NOW - 30 * MINUTE  # the clock was set back
    assert RULE.since_quick(NOW, NOW - 30 * DAY_US) == RULE.since(NOW)
    assert replace(RULE, memory_us=7 * DAY_US).since(NOW) == NOW - 7 * DAY_US + HOUR_US
    with pytest.raises(InvalidReconcile, match="than it is remembered"):
        replace(RULE, memory_us=6 * DAY_US)


def test_another_rule_has_another_text() -> None:
    assert RULE.text == replace(RULE).text
    for other in (replace(RULE, grace_us=1), replace(RULE, sources="x"), replace(RULE, then="skip")):
        assert other.text != RULE.text
