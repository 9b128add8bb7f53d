"""What follows when a body has raised: the verdict as a table, the backoff by its properties."""

from __future__ import annotations

import asyncio
import pickle
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dutiful.model.errors import InvalidDuration, InvalidTask
from dutiful.model.retry import (
    RETRY_AFTER_US_MAX,
    RETRY_TIMES_MAX,
    Again,
    Bury,
    GiveUp,
    Retry,
    RetryIn,
    Snooze,
    TaskSignal,
    judge,
    retry_after_us,
)
from dutiful.model.states import REASONS

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
EXACT = Retry(jitter=0)


class Throttled(Exception):
    def __init__(self, retry_after):
        self.retry_after = retry_after


class Spiteful(Exception):
    @property
    def retry_after(self):
        raise RuntimeError("no")


def verdict(error, attempt=1, retry=EXACT, chance=0.5):
    made = judge(error, attempt=attempt, retry=retry, chance=chance)
    if isinstance(made, Bury):
        assert made.error is error
        assert made.reason in REASONS
        return made.reason
    assert made.error is (None if isinstance(error, Snooze) else error)
    return made.delay_us, made.charged


CHARGED, FREE = True, False


@pytest.mark.parametrize(
    ("error", "attempt", "retry", "follows"),
    [
        # any error, the backoff
        (ValueError(), 1, EXACT, (15 * SECOND, CHARGED)),
        (ValueError(), 2, EXACT, (30 * SECOND, CHARGED)),
        (ValueError(), 8, EXACT, (1920 * SECOND, CHARGED)),
        (ValueError(), 9, EXACT, "exhausted"),
        (ValueError(), 10, EXACT, "exhausted"),
        # retry=0, 1
        (ValueError(), 1, Retry.of(0), "error"),
        (ValueError(), 1, Retry(1, jitter=0), (15 * SECOND, CHARGED)),
        (ValueError(), 2, Retry(1, jitter=0), "exhausted"),
        # on, never
        (ValueError(), 1, Retry(on=OSError), "error"),
        (ValueError(), 9, Retry(on=OSError), "error"),
        (TimeoutError(), 1, Retry(on=OSError, jitter=0), (15 * SECOND, CHARGED)),
        (TimeoutError(), 1, Retry(on=OSError, never=TimeoutError), "error"),
        (TimeoutError(), 1, Retry(never=(OSError, KeyError)), "error"),
        (KeyError(), 1, Retry(never=OSError, jitter=0), (15 * SECOND, CHARGED)),
        (SystemExit(), 1, EXACT, "error"),
        (KeyboardInterrupt(), 1, EXACT, "error"),
        (asyncio.CancelledError(), 1, EXACT, "error"),
        (SystemExit(), 1, Retry(on=BaseException, jitter=0), (15 * SECOND, CHARGED)),
        # RetryIn: charged, needs a try
        (RetryIn("5m"), 1, EXACT, (5 * MINUTE, CHARGED)),
        (RetryIn(0), 8, EXACT, (0, CHARGED)),
        (RetryIn("5m"), 9, EXACT, "exhausted"),
        (RetryIn("5m"), 1, Retry.of(0), "error"),
        (RetryIn("5m"), 1, Retry(on=OSError), (5 * MINUTE, CHARGED)),
        (RetryIn("5m"), 1, Retry(never=Exception), (5 * MINUTE, CHARGED)),
        # Snooze: free, always
        (Snooze("5m"), 1, EXACT, (5 * MINUTE, FREE)),
        (Snooze("5m"), 9, EXACT, (5 * MINUTE, FREE)),
        (Snooze("5m"), 1, Retry.of(0), (5 * MINUTE, FREE)),
        (Snooze("1ms"), 1, EXACT, (100_000, FREE)),
        # GiveUp: dead at once
        (GiveUp("card declined"), 1, EXACT, "gave_up"),
        (GiveUp("card declined"), 9, EXACT, "gave_up"),
        (GiveUp("card declined"), 1, Retry.of(0), "gave_up"),
        # retry_after: at least the backoff
        (Throttled(60), 1, EXACT, (60 * SECOND, CHARGED)),
        (Throttled(60.5), 1, EXACT, (60_500_000, CHARGED)),
        (Throttled("2m"), 1, EXACT, (2 * MINUTE, CHARGED)),
        (Throttled("120"), 1, EXACT, (2 * MINUTE, CHARGED)),
        (Throttled(timedelta(hours=1)), 1, EXACT, (HOUR, CHARGED)),
        (Throttled(1), 1, EXACT, (15 * SECOND, CHARGED)),
        (Throttled(10**9), 1, EXACT, (RETRY_AFTER_US_MAX, CHARGED)),
        (Throttled(60), 9, EXACT, "exhausted"),
        (Throttled(60), 1, Retry.of(0), "error"),
        # … and nonsense in it is as if it were not there
        (Throttled(None), 1, EXACT, (15 * SECOND, CHARGED)),
        (Throttled("9" * 5000), 1, EXACT, (15 * SECOND, CHARGED)),
        (Throttled(1_700_000_000_000), 1, EXACT, (15 * SECOND, CHARGED)),
        (Throttled(-5), 1, EXACT, (15 * SECOND, CHARGED)),
        (Throttled(True), 1, EXACT, (15 * SECOND, CHARGED)),
        (Throttled(float("nan")), 1, EXACT, (15 * SECOND, CHARGED)),
        (Throttled("Wed, 21 Oct 2015 07:28:00 GMT"), 1, EXACT, (15 * SECOND, CHARGED)),
        (Throttled([60]), 1, EXACT, (15 * SECOND, CHARGED)),
        (Spiteful(), 1, EXACT, (15 * SECOND, CHARGED)),
        # a group of one, as a TaskGroup raises it
        (ExceptionGroup("g", [GiveUp("no")]), 1, EXACT, "gave_up"),
        (ExceptionGroup("g", [ExceptionGroup("h", [OSError()])]), 1, Retry(never=OSError), "error"),
        (ExceptionGroup("g", [RetryIn("5m")]), 1, EXACT, (5 * MINUTE, CHARGED)),
        (ExceptionGroup("g", [OSError(), GiveUp("no")]), 1, EXACT, (15 * SECOND, CHARGED)),
        (BaseExceptionGroup("g", [SystemExit(), OSError()]), 1, EXACT, "error"),
    ],
)
def test_the_verdict(error, attempt, retry, follows):
    assert verdict(error, attempt, retry) == follows


