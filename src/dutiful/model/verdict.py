"""The verdict: is anything lost, doubled, late or unseen, and can that be believed?

A pure function over what was read. Three answers, not two: a number above nought needs a person; a number
whose watchers are silent is unknown, never nought; only what is watched and nought is well. One object, which
the page, the command line, the metrics and the alerts all show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct, field

from .spans import span

Name = Literal["lost", "doubled", "late", "unseen"]
State = Literal["well", "person", "unknown"]

NAMES: Final[tuple[Name, ...]] = ("lost", "doubled", "late", "unseen")
"""The four numbers, worst first."""

WATCHED_BY: Final[Mapping[Name, tuple[str, ...]]] = {
    "lost": ("bookkeeper", "reaper", "scheduler", "checker", "reconcilers"),
    "doubled": ("sweeper", "checker", "reconcilers"),
    "late": ("sampler", "scheduler"),
    "unseen": ("prover",),
}
"""Whose silence makes a number unknown."""

WATCHERS: Final[tuple[str, ...]] = tuple(dict.fromkeys(one for name in NAMES for one in WATCHED_BY[name]))

SILENT_PERIODS: Final = 3
"""A watcher that did not look for so many of its periods is silent."""


class Thing(Struct, frozen=True):
    """One cause for which a person is needed, however many jobs it has.

    ``key`` names it for as long as it lasts. ``amount`` is what it adds to its number, ``size`` what it
    grows by (jobs, or for lateness how many times the target). ``link`` is a path on the page, ``command``
    what to type.
    """

    key: str
    number: Name
    sentence: str
    amount: int = 1
    size: int = 1
    since_us: int | None = None
    owner: str = ""
    link: str = ""
    command: str = ""


class Watch(Struct, frozen=True):
    """One who watches: how often it looks, and how long ago it did (None: it never has).

    Not ``needed``: there is nothing for it to watch, and ``unchecked`` says so.
    """

    name: str
    period_us: int
    age_us: int | None
    note: str = ""
    needed: bool = True

    @property
    def silent(self) -> bool:
        """Whether nothing it watches can be believed."""
        return self.needed and (self.age_us is None or self.age_us > SILENT_PERIODS * self.period_us)

    @property
    def sentence(self) -> str:
        """In words."""
        if self.age_us is None:
            return f"{self.name} has never looked"
        return f"{self.name} silent for {span(self.age_us)}"


class Queue(Struct, frozen=True):
    """A queue as it stands. ``due`` counts the first 200 jobs of each priority; ``depth`` all that were due
    when the sampler last looked, at ``sampled_us``. ``oldest_us``: for how long the oldest has been due.
    """

    name: str
    due: int
    oldest_us: int | None
    target_us: int | None
    paused_by: str | None
    depth: int | None
    sampled_us: int | None

    @property
    def late(self) -> bool:
        """Whether its oldest due job is beyond its target."""
        return self.oldest_us is not None and self.target_us is not None and self.oldest_us > self.target_us


class Numbers(Struct, frozen=True):
    """What was read, at one instant of the database's clock.

    ``unread`` are numbers that could not be read, or not wholly, and why. ``unchecked`` is what nobody looks
    at, in words. ``state`` and ``since_us``: what the verdict was when it was last kept, and since when.
    """

    app: str
    now_us: int
    things: Sequence[Thing] = ()
    watches: Sequence[Watch] = ()
    unread: Mapping[Name, str] = field(default_factory=dict)
    unchecked: Sequence[str] = ()
    facts: Mapping[str, int | None] = field(default_factory=dict)
    queues: Sequence[Queue] = ()
    state: State | None = None
    since_us: int | None = None


class Number(Struct, frozen=True):
    """One of the four. ``unknown`` says why it may be more than ``amount``, and is empty if it cannot."""

    name: Name
    amount: int
    unknown: str = ""

    @property
    def state(self) -> State:
        """What it says by itself."""
        return "person" if self.amount else "unknown" if self.unknown else "well"

    @property
    def sign(self) -> str:
        """One character for people: a bad number whose watchers are silent is both."""
        return ("✗" if self.amount else "") + ("?" if self.unknown else "") or "✓"


class Verdict(Struct, frozen=True):
    """What is to be said, and all that it rests on. ``things`` are in the order in which to see to them."""

    app: str
    state: State
    headline: str
    numbers: tuple[Number, ...]
    things: tuple[Thing, ...]
    watches: tuple[Watch, ...]
    unchecked: tuple[str, ...]
    facts: Mapping[str, int | None]
    queues: tuple[Queue, ...]
    as_of_us: int
    since_us: int | None

    @property
    def sign(self) -> str:
        """One character for people."""
        return {"well": "✓", "person": "✗", "unknown": "?"}[self.state]

    @property
    def title(self) -> str:
        """As short as a window's title: ``✗2``, ``?``, ``✓``."""
        return f"✗{len(self.things)}" if self.state == "person" else self.sign

    def number(self, name: Name) -> Number:
        """One of the four."""
        return self.numbers[NAMES.index(name)]


