"""The brake on mass lapses: its table, and that it holds up a reaper once and never for good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dutiful.model.brake import BEATS_MIN, FORGET_LEASES, Brake

LEASE_S = 10.0


@pytest.mark.parametrize(
    "alive, silent, may",
    [
        (1, 1, True),  # one is never a mass
        (2, 1, True),
        (3, 1, True),
        (4, 1, True),
        (2, 2, False),
        (3, 2, False),
        (4, 2, False),
        (6, 2, False),  # a third
        (7, 2, True),  # 28.6 %
        (10, 3, True),  # 30 %, not more
        (10, 4, False),
        (100, 30, True),
        (100, 31, False),
        (5, 0, True),
    ],
)
def test_at_least_two_and_more_than_30_percent_brake(alive: int, silent: int, may: bool) -> None:
    assert Brake(lease_s=LEASE_S).may_reap(alive, silent, 10, 0.0) is may


@pytest.mark.parametrize("beats", range(BEATS_MIN + 2))
def test_who_was_not_heard_judges_nobody(beats: int) -> None:
    assert Brake(lease_s=LEASE_S).may_reap(4, 1, beats, 0.0) is (beats >= BEATS_MIN)


def test_it_waits_for_one_more_lease_and_then_goes_on() -> None:
    brake = Brake(lease_s=LEASE_S)
    assert [brake.may_reap(3, 2, 10, at) for at in (0.0, 5.0, 9.9, 10.0)] == [False, False, False, True]
    # The next mass is a new one.
    assert [brake.may_reap(3, 2, 10, at) for at in (11.0, 20.9, 21.0)] == [False, False, True]


def test_when_the_mass_is_over_the_next_one_waits_again() -> None:
    brake = Brake(lease_s=LEASE_S)
    assert not brake.may_reap(3, 2, 10, 0.0)
    assert brake.may_reap(3, 1, 10, 5.0), "one came back; the other is reaped"
    assert not brake.may_reap(3, 2, 10, 12.0)
    assert brake.may_reap(3, 2, 10, 22.0)


def test_reapers_that_do_not_live_for_a_lease_wait_together() -> None:
    """Each noted when the wait had begun: the wait is one lease for all of them, not for each."""
    for noted_s, may in [(None, False), (4.0, False), (LEASE_S, True), (2 * LEASE_S, True)]:
        assert Brake(lease_s=LEASE_S).may_reap(3, 2, 10, 100.0, noted_s) is may
    brake = Brake(lease_s=LEASE_S)
    assert not brake.may_reap(3, 2, 10, 100.0, 4.0)
    assert brake.braking
    assert brake.may_reap(3, 2, 10, 106.0, LEASE_S)


def test_what_was_noted_long_ago_was_another_mass() -> None:
    brake = Brake(lease_s=LEASE_S)
    assert not brake.may_reap(3, 2, 10, 0.0, FORGET_LEASES * LEASE_S)
    assert brake.may_reap(3, 2, 10, LEASE_S, FORGET_LEASES * LEASE_S)


def test_not_being_heard_does_not_begin_the_wait() -> None:
    brake = Brake(lease_s=LEASE_S)
    assert not brake.may_reap(3, 2, 0, 0.0)
    assert not brake.may_reap(3, 2, 10, 12.0)
    assert brake.may_reap(3, 2, 10, 22.0)


@given(
    alive=st.integers(1, 50),
    silent=st.integers(1, 50),
    passes=st.lists(st.floats(0.1, LEASE_S / 2), min_size=40, max_size=60),
)
def test_a_braked_reaper_always_reaps(alive: int, silent: int, passes: list[float]) -> None:
    brake, now, first = Brake(lease_s=LEASE_S), 0.0, None
    for pause in passes:
        if brake.may_reap(max(alive, silent), silent, BEATS_MIN, now):
            break
        first = now if first is None else first
        now += pause
    else:
        assert sum(passes) < LEASE_S
        return
    if first is not None:
        assert LEASE_S <= now - first <= LEASE_S + max(passes)
