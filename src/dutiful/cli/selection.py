"""Which dead jobs are meant: a filter, frozen at one instant, and a walk over what it finds.

The walk goes by (died_at, id), from the instant at which it began, backwards; so whoever dies
meanwhile, and whoever is brought back and dies again, is not in it: an action runs on exactly what
was counted before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..model.spans import span
from ..operations import health, inspect
from ..operations.inspect import JobLine
from .reach import Reach

PAGE = 500
LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
SEARCHED_MAX = 20_000
"""How many dead jobs a list by ``--error`` looks at before it says so and stops."""

Cursor = tuple[int, str]


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


def walk(
    store: Reach, wanted: Filter, after: Cursor, *, searched_max: int | None = None
) -> Iterator[JobLine]:
    """The dead jobs meant, the latest death first; looks at ``searched_max`` at most."""
    seen = 0
    while searched_max is None or seen < searched_max:
        found = store.run(
            inspect.dead(store.name, task=wanted.task, queue=wanted.queue, after=after, limit=PAGE)
        )
        yield from (job for job in found if wanted.fits(job))
        if len(found) < PAGE:
            return
        seen += len(found)
        after = (found[-1].ended_at_us or 0, found[-1].id)