def judge(numbers: Numbers) -> Verdict:
    """The verdict. Needs-a-person outranks cannot-say, and what is unknown is still marked so."""
    watches = _complete(numbers.watches)
    four = tuple(_number(name, numbers, watches) for name in NAMES)
    things = tuple(sorted(numbers.things, key=_order))
    unknown = [one for one in four if one.unknown]
    state: State = "person" if any(one.amount for one in four) else "unknown" if unknown else "well"
    since = numbers.since_us if numbers.state == state else None
    return Verdict(
        app=numbers.app,
        state=state,
        headline=_headline(state, four, things, watches, numbers, since),
        numbers=four,
        things=things,
        watches=watches,
        unchecked=tuple(numbers.unchecked),
        facts=numbers.facts,
        queues=tuple(numbers.queues),
        as_of_us=numbers.now_us,
        since_us=since,
    )


def _complete(watches: Sequence[Watch]) -> tuple[Watch, ...]:
    """All who should watch, in order; one of whom nothing was read has never looked."""
    known = {one.name: one for one in watches}
    required = [known.pop(name, Watch(name, 0, None)) for name in WATCHERS]
    return (*required, *known.values())


def _number(name: Name, numbers: Numbers, watches: Sequence[Watch]) -> Number:
    amount = sum(thing.amount for thing in numbers.things if thing.number == name)
    reasons = [numbers.unread[name]] if name in numbers.unread else []
    silent = [one for one in watches if one.name in WATCHED_BY[name] and one.silent]
    never = [one.name for one in silent if one.age_us is None]
    if never:
        reasons.append(f"{_listed(never, 'and')} {'has' if len(never) == 1 else 'have'} never looked")
    reasons += [one.sentence for one in silent if one.age_us is not None]
    return Number(name, amount, " and ".join(reasons))


def _order(thing: Thing) -> tuple[int, int, str]:
    """Worst first, and of these the oldest; one of unknown age comes last."""
    since = (1 << 62) if thing.since_us is None else thing.since_us
    return NAMES.index(thing.number), since, thing.key


def _headline(
    state: State,
    four: Sequence[Number],
    things: Sequence[Thing],
    watches: Sequence[Watch],
    numbers: Numbers,
    since_us: int | None,
) -> str:
    unknown = [one for one in four if one.unknown]
    if all(one.silent for one in watches if one.name in WATCHERS and one.needed) and not numbers.unread:
        why = "nobody watches (no worker of this app has looked lately)"
        unknown = [Number(one.name, one.amount, why) for one in unknown]
    if state == "person":
        many = "1 thing" if len(things) == 1 else f"{len(things):,} things"
        besides = f" Besides, {_cannot(unknown)}." if unknown else ""
        return f"Needs a person: {many}.{besides}"
    if state == "unknown":
        rest = "" if len(unknown) == len(four) else "; the rest is well"
        return f"Cannot say: {_cannot(unknown)}{rest}."
    lasting = "" if since_us is None else f", for {span(numbers.now_us - since_us)}"
    if numbers.unchecked:
        missing = _listed(numbers.unchecked, "and")
        nothing = "nothing lost, nothing doubled, nothing late, nothing unseen"
        return f"Well as far as is checked{lasting}: {nothing}. Not checked yet: {missing}."
    return f"All is well{lasting}. Nothing lost, nothing doubled, nothing late, nothing unseen."


def _cannot(unknown: Sequence[Number]) -> str:
    """Which numbers are unknown and why: those of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for one in unknown:
        by_reason.setdefault(one.unknown, []).append(one.name)
    return "; ".join(
        f"{reason}, so {_listed(names, 'and')} {'is' if len(names) == 1 else 'are'} unknown"
        for reason, names in by_reason.items()
    )


def _listed(words: Sequence[str], last: str) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"
