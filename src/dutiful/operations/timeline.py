"""A job's story in one list: accepted, how each run ended, what people did, what became of its effects.

Nothing is written for its sake that is told elsewhere already. It is merged from the job's row, its failures,
events (runs that were snoozed or handed back), the history, the audit and the effects.
"""

from __future__ import annotations

from msgspec import Struct

from .inspect import find
from .plan import Call, Steps, query

PAGE = 200
Cursor = tuple[int, int, int]
"""Where an entry stands in the list."""
START: Cursor = (-1, 0, 0)
_END: Cursor = (1 << 62, 99, 1 << 62)


class Entry(Struct, frozen=True):
    """One thing that happened to a job.

    ``what``: accepted, began, failed, snoozed, released, called, "effect done", "effect refused", died, the
    outcome of an ending (performed, duplicate, skipped, waived, cancelled), or a person's verb, by ``who``.
    ``release`` and ``host`` are of the run's worker, for as long as that is remembered.
    """

    at_us: int
    place: int
    no: int
    what: str
    run_no: int | None
    who: str | None
    worker: int | None
    release: str | None
    host: str | None
    detail: str | None
    delay_us: int | None

    @property
    def cursor(self) -> Cursor:
        """What to give for the page behind it."""
        return (self.at_us, self.place, self.no)


@query
def timeline(app: str, job_id: str, *, after: Cursor = START, limit: int = PAGE) -> Steps[list[Entry]]:
    """What happened to a job behind a cursor, oldest first, at most ``limit`` entries. Raises JobNotFound."""
    return (yield from _page(app, job_id, 1, after, limit))


@query
def backwards(
    app: str, job_id: str, *, before: Cursor | None = None, limit: int = PAGE
) -> Steps[list[Entry]]:
    """The same from its end, or from a cursor on: newest first. Raises JobNotFound."""
    return (yield from _page(app, job_id, -1, before or _END, limit))


def _page(app: str, job_id: str, way: int, cursor: Cursor, limit: int) -> Steps[list[Entry]]:
    job = yield from find(app, job_id)
    at, place, no = (way * one for one in cursor)
    params = {"app": app, "id": job.id, "subject": job.id, "task": job.task, "duty": job.key or job.id}
    rows = yield Call(
        "timeline_of", params | {"way": way, "at": at, "place": place, "no": no, "limit": limit}
    )
    return [Entry(*row) for row in rows]
