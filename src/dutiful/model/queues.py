"""Queues in the order in which a worker asks them: strictly as listed, or by a weighted shuffle.

``"mail,billing"`` is strict: billing is asked only for what mail leaves over. Any ``:n``, as in
``"critical:4,default"``, makes all weighted (a missing weight is 1): critical comes first in four of
five rounds, and nobody starves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from msgspec import Struct

from .errors import InvalidOption

NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
QUEUES_MAX = 1000
WEIGHT_MAX = 1000

_HINT = 'Write names with commas between them, "mail,billing", or with weights, "critical:4,default".'


class QueueOrder(Struct, frozen=True):
    """Queues, each once; ``weights`` (one for each name) is None where the order is strict."""

    names: tuple[str, ...]
    weights: tuple[int, ...] | None = None

    def order(self, chance: Callable[[], float]) -> list[str]:
        """All names, in the order for one round; ``chance`` gives numbers from 0 up to below 1.

        Weighted: the first is drawn by weight, the second among the rest by weight, and so on
        (Efraimidis and Spirakis, 2006: each waits for a time that is exponential in its weight).
        """
        if self.weights is None:
            return list(self.names)
        waits = {
            name: -math.log(1.0 - chance()) / weight
            for name, weight in zip(self.names, self.weights, strict=True)
        }
        return sorted(self.names, key=waits.__getitem__)

    def __str__(self) -> str:
        if self.weights is None:
            return ",".join(self.names)
        return ",".join(f"{name}:{weight}" for name, weight in zip(self.names, self.weights, strict=True))


def parse_queues(text: str) -> QueueOrder:
    """Read ``-q``; raises InvalidOption, which says what is wrong and how it is written."""
    if not text.strip():
        raise InvalidOption("queues= is empty.", hint=_HINT)
    names: list[str] = []
    weights: list[int | None] = []
    for part in text.split(","):
        name, colon, weight = (piece.strip() for piece in part.partition(":"))
        if not NAME.fullmatch(name):
            raise InvalidOption(f"queues={text!r}: {_why_no_name(name, part)}.", hint=_HINT)
        if name in names:
            raise InvalidOption(f"queues={text!r} names {name!r} twice.", hint="Name each queue once.")
        names.append(name)
        weights.append(_weight(text, name, weight) if colon else None)
    if len(names) > QUEUES_MAX:
        raise InvalidOption(f"queues= names {len(names)} queues; a worker takes at most {QUEUES_MAX}.")
    if all(weight is None for weight in weights):
        return QueueOrder(tuple(names))
    return QueueOrder(tuple(names), tuple(1 if weight is None else weight for weight in weights))


def _weight(text: str, name: str, weight: str) -> int:
    if not weight.isascii() or not weight.isdecimal() or not 1 <= int(weight[:9]) <= WEIGHT_MAX:
        raise InvalidOption(
            f"queues={text!r}: the weight of {name!r} is {weight!r}, "
            f"not a whole number from 1 to {WEIGHT_MAX}.",
            hint=_HINT,
        )
    return int(weight)


def _why_no_name(name: str, part: str) -> str:
    if not part.strip():
        return "there is a comma with no queue before or after it"
    if "=" in name:
        return f"{part.strip()!r} has an = where a weight has a colon ({part.strip().replace('=', ':')!r})"
    return f"{name!r} is no name of a queue: letters, digits, _ . and - only, at most 100"
