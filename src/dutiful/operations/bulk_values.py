"""What bulk operations are about: which jobs are meant, how one stands, and what became of each job."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ..model.spans import span
from .plan import as_json


class Wanted(Struct, frozen=True):
    """Which dead jobs are meant: all that is given must fit."""

    task: str | None = None
    queue: str | None = None
    error: str | None = None
    """In the kind or message of the last error, in any case of letters."""
    fingerprint: str | None = None
    unseen: bool = False
    """Only of groups that nobody has acknowledged, or not for this long."""
    older_us: int = 0
    ids: tuple[str, ...] | None = None

    @property
    def narrow(self) -> bool:
        """Whether it says anything at all."""
        return self != Wanted()

    def __str__(self) -> str:
        parts = [
            self.ids is not None and f"among {len(self.ids):,} that were named",
            self.task and f"of {self.task}",
            self.queue and f"in queue {self.queue}",
            self.fingerprint and f"of group {self.fingerprint}",
            self.error and f"with {self.error!r} in their error",
            self.unseen and "that nobody has seen",
            self.older_us and f"that died more than {span(self.older_us)} ago",
        ]
        return "".join(f" {part}" for part in parts if part)

    @property
    def params(self) -> dict[str, Any]:
        """As the statements want it."""
        return {
            "task": self.task,
            "queue": self.queue,
            "error": self.error,
            "fingerprint": self.fingerprint,
            "unseen": self.unseen,
            "ids": None if self.ids is None else as_json(list(self.ids)),
        }


class Bulk(Struct, frozen=True):
    """A bulk operation. ``done + skipped + failed`` is ``intended`` when its state is "done"."""

    id: str
    app: str
    verb: str
    state: str
    actor: str
    how: str
    address: str
    reason: str
    filter: str
    wanted: str
    choice: str
    bound_us: int
    began_at_us: int
    start_at_us: int
    pace: int | None
    intended: int
    done: int
    skipped: int
    failed: int
    walker: str | None
    walked_until_us: int | None
    moved_at_us: int | None
    ended_at_us: int | None
    undoes: str | None
    paced_from_us: int
    paced: int
    last_no: int
    now_us: int

    @property
    def left(self) -> int:
        """How many it has not come to."""
        return self.intended - self.done - self.skipped - self.failed

    @property
    def per_s(self) -> float:
        """How many it came to in a second, since it began or went on."""
        until = self.ended_at_us or self.moved_at_us or self.now_us
        spent = max(until - max(self.began_at_us, self.start_at_us), 1)
        return (self.intended - self.left) * 1e6 / spent


class Item(Struct, frozen=True):
    """What became of one job of a bulk operation, and why."""

    no: int
    job_id: str
    state: str
    at_us: int | None
    why: str | None


class Step(Struct, frozen=True):
    """What one batch came to. ``held``: it was ours to walk; ``over``: it is done, by whomever.

    ``wait_us``: until its pace allows more.
    """

    held: bool
    over: bool = False
    count: int = 0
    wait_us: int = 0
    queues: frozenset[str] = frozenset()
