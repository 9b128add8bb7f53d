"""Which acts meet: all pairs, and the threes in which each meets both others."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from tests.interleavings.acts import ACTS
from tests.interleavings.judge import judge
from tests.interleavings.scene import Scene
from tests.interleavings.schedules import PREEMPTIONS_MAX, explore, follow
from tests.interleavings.stepping import Course, Stepper

Play = tuple[str, ...]

ABOUT: dict[str, tuple[str, ...]] = {
    "the silent": (
        "claim one", "claim all", "claim for the silent", "beat of the silent", "bury workers", "reap",
        "leave of the silent", "complete of the silent", "fail of the silent", "bury of the silent",
        "snooze of the silent", "release of the silent", "complete of the started", "bury of the started",
        "read back", "exact work of the silent", "exact work of the next run", "enqueue of the silent",
        "prune duties", "leave of the busy",
    ),
    "the running": (
        "complete two", "fail two", "complete again", "leave of the busy", "enqueue running",
        "enqueue running again", "lent rc: enqueue running", "lent rr: enqueue running",
        "lent s: enqueue running", "start", "exact work", "claim one",
    ),
    "the ready": (
        "claim one", "claim all", "cancel", "cancel plain", "enqueue ready", "replace ready", "sweep",
        "lent rc: enqueue ready", "lent rr: enqueue ready", "lent s: enqueue ready",
        "lent rc: replace ready", "lent rr: replace ready", "lent s: replace ready",
    ),
    "the new": (
        "enqueue new", "lent rc: enqueue new", "lent rr: enqueue new", "lent s: enqueue new", "claim one",
        "lent rc: once", "lent rr: once", "lent s: once",
    ),
    "the dead": (
        "retry dead", "waive dead", "enqueue dead", "lent rc: enqueue dead", "lent rr: enqueue dead",
        "lent s: enqueue dead", "claim one", "prune duties",
    ),
    "the ended": (
        "retry cancelled", "enqueue cancelled", "lent rc: enqueue cancelled", "lent rr: enqueue cancelled",
        "lent s: enqueue cancelled", "enqueue done again", "prune duties", "claim one",
    ),
    "the doubted": ("confirm", "refute", "waive doubted", "enqueue doubted", "claim one", "prune duties"),
}  # fmt: skip
"""By what they are about: acts that look at or change the same rows."""

TWICE = ("claim one", "reap", "retry dead", "cancel", "enqueue new", "enqueue dead", "refute", "exact work")
"""What two sessions may do at the same time in the very same words."""


def pairs() -> Iterator[Play]:
    """Each two acts about the same, and some of them twice."""
    seen = set()
    for acts in ABOUT.values():
        for play in itertools.combinations(acts, 2):
            if play not in seen:
                seen.add(play)
                yield play
    for name in TWICE:
        yield name, name


def threes() -> Iterator[Play]:
    """Each three acts about the same."""
    seen = set()
    for acts in ABOUT.values():
        for play in itertools.combinations(acts, 3):
            if play not in seen:
                seen.add(play)
                yield play


class Stage:
    """A scene, the sessions, and what came of all that was played."""

    def __init__(self, url: str) -> None:
        self.scene = Scene(url)
        self.stepper = Stepper(url, self.scene.clock)
        self.schedules = self.waits = self.reruns = self.steps = 0
        self.plays = 0
        self.most = 0

    def close(self) -> None:
        self.stepper.close()
        self.scene.close()

    def perform(self, play: Play, schedule: Sequence[int] = ()) -> tuple[Course, list[str]]:
        """One schedule of a play, and what is wrong afterwards."""
        scene = self.scene
        assert all(name in ACTS for name in play)
        scene.put_back()
        leases = dict(scene.leases)
        acts: list[Any] = [lambda session, act=ACTS[name]: act(scene, session) for name in play]
        course = self.stepper.run(acts, follow(schedule))
        found = judge(scene, list(zip(play, self.stepper.sessions, strict=False)))
        scene.leases = leases
        self.schedules += 1
        self.steps += len(course.points)
        self.waits += course.waits
        self.reruns += sum(session.engine.reruns for session in self.stepper.sessions[: len(play)])
        self.most = max(self.most, len(course.points))
        if self.schedules % 300 == 0:
            scene.vacuum()
        return course, found

    def explore(
        self, play: Play, *, limit: int | None = None, preemptions: int = PREEMPTIONS_MAX
    ) -> list[str]:
        """All schedules of a play, or the first ``limit``; says of the first bad one what is wrong."""
        self.plays += 1
        wrong: list[str] = []

        def run(schedule: Sequence[int]) -> Course:
            course, found = self.perform(play, schedule)
            wrong.extend(found)
            return course

        for course in explore(run, preemptions, limit):
            if wrong:
                told = "\n    ".join(course.story)
                again = f"./dev interleave --play '{' + '.join(play)}' --schedule {_text(course)}"
                return [f"{' + '.join(play)}: {'; '.join(wrong)}\n    {told}\n    {again}"]
        return []


def _text(course: Course) -> str:
    return "".join(map(str, course.schedule))
