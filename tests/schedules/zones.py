"""Every zone, the three days around each clock change, forty expressions: ours against the oracle.

``python -m tests.schedules.zones`` is the whole, half an hour of one core; ``--every 50`` a part of it.
A zone that is another name of one that was compared, with the same data to the byte, is only counted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, available_timezones

from dutiful.model.schedules import Spec, instant_text
from tests.schedules.oracle import DAY_S, Rule, Walk, clock_changes

EXPRESSIONS = (
    "* * * * *", "*/5 * * * *", "*/15 * * * *", "*/20 * * * *", "0 * * * *", "30 * * * *", "59 * * * *",
    "17,47 * * * *", "0 */2 * * *", "0 */3 * * *", "30 */6 * * *", "0 0 * * *", "30 0 * * *", "0 1 * * *",
    "15 1 * * *", "30 1 * * *", "0 2 * * *", "30 2 * * *", "59 2 * * *", "0 3 * * *", "30 3 * * *",
    "0,30 2 * * *", "*/10 2 * * *", "*/15 1-3 * * *", "45 23 * * *", "59 23 * * *", "0 0,12 * * *",
    "0 8 * * MON-FRI", "30 2 * * SUN", "0 2 * * 7", "30 1 * * 6,0", "0 0 1 * *", "30 2 L * *",
    "15 2 25-31 3,10 SUN", "0 3 * MAR,OCT 0#2", "30 1 * * 0L", "0 12 13 * FRI", "10 2 1-7 4 *",
    "0 22-23 * * *", "5 4 * * *",
)  # fmt: skip
QUICK = ("30 1 * * *", "0,30 2 * * *", "0 * * * *", "59 23 * * *")
"""What is compared in a zone whose clock, in these three days, is one that was compared in full already."""


@dataclass
class Count:
    """What came of it."""

    zones: int = 0
    names: int = 0
    """Of them, other names of zones that were compared."""
    changes: int = 0
    clocks: int = 0
    occurrences: int = 0
    wrong: list[str] = field(default_factory=list)


def compare(zone_name: str, change: int, count: Count, seen: set[int], rules: Sequence[Rule]) -> None:
    """The three days around one change."""
    walk = Walk(ZoneInfo(zone_name), change - 3 * DAY_S // 2, change + 3 * DAY_S // 2)
    count.changes += 1
    fresh = walk.clock not in seen
    seen.add(walk.clock)
    count.clocks += fresh
    for rule in rules:
        if not fresh and rule.text not in QUICK:
            continue
        expected = walk.instants(rule)
        spec = Spec("t", cron=rule.text, tz=zone_name)
        ours = [at // 10**6 for at in spec.after(walk.start * 10**6, walk.end * 10**6)]
        count.occurrences += len(ours)
        if ours != expected:
            doubled = sorted(set(ours) - set(expected))
            missing = sorted(set(expected) - set(ours))
            count.wrong.append(
                f"{zone_name} {instant_text(change * 10**6)} {rule.text!r}:"
                f" too many {[instant_text(at * 10**6) for at in doubled]},"
                f" missing {[instant_text(at * 10**6) for at in missing]},"
                f" {'in order' if ours == sorted(set(ours)) else 'out of order or twice'}"
            )


def zone_data(name: str) -> bytes:
    """What the zone is made of."""
    for folder in TZPATH:
        if (path := Path(folder, name)).is_file():
            return path.read_bytes()
    return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


def campaign(
    names: Sequence[str],
    every: int = 1,
    first: int = 1970,
    last: int = 2037,
    tell: Callable[[str, Count], None] = lambda *_: None,
) -> Count:
    """All of it, or each ``every``-th clock change; ``tell`` is told each zone before it is compared."""
    count, seen, data, number = Count(), set[int](), set[bytes](), 0
    rules = [Rule(text) for text in EXPRESSIONS]
    for name in names:
        tell(name, count)
        count.zones += 1
        if (bytes_of := zone_data(name)) in data:
            count.names += 1
            continue
        data.add(bytes_of)
        for change in clock_changes(ZoneInfo(name), first, last):
            number += 1
            if number % every == 0:
                compare(name, change, count, seen, rules)
    return count


def _tell(name: str, count: Count) -> None:
    if count.zones % 25 == 0:
        print(f"{name}: {count.changes:,} changes so far, {len(count.wrong)} differ", flush=True)


def main() -> None:
    """The whole, by hand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--zone", default="")
    parser.add_argument("--from", dest="first", default="", help="go on at this zone")
    options = parser.parse_args()
    start = time.monotonic()
    names = sorted(name for name in available_timezones() if options.zone in name)
    names = [name for name in names if name >= options.first]
    count = campaign(names, options.every, tell=_tell)
    for line in count.wrong[:50]:
        print(line)
    print(
        f"{count.zones} zones ({count.names} names of others), "
        f"{count.changes:,} clock changes ({count.clocks:,} different ones), "
        f"{len(EXPRESSIONS)} expressions, {count.occurrences:,} occurrences: {len(count.wrong)} differ; "
        f"{time.monotonic() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
