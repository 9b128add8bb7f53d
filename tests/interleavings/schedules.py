"""All orders in which sessions can take their steps, with at most so many preemptions.

A preemption is a change to another session while the one before could go on. Most races need one or
two (Musuvathi and Qadeer, 2007); the orders with three are few enough to try them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tests.interleavings.stepping import Course, Point

PREEMPTIONS_MAX = 3


def follow(schedule: Sequence[int]) -> Callable[[Sequence[int], int | None], int]:
    """Choose as the schedule says; where it ends, go on with the same session while it can."""
    left = list(schedule)

    def choose(enabled: Sequence[int], last: int | None) -> int:
        if left:
            wanted = left.pop(0)
            if wanted in enabled:
                return wanted
            left.clear()  # the sessions went another way than the last time
        return last if last in enabled and last is not None else enabled[0]

    return choose


def explore(
    run: Callable[[Sequence[int]], Course], preemptions: int = PREEMPTIONS_MAX, limit: int | None = None
) -> Iterator[Course]:
    """Run one schedule after the other, each once; at most ``limit`` of them."""
    todo: list[tuple[int, ...]] = [()]
    count = 0
    while todo and (limit is None or count < limit):
        prefix = todo.pop()
        course = run(prefix)
        count += 1
        yield course
        for at in range(len(prefix), len(course.points)):
            point = course.points[at]
            for other in point.enabled:
                if other == point.chosen:
                    continue
                before = course.points[:at]
                if preempted([*before, Point(point.enabled, point.last, other)]) <= preemptions:
                    todo.append((*course.schedule[:at], other))


def preempted(points: Sequence[Point]) -> int:
    """How many of these choices took the turn from a session that could have gone on."""
    return sum(point.last in point.enabled and point.chosen != point.last for point in points)
