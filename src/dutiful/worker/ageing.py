"""Against starvation: in a while, a lane whose oldest job waits too long is asked first.

Strict queues and priorities let what is behind wait for as long as what is before is never empty. A lane
whose oldest ready job has been due for longer than its queue's target (without one: a minute) gets a part of
one claim, once a second for each worker. So it goes on slowly, and never stands still.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

AGE_S = 60.0
LOOK_S = 1.0
PART = 4
"""An old lane gets one part in so many of a claim, and at least one job."""


def overdue(order: Sequence[int], waited_us: Mapping[int, int], bounds_us: Mapping[int, int]) -> int | None:
    """The lane that has waited longest of those beyond their bound, if others go before it."""
    old = [
        lane for lane in order[1:] if waited_us.get(lane, 0) > bounds_us.get(lane, round(AGE_S * 1_000_000))
    ]
    return max(old, key=waited_us.__getitem__, default=None)