def test_a_snooze_in_a_group_records_no_error():
    made = judge(ExceptionGroup("g", [Snooze("5m")]), attempt=1, retry=EXACT, chance=0)
    assert made == Again(5 * MINUTE, False, None)


def test_eight_retries_are_nine_attempts():
    verdicts = [judge(OSError(), attempt=n, retry=Retry.of(8), chance=0) for n in range(1, 12)]
    assert [isinstance(one, Again) for one in verdicts] == [True] * 8 + [False] * 3


# The backoff


def test_the_defaults_are_those_of_the_reference():
    retry = Retry()
    assert (retry.times, retry.first_us, retry.longest_us, retry.jitter) == (8, 15 * SECOND, 6 * HOUR, 1.0)


def test_without_jitter_the_wait_doubles_up_to_the_longest():
    waits = [EXACT.delay_us(attempt, 0.5) // SECOND for attempt in range(1, 14)]
    assert waits == [15, 30, 60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 21600, 21600]


def test_full_jitter_spreads_over_all_but_the_floor():
    assert Retry().delay_us(1, 0.0) == 1_500_000
    assert Retry().delay_us(1, 1.0) == 15 * SECOND
    assert Retry().delay_us(5, 0.0) == 1_500_000
    assert Retry().delay_us(5, 0.5) == (1_500_000 + 240 * SECOND) // 2
    assert Retry().delay_us(5, 1.0) == 240 * SECOND


def test_half_jitter_spreads_over_the_upper_half():
    assert Retry(jitter=0.5).delay_us(2, 0.0) == 15 * SECOND
    assert Retry(jitter=0.5).delay_us(2, 1.0) == 30 * SECOND


def test_a_wait_of_zero_can_be_asked_for():
    assert Retry(first=0, longest=0).delay_us(5, 0.7) == 0


@st.composite
def policies(draw):
    first = draw(st.integers(0, 10**10))
    longest = draw(st.integers(first, 10**12))
    jitter = draw(st.sampled_from([0, 1, 0.5]) | st.floats(0, 1))
    return Retry(
        draw(st.integers(0, RETRY_TIMES_MAX)),
        timedelta(microseconds=first),
        timedelta(microseconds=longest),
        jitter,
    )


attempts = st.integers(1, 100) | st.integers(1, 10_000)
chances = st.floats(0, 1)


@given(policies(), attempts, chances)
def test_the_wait_is_between_the_floor_and_the_cap(retry, attempt, chance):
    cap = min(retry.first_us * 2 ** (attempt - 1), retry.longest_us)
    wait = retry.delay_us(attempt, chance)
    assert isinstance(wait, int)
    assert retry.first_us // 10 <= wait <= cap
    assert wait >= cap * (1 - retry.jitter) - 1


@given(policies(), attempts, chances)
def test_the_wait_grows_with_the_attempt(retry, attempt, chance):
    assert retry.delay_us(attempt, chance) <= retry.delay_us(attempt + 1, chance) + 1


@given(policies(), attempts, chances, chances)
def test_the_wait_grows_with_chance(retry, attempt, one, two):
    low, high = sorted([one, two])
    assert retry.delay_us(attempt, low) <= retry.delay_us(attempt, high)


@given(attempts, chances, chances)
def test_without_jitter_chance_does_not_matter(attempt, one, two):
    assert EXACT.delay_us(attempt, one) == EXACT.delay_us(attempt, two)


def test_full_jitter_is_uniform():
    waits = sorted(Retry().delay_us(9, n / 1000) for n in range(1001))
    steps = {b - a for a, b in pairwise(waits)}
    assert max(steps) - min(steps) <= 1


errors = st.sampled_from(
    [ValueError(), OSError(), TimeoutError(), SystemExit(), RetryIn(3), Snooze(3), GiveUp("x"), Throttled(7)]
)


@given(errors, policies(), st.integers(1, 20_000), chances)
def test_a_verdict_is_a_wait_or_a_reason_of_the_table(error, retry, attempt, chance):
    made = judge(error, attempt=attempt, retry=retry, chance=chance)
    if isinstance(made, Bury):
        assert made.reason in REASONS
    else:
        assert made.delay_us >= 0
        assert made.charged == (not isinstance(error, Snooze))
        assert not made.charged or attempt <= retry.times


@given(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.timedeltas())
)
def test_any_retry_after_is_a_wait_within_bounds(value):
    assert 0 <= retry_after_us(Throttled(value)) <= RETRY_AFTER_US_MAX


