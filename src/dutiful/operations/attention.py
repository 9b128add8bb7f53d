"""Attention: what needs a person, one line for each thing, with who took it and who has seen it.

It is the verdict's own list with what people said of it, so that the two cannot disagree. What somebody has
acknowledged is not gone: it is counted as seen, and comes back when the acknowledgement lapses.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from ..model.verdict import Thing, Verdict, judge
from .numbers import read
from .plan import Call, Row, Steps, query
from .unseen import acked
from .words import jobs

SEEN_MAX = 100
SOON_US = 86_400_000_000


class Item(Struct, frozen=True):
    """A thing, and what people said of it. ``owner``: who took it, else whose the task is.

    ``seen``: somebody has acknowledged it, and that has not lapsed; ``lapsed``: somebody had.
    """

    thing: Thing
    owner: str
    taken_us: int | None = None
    seen: bool = False
    lapsed: bool = False
    seen_by: str | None = None
    seen_us: int | None = None
    until_us: int | None = None
    note: str | None = None


class Attention(Struct, frozen=True):
    """The list, worst first and of these the oldest; what was seen comes last.

    ``cleared`` is what was last cleared, and when: for a page on which nothing else stands.
    """

    verdict: Verdict
    items: tuple[Item, ...]
    cleared: tuple[str, int] | None

    @property
    def waiting(self) -> int:
        """How many need a person who has not said that they know."""
        return sum(1 for one in self.items if not one.seen)

    @property
    def seen(self) -> int:
        """How many somebody knows of."""
        return sum(1 for one in self.items if one.seen)

    @property
    def lapsing(self) -> int:
        """How many of the seen ones will be unseen within a day."""
        soon = self.verdict.as_of_us + SOON_US
        return sum(1 for one in self.items if one.seen and one.until_us is not None and one.until_us < soon)


@query
def look(app: str, *, mine: str | None = None) -> Steps[Attention]:
    """What needs a person now; ``mine``: only what this owner has."""
    numbers = yield from read(app)
    verdict = judge(numbers)
    acks = {row[0]: row for row in (yield Call("read_acks", {"app": app}))}
    items = [_item(thing, acks, numbers.now_us) for thing in verdict.things]
    known = {one.thing.key for one in items}
    for row in (yield Call("seen_groups", {"app": app, "limit": SEEN_MAX})):
        if (key := f"group:{row[0]}") not in known:
            items.append(_item(_group(row, key), acks, numbers.now_us))
    rows = yield Call("last_cleared", {"app": app})
    if mine is not None:
        items = [one for one in items if one.owner == mine]
    items.sort(key=lambda one: one.seen)  # stable: within both parts as the verdict has them
    return Attention(verdict, tuple(items), (rows[0][0], rows[0][1]) if rows else None)


def _item(thing: Thing, acks: Mapping[str, Row], now: int) -> Item:
    row = acks.get(thing.key)
    if row is None:
        return Item(thing, thing.owner)
    _, owner, taken, by, at, note, until, _ = row
    # A group is a thing of the verdict only while nobody has seen it: there a new release counts, too.
    unseen_group = thing.number == "unseen" and thing.amount > 0
    seen = acked(row, thing.size, now) and not unseen_group
    return Item(
        thing, owner or thing.owner, taken, seen, lapsed=at is not None and not seen, seen_by=by, seen_us=at,
        until_us=until, note=note,
    )  # fmt: skip


def _group(row: Row, key: str) -> Thing:
    fingerprint, task, reason, kind, n, first = row
    sentence = f"{kind or reason} in {task}: {jobs(int(n))} dead"
    return Thing(key, "unseen", sentence, 0, int(n), first, "", f"dead?fp={fingerprint}")
