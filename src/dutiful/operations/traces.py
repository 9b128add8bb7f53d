"""The spans in which jobs were enqueued, for programs that trace: stored beside the job, if there was one."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.jobs import NewJob
from .plan import Call, Steps, as_json, operation, query


def keep(jobs: Sequence[NewJob]) -> Steps[None]:
    """Steps of an enqueue: note the spans of jobs that were stored in it. Nothing where none was active."""
    rows = [{"id": job.id, "context": job.trace} for job in jobs if job.trace is not None]
    if rows:
        yield Call("add_traces", {"rows": as_json(rows)})


@query
def find(job_id: str) -> Steps[str | None]:
    """The ``traceparent`` of the span in which a job was enqueued."""
    rows = yield Call("find_trace", {"id": job_id}, alone=True)
    return rows[0][0] if rows else None


@operation
def forget(keep_us: int) -> Steps[None]:
    """Forget those of jobs that were enqueued longer ago."""
    yield Call("forget_traces", {"keep": keep_us}, alone=True)
