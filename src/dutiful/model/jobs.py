"""The values that operations take and give: jobs to be, jobs claimed, endings, jobs to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from .gates import Gate

ARGS_BYTES_MAX = 65_536
RESULT_BYTES_MAX = 65_536
CRASHES_MAX = 3
REMEMBER_US = 7 * 86_400_000_000

OnDuplicate = Literal["raise", "keep", "replace"]


class NewJob(Struct, frozen=True):
    """A job to be stored. ``id`` is made by the producer, so that storing it twice is one job.

    ``repeated`` says that an earlier enqueue of this id may have happened: then the dead and the
    history are asked, too. ``again`` is the reason for one more life of a duty that was done.
    """

    id: str
    task: str
    queue: str
    priority: int
    args: bytes
    args_version: int = 1
    key: str | None = None
    args_hash: str = ""
    remember_us: int = REMEMBER_US
    delay_us: int = 0
    run_at_us: int | None = None
    deadline_us: int | None = None
    deadline_in_us: int | None = None
    """The same, counted from when it is due."""
    delivery: str = "at_least_once"
    crashes_max: int = CRASHES_MAX
    on_duplicate: OnDuplicate = "raise"
    again: str | None = None
    actor: str = ""
    repeated: bool = False
    gates: tuple[Gate, ...] = ()
    trace: str | None = None
    """The span in which it is enqueued, where somebody traces."""

    @property
    def plain(self) -> bool:
        """Whether it is due at once and has nothing of its own that a bulk load would leave out."""
        special = (self.key, self.run_at_us, self.deadline_us, self.deadline_in_us, self.trace)
        return not self.delay_us and not self.gates and all(one is None for one in special)


class Enqueued(Struct, frozen=True):
    """What became of an enqueue: ``id`` is the job that satisfies the request, new or not."""

    id: str
    duplicate: bool


class Lane(Struct, frozen=True):
    """Where a worker's claims begin in one (queue, priority): after ``mark``."""

    id: int
    mark: int = 0


class Lease(Struct):
    """One claim of a job: what a worker needs to run it and to end it. The token names the run."""

    job_id: str
    lane: int
    ready_seq: int
    token: str
    run_no: int
    attempt: int
    crashes: int
    epoch: int
    args_version: int
    task: str
    key: str | None
    args: bytes
    run_at_us: int
    enqueued_at_us: int
    delivery: str = "at_least_once"
    """The task's when the job was stored; what its code says now is what is done."""
    deadline_us: int | None = None
    cancel_at_us: int | None = None
    """When somebody asked an earlier run to stop: this one is not to begin."""
    claimed_at_us: int = 0
    """The database's clock at the claim; ``run_at_us`` is when the job first became due."""


class Failure(Struct, frozen=True):
    """What a run died of, as people will read it, and by which it is grouped (if it is buried for it)."""

    kind: str
    message: str
    traceback: str = ""
    fingerprint: str | None = None


class Ending(Struct, frozen=True):
    """How a run ends. Which fields count depends on ``verb``; every one is fenced by the token.

    ``committed`` and ``lost`` are over already (by the run's own transaction, or by another's): the
    store is not asked. ``reason`` says why a job is buried or in doubt; ``same_as`` which job did the
    duty that this one duplicates; ``started``: an at_most_once body had begun, for good.
    """

    verb: Literal[
        "complete", "duplicate", "fail", "bury", "snooze", "release", "doubt", "skip", "expire", "abort",
        "committed", "lost",
    ]  # fmt: skip
    job_id: str
    token: str
    run_no: int
    result: bytes | None = None
    delay_us: int = 0
    reason: str = ""
    failure: Failure | None = None
    begun: bool = True
    charged: bool = True
    same_as: str | None = None
    started: bool = False
    follow: Any = None
    """The NewJob that is enqueued in place of a job that is skipped, in app ``app``. (Not typed so: endings
    come from child processes, which give none, and their decoder would have to know all that it names.)"""
    app: str = ""


class Claimed(Struct, frozen=True):
    """The reply to a claim: the leases, how many jobs came due, how far the sequence is."""

    leases: list[Lease]
    promoted: int
    horizon: int


class Waiting(Struct, frozen=True):
    """The reply to a look: whether a job is there to be claimed, whether any waits to be promoted."""

    ready: bool
    due: bool
    horizon: int


class Due(Struct, frozen=True):
    """What a reaper looks at first. A worker and its children count as one, but among the unreaped."""

    alive: int
    """Not yet marked gone."""
    silent: int
    """Of these: due to be."""
    unreaped: int
    """Gone, and may still hold jobs."""
    braked_us: int | None
    """How long ago a reaper began to brake; None: none does."""


class Left(Struct, frozen=True):
    """What people, or the dead, left for a worker to do."""

    chains: bool
    """Rows for the audit's chain."""
    walks: bool
    """Bulk operations that nobody walks."""
    doubts: bool
    """Jobs in doubt."""


class Beat(Struct, frozen=True):
    """The reply to a beat: which workers are still acknowledged, whether suspects wait.

    ``lanes`` changes whenever a lane is added or a queue's limit changes; ``cancels``: a run is asked to
    stop; ``due``: who else is due to be marked gone, and ``left``; both where the store tells that on the
    way.
    """

    alive: frozenset[int]
    suspects: bool
    lanes: int
    cancels: bool = False
    due: Due | None = None
    left: Left | None = None


class Lapsed(Struct, frozen=True):
    """A running job that was taken back. ``last``: its crash budget was used up, it is dead.

    ``doubt``: its at_most_once body had begun, and nobody knows how it ended.
    """

    job_id: str
    run_no: int
    begun: bool
    last: bool
    doubt: bool = False


class NewWorker(Struct, frozen=True):
    """A worker's row to be. ``alone``: a child that holds one job at a time, beaten for by ``parent``."""

    app: str
    host: str
    pid: int
    lease_us: int
    concurrency: int
    queues: str
    tasks: str
    release: str = ""
    file: str | None = None
    parent: int | None = None
    alone: bool = False


class WorkerRow(Struct, frozen=True):
    """A worker that is not yet marked gone."""

    id: int
    app: str
    host: str
    pid: int
    parent: int | None
    alone: bool
    lease_us: int
    concurrency: int
    started_at_us: int
    beat_at_us: int
    file: str | None
    queues: str
    tasks: str
    marks: str
    release: str
    now_us: int
