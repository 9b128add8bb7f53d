"""Look at jobs, queues and runs; nothing here writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..model.errors import JobNotFound
from .plan import Call, Rows, Steps, as_json, query, typed

NEWEST = (1 << 62, "ffffffff-ffff-ffff-ffff-ffffffffffff")
"""Before the first page of a list: (instant in microseconds, id)."""

ARGS_CHARS = 200


@dataclass(frozen=True, slots=True)
class JobView:
    """One job, wherever it is. ``ended_at_us`` is when it was done, cancelled, or died."""

    place: int
    id: str
    app: str
    queue: str
    priority: int
    state: str
    outcome: str | None
    reason: str | None
    task: str
    key: str | None
    args: bytes
    args_version: int
    epoch: int
    run_no: int
    attempt: int
    crashes: int
    losses: int
    suspect: bool
    delivery: str
    run_at_us: int
    enqueued_at_us: int
    claimed_at_us: int | None
    ended_at_us: int | None
    worker: int | None
    ready_seq: int | None
    gate: int | None
    result: bytes | None
    started_at_us: int | None
    """When its at_most_once body began, for good."""
    doubt_at_us: int | None
    doubt: str | None
    """What is, or was, not known of it."""
    cancel_at_us: int | None
    """When somebody asked its run to stop."""
    deadline_us: int | None
    now_us: int


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job in a list; ``args`` is cut at 200 characters. ``outcome`` is a dead job's reason."""

    id: str
    state: str
    outcome: str | None
    task: str
    queue: str
    priority: int
    key: str | None
    attempt: int
    enqueued_at_us: int
    run_at_us: int
    claimed_at_us: int | None
    ended_at_us: int | None
    args: str
    now_us: int
    kind: str | None = None
    message: str | None = None
    crashes: int = 0

    def __post_init__(self) -> None:
        stored: Any = self.args
        if not isinstance(stored, str):  # what is no text must not take its whole list with it
            object.__setattr__(self, "args", bytes(stored).decode(errors="replace")[:ARGS_CHARS])


@dataclass(frozen=True, slots=True)
class FailureView:
    """What one run of a job died of."""

    run_no: int
    attempt: int
    failed_at_us: int
    worker: int | None
    kind: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue: counts, when the oldest due job became due, and how late that may be."""

    name: str
    due: int
    later: int
    running: int
    in_doubt: int
    dead: int
    oldest_us: int | None
    target_us: int | None
    now_us: int
    slots: int | None = None
    """How many of its jobs may run at a time, on all workers together."""
    taken: int = 0
    paused_at_us: int | None = None
    paused_until_us: int | None = None
    paused_by: str | None = None
    pause_reason: str | None = None
    declared: int | None = None
    """The limit in the program; ``slots`` is that of a person, where one has set it."""
    limit_slots: int | None = None
    limited_at_us: int | None = None
    limited_by: str | None = None
    limit_reason: str | None = None


def find(app: str, job_id: str) -> Steps[JobView]:
    """The job, wherever it is; raises JobNotFound."""
    rows = yield Call("find_job", {"id": job_id})
    if not rows or rows[0][2] != app:
        raise JobNotFound(f"There is no job {job_id} in app {app!r}.")
    row = rows[0]
    return typed(JobView, row, flags=(17,))


@query
def job(app: str, job_id: str) -> Steps[JobView]:
    """The job, wherever it is; raises JobNotFound."""
    return (yield from find(app, job_id))


@query
def failures(job_id: str) -> Steps[list[FailureView]]:
    """What the job's runs died of, oldest first."""
    return [FailureView(*row) for row in (yield Call("list_failures", {"id": job_id}, alone=True))]


@query
def jobs(
    app: str,
    *,
    state: str | None = None,
    task: str | None = None,
    queue: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Steps[list[JobLine]]:
    """Jobs, newest first; ``after`` is the last id of the page before. Without a state: all of them."""
    last = NEWEST[1] if after is None else after
    params: dict[str, Any] = {"app": app, "task": task, "queue": queue, "after": last, "limit": limit}
    found: list[JobLine] = []
    if state in (None, "ready", "running", "in_doubt"):
        found += _lines((yield Call("list_open", params | {"state": state})))
    if state in (None, "done", "cancelled"):
        found += _lines((yield Call("list_ended", params | {"state": state})))
    if state in (None, "dead"):
        found += _lines((yield Call("list_dead_by_id", params)))
    latest = {line.id: line for line in reversed(found)}  # a revived job has an ending, too
    return sorted(latest.values(), key=lambda line: line.id, reverse=True)[:limit]


@query
def dead(
    app: str,
    *,
    task: str | None = None,
    queue: str | None = None,
    after: tuple[int, str] | None = None,
    limit: int = 50,
) -> Steps[list[JobLine]]:
    """Dead jobs, the latest death first; ``after`` is (ended_at_us, id) of the page before."""
    at, last = after or NEWEST
    params = {"app": app, "after": at, "after_id": last, "limit": limit}
    if task is not None and queue is None:  # by an index of its own
        return _lines((yield Call("dead_of_task", {**params, "task": task}, alone=True)))
    return _lines((yield Call("list_dead", {**params, "task": task, "queue": queue}, alone=True)))


@query
def queues(app: str) -> Steps[list[QueueView]]:
    """The queues of an app, by name."""
    return [QueueView(*row) for row in (yield Call("queue_stats", {"app": app}, alone=True))]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What is still to be done in some queues, of tasks that are known."""

    ready: int
    running: int
    next_run_at_us: int | None
    now_us: int


@query
def unfinished(app: str, queues: list[str], known: Mapping[str, int]) -> Steps[Unfinished]:
    """Whether anything is left to do."""
    params = {"app": app, "queues": as_json(queues), "known": as_json(dict(known))}
    [row] = yield Call("unfinished", params, alone=True)
    return Unfinished(*row)


def _lines(rows: Rows) -> list[JobLine]:
    return [JobLine(*row) for row in rows]
