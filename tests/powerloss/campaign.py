"""The power goes after every event of a story: images are made, looked at and judged."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.powerloss import disk
from tests.powerloss.disk import Disk, Fate, Image, Write
from tests.powerloss.history import Seen
from tests.powerloss.looking import Verified, look
from tests.powerloss.story import Told

NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True)
class Loss:
    """One power loss that was not outlived as promised."""

    events: int
    fate: Fate
    problem: str

    def __str__(self) -> str:
        return f"power lost after event {self.events}, {self.fate}: {self.problem}"


@dataclass(slots=True)
class Tally:
    """What came of it."""

    images: int = 0
    """Different ones that were opened."""
    losses: int = 0
    """Moments and fates that were judged."""
    by_fate: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    """Losses that took back something acknowledged (never in mode full)."""
    missing_most: int = 0
    """The most steps that one loss took back."""
    found: list[Loss] = field(default_factory=list)
    events: int = 0
    steps: int = 0
    seconds: float = 0.0

    def words(self) -> str:
        """In one line."""
        fates = ", ".join(f"{count:,} {name}" for name, count in sorted(self.by_fate.items()))
        return (
            f"{self.images:,} images ({fates}) of {self.losses:,} losses after each of {self.events:,} events"
            f" in {self.steps:,} steps: {len(self.found):,} not as promised; {self.missing:,} took back"
            f" what was acknowledged, at most {self.missing_most} steps ({self.seconds:.0f} s)"
        )

    def add(self, other: Tally) -> None:
        self.images += other.images
        self.losses += other.losses
        self.by_fate += other.by_fate
        self.missing += other.missing
        self.missing_most = max(self.missing_most, other.missing_most)
        self.found += other.found
        self.events += other.events
        self.steps += other.steps
        self.seconds += other.seconds


def images(told: Told, seed: int, extra: int, since: int = 0) -> Iterator[tuple[int, Fate, Image]]:
    """After every event: nothing unsynced is left, all of it, all but a torn last write, ``extra`` others."""
    state = Disk()
    for events, last in enumerate(told.events, 1):
        state.apply(last)
        if events <= since:
            continue
        chance = random.Random(f"{seed}/{events}")
        fates = [disk.DROPPED, disk.KEPT]
        fates += [disk.torn(chance)] if isinstance(last, Write) else []
        fates += [disk.drawn(chance) for _ in range(extra)]
        for fate in fates:
            yield events, fate, state.image(fate, last, chance)


def lose_power(
    told: Told,
    folder: Path,
    *,
    seed: int,
    extra: int = 1,
    images_max: int = NO_LIMIT,
    found_max: int = NO_LIMIT,
    since: int = 0,
) -> Tally:
    """Judge the story's losses after more than ``since`` events, in the empty ``folder``.

    After ``images_max`` images only those that were seen before are judged; after ``found_max`` problems
    none.
    """
    began = time.monotonic()
    tally = Tally(steps=len(told.history.steps))
    known: dict[bytes, Seen] = {}
    verified: Verified = {}
    for events, fate, image in images(told, seed, extra, since):
        digest = _digest(image)
        if digest not in known:
            if len(known) >= images_max:
                continue
            known[digest] = look(image, folder, verified)
            tally.by_fate[fate.name] += 1
        problems, missing = told.history.judge(known[digest], events)
        tally.losses += 1
        tally.events = events
        tally.missing += missing > 0
        tally.missing_most = max(tally.missing_most, missing)
        tally.found += [Loss(events, fate, problem) for problem in problems]
        if len(tally.found) >= found_max:
            break
    tally.images = len(known)
    tally.seconds = time.monotonic() - began
    return tally


def _digest(image: Image) -> bytes:
    found = hashlib.blake2b()
    for name, content in sorted(image.items()):
        found.update(f"{name}/{len(content)}/".encode() + content)
    return found.digest()
