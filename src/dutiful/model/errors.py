"""Every error that dutiful raises, as one tree; each says what happened, why, and what to do.

::

    DutifulError
    ├── DeclarationError            what a program declares cannot work        DE1xx
    │   ├── InvalidTask             a task's declaration
    │   ├── InvalidTemplate         once="…{…}" does not fit the arguments
    │   ├── InvalidDuration         "5 parsecs"
    │   ├── NotBuilt                a declared thing that this version does not have yet
    │   ├── InvalidSchedule         a schedule's expression, zone or policy
    │   ├── InvalidReconcile        a reconciliation's sides, times, or rows
    │   └── AppNotFound             MODULE:APP does not lead to an App
    ├── EnqueueError                an enqueue was refused; nothing was stored  DE2xx
    │   ├── WrongArgument           an argument does not fit its annotation
    │   ├── PayloadTooLarge         arguments or a result above the limit
    │   ├── KeyReused               the duty is known with other arguments
    │   ├── UnknownTask             no task of that name in this app
    │   ├── InvalidOption           a value given to .using(…) or enqueue_many
    │   ├── NotInTransaction        connection= commits by itself
    │   └── UnsupportedConnection   connection= is of no kind known here
    ├── StoreError                  the database                                DE3xx
    │   ├── InvalidUrl
    │   ├── DriverMissing
    │   ├── StoreUnreachable
    │   ├── StoreReadOnly
    │   ├── StoreFull
    │   ├── StoreBusy               locked for longer than we wait
    │   ├── CommitUnknown           the connection broke while a commit was under way
    │   ├── SchemaMissing
    │   ├── SchemaTooOld
    │   ├── SchemaTooNew
    │   ├── TwoSqliteBuilds         one file, one process, two SQLite libraries
    │   ├── NetworkFileSystem
    │   ├── UsedAfterFork
    │   ├── LedgerMissing           a database to work in has no ledger
    │   └── TooSlow                 a page's question took longer than it may
    ├── RunError                    a run and its result                        DE4xx
    │   ├── LeaseLost               another run owns the job now
    │   ├── TimedOut                the task's own timeout
    │   ├── ResultNotReady          handle.result(timeout) waited in vain
    │   ├── JobFailed               handle.result() of a job that did not end well
    │   ├── InsideTransaction       a call outside, while the run's transaction is open
    │   ├── WorkRolledBack          the body took its work back, and returned
    │   ├── WorkNotFinished         the body tried to commit by itself
    │   ├── TransactionOver         tx was used after the body had returned
    │   ├── WrongDelivery           the task's delivery has no such thing
    │   ├── EffectRefused           the other side said no, for good
    │   │   └── EffectNotSent       the call never left this machine
    │   ├── EffectUnknown           nobody knows whether the call was applied
    │   ├── EffectChanged           an open effect was called with another request
    │   ├── InvalidEffect           what run.effect() was given cannot work
    │   ├── ResultNotKept           an effect was done, its result cannot be stored
    │   ├── Unsure                  a lookup cannot tell
    │   ├── JobCancelled            somebody asked the job to stop
    │   └── Conflict                the row is not as it was read
    ├── StateError                  a person's verb was refused; nothing changed DE5xx
    │   ├── JobNotFound
    │   ├── WrongState              the job is not in a state that allows the verb
    │   ├── DutyTaken               another job holds the duty now
    │   ├── NotProven               nothing shows that the old run is dead
    │   ├── ScheduleRefused         a schedule is not there, or not as the verb wants it
    │   ├── ReconcileRefused        the same of a reconciliation, or of its pass
    │   ├── DoubtRefused            a doubt is not closed in this way
    │   ├── QueueNotFound
    │   └── LockNotHeld             nobody holds the lock
    ├── OnceError                   a key of dutiful.once, or its block         DE6xx
    │   ├── RequestChanged          the key is known with another request
    │   ├── TurnBroken              the block ended the transaction
    │   └── TurnOver                a result that is too late, or not the first caller's
    ├── LockError                   a lock by name                              DE7xx
    │   ├── LockBusy                it was not free in time
    │   ├── LockLost                its lease was not renewed, or it was broken
    │   └── SlotsDiffer             it is in use with another number of slots
    ├── OpsError                    a person's verb, refused by rules for people DE8xx
    │   ├── NotAllowed              a permission is missing
    │   ├── ReadOnly                opened for looking alone
    │   ├── Changed                 the row is not as it was looked at
    │   ├── ActionReused            a one-time id was used for something else
    │   ├── ReasonNeeded
    │   ├── ChoiceNeeded            nobody can know whether running it again is harmless
    │   ├── BulkNotFound
    │   ├── BulkRefused             a bulk operation is not in a state for that
    │   ├── AckRefused              an acknowledgement
    │   ├── EditRefused             a dead job's new arguments
    │   └── WaiverRefused           a line of the checklist
    └── PageError                   the web page was not opened                 DE9xx
        ├── PageWouldBeOpen         to others than whoever sits at this machine
        └── PageNotInstalled        its packages are missing

``code`` names an error for good (``dutiful explain DE201``); ``hint`` says what to type.
"""

