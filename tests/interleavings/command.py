"""`./dev interleave [--all] [--play 'ACT + ACT' [--schedule 0110]]`: orders of statements on PostgreSQL.

Without options: what every push runs. ``--all``: all pairs and threes of acts, all their schedules with
at most three preemptions. ``--play`` runs one of them, and with ``--schedule`` in one order, step by step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from devtools.servers import PostgresServer
from tests.interleavings.plays import Play, Stage, pairs, threes

PAIRS_LIMIT = 5
THREES_LIMIT = 3
THREES_EVERY = 6
"""Of a push: so many schedules of each pair, and of each sixth three."""


def every_push() -> Iterator[tuple[Play, int | None]]:
    """Plays with their limits."""
    for play in pairs():
        yield play, PAIRS_LIMIT
    for at, play in enumerate(threes()):
        if at % THREES_EVERY == 0:
            yield play, THREES_LIMIT


def everything() -> Iterator[tuple[Play, int | None]]:
    """All of them, whole."""
    for play in (*pairs(), *threes()):
        yield play, None


@contextmanager
def stage_on_a_server() -> Iterator[Stage]:
    with PostgresServer() as server:
        stage = Stage(server.create_database("interleavings"))
        try:
            yield stage
        finally:
            stage.close()


def main(arguments: Sequence[str]) -> int:
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(prog="./dev interleave", description=lines[0])
    parser.add_argument("--all", action="store_true", help="all plays, all schedules")
    parser.add_argument("--play", metavar="ACTS", help="one play: acts with + between them")
    parser.add_argument(
        "--schedule", metavar="DIGITS", help="one order of it: whose step, one after the other"
    )
    given = parser.parse_args(arguments)
    with stage_on_a_server() as stage:
        if given.play:
            play = tuple(name.strip() for name in given.play.split("+"))
            return _one(stage, play, given.schedule)
        began, found = time.monotonic(), 0
        plays = list(everything() if given.all else every_push())
        for at, (play, limit) in enumerate(plays, 1):
            for wrong in stage.explore(play, limit=limit):
                found += 1
                print(wrong, flush=True)
            if at % 200 == 0:
                print(f"{at} of {len(plays)} plays, {stage.schedules:,} schedules, {found} wrong", flush=True)
        print(
            f"{stage.plays:,} plays, {stage.schedules:,} schedules of up to {stage.most} steps"
            f" ({stage.steps:,} in all), {stage.waits:,} waits for a lock, {stage.reruns:,} operations begun"
            f" again; {found} plays wrong; {time.monotonic() - began:.0f} s"
        )
        return 1 if found else 0


def _one(stage: Stage, play: Play, schedule: str | None) -> int:
    if schedule is None:
        wrong = stage.explore(play)
        print("\n".join(wrong) or f"{' + '.join(play)}: {stage.schedules} schedules, nothing found")
        return 1 if wrong else 0
    course, found = stage.perform(play, [int(digit) for digit in schedule])
    print("\n".join([*course.story, *found]))
    for name, session in zip(play, stage.stepper.sessions, strict=False):
        print(f"{name}: {session.result!r}")
    return 1 if found else 0
