"""Durations: what may be written, what it means in microseconds, and what is refused."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dutiful.model.durations import DURATION_US_MAX, microseconds, text
from dutiful.model.errors import InvalidDuration

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND


@pytest.mark.parametrize(
    ("value", "us"),
    [
        ("250ms", 250_000),
        ("30s", 30 * SECOND),
        ("5m", 5 * MINUTE),
        ("6h", 6 * HOUR),
        ("7d", 7 * DAY),
        ("2w", 14 * DAY),
        ("17us", 17),
        ("17µs", 17),
        ("1h30m", 90 * MINUTE),
        ("1d2h3m4s5ms6us", DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND + 5_006),
        (" 1h 30m ", 90 * MINUTE),
        ("0s", 0),
        ("1.5h", 90 * MINUTE),
        ("0.1s", 100_000),
        ("0.0000005s", 0),  # half a microsecond: to even
        ("0.0000015s", 2),
        (30, 30 * SECOND),
        (0, 0),
        (0.25, 250_000),
        (1e-9, 0),
        (0.1 + 0.2, 300_000),
        (timedelta(days=1, microseconds=1), DAY + 1),
        (timedelta(0), 0),
        ("36525d", DURATION_US_MAX),
        (DURATION_US_MAX // SECOND, DURATION_US_MAX),
    ],
)
def test_a_duration_in_microseconds(value, us):
    assert microseconds(value) == us


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (-1, "negative"),
        (-0.0000001, "negative"),
        (timedelta(microseconds=-1), "negative"),
        ("-5m", "never negative"),
        (float("nan"), "not finite"),
        (float("inf"), "not finite"),
        (float("-inf"), "not finite"),
        (True, "a bool"),
        (False, "a bool"),
        (None, "a NoneType"),
        ([5], "a list"),
        (b"5m", "a bytes"),
        ("5 parsecs", "its unit 'parsecs' is not"),
        ("5M", "its unit 'M' is not"),
        ("5", 'or "5s"'),
        ("1.5", 'or "1.5s"'),
        ("", "empty"),
        ("   ", "empty"),
        ("m", "a number with a unit"),
        ("5m!", "a number with a unit"),
        ("5m 3", "a number with a unit"),
        ("1e3s", "its unit 'e' is not"),
        ("٣s", "a number with a unit"),
        ("30m1h", "must go down"),
        ("5m5m", "must go down"),
        ("36525d1us", "a hundred years"),
        (10**30, "a hundred years"),
        pytest.param(10**10_000, "immense number", id="immense"),
        (1e300, "a hundred years"),
        (-1e300, "negative"),
        (timedelta.max, "a hundred years"),
        ("9" * 20 + "w", "a hundred years"),
    ],
)
def test_what_is_no_duration_is_refused_by_name(value, why):
    with pytest.raises(InvalidDuration, match=re.escape(why)) as caught:
        microseconds(value, what="timeout")
    assert caught.value.message.startswith("timeout is ")
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("value", [0, 0.0, "0s", timedelta(0), 1e-9])
def test_zero_is_refused_where_it_makes_no_sense(value):
    with pytest.raises(InvalidDuration, match="above zero"):
        microseconds(value, zero_ok=False)


@pytest.mark.parametrize(
    ("us", "shown"),
    [
        (0, "0s"),
        (250_000, "250ms"),
        (90 * MINUTE, "1h30m"),
        (14 * DAY, "14d"),
        (1, "1us"),
        (DAY + 1, "1d1us"),
        (61 * SECOND, "1m1s"),
        (-5 * MINUTE, "-5m"),
    ],
)
def test_a_duration_as_people_write_it(us, shown):
    assert text(us) == shown


durations = st.integers(0, DURATION_US_MAX) | st.integers(0, 10**6)


@given(durations)
def test_text_and_back(us):
    assert microseconds(text(us)) == us


@given(durations)
def test_timedelta_and_back(us):
    assert microseconds(timedelta(microseconds=us)) == us


@given(st.floats(0, 86_400 * 365))
def test_seconds_as_a_float_are_right_to_half_a_microsecond(seconds):
    assert abs(microseconds(seconds) - seconds * 1_000_000) <= 0.5 + seconds * 1e-9


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(value):
    try:
        assert 0 <= microseconds(value) <= DURATION_US_MAX
    except InvalidDuration as error:
        assert error.code == "DE103"


@given(st.lists(st.sampled_from(["1", "90", "2.5", "w", "d", "h", "m", "s", "ms", " ", "-"]), max_size=8))
def test_any_mix_of_numbers_and_units_is_a_duration_or_refused(parts):
    try:
        us = microseconds("".join(parts))
    except InvalidDuration:
        return
    assert microseconds(text(us)) == us
