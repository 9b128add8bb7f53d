"""Every error that dutiful raises, as one tree; each says what happened, why, and what to do.

::

    DutifulError
    ├── DeclarationError            what a program declares cannot work        DE1xx
    │   ├── InvalidTask             a task's declaration
    │   ├── InvalidTemplate         once="…{…}" does not fit the arguments
    │   ├── InvalidDuration         "5 parsecs"
    │   ├── NotBuilt                a declared thing that this version does not have yet
    │   ├── InvalidSchedule         a schedule's expression, zone or policy
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
    │   └── LedgerMissing           a database to work in has no ledger
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
    │   ├── DoubtRefused            a doubt is not closed in this way
    │   ├── QueueNotFound
    │   └── LockNotHeld             nobody holds the lock
    ├── OnceError                   a key of dutiful.once, or its block         DE6xx
    │   ├── RequestChanged          the key is known with another request
    │   ├── TurnBroken              the block ended the transaction
    │   └── TurnOver                a result that is too late, or not the first caller's
    └── LockError                   a lock by name                              DE7xx
        ├── LockBusy                it was not free in time
        ├── LockLost                its lease was not renewed, or it was broken
        └── SlotsDiffer             it is in use with another number of slots

``code`` names an error for good (``dutiful explain DE201``); ``hint`` says what to type.
"""

from __future__ import annotations

from collections.abc import Iterator

from .declaration_errors import (
    AppNotFound,
    DeclarationError,
    InvalidDuration,
    InvalidSchedule,
    InvalidTask,
    InvalidTemplate,
    NotBuilt,
)
from .error_root import DutifulError
from .lock_errors import Conflict, LockBusy, LockError, LockLost, LockNotHeld, SlotsDiffer
from .once_errors import OnceError, RequestChanged, TurnBroken, TurnOver
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

__all__ = [
    "AppNotFound",
    "CommitUnknown",
    "Conflict",
    "DeclarationError",
    "DoubtRefused",
    "DriverMissing",
    "DutifulError",
    "DutyTaken",
    "EffectChanged",
    "EffectNotSent",
    "EffectRefused",
    "EffectUnknown",
    "EnqueueError",
    "InsideTransaction",
    "InvalidDuration",
    "InvalidEffect",
    "InvalidOption",
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
    "NotBuilt",
    "NotInTransaction",
    "NotProven",
    "OnceError",
    "PayloadTooLarge",
    "QueueNotFound",
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
    "TurnBroken",
    "TurnOver",
    "TwoSqliteBuilds",
    "UnknownTask",
    "UnsupportedConnection",
    "TransactionOver",
    "Unsure",
    "UsedAfterFork",
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


# ── store ───────────────────────────────────────────────────────────────────────────────────


class StoreError(DutifulError):
    """The database could not do what was asked. Nothing was written, unless the class says so."""

    code = "DE300"


class InvalidUrl(StoreError):
    """The store's URL is not one of ours."""

    code = "DE301"
    hint = 'Write "sqlite:///jobs.db", "sqlite:////absolute/jobs.db" or "postgresql://user@host/database".'


class DriverMissing(StoreError):
    """The driver that the URL asks for is not installed."""

    code = "DE302"


class StoreUnreachable(StoreError):
    """No connection to the database could be made, or it broke and could not be made again."""

    code = "DE303"
    hint = "Is the server running, and are host, port, user and database in the URL right?"


class StoreReadOnly(StoreError):
    """The database refuses writes: a read-only file, folder, or standby."""

    code = "DE304"
    hint = "Give this user write permission on the file and its folder (or connect to the primary)."


class StoreFull(StoreError):
    """The disk, or the database's size limit, is full. The transaction was rolled back whole."""

    code = "DE305"
    hint = "Free some space; what was refused can then be repeated, nothing was half written."


class StoreBusy(StoreError):
    """The database stayed locked by somebody else for longer than we wait."""

    code = "DE306"
    hint = "Look for a long transaction in another session; it blocks all writers."


class CommitUnknown(StoreError):
    """The connection broke while a commit was under way: it may have happened, or not."""

    code = "DE307"
    hint = "Repeat the call with the same once= key or the same job id: that is one job either way."


class SchemaMissing(StoreError):
    """The database has no dutiful tables yet."""

    code = "DE310"
    hint = "Run: dutiful migrate --app MODULE:APP"


class SchemaTooOld(StoreError):
    """The tables are of an older version than this code."""

    code = "DE311"
    hint = "Run: dutiful migrate --app MODULE:APP"


class SchemaTooNew(StoreError):
    """The tables are of a newer version than this code, which must not write to them."""

    code = "DE312"
    hint = "Upgrade dutiful here; the tables were migrated by a newer release."


class TwoSqliteBuilds(StoreError):
    """One process opens one file through two SQLite libraries: closing one drops the other's locks."""

    code = "DE313"
    hint = (
        "Use one of them for this file: leave ?driver=apsw away in dutiful's URL, "
        "or open your own connections with apsw too."
    )


class NetworkFileSystem(StoreError):
    """SQLite's locks are not safe on network file systems."""

    code = "DE314"
    hint = "Put the file on a local disk, or use PostgreSQL for several hosts."


class UsedAfterFork(StoreError):
    """A connection made before a fork was used after it, in the child."""

    code = "DE315"
    hint = "Create the App after the fork, or start the child with the spawn method."


class LedgerMissing(StoreError):
    """The database that a task or ``once()`` works in has no ledger."""

    code = "DE316"
    hint = "Make it: dutiful migrate --ledger URL"


def all_errors(root: type[DutifulError] = DutifulError) -> Iterator[type[DutifulError]]:
    """Every class of the tree, parents first."""
    yield root
    for child in root.__subclasses__():
        yield from all_errors(child)
