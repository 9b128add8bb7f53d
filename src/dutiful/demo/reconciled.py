"""The lanes against the bank once more, by ``app.reconcile`` itself: what it finds missing, and done twice.

Lane C's is declared beside its task, and made by the command that a person would give. Lanes A and B know
nothing of dutiful; theirs is declared here, over the same orders and records, and only rehearsed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..app.app import App
from ..app.reconcile_pass import Sweep
from .bank import Bank
from .commands import give
from .places import Folder

FINE = (0, 1)
"""It ends with 1 if it has found something: that is told, too."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a pass came to."""

    expected: int
    ok: int
    missing: int
    surplus: int
    others: int = 0
    """Waiting, stuck, with people, or too young to judge."""

    @property
    def words(self) -> str:
        """As a line of the table."""
        parts = [f"{self.expected} expected", f"{self.ok} in order"]
        named = ((self.missing, "missing"), (self.surplus, "charged twice"), (self.others, "under way"))
        return ", ".join([*parts, *(f"{many} {what}" for many, what in named if many)])


def by_command(folder: Folder, lane_c: str) -> Reconciled:
    """Lane C's, by ``dutiful reconcile``. Raises CommandFailed where it could not check."""
    said = give(folder, ["reconcile", "--app", lane_c, "--as", "demo", "--json"], fine=FINE)
    [one] = json.loads(said)["reconcilers"]
    others = sum(one[kind] for kind in ("young", "waiting", "stuck", "people", "late"))
    return Reconciled(one["expected"], one["ok"], one["missing"], one["surplus"], others)


def rehearsed(folder: Folder, lane: str) -> Reconciled:
    """That of lane A or B: nothing is enqueued, and nothing is written."""
    app = App(f"lane-{lane}", folder.jobs_url)

    @app.task(once="order:{order_id}", timeout="10s")
    def settle(order_id: str) -> None:
        """Names the duty that both sides are compared by; never run."""

    def charged(since: datetime, until: datetime) -> list[dict[str, Any]]:
        return Bank(folder.bank).charged(lane)

    @app.reconcile(settle, name="bank", done=charged, every="10s", grace="0s", window="1d")
    def ordered(since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
        for order in folder.placed():
            yield {"order_id": order["order_id"], "due": order["due"]}

    try:
        counts = Sweep(app, app.reconcilers["bank"], by="demo", dry=True).run().made.counts
    finally:
        app.close()
    others = counts.young + counts.waiting + counts.stuck + counts.people + counts.late
    return Reconciled(counts.expected, counts.ok, counts.missing, counts.surplus, others)
