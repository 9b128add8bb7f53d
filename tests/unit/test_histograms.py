"""Buckets are within a tenth, and what is added up is what both had."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dutiful.model.histograms import added, bounds, bucket_of, quantile

SPANS = st.lists(st.integers(0, 10**13), min_size=1, max_size=200)


@given(st.integers(0, 10**15))
def test_a_duration_lies_in_its_bucket_which_is_within_a_tenth(us: int) -> None:
    low, high = bounds(bucket_of(us))
    assert low <= us < high
    assert high - low <= max(1, low / 10)


@given(SPANS, SPANS)
def test_added_is_both_together(one: list[int], other: list[int]) -> None:
    def counted(spans: list[int]) -> dict[int, int]:
        return added({bucket_of(us): 1} for us in spans)

    assert added([counted(one), counted(other)]) == counted(one + other)


@given(SPANS, st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_within_a_tenth(spans: list[int], share: float) -> None:
    found = quantile(added({bucket_of(us): 1} for us in spans), share)
    exact = sorted(spans)[max(1, -int(-share * len(spans) // 1)) - 1]
    assert found is not None and abs(found - exact) <= exact / 10
    assert quantile({}, share) is None
