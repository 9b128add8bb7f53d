"""Whether an effect may be called: every row of the table, the edges of its times, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dutiful.model.effects import (
    LIVING_US,
    MARGIN_US_MIN,
    PATIENCE_US,
    QUIET_US,
    Changed,
    Decision,
    Doubt,
    EffectRow,
    EffectStop,
    LookUp,
    Return,
    Send,
    Terms,
    Wait,
    decide,
)
from dutiful.model.errors import EffectChanged, InvalidDuration, InvalidEffect
from dutiful.model.retry import Bury, Retry, judge

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
ASKED = 1_800_000_000 * SECOND

TERMS = Terms("h", remembered_us=24 * HOUR, margin_us=2 * HOUR, quiet_us=10 * MINUTE, has_lookup=True)
KEYLESS = replace(TERMS, remembered_us=None)
BLIND = replace(TERMS, has_lookup=False)
NEITHER = replace(KEYLESS, has_lookup=False)

OPEN = EffectRow(
    state="intended",
    request_hash="h",
    asked_at_us=ASKED,
    sent_at_us=ASKED,
    remembered_us=24 * HOUR,
    margin_us=2 * HOUR,
    tries=1,
    token="a",
)
KEYLESS_OPEN = replace(OPEN, remembered_us=None)
DEAD = replace(KEYLESS_OPEN, dead_since_us=ASKED + MINUTE)
REFUSED = replace(OPEN, state="refused")
DONE = replace(OPEN, state="done", result=b'"ch_1"')
WINDOW = ASKED + 22 * HOUR
"""Until when the key may be sent again."""

TABLE = [
    # what it is, the row, at, the terms, a lookup's answer, the decision
    ("no row", None, ASKED, TERMS, None, Send(True)),
    ("no row, no keys, no lookup", None, ASKED, NEITHER, None, Send(True)),
    ("done", DONE, WINDOW + HOUR, TERMS, None, Return(b'"ch_1"')),
    ("done, whatever is asked", DONE, ASKED, replace(NEITHER, request_hash="x"), None, Return(b'"ch_1"')),
    ("done, without a result", replace(DONE, result=None, error="e"), ASKED, TERMS, None, Return(None, "e")),
    ("refused", REFUSED, ASKED + MINUTE, TERMS, None, Send(True)),
    ("refused long ago", REFUSED, WINDOW + 99 * HOUR, NEITHER, None, Send(True)),
    ("refused, another request", REFUSED, ASKED, replace(TERMS, request_hash="x"), None, Send(True)),
    ("open, another request", OPEN, ASKED, replace(TERMS, request_hash="x"), None, Changed()),
    ("open too long, another request", OPEN, WINDOW, replace(BLIND, request_hash="x"), None, Changed()),
    ("remembered", OPEN, ASKED + MINUTE, TERMS, None, Send(False)),
    ("remembered, no lookup", OPEN, ASKED + MINUTE, BLIND, None, Send(False)),
    ("the last instant of the window", OPEN, WINDOW - 1, TERMS, None, Send(False)),
    ("the window is over", OPEN, WINDOW, TERMS, None, LookUp()),
    ("within the margin", OPEN, ASKED + 23 * HOUR, TERMS, None, LookUp()),
    ("the database's clock went back", OPEN, ASKED - HOUR, TERMS, None, Send(False)),
    ("a living caller, but a key", replace(OPEN, calls_alive=3), ASKED + MINUTE, TERMS, None, Send(False)),
    ("no keys", KEYLESS_OPEN, ASKED + MINUTE, KEYLESS, None, LookUp()),
    ("called without a key, now with", KEYLESS_OPEN, ASKED + MINUTE, TERMS, None, LookUp()),
    ("called with a key, now without", OPEN, ASKED + MINUTE, KEYLESS, None, LookUp()),
    ("a shorter memory in the code", OPEN, ASKED + 5 * HOUR, replace(TERMS, remembered_us=6 * HOUR), None,
     LookUp()),
    ("a longer one does not help", OPEN, WINDOW, replace(TERMS, remembered_us=99 * HOUR), None, LookUp()),
    ("a smaller margin does not help", OPEN, WINDOW, replace(TERMS, margin_us=0), None, LookUp()),
    ("a greater margin in the code", OPEN, ASKED + 2 * HOUR, replace(TERMS, margin_us=22 * HOUR), None,
     LookUp()),
    ("surely not, dead, quiet", DEAD, ASKED + 11 * MINUTE, KEYLESS, "surely_not", Send(True)),
    ("surely not, dead, not quiet", DEAD, ASKED + 11 * MINUTE - 1, KEYLESS, "surely_not",
     Wait(ASKED + 11 * MINUTE, "a call that is under way may still be applied")),
    ("surely not, the caller lives", KEYLESS_OPEN, ASKED + MINUTE, KEYLESS, "surely_not",
     Wait(ASKED + MINUTE + LIVING_US, "an earlier caller may still be calling")),
    ("surely not, lives for long", KEYLESS_OPEN, ASKED + PATIENCE_US - 1, KEYLESS, "surely_not",
     Wait(ASKED + PATIENCE_US, "an earlier caller may still be calling")),
    ("surely not, lives for ever", KEYLESS_OPEN, ASKED + PATIENCE_US, KEYLESS, "surely_not", Doubt("")),
    ("surely not, the caller is lost", replace(KEYLESS_OPEN, caller_lost=True), ASKED + 99 * HOUR, KEYLESS,
     "surely_not", Doubt("")),
    ("surely not, lost, but its call had ended", replace(DEAD, caller_lost=True), ASKED + HOUR, KEYLESS,
     "surely_not", Send(True)),
    ("surely not, one before the last may live", replace(DEAD, calls_alive=1), ASKED + 99 * HOUR, KEYLESS,
     "surely_not", Doubt("")),
    ("unsure", DEAD, ASKED + 99 * HOUR, KEYLESS, "unsure", Doubt("")),
    ("too old, no lookup", OPEN, WINDOW, BLIND, None, Doubt("")),
    ("neither", KEYLESS_OPEN, ASKED, NEITHER, None, Doubt("")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "at", "terms", "answer", "wanted"), [line[1:] for line in TABLE], ids=[line[0] for line in TABLE]
)
def test_the_table(row: EffectRow | None, at: int, terms: Terms, answer: Any, wanted: Decision) -> None:
    found = decide(row, at, terms, answer)
    if isinstance(wanted, Doubt):
        assert isinstance(found, Doubt) and found.why
    else:
        assert found == wanted


@pytest.mark.parametrize("state", ["intended", "done", "refused", None])
def test_every_corner_is_safe(state: Any) -> None:
    """All combinations: nothing is sent unless a rule of the table allows it."""
    times = [0, MINUTE, 5 * HOUR, 22 * HOUR - 1, 22 * HOUR, 99 * HOUR]
    for remembered, stored, lookup, hash, dead, lost, alive, answer, after in itertools.product(
        [None, 24 * HOUR],
        [None, 24 * HOUR],
        [False, True],
        ["h", "x"],
        [None, ASKED, ASKED + 99 * HOUR],
        [False, True],
        [0, 1],
        [None, "surely_not", "unsure"],
        times,
    ):
        terms = Terms(hash, remembered, 2 * HOUR, 10 * MINUTE, lookup)
        row = (
            replace(
                OPEN,
                remembered_us=stored,
                dead_since_us=dead,
                caller_lost=lost,
                calls_alive=alive,
                state=state,
            )
            if state
            else None
        )
        now = ASKED + after
        found = decide(row, now, terms, answer)  # type: ignore[arg-type]
        if state == "done":
            assert isinstance(found, Return)
        elif state != "intended":
            assert found == Send(True)
        elif isinstance(found, Send):
            assert hash == "h"
            if found.fresh:
                assert lookup and answer == "surely_not" and not alive and dead is not None
                assert now >= dead + terms.quiet_us
            else:
                assert remembered and stored and after < 22 * HOUR
        elif isinstance(found, Wait):
            assert now < found.until_us
        elif isinstance(found, LookUp):
            assert lookup and answer is None


@given(st.integers(0, 100 * HOUR), st.integers(0, 10 * HOUR), st.integers(1, 90 * HOUR))
def test_a_key_is_never_sent_when_it_may_be_forgotten(after: int, margin: int, remembered: int) -> None:
    terms = replace(TERMS, remembered_us=remembered, margin_us=margin)
    row = replace(OPEN, remembered_us=remembered, margin_us=margin)
    sent = decide(row, ASKED + after, terms) == Send(False)
    assert sent == (after + margin < remembered)


def test_a_changed_request_buries_whatever_the_retry_policy_says() -> None:
    error = EffectChanged("changed")
    assert judge(error, attempt=1, retry=Retry(8), chance=0.5) == Bury("changed", error)
    assert judge(error, attempt=1, retry=Retry(0), chance=0.5) == Bury("changed", error)


def test_what_stops_a_run_is_no_exception_that_a_body_would_swallow() -> None:
    assert not issubclass(EffectStop, Exception)


# ── what is given ───────────────────────────────────────────────────────────────────────────


def test_the_margin_is_a_tenth_and_at_least_five_minutes() -> None:
    assert Terms.of("x", remembered="24h").margin_us == round(2.4 * HOUR)
    assert Terms.of("x", remembered="30m").margin_us == MARGIN_US_MIN == 5 * MINUTE
    assert Terms.of("x").margin_us == MARGIN_US_MIN
    assert Terms.of("x", remembered="2s", margin="1s").margin_us == SECOND
    assert Terms.of("x").quiet_us == QUIET_US
    assert Terms.of("x", quiet=0).quiet_us == 0


@pytest.mark.parametrize("remembered", ["5m", "1s", 0])
def test_a_memory_that_is_no_longer_than_the_margin_is_refused(remembered: Any) -> None:
    with pytest.raises(InvalidEffect, match="could never be sent again"):
        Terms.of("x", remembered=remembered)
    with pytest.raises(InvalidEffect, match="could never be sent again"):
        Terms.of("x", remembered="1h", margin="1h")


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\0", 7, None])
def test_what_is_no_name_is_refused(name: object) -> None:
    with pytest.raises(InvalidEffect, match="no name"):
        Terms.of(name)


@pytest.mark.parametrize("duration", ["soon", -1, True])
def test_what_is_no_duration_is_refused(duration: Any) -> None:
    for field in ("remembered", "margin", "quiet"):
        with pytest.raises(InvalidDuration, match=field):
            Terms.of("x", **{field: duration})


def test_the_requests_hash_is_of_its_canonical_json() -> None:
    def hashed(request: object) -> str:
        return Terms.of("x", request=request).request_hash

    assert hashed({"a": 1, "b": [2, 3]}) == hashed({"b": [2, 3], "a": 1})
    assert hashed({"tags": {"x", "y", "z"}}) == hashed({"tags": {"z", "y", "x"}})
    assert hashed({"a": 1}) != hashed({"a": 2}) != hashed({}) != hashed(None)
    assert hashed({"order": 7, "amount": 120}) == "0e136f841489d35d8e136cfba8ef6077"  # kept for months


@pytest.mark.parametrize("request_", [object(), {"a": object()}, [float("nan")], {"f": print}])
def test_a_request_that_is_no_data_is_refused(request_: object) -> None:
    with pytest.raises(InvalidEffect, match="request"):
        Terms.of("x", request=request_)
