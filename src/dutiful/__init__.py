"""Background jobs whose effects happen once: at least once and at most once, checked, not trusted.

The names are here at once, and what they stand for is loaded when it is asked for: a command line that
only prints its help loads none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from .model.alerts import Alerts, Apprise, Command, Quiet, Smtp, Webhook
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
    "Alerts",
    "App",
    "Apprise",
    "AsyncTransaction",
    "Command",
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
    "Quiet",
    "Rate",
    "RequestChanged",
    "ResultNotKept",
    "ResultNotReady",
    "Retry",
    "RetryIn",
    "Run",
    "SlotsDiffer",
    "Smtp",
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
    "Webhook",
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

_HOMES = {
    ".app.app": "App",
    ".app.handle": "Handle",
    ".app.newer": "awrite_if_newer write_if_newer",
    ".app.once": "Turn once",
    ".app.once_per": "once_per",
    ".app.running": "Run",
    ".app.task": "Task",
    ".app.transactions": "AsyncTransaction Transaction",
    ".app.versions": "acompare_and_set awrite_version compare_and_set write_version",
    ".engines.ledgers": "make_ledger",
    ".model.errors": """
        CommitUnknown Conflict DutifulError DutyTaken EffectChanged EffectNotSent
        EffectRefused EffectUnknown InsideTransaction InvalidEffect InvalidTask JobFailed
        JobNotFound KeyReused LeaseLost LedgerMissing LockBusy LockLost
        NotBuilt NotInTransaction PayloadTooLarge RequestChanged ResultNotKept ResultNotReady
        SlotsDiffer StoreBusy StoreError StoreUnreachable TimedOut TurnBroken
        Unsure WorkNotFinished WorkRolledBack WrongArgument WrongState
    """,
    ".model.alerts": "Alerts Apprise Command Quiet Smtp Webhook",
    ".model.gates": "Lock Order Rate",
    ".model.late": "Late",
    ".model.retry": "GiveUp Retry RetryIn Snooze",
}
"""Where each name comes from; the imports above say the same to who reads types."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'dutiful' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOME_OF[name], __name__), name)
    globals()[name] = value  # the next time it is found at once
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOME_OF]
