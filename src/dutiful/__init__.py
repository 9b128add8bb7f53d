"""Background jobs whose effects happen once: at least once and at most once, checked, not trusted."""

from __future__ import annotations

from .app.app import App
from .app.handle import Handle
from .app.newer import awrite_if_newer, write_if_newer
from .app.once import Turn, once
from .app.once_per import once_per
from .app.running import Run
from .app.task import Task
from .app.transactions import AsyncTransaction, Transaction
from .app.versions import acompare_and_set, awrite_version, compare_and_set, write_version
from .engines.ledgers import make_ledger
from .model.errors import (
    CommitUnknown,
    Conflict,
    DutifulError,
    DutyTaken,
    EffectChanged,
    EffectNotSent,
    EffectRefused,
    EffectUnknown,
    InsideTransaction,
    InvalidEffect,
    InvalidTask,
    JobFailed,
    JobNotFound,
    KeyReused,
    LeaseLost,
    LedgerMissing,
    LockBusy,
    LockLost,
    NotBuilt,
    NotInTransaction,
    PayloadTooLarge,
    RequestChanged,
    ResultNotKept,
    ResultNotReady,
    SlotsDiffer,
    StoreBusy,
    StoreError,
    StoreUnreachable,
    TimedOut,
    TurnBroken,
    Unsure,
    WorkNotFinished,
    WorkRolledBack,
    WrongArgument,
    WrongState,
)
from .model.gates import Lock, Order, Rate
from .model.late import Late
from .model.retry import GiveUp, Retry, RetryIn, Snooze

__version__ = "0.1.0"

__all__ = [
    "App",
    "AsyncTransaction",
    "CommitUnknown",
    "Conflict",
    "DutifulError",
    "DutyTaken",
    "EffectChanged",
    "EffectNotSent",
    "EffectRefused",
    "EffectUnknown",
    "GiveUp",
    "Handle",
    "InsideTransaction",
    "InvalidEffect",
    "InvalidTask",
    "JobFailed",
    "JobNotFound",
    "KeyReused",
    "Late",
    "LeaseLost",
    "LedgerMissing",
    "Lock",
    "LockBusy",
    "LockLost",
    "NotBuilt",
    "NotInTransaction",
    "Order",
    "PayloadTooLarge",
    "Rate",
    "RequestChanged",
    "ResultNotKept",
    "ResultNotReady",
    "Retry",
    "RetryIn",
    "Run",
    "SlotsDiffer",
    "Snooze",
    "StoreBusy",
    "StoreError",
    "StoreUnreachable",
    "Task",
    "TimedOut",
    "Transaction",
    "Turn",
    "TurnBroken",
    "Unsure",
    "WorkNotFinished",
    "WorkRolledBack",
    "WrongArgument",
    "WrongState",
    "acompare_and_set",
    "awrite_if_newer",
    "awrite_version",
    "compare_and_set",
    "make_ledger",
    "once",
    "once_per",
    "write_if_newer",
    "write_version",
]
