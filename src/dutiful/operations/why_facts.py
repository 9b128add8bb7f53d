"""What the answer to "why isn't it running?" depends on: the job, the workers, who is before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from .gate_views import Blocked, blocked
from .inspect import FailureView, JobView, find
from .plan import Call, Row, Steps
from .queues import QueueState, find_queue

AHEAD_MAX = 1000
"""Jobs ahead are counted up to here; that many stands for "or more"."""


class WorkerFact(Struct, frozen=True):
    """What counts about a worker; ``alone`` is a child that is given single jobs by its parent."""

    id: int
    host: str
    pid: int
    queues: tuple[str, ...] = ()
    tasks: Mapping[str, int] = field(default_factory=dict)
    release: str = ""
    slots: int = 1
    beat_age_us: int = 0
    lease_us: int = 30_000_000
    alone: bool = False
    gone: bool = False

    @property
    def silent(self) -> bool:
        """Whether its lease has run out."""
        return self.beat_age_us > self.lease_us

    def __str__(self) -> str:
        release = f", release {self.release}" if self.release else ""
        return f"worker {self.id} ({self.host}, pid {self.pid}{release})"


class Note(Struct, frozen=True):
    """A person's deed on the job."""

    actor: str
    verb: str
    reason: str


class Facts(Struct, frozen=True):
    """All that the answer depends on. ``higher`` and ``earlier`` are ready jobs that go first."""

    job: JobView
    workers: Sequence[WorkerFact] = ()
    holder: WorkerFact | None = None
    failure: FailureView | None = None
    note: Note | None = None
    higher: int = 0
    earlier: int = 0
    paused: QueueState | None = None
    """The job's queue, if it is paused."""
    gate: Blocked | None = None
    """The gate at which it waits, if it does."""
    full: int | None = None
    """How many of its queue's jobs may run at a time, if workers hold as many places as that."""


def read_facts(app: str, job_id: str) -> Steps[Facts]:
    """What there is to know at this moment; raises JobNotFound."""
    job = yield from find(app, job_id)
    failures = yield Call("last_failures", {"id": job_id, "limit": 1})
    notes = yield Call("list_audit", {"subject": job_id})
    note = Note(actor=notes[-1][1], verb=notes[-1][2], reason=notes[-1][5]) if notes else None
    failure = FailureView(*failures[0]) if failures else None
    workers = [worker_fact(row) for row in (yield Call("live_workers")) if row[1] == app]
    holder, higher, earlier = None, 0, 0
    if job.worker is not None and job.state == "running":
        rows = yield Call("find_worker", {"id": job.worker})
        holder = worker_fact(rows[0]) if rows else None
    elif job.state == "ready":
        rows = yield Call("places_ahead", {"id": job_id, "limit": AHEAD_MAX})
        if rows:  # else it was claimed a moment ago, and then nothing stood before it
            higher, earlier = rows[0]
    gate = None
    if job.state == "ready" and job.gate is not None:
        gate = yield from blocked(job.id, job.gate)
    queue = yield from find_queue(app, job.queue)
    paused = queue if queue.paused_at_us is not None else None
    full = None
    if job.state == "ready" and queue.slots is not None:
        [(taken,)] = yield Call("other_shares", {"app": app, "queue": job.queue, "worker": 0})
        full = queue.slots if int(taken) >= queue.slots else None
    return Facts(job, workers, holder, failure, note, higher, earlier, paused, gate, full)


def worker_fact(row: Row) -> WorkerFact:
    """From a row of live_workers, or of find_worker (which ends with how the worker went)."""
    return WorkerFact(
        id=row[0],
        host=row[2],
        pid=row[3],
        queues=tuple(_read(row[11], list[str], [])),
        tasks=_read(row[12], dict[str, int], {}),
        release=row[14],
        slots=row[7],
        beat_age_us=max(0, row[15] - row[9]),
        lease_us=row[6],
        alone=bool(row[5]),
        gone=len(row) > 16 and row[16] is not None,
    )


def _read(text: str, kind: Any, otherwise: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError:
        return otherwise  # written by another release: it takes and knows nothing that we could name
