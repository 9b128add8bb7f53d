"""Background jobs whose effects happen once: at least once and at most once, checked, not trusted."""

from __future__ import annotations

from .app.app import App
from .app.handle import Handle
from .app.running import Run
from .app.task import Task
from .app.transactions import AsyncTransaction, Transaction
from .model.errors import (
    CommitUnknown,
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
    NotBuilt,
    PayloadTooLarge,
    ResultNotKept,
    ResultNotReady,
    StoreError,
    StoreUnreachable,
    TimedOut,
    Unsure,
    WorkNotFinished,
    WorkRolledBack,
    WrongArgument,
    WrongState,
)
from .model.retry import GiveUp, Retry, RetryIn, Snooze

__version__ = "0.1.0"

__all__ = [
    "App",
    "AsyncTransaction",
    "CommitUnknown",
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
    "LeaseLost",
    "LedgerMissing",
    "NotBuilt",
    "PayloadTooLarge",
    "ResultNotKept",
    "ResultNotReady",
    "Retry",
    "RetryIn",
    "Run",
    "Snooze",
    "StoreError",
    "StoreUnreachable",
    "Task",
    "TimedOut",
    "Transaction",
    "Unsure",
    "WorkNotFinished",
    "WorkRolledBack",
    "WrongArgument",
    "WrongState",
]