# Declarations


def test_what_a_task_may_say():
    assert Retry.of(0).times == 0
    assert Retry.of(8) == Retry() == Retry(8)
    policy = Retry(3, on=OSError)
    assert Retry.of(policy) is policy
    assert policy.on == (OSError,)


def test_policies_are_equal_if_they_do_the_same():
    assert Retry(first="1m", longest="1h") == Retry(first=60, longest=timedelta(hours=1))
    assert hash(Retry(first="1m")) == hash(Retry(first=60.0))
    assert Retry(first="1m") != Retry(first="2m")
    assert Retry(on=OSError) == Retry(on=(OSError,))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Retry.of(-1), "between 0 and 10,000"),
        (lambda: Retry.of(True), "neither a number"),
        (lambda: Retry.of("8"), "neither a number"),
        (lambda: Retry.of(None), "neither a number"),
        (lambda: Retry(True), "whole number"),
        (lambda: Retry(2.5), "whole number"),
        (lambda: Retry(RETRY_TIMES_MAX + 1), "between 0 and"),
        (lambda: Retry(jitter=-0.1), "between 0"),
        (lambda: Retry(jitter=1.1), "between 0"),
        (lambda: Retry(jitter=float("nan")), "between 0"),
        (lambda: Retry(jitter=True), "a number between"),
        (lambda: Retry(jitter="full"), "a number between"),
        (lambda: Retry(first="2h", longest="1h"), "shorter than first=2h"),
        (lambda: Retry(on="OSError"), "no exception class"),
        (lambda: Retry(on=OSError()), "no exception class"),
        (lambda: Retry(never=(OSError, int)), "no exception class"),
        (lambda: Retry(on=[OSError]), "no exception class"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(make, why):
    with pytest.raises(InvalidTask, match=why):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retry(first="soon"),
        lambda: Retry(longest=-1),
        lambda: RetryIn("soon"),
        lambda: RetryIn(-1),
        lambda: Snooze(0),
        lambda: Snooze(float("nan")),
    ],
)
def test_a_delay_that_is_none_is_refused(make):
    with pytest.raises(InvalidDuration):
        make()


def test_a_policy_cannot_be_changed():
    with pytest.raises(AttributeError):
        Retry().times = 5


# Signals


@pytest.mark.parametrize(
    ("signal", "text"),
    [
        (RetryIn("5m"), "try again in 5m"),
        (RetryIn(90, "bank is closed"), "try again in 1m30s: bank is closed"),
        (Snooze("5m"), "snooze for 5m"),
        (GiveUp("card declined"), "card declined"),
        (GiveUp(), ""),
    ],
)
def test_a_signal_says_what_it_asks_and_crosses_processes(signal, text):
    assert isinstance(signal, TaskSignal)
    assert str(signal) == text
    back = pickle.loads(pickle.dumps(signal))
    assert type(back) is type(signal)
    assert (vars(back), str(back)) == (vars(signal), text)
