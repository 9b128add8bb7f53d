"""The scenarios: what is done to a task, one fresh world each, and what that left behind."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from .boundaries import Event, Fault, Plan
from .runs import Scene
from .schedules import Turns
from .states import Table

if TYPE_CHECKING:
    from .drilling import Drilling, Stage

Name = Literal["X1", "X2", "X3", "X4", "X5", "X6", "X7", "X8", "X9", "X10", "X11"]
TITLES: dict[Name, str] = {
    "X1": "twice",
    "X2": "two at a time",
    "X3": "crash",
    "X4": "commit unanswered",
    "X5": "overtaken",
    "X6": "error",
    "X7": "late",
    "X8": "out of order",
    "X9": "foreign write",
    "X10": "provider",
    "X11": "older arguments",
}
Args = tuple[tuple[Any, ...], dict[str, Any]]
PAIRS_MAX = 60
"""So many schedules of two runs, at most."""
FOREIGN_MAX = 12


@dataclass(frozen=True)
class Scenario:
    """One thing to try. ``play`` does it; ``words`` tell it once the reference's boundaries are known."""

    name: Name
    words: str
    play: Callable[[Scene, str, Stage], None]
    fault: Fault | None = None
    args: Args | None = None
    """Other arguments for the job."""
    sibling: Args | None = None
    """Run before it."""
    twin: bool = False
    foreign: bool = False

    @property
    def title(self) -> str:
        """The scenario and its kind."""
        return f"{self.name} {TITLES[self.name]}"


class NotPlayed(Exception):
    """The schedule cannot take place here: the paused run holds what the other needs to begin."""


def all_of(drilling: Drilling) -> dict[Name, list[Scenario]]:
    """Every scenario of a task, those that tell most first within each kind."""
    events = drilling.trace.events
    kinds: dict[Name, list[Scenario]] = {
        "X1": list(_twice(drilling)),
        "X3": list(_crashes(events)),
        "X6": list(_errors(events)),
        "X4": list(_unanswered(events)),
        "X10": list(_provider(events)),
        "X7": list(_late()),
        "X9": list(_foreign(events)) if drilling.task.policy.delivery != "at_most_once" else [],
        "X5": [_two("X5", n, None, events) for n in sorted(range(len(events)), key=_looked(events))],
        "X2": list(_pairs(events)),
        "X8": list(_siblings(drilling)),
        "X11": [_golden(args) for args in drilling.golden],
    }
    return kinds


def chosen(
    kinds: dict[Name, list[Scenario]], only: str | None, limit: int | None, seed: int
) -> list[Scenario]:
    """The scenarios to play: all, or a fair part of each kind, in turns."""
    if only is not None:
        return list(kinds.get(only, []))[:limit]  # type: ignore[call-overload]
    if limit is None:
        return [one for every in kinds.values() for one in every]
    chance = random.Random(seed)
    left = {
        name: every[:3] + chance.sample(every[3:], len(every[3:])) for name, every in kinds.items() if every
    }
    found: list[Scenario] = []
    while left and len(found) < limit:
        for name in list(left):
            found.append(left[name].pop(0))
            if not left[name]:
                del left[name]
    return found[:limit]


def _after(events: list[Event], number: int) -> str:
    return f"after {events[number - 1]}" if number else f"before {events[0]}"


def _spread(numbers: list[int], events: list[Event]) -> list[int]:
    """After commits and calls first: there a cut tells most."""
    return sorted(numbers, key=lambda n: (n == 0 or events[n - 1].kind not in ("commit", "call"), -n))


def faulty(plan: Plan) -> Callable[[Scene, str, Stage], None]:
    """One run with a fault, then as often as it takes."""

    def play(scene: Scene, id: str, stage: Stage) -> None:
        track = scene.run(stage.track(plan))
        if track is not None and track.struck is None:
            raise NotPlayed
        if plan.what == "forgotten":
            stage.provider.forget()
            scene.clock.us += 400 * 86_400_000_000
        stage.status = scene.to_the_end(id)

    return play


