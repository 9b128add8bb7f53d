"""Which orders are to be hit, and where: chosen by chance from a seed, the same for all lanes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .points import POINTS, Where

ORDERS_PER_CRASH = 3
"""A crash has so many orders to itself, so that no two of them meet."""


@dataclass(frozen=True, slots=True)
class Crash:
    """What is to happen to the worker that comes to a point of an order: SIGKILL, or SIGSTOP for a while."""

    order_id: str
    where: Where
    how: Literal["kill", "stop"]


@dataclass(frozen=True, slots=True)
class Plan:
    """All crashes, and the order that lane C's task fails on."""

    crashes: tuple[Crash, ...]
    poison: str


def orders_needed(kills: int) -> int:
    """How many orders a plan with so many kills takes: the zombie and the poison want some, too."""
    return ORDERS_PER_CRASH * (kills + 2)


def make_plan(order_ids: Sequence[str], *, kills: int, seed: int) -> Plan:
    """Crashes spread over the orders, the points in equal shares.

    The zombie comes first and the poison second, for both take a while to be seen through.
    """
    chance = random.Random(seed)
    share = len(order_ids) / (kills + 2)
    victims = [
        chance.choice(order_ids[round(share * no) : max(round(share * (no + 1)) - 1, round(share * no) + 1)])
        for no in range(kills + 2)
    ]
    zombie, poison, *others = victims
    points: list[Where] = [list(POINTS)[no % len(POINTS)] for no in range(kills)]
    chance.shuffle(points)
    paused = Crash(zombie, chance.choice(("before", "gap")), "stop")
    killed = (Crash(order, where, "kill") for order, where in zip(others, points, strict=True))
    return Plan((paused, *killed), poison)
