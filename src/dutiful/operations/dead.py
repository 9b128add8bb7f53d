"""Dead jobs in bulk: a walk over all of them, and who would be refused if they were brought back."""

from __future__ import annotations

from collections.abc import Sequence

from .inspect import JobLine
from .plan import Call, Steps, query

Cursor = tuple[int, str]
"""(died_at in microseconds, id) of the last job seen."""


@query
def page(
    app: str, *, after: Cursor, task: str | None = None, queue: str | None = None, limit: int = 500
) -> Steps[list[JobLine]]:
    """Dead jobs behind the cursor, the latest death first; as quick deep in a million as at its start."""
    died_at, last = after
    params = {"app": app, "task": task, "queue": queue, "after": died_at, "after_id": last, "limit": limit}
    return [JobLine(*row) for row in (yield Call("walk_dead", params, alone=True))]


@query
def held(app: str, jobs: Sequence[JobLine]) -> Steps[dict[str, str]]:
    """Of these dead jobs, those whose duty another job holds now, with that job's id."""
    found: dict[str, str] = {}
    for job in jobs:
        if job.key is None:
            continue
        rows = yield Call("holder_of_duty", {"app": app, "task": job.task, "key": job.key})
        if rows and rows[0][0] != job.id:
            found[job.id] = rows[0][0]
    return found