def _twice(drilling: Drilling) -> Iterator[Scenario]:
    last = len(drilling.trace.events) - 1
    yield Scenario("X1", "twice: run whole, its end lost, run again", faulty(Plan(last, "crash")), "crash")
    if drilling.task.once is not None:

        def again(scene: Scene, id: str, stage: Stage) -> None:
            stage.enqueue_again()
            stage.status = scene.to_the_end(id)
            stage.enqueue_again()
            scene.run(stage.track(None))

        yield Scenario("X1", "enqueued three times, before and after it ran", again)


def _crashes(events: list[Event]) -> Iterator[Scenario]:
    for n in _spread(list(range(len(events))), events):
        yield Scenario("X3", f"{_after(events, n)}, rerun", faulty(Plan(n, "crash")), "crash")


def _errors(events: list[Event]) -> Iterator[Scenario]:
    for event in events:
        if event.kind in ("statement", "write", "call") and event.place is not None:
            words = f"{event} raises, then rerun"
            yield Scenario("X6", words, faulty(Plan(event.number, "error")), "error")


def _unanswered(events: list[Event]) -> Iterator[Scenario]:
    for event in events:
        if event.kind == "commit" and not event.effect:
            for what, words in (("lost_applied", "applied"), ("lost_unapplied", "not applied")):
                plan = Plan(event.number, what)  # type: ignore[arg-type]
                yield Scenario("X4", f"{event} {words}, its answer lost", faulty(plan), plan.what)


def _provider(events: list[Event]) -> Iterator[Scenario]:
    said: dict[Fault, str] = {
        "timeout_applied": "applied, then a time-out",
        "429": "an answer of 429",
        "forgotten": "applied, then a time-out, and the key is forgotten",
        "500_applied": "applied, then an answer of 500",
        "timeout": "a time-out, not applied",
    }
    for event in (one for one in events if one.kind == "call"):
        for what, words in said.items():
            if what != "forgotten" or event.effect:
                yield Scenario("X10", f"{event}: {words}; rerun", faulty(Plan(event.number, what)), what)


def _late() -> Iterator[Scenario]:
    def at(words: str, when: Callable[[datetime], datetime], zone: str | None = None) -> Scenario:
        def play(scene: Scene, id: str, stage: Stage) -> None:
            now = datetime.fromtimestamp(scene.clock.us / 1e6, UTC)
            scene.clock.us = round(when(now).timestamp() * 1_000_000)
            with stage.zone(zone):
                stage.status = scene.to_the_end(id)

        return Scenario("X7", f"run {words}", play)

    yield at("a day later", lambda now: now + timedelta(days=1))
    yield at("31 days later", lambda now: now + timedelta(days=31))
    yield at("in another time zone", lambda now: now, "Pacific/Kiritimati")
    yield at("after the year's end", lambda now: datetime(now.year + 1, 1, 1, 0, 0, 30, tzinfo=UTC))
    yield at(
        "when clocks go back", lambda now: datetime(now.year + 1, 10, 31, 1, 30, tzinfo=UTC), "Europe/Berlin"
    )


def _foreign(events: list[Event]) -> Iterator[Scenario]:
    places = [n for n in range(1, len(events)) if events[n - 1].kind == "commit" or n == len(events) - 1]
    for n in _spread(places, events)[:FOREIGN_MAX]:

        def play(scene: Scene, id: str, stage: Stage, n: int = n) -> None:
            track = scene.run(stage.track(Plan(n, "crash")))
            if track is not None and not track.crashed:
                raise NotPlayed
            stage.foreign_write()
            stage.status = scene.to_the_end(id)

        words = f"cut off {_after(events, n)}, then somebody else changes the numbers, rerun"
        yield Scenario("X9", words, play, "crash", foreign=True)


