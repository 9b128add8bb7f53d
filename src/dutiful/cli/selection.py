"""Which dead jobs are meant: a filter, frozen at one instant, and a walk over what it finds.

The walk goes by (died_at, id), from the instant at which it began, backwards; so whoever dies
meanwhile, and whoever is brought back and dies again, is not in it: an action runs on exactly what
was counted before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..model.spans import span
from ..operations import dead, health
from ..operations.dead import Cursor
from ..operations.inspect import JobLine
from .reach import Reach

PAGE = 500
LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
SEARCHED_MAX = 20_000
"""How many dead jobs a list by ``--error`` looks at before it says so and stops."""


@dataclass(frozen=True)
class Filter:
    """What was asked for; all that is given must fit."""

    task: str | None = None
    queue: str | None = None
    error: str | None = None
    older_us: int = 0

    @property
    def narrow(self) -> bool:
        """Whether it says anything at all."""
        return bool(self.task or self.queue or self.error or self.older_us)

    def fits(self, job: JobLine) -> bool:
        """Whether the error is the one asked for; the rest is the database's to sort out."""
        if self.error is None:
            return True
        wanted = self.error.casefold()
        return wanted in (job.kind or "").casefold() or wanted in (job.message or "").casefold()

    def __str__(self) -> str:
        parts = [
            self.task and f"of {self.task}",
            self.queue and f"in queue {self.queue}",
            self.error and f"with {self.error!r} in their error",
            self.older_us and f"that died more than {span(self.older_us)} ago",
        ]
        return "".join(f" {part}" for part in parts if part)


def start(store: Reach, wanted: Filter) -> Cursor:
    """Where the walk begins: with the youngest job that is meant, as of now."""
    return store.run(health.now()) - wanted.older_us, LAST_ID


class Walk:
    """The dead jobs meant, the latest death first; looks at ``searched_max`` at most."""

    def __init__(
        self, store: Reach, wanted: Filter, after: Cursor, *, searched_max: int | None = None
    ) -> None:
        self._store = store
        self._wanted = wanted
        self._searched_max = searched_max
        self.last = after
        """The last job looked at, whether it fitted or not."""
        self.complete = False
        """Whether there is nothing behind that."""

    def __iter__(self) -> Iterator[JobLine]:
        searched = 0
        while self._searched_max is None or searched < self._searched_max:
            found = self._store.run(
                dead.page(
                    self._store.name,
                    after=self.last,
                    task=self._wanted.task,
                    queue=self._wanted.queue,
                    limit=PAGE,
                )
            )
            for job in found:
                self.last = (job.ended_at_us or 0, job.id)
                if self._wanted.fits(job):
                    yield job
            if len(found) < PAGE:
                self.complete = True
                return
            searched += len(found)
