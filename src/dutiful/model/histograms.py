"""Durations as counts by bucket: two leading decimal digits and the number of digits, so within a tenth.

Counts of two times, queues or tasks are added up to those of both, and quantiles are read from the sum. SQL
makes the same buckets (``ended_between``): digits times 100, and the leading two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Histogram = Mapping[int, int]
"""Bucket to count."""


def bucket_of(us: int) -> int:
    """The bucket of a duration in microseconds; below nought counts as nought."""
    text = str(max(us, 0))
    return len(text) * 100 + int(text[:2])


def bounds(bucket: int) -> tuple[int, int]:
    """The least duration in a bucket, and the least above it, in microseconds."""
    digits, leading = divmod(bucket, 100)
    if digits <= 2:
        return leading, leading + 1
    return leading * 10 ** (digits - 2), (leading + 1) * 10 ** (digits - 2)


def added(histograms: Iterable[Histogram]) -> dict[int, int]:
    """The counts of all of them together."""
    found: dict[int, int] = {}
    for histogram in histograms:
        for bucket, n in histogram.items():
            found[bucket] = found.get(bucket, 0) + n
    return found


def quantile(histogram: Histogram, share: float) -> int | None:
    """A duration in microseconds that ``share`` (0 to 1) of them do not exceed by more than a tenth.

    None where there are none. The middle of the bucket in which it lies.
    """
    total = sum(histogram.values())
    if not total:
        return None
    wanted, seen = max(1, -int(-share * total // 1)), 0
    for bucket, n in sorted(histogram.items()):
        seen += n
        if seen >= wanted:
            low, high = bounds(bucket)
            return (low + high - 1) // 2
    raise AssertionError("unreachable")