def _two(name: Name, away: int, back: int | None, events: list[Event]) -> Scenario:
    def play(scene: Scene, id: str, stage: Stage) -> None:
        turns = Turns(away, back, stage.world.waits)
        claimed = scene.claim()
        assert claimed is not None
        first_worker, lease = claimed
        first_track = stage.track(None, turns.at("first"), turns.blocked("first"))
        first = scene.start(lease, first_track, own_engine=True, ended=lambda: turns.ended("first"))
        turns.paused.wait(20)
        second = None
        if turns.met:
            free = scene.lapse(first_worker)
            again = scene.claim() if free else None
            if again is not None:
                turns.second_starts()
                track = stage.track(None, turns.at("second"), turns.blocked("second"))
                ended = lambda: turns.ended("second")  # noqa: E731
                second = scene.start(again[1], track, own_engine=True, ended=ended)
            else:
                turns.ended("second")
        first.join()
        if not turns.met:
            raise NotPlayed
        if second is not None:
            second.join()
            assert again is not None
            order = [(again[0], second), (first_worker, first)]
        else:
            order = [(first_worker, first)]
        for worker, body in order:
            if body.ending is not None:
                scene.settle(worker, body)
        stage.status = scene.to_the_end(id)

    if back is None:
        words = f"a second run overtakes {_after(events, away)}, then the first goes on"
    else:
        words = (
            f"a second run begins {_after(events, away)}, the first goes on when it is {_after(events, back)}"
        )
    return Scenario(name, words, play, twin=True)


def _looked(events: list[Event]) -> Callable[[int], tuple[bool, int]]:
    """Sorts first the places at which a run has looked, and is about to write or to call."""
    return lambda n: (not (0 < n < len(events) and events[n].kind in ("write", "call")), n)


def _pairs(events: list[Event]) -> Iterator[Scenario]:
    numbers = range(len(events))
    pairs = [(i, j) for i in numbers for j in numbers if j > 0]
    # the same line in both, first: both have read, and neither has written
    looked = _looked(events)
    pairs.sort(key=lambda pair: (abs(pair[0] - pair[1]), looked(pair[0])))
    for i, j in pairs[:PAIRS_MAX]:
        yield _two("X2", i, j, events)


def _siblings(drilling: Drilling) -> Iterator[Scenario]:
    if drilling.task.gates is not None:
        return  # an order is declared: the queue keeps it
    for args in drilling.siblings:

        def play(scene: Scene, id: str, stage: Stage) -> None:
            stage.status = scene.to_the_end(id)

        yield Scenario("X8", f"after its sibling {args[0] or args[1]}", play, sibling=args)


def _golden(args: Args) -> Scenario:
    def play(scene: Scene, id: str, stage: Stage) -> None:
        stage.status = scene.to_the_end(id)

    return Scenario("X11", f"with the older arguments {args[0] or args[1]}", play, args=args)


def bumped(
    reference: dict[str, Table], start: dict[str, Table], now: dict[str, Table]
) -> Iterator[tuple[str, str, dict[str, Any], Any]]:
    """Numbers that the task has changed by now: (table, column, key, by how much to change it).

    By three times the task's own change, the other way: a guard like ``where balance < 100`` then stands
    open again, and nothing but the task's own key keeps it from working twice.
    """
    for name, table in reference.items():
        if name not in start or name not in now or not table.key:
            continue
        old, current = start[name].by_key(), now[name].by_key()
        for key, row in table.by_key().items():
            if key not in old or key not in current:
                continue
            for column, after, before, is_ in zip(table.columns, row, old[key], current[key], strict=True):
                number = all(
                    isinstance(v, (int, float, Decimal)) and not isinstance(v, bool) for v in (after, before)
                )
                if (
                    number
                    and after != before
                    and is_ == after
                    and column not in (*table.key, *table.references)
                ):
                    yield name, column, dict(zip(table.key, key, strict=True)), -3 * (after - before)
