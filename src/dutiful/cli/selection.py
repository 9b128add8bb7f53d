"""Which dead jobs are meant: a filter, and a walk over what it finds, frozen at one instant.

The walk goes by (died_at, id), from the instant at which it began, backwards; so whoever dies
meanwhile, and whoever is brought back and dies again, is not in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from ..model.durations import microseconds
from ..model.errors import InvalidDuration
from ..operations import dead, health, pages
from ..operations.bulk import LAST_ID
from ..operations.bulk_values import Wanted
from ..operations.dead import Cursor
from ..operations.inspect import JobLine
from .reach import Reach
from .session import Session
from .times import parse_instant

PAGE = 500
SEARCHED_MAX = 20_000
"""How many dead jobs a list by ``--error`` looks at before it says so and stops."""

F = TypeVar("F", bound=Callable[..., Any])

_FILTERS = [
    click.option("--task", metavar="NAME", help="Only jobs of this task."),
    click.option("--queue", metavar="NAME", help="Only jobs of this queue."),
    click.option(
        "--error", metavar="TEXT", help="Only jobs with this in the kind or message of their last error."
    ),
    click.option("--fp", metavar="FP", help="Only of the cause whose fingerprint begins so: dead groups."),
    click.option("--unseen", is_flag=True, help="Only of causes that nobody has acknowledged."),
    click.option("--older-than", metavar="SPAN", help='Only jobs that died before that: "2h", "7d".'),
]


def filters(command: F) -> F:
    """The options that say which dead jobs are meant."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def which(command: F) -> F:
    """The same, and what a verb over them wants to know."""
    for option in reversed(
        [
            click.option("--all", "everything", is_flag=True, help="All dead jobs of the app."),
            click.option(
                "--limit",
                type=click.IntRange(1),
                metavar="N",
                help="At most so many, the latest death first.",
            ),
            click.option("--dry-run", is_flag=True, help="Only say what would be done."),
            click.option("--reason", default="", help="Why, for the audit."),
        ]
    ):
        command = option(command)
    return filters(command)


def wanted_of(given: dict[str, Any]) -> Wanted:
    """The filter that the options say, the fingerprint as it was typed."""
    older = given["older_than"]
    return Wanted(
        task=given["task"],
        queue=given["queue"],
        error=given["error"],
        fingerprint=given["fp"],
        unseen=given["unseen"],
        older_us=0 if older is None else microseconds(older, what="--older-than"),
    )


def whole(store: Reach, session: Session, wanted: Wanted) -> Wanted:
    """The same with its whole fingerprint; raises AckRefused where no cause begins so, or several do."""
    if wanted.fingerprint is None:
        return wanted
    return replace(wanted, fingerprint=store.ops(session).group(wanted.fingerprint).fingerprint)


class Pace(click.ParamType[int]):
    """How many a second: ``200/s``, or ``200``."""

    name = "pace"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d{1,6})(?:/s)?", str(value))
        if found is None or int(found[1]) == 0:
            self.fail(f"{value!r} is no pace: 200/s", param, ctx)
        return int(found[1])


def instant_us(text: str, store: Reach, session: Session) -> int:
    """An instant, or so long from now, by the store's clock."""
    try:
        return store.run(health.now()) + microseconds(text, what="--start")
    except InvalidDuration:
        try:
            return round(parse_instant(text, utc=session.printer.utc).timestamp() * 1e6)
        except ValueError:
            raise click.UsageError(f"{text!r} is neither a span (2h) nor an instant.") from None


def start(store: Reach, wanted: Wanted) -> Cursor:
    """Where the walk begins: with the youngest job that is meant, as of now."""
    return store.run(health.now()) - wanted.older_us, LAST_ID


class Walk:
    """The dead jobs meant, the latest death first; looks at ``searched_max`` at most."""

    def __init__(
        self, store: Reach, wanted: Wanted, after: Cursor, *, searched_max: int | None = None
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
            found = self._page()
            for job in found:
                self.last = (job.ended_at_us or 0, job.id)
                if self._fits(job):
                    yield job
            if len(found) < PAGE:
                self.complete = True
                return
            searched += len(found)

    def _page(self) -> list[JobLine]:
        wanted, store = self._wanted, self._store
        if wanted.fingerprint is None and not wanted.unseen:
            by = {"task": wanted.task, "queue": wanted.queue}
            return store.run(dead.page(store.name, after=self.last, **by, limit=PAGE))
        return store.run(pages.dead(store.name, wanted, after=self.last, limit=PAGE))

    def _fits(self, job: JobLine) -> bool:
        """Whether the error is the one asked for; the rest is the database's to sort out."""
        if self._wanted.error is None:
            return True
        wanted = self._wanted.error.casefold()
        return wanted in f"{job.kind}: {job.message}".casefold()