from __future__ import annotations

from collections.abc import Iterator

from .declaration_errors import (
    AppNotFound,
    DeclarationError,
    InvalidDuration,
    InvalidReconcile,
    InvalidSchedule,
    InvalidTask,
    InvalidTemplate,
    NotBuilt,
)
from .error_root import DutifulError
from .lock_errors import Conflict, LockBusy, LockError, LockLost, LockNotHeld, SlotsDiffer
from .once_errors import OnceError, RequestChanged, TurnBroken, TurnOver
from .ops_errors import (
    AckRefused,
    ActionReused,
    BulkNotFound,
    BulkRefused,
    Changed,
    ChoiceNeeded,
    EditRefused,
    NotAllowed,
    OpsError,
    ReadOnly,
    ReasonNeeded,
    WaiverRefused,
)
from .page_errors import PageError, PageNotInstalled, PageWouldBeOpen
from .run_errors import (
    DoubtRefused,
    DutyTaken,
    EffectChanged,
    EffectNotSent,
    EffectRefused,
    EffectUnknown,
    InsideTransaction,
    InvalidEffect,
    JobCancelled,
    JobFailed,
    JobNotFound,
    LeaseLost,
    NotProven,
    QueueNotFound,
    ReconcileRefused,
    ResultNotKept,
    ResultNotReady,
    RunError,
    ScheduleRefused,
    StateError,
    TimedOut,
    TransactionOver,
    Unsure,
    WorkNotFinished,
    WorkRolledBack,
    WrongDelivery,
    WrongState,
)
from .store_errors import (
    CommitUnknown,
    DriverMissing,
    InvalidUrl,
    LedgerMissing,
    NetworkFileSystem,
    SchemaMissing,
    SchemaTooNew,
    SchemaTooOld,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnreachable,
    TooSlow,
    TwoSqliteBuilds,
    UsedAfterFork,
)

