"""Before dead jobs are brought back: which of them would be refused, because another job has their duty?"""

from __future__ import annotations

from collections.abc import Sequence

from .inspect import JobLine
from .plan import Call, Steps, query


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
