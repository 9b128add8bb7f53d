"""Gates: in what turn, how many at once and how often jobs of one key may start.

Declared on a task, with templates over its arguments as ``once=`` has them. A job passes its gates one
after another: its order, its lock, its share, its rate. While it waits at one it costs claims nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

from msgspec import Struct

from .durations import Duration, microseconds
from .errors import InvalidTask
from .keys import Template

Kind = Literal["order", "lock", "fair", "rate"]
OnBusy = Literal["wait", "skip", "dead"]

FAIR_PLACES = 100
"""So many jobs of one key of ``fair=`` stand in a queue at once; the others wait outside."""
SLOTS_MAX = 10_000
TIMES_MAX = 1_000_000


class Lock(Struct, frozen=True):
    """At most ``slots`` jobs of one key run at once. ``Lock("account:{account_id}")``: one.

    A job takes its place when its turn comes, and gives it back when it leaves "running": after a failure
    it stands in line again, at the back. ``on_busy="skip"`` or ``"dead"``: it does not wait. When a worker
    has claimed it and finds no place free, it is skipped (done, and told so), or dead. Raises InvalidTask
    for slots outside 1 to 10,000.
    """

    key: str
    slots: int = 1
    on_busy: OnBusy = "wait"

    def __post_init__(self) -> None:
        _whole(self.slots, "Lock(slots=)", SLOTS_MAX)
        _known_busy(self.on_busy, "Lock")


class Order(Struct, frozen=True):
    """Jobs of one key run first in, first out, by the order of the commits that stored them.

    A job holds its place until it is closed: while it waits for another try, the others wait behind it.
    ``on_dead`` says what a dead job does to those behind it: "block" (they wait until a person has closed
    it) or "pass" (they go on without).
    """

    key: str
    on_dead: Literal["block", "pass"] = "block"

    def __post_init__(self) -> None:
        if self.on_dead not in ("block", "pass"):
            raise InvalidTask(f"Order(on_dead=) is block or pass, not {self.on_dead!r}.")


class Rate(Struct, frozen=True):
    """At most ``times`` starts ``per`` duration and key, and at most ``burst`` at once (default: 1).

    In any window there are no more starts than its share of the rate and ``burst``. Without a key the rate
    is the task's. ``on_busy="skip"`` or ``"dead"``: a job that a worker has claimed and for which there is
    no start does not wait, as with :class:`Lock`. Raises InvalidTask for times or a burst outside 1 to
    1,000,000.
    """

    times: int
    per: Duration = "1s"
    key: str | None = None
    burst: int = 1
    on_busy: OnBusy = "wait"

    def __post_init__(self) -> None:
        _known_busy(self.on_busy, "Rate")
        _whole(self.times, "Rate(times)", TIMES_MAX)
        _whole(self.burst, "Rate(burst=)", TIMES_MAX)
        if microseconds(self.per, what="per") <= 0:
            raise InvalidTask("Rate(per=) is a duration above 0.")

    @property
    def start_us(self) -> int:
        """Microseconds from one start to the next, at least 1."""
        return _start_us(self.per, self.times)


class Gate(Struct, frozen=True):
    """One gate of one job: what it is for, and how it is declared."""

    kind: Kind
    key: str
    slots: int
    passes: bool = False
    per_us: int | None = None
    burst: int | None = None
    on_busy: OnBusy = "wait"

    @property
    def row(self) -> dict[str, Any]:
        """As the statements are given it."""
        return {
            "kind": self.kind,
            "key": self.key,
            "slots": self.slots,
            "passes": self.passes,
            "per": self.per_us,
            "burst": self.burst,
        }


class Gates(Struct, frozen=True):
    """What a task declares about gates, its templates parsed.

    :meth:`of` is where a job waits, in the order of passing; :meth:`judged` what is judged at its claim.
    """

    order: tuple[Template, Order] | None = None
    lock: tuple[Template, Lock] | None = None
    fair: Template | None = None
    rate: tuple[Template, Rate] | None = None

    @classmethod
    def parse(
        cls,
        task: str,
        parameters: Mapping[str, Any] | Sequence[str],
        order: str | Order | None,
        lock: str | Lock | None,
        rate: Rate | None,
        fair: str | None,
    ) -> Gates | None:
        """None where nothing is declared. Raises InvalidTask, InvalidTemplate."""
        for what, value, kinds in (
            ("order", order, (str, Order)),
            ("lock", lock, (str, Lock)),
            ("rate", rate, (Rate,)),
            ("fair", fair, (str,)),
        ):
            if value is not None and not isinstance(value, kinds):
                names = " or a ".join("template" if kind is str else kind.__name__ for kind in kinds)
                raise InvalidTask(f"{task}: {what}= is a {names}, not {value!r}.")
        if order is None and lock is None and rate is None and fair is None:
            return None
        order = Order(order) if isinstance(order, str) else order
        lock = Lock(lock) if isinstance(lock, str) else lock

        def parsed(text: str, what: str) -> Template:
            return Template.parse(text, parameters, what)

        return cls(
            None if order is None else (parsed(order.key, "order"), order),
            None if lock is None else (parsed(lock.key, "lock"), lock),
            None if fair is None else parsed(fair, "fair"),
            None if rate is None else (parsed(rate.key or task.translate(_BRACES), "rate"), rate),
        )

    def of(self, arguments: Mapping[str, Any]) -> tuple[Gate, ...]:
        """Where a job with these arguments (defaults filled in) waits. Raises InvalidOption."""
        return tuple(gate for gate in self._all(arguments) if gate.on_busy == "wait")

    @property
    def judges(self) -> bool:
        """Whether anything is judged when a job is claimed."""
        return any(one is not None and one[1].on_busy != "wait" for one in (self.lock, self.rate))

    def judged(self, arguments: Mapping[str, Any]) -> tuple[Gate, ...]:
        """What a job must find free when it is claimed, and does not wait for. Raises InvalidOption."""
        return tuple(gate for gate in self._all(arguments) if gate.on_busy != "wait")

    def _all(self, arguments: Mapping[str, Any]) -> tuple[Gate, ...]:
        found = []
        if self.order is not None:
            template, order = self.order
            found.append(Gate("order", template.render(arguments), 1, passes=order.on_dead == "pass"))
        if self.lock is not None:
            template, lock = self.lock
            found.append(Gate("lock", template.render(arguments), lock.slots, on_busy=lock.on_busy))
        if self.fair is not None:
            found.append(Gate("fair", self.fair.render(arguments), FAIR_PLACES))
        if self.rate is not None:
            template, rate = self.rate
            key = template.render(arguments)
            found.append(Gate("rate", key, 0, per_us=rate.start_us, burst=rate.burst, on_busy=rate.on_busy))
        return tuple(found)


@cache
def _start_us(per: Duration, times: int) -> int:
    """Asked anew for each job that is enqueued."""
    return max(1, -(-microseconds(per, what="per") // times))


_BRACES = str.maketrans({"{": "{{", "}": "}}"})


def granted(
    level: float, level_at_us: int, per_us: int, burst: int, begun: Sequence[int], open_: int, now_us: int
) -> tuple[float, int]:
    """What a bucket holds now, and how many starts it can grant.

    ``level`` is what it held at ``level_at_us``; since then starts were seen at the instants ``begun``, and
    ``open_`` granted ones have not begun yet. It fills by one each ``per_us``, up to ``burst``, and a start
    takes one: so in any window there are no more starts than it fills by in it, and ``burst``. What was
    granted and has not begun is kept back.
    """
    at = level_at_us
    for instant in sorted(begun):
        instant = max(instant, at)  # seen late: it takes one now
        level = min(float(burst), level + (instant - at) / per_us) - 1.0
        at = instant
    level = min(float(burst), level + max(0, now_us - at) / per_us)
    return level, max(0, int(level + 1e-9) - open_)


def _known_busy(word: object, kind: str) -> None:
    if word not in ("wait", "skip", "dead"):
        raise InvalidTask(f"{kind}(on_busy=) is wait, skip or dead, not {word!r}.")


def _whole(value: object, what: str, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidTask(f"{what}={value!r} is no whole number from 1 to {most:,}.")
