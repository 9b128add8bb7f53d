"""In which order files are begun when several processes share them: the long ones first.

A file is run whole by one process. Begun last, a long one leaves the other cores idle at the end; the
order of xdist, by the number of tests, put just those last that have few tests and long ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

SECONDS_A_TEST = {
    "tests/stateful": 40.0,
    "tests/schedules": 3.0,
    "tests/protocol/test_deliveries.py": 6.0,
    "tests/protocol/test_calls_and_failovers.py": 4.0,
    "tests/protocol": 0.3,
    "tests/simulation": 6.0,
    "tests/interleavings": 5.0,
    "tests/web/test_access.py": 20.0,
    "tests/web/test_browser.py": 8.0,
    "tests/web/test_kill.py": 15.0,
    "tests/web/test_story.py": 15.0,
    "tests/web": 1.0,
    "tests/drill": 1.0,
    "tests/processes": 4.0,
    "tests/powerloss": 2.0,
    "tests/docs": 1.0,
    "tests/house": 0.5,
    "tests/cli/test_processes.py": 3.0,
    "tests/cli": 0.3,
    "tests/crash": 0.25,
    "tests/contract": 0.15,
}
"""About how long, by file or folder, of one core or in waiting: the more particular name counts."""


def seconds(file: str) -> float:
    """Of one test in this file."""
    fitting = [name for name in SECONDS_A_TEST if file == name or file.startswith(name + "/")]
    return SECONDS_A_TEST[max(fitting, key=len)] if fitting else 0.02


def long_first(items: Iterable[T], files: Sequence[str]) -> list[T]:
    """The items, each of the file in its place, by how long their file takes; within a file as they were."""
    tests = Counter(files)
    longest = sorted(tests, key=lambda file: -tests[file] * seconds(file))
    place = {file: at for at, file in enumerate(longest)}
    pairs = sorted(zip(items, files, strict=True), key=lambda pair: place[pair[1]])
    return [item for item, _ in pairs]
