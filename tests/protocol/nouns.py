"""The nouns of the model as small values: jobs, duties, ledgers, effects, runs, and the world outside.

A state of the model is one tuple of them, so it can be hashed and compared; nothing in it can be
changed. A 0 stands for "none" where real rows have NULL; tokens count from 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

ABSENT, READY, RUNNING, IN_DOUBT, DONE, DEAD, CANCELLED, PRUNED = (
    "", "ready", "running", "in_doubt", "done", "dead", "cancelled", "pruned",
)  # fmt: skip
PERFORMED, DUPLICATE, SKIPPED, WAIVED = "performed", "duplicate", "skipped", "waived"

OPEN = frozenset((READY, RUNNING, IN_DOUBT))
SETTLED = frozenset((ABSENT, IN_DOUBT, DONE, DEAD, CANCELLED, PRUNED))
"""What L1 promises: the machine has nothing left to do with the job."""

GONE = 9
"""A job's worker whose row is marked gone; live ones are 1, 2, 3."""

BODY, EFFECT = "body", "effect"
"""Why a job is in doubt."""


class Job(NamedTuple):
    """A job's row, wherever it is kept."""

    state: str = ABSENT
    outcome: str = ""
    same_as: int = 0  # a duplicate's original, counted from 1
    token: int = 0
    last: int = 0
    worker: int = 0
    run_no: int = 0
    attempt: int = 0
    crashes: int = 0
    suspect: int = 0
    started: int = 0
    epoch: int = 0
    doubt: str = ""
    cancel: int = 0  # somebody asked it to stop
    waived_from: str = ""
    again: int = 0  # asked for with again=


class Duty(NamedTuple):
    """The row that makes a duty unique; without a holder (counted from 1) it keeps the epoch alone.

    Epoch 0: there is no row.
    """

    holder: int = 0
    epoch: int = 0


class Proof(NamedTuple):
    """A ledger row: work done (exactly_once) or a body begun (at_most_once), by this run of this job."""

    job: int
    token: int


class Effect(NamedTuple):
    """The one effect's row: when the key was first asked for, by whom last, with which request."""

    state: str = ""
    asked: int = 0
    token: int = 0
    request: int = 0
    several: int = 0  # more than one run may have called


class Store(NamedTuple):
    """A database, as committed. Ledger and works have one cell for each duty and epoch."""

    jobs: tuple[Job, ...]
    duties: tuple[Duty, ...]
    ledger: tuple[Proof | None, ...]
    works: tuple[int, ...]
    effect: Effect = Effect()
    audits: int = 0


class Other(NamedTuple):
    """The user's own database, where it is not the queue's."""

    ledger: tuple[Proof | None, ...]
    works: tuple[int, ...]


class Run(NamedTuple):
    """What a worker's process has in hand, and what its connection has open.

    ``at`` is where it is, in words; ``pending``: a COMMIT was sent and got no answer, and the server
    has not decided; ``alive``: the process; ``listed``: its worker's row is not marked gone;
    ``since``: when it decided to call; ``request``: what its code would ask for.
    """

    job: int = -1
    token: int = 0
    epoch: int = 0
    at: str = ""
    pending: int = 0
    alive: int = 1
    listed: int = 1
    since: int = 0
    request: int = 0


IDLE = Run()


class World(NamedTuple):
    """What really happened, which no failover takes back. Cells as in :class:`Store`."""

    tokens: tuple[int, ...]  # how many were handed out, by job
    returned: tuple[int, ...]  # by job, a bit for each token whose body returned
    begun: tuple[int, ...]  # bodies of at_most_once
    happened: tuple[int, ...]  # such bodies that did what they are for
    refuted: tuple[int, ...]  # a person attested "surely not done"
    applied: int = 0  # at the third party, for the one effect
    known_since: int = 0  # when the provider first saw the key that it knows now
    known_for: int = 0  # the token in that key (of weakened protocols alone)
    air: int = 0  # a call under way that its caller no longer waits for: when it was decided, plus 1
    clock: int = 0


class Left(NamedTuple):
    """How much may still go wrong, and how much people and producers may still do."""

    crashes: int = 0
    silences: int = 0  # a live worker's row is marked gone
    losses: int = 0  # an answer does not arrive
    handbacks: int = 0  # snooze, release, lock_timeout, cut off
    failovers: int = 0
    people: int = 0
    forgets: int = 0  # remember= has passed
    agains: int = 0
    lates: int = 0
    changes: int = 0  # a deploy that changes the effect's request
    raises: int = 0


class State(NamedTuple):
    """One state of the model. ``behind`` is what an asynchronous standby has, while it has less."""

    db: Store
    other: Other
    runs: tuple[Run, ...]
    world: World
    left: Left
    behind: Store | Other | None = None
    read: tuple[int, int] | None = None  # what a weakened reaper remembers: job, token


class Label(NamedTuple):
    """One step: the verb of the table where there is one, whose run did it, and how it went.

    ``kind`` is who is to blame: "machine", "fault", "person" or "outside" (producers, time).
    """

    verb: str
    job: int = -1
    token: int = 0
    slot: int = -1
    note: str = ""
    kind: str = "machine"


def _quickened(kind: Any) -> Any:
    """A ``_replace`` that takes half the time: the search does little else than make such values."""
    arguments = ", ".join(f"{name}=_kept" for name in kind._fields)
    values = ", ".join(f"_s[{at}] if {name} is _kept else {name}" for at, name in enumerate(kind._fields))
    scope: dict[str, Any] = {"_kept": object(), "_new": tuple.__new__, "_kind": kind}
    exec(f"def _replace(_s, *, {arguments}): return _new(_kind, ({values},))", scope)
    return scope["_replace"]


for _kind in (Job, Duty, Effect, Store, Other, Run, World, Left, State, Label):
    _kind._replace = _quickened(_kind)  # type: ignore[method-assign]


def put(row: tuple, at: int, value: object) -> tuple:  # type: ignore[type-arg]
    """The tuple with one place changed."""
    return (*row[:at], value, *row[at + 1 :])
