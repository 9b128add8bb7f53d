"""What one exploration is about: a delivery, a provider, and how many faults it may contain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tests.protocol.nouns import (
    IDLE,
    Duty,
    Effect,
    Job,
    Left,
    Other,
    State,
    Store,
    World,
)  # fmt: skip

Delivery = Literal["at_least_once", "at_most_once", "exactly_once", "elsewhere"]
"""``elsewhere`` is exactly_once with work and ledger in another database than the queue."""


@dataclass(frozen=True)
class Provider:
    """The third party of the effect: how long it remembers a key (0: it has no keys), in ticks."""

    remembered: int = 0
    margin: int = 1  # also the longest pause between deciding to call and the call's arrival
    lookup: bool = False
    clock_max: int = 4


@dataclass(frozen=True)
class Bounds:
    """A configuration. ``duties`` gives each job its duty; ``waived`` says what is not checked, and why."""

    name: str
    delivery: Delivery
    left: Left
    duties: tuple[int, ...] = (0, 0)
    workers: int = 2
    epochs: int = 2
    attempts_max: int = 2
    crashes_max: int = 1
    provider: Provider | None = None
    failover: Literal["", "queue", "other"] = ""
    prune: bool = False
    waived: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def cells(self) -> int:
        return (max(self.duties) + 1) * self.epochs

    def first(self) -> State:
        """Nothing is enqueued, nothing has happened."""
        jobs, cells = len(self.duties), self.cells
        return State(
            db=Store(
                jobs=(Job(),) * jobs,
                duties=(Duty(),) * (max(self.duties) + 1),
                ledger=(None,) * cells,
                works=(0,) * cells,
                effect=Effect(),
            ),
            other=Other((None,) * cells, (0,) * cells),
            runs=(IDLE,) * self.workers,
            world=World((0,) * jobs, (0,) * jobs, (0,) * cells, (0,) * cells, (0,) * cells),
            left=self.left,
        )