__all__ = [
    "AckRefused",
    "ActionReused",
    "AppNotFound",
    "BulkNotFound",
    "BulkRefused",
    "Changed",
    "ChoiceNeeded",
    "CommitUnknown",
    "Conflict",
    "DeclarationError",
    "DoubtRefused",
    "DriverMissing",
    "DutifulError",
    "DutyTaken",
    "EditRefused",
    "EffectChanged",
    "EffectNotSent",
    "EffectRefused",
    "EffectUnknown",
    "EnqueueError",
    "InsideTransaction",
    "InvalidDuration",
    "InvalidEffect",
    "InvalidOption",
    "InvalidReconcile",
    "InvalidSchedule",
    "InvalidTask",
    "InvalidTemplate",
    "InvalidUrl",
    "JobCancelled",
    "JobFailed",
    "JobNotFound",
    "KeyReused",
    "LeaseLost",
    "LedgerMissing",
    "LockBusy",
    "LockError",
    "LockLost",
    "LockNotHeld",
    "NetworkFileSystem",
    "NotAllowed",
    "NotBuilt",
    "NotInTransaction",
    "NotProven",
    "OnceError",
    "OpsError",
    "PageError",
    "PageNotInstalled",
    "PageWouldBeOpen",
    "PayloadTooLarge",
    "QueueNotFound",
    "ReadOnly",
    "ReasonNeeded",
    "ReconcileRefused",
    "RequestChanged",
    "ResultNotKept",
    "ResultNotReady",
    "RunError",
    "ScheduleRefused",
    "SchemaMissing",
    "SchemaTooNew",
    "SchemaTooOld",
    "SlotsDiffer",
    "StateError",
    "StoreBusy",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreUnreachable",
    "TimedOut",
    "TooSlow",
    "TurnBroken",
    "TurnOver",
    "TwoSqliteBuilds",
    "UnknownTask",
    "UnsupportedConnection",
    "TransactionOver",
    "Unsure",
    "UsedAfterFork",
    "WaiverRefused",
    "WorkNotFinished",
    "WorkRolledBack",
    "WrongArgument",
    "WrongDelivery",
    "WrongState",
    "all_errors",
]

# ── enqueue ─────────────────────────────────────────────────────────────────────────────────


class EnqueueError(DutifulError):
    """An enqueue was refused. Nothing was stored, and the caller's transaction is untouched."""

    code = "DE200"


class WrongArgument(EnqueueError):
    """An argument does not fit its annotation; ``field`` is its path, as ``user.created``."""

    code = "DE201"

    def __init__(self, task: str, field: str, problem: str, *, hint: str | None = None) -> None:
        self.task, self.field, self.problem = task, field, problem
        super().__init__(f"Cannot enqueue {task}: argument {field} {problem}.", hint=hint)


class PayloadTooLarge(EnqueueError):
    """Arguments or a result are above the limit, in bytes of JSON."""

    code = "DE202"
    hint = "Store the large thing elsewhere and pass its id."

    def __init__(self, what: str, size_bytes: int, limit_bytes: int) -> None:
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes
        super().__init__(f"{what} take {size_bytes:,} bytes of JSON; the limit is {limit_bytes:,}.")


class KeyReused(EnqueueError):
    """The duty is known already, with other arguments: one of the two calls means something else."""

    code = "DE203"
    hint = (
        "Put what differs into once=, or accept the first arguments with "
        '.using(on_duplicate="keep"), or rewrite a job that is still ready with "replace".'
    )

    def __init__(self, task: str, key: str, job_id: str) -> None:
        self.task, self.key, self.job_id = task, key, job_id
        super().__init__(f"{task} {key!r} was enqueued before with other arguments, as job {job_id}.")


class UnknownTask(EnqueueError):
    """No task of this name is declared in the app."""

    code = "DE204"


class InvalidOption(EnqueueError):
    """A value given to ``.using(…)`` or ``enqueue_many`` is out of its range."""

    code = "DE205"


class NotInTransaction(EnqueueError):
    """The connection given commits each statement by itself, so it could not be all or nothing."""

    code = "DE206"
    hint = "Open a transaction on it first (conn.transaction(), BEGIN, atomic()), then enqueue."


class UnsupportedConnection(EnqueueError):
    """``connection=`` is of no kind that is known here."""

    code = "DE207"
    hint = (
        "Known are connections of sqlite3, apsw and psycopg, SQLAlchemy sessions and connections "
        "(sync and async), and Django's."
    )


def all_errors(root: type[DutifulError] = DutifulError) -> Iterator[type[DutifulError]]:
    """Every class of the tree, parents first."""
    yield root
    for child in root.__subclasses__():
        yield from all_errors(child)
