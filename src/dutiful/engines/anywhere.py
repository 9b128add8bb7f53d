"""Stands where an engine stands, for a connection whose database nobody has named to us beforehand.

``dutiful.once`` takes a caller's connection as it is, wherever it leads: there is no app, no table of
jobs to look for, and no clock but the database's own.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from ..model import errors
from ..sql import EngineName
from .contract import Clock
from .drive import Observer
from .postgres_errors import translated
from .sqlite_drivers import translated as translated_sqlite


@dataclass(eq=False)
class Anywhere:
    """What a bound runner knows of such a database; ``url`` is filled in as far as the connection tells."""

    name: EngineName
    url: str = "this database"
    clock: Clock | None = None
    observe: Observer | None = None

    def in_our_words(self, error: Exception) -> Exception:
        """The error that the caller should see; one that is not ours comes back as it is."""
        if self.name == "sqlite":
            if "no such table: main.dutiful_ledger" in str(error):
                return self._no_ledger()
            if snapshot_is_old(error):
                return errors.StoreBusy(
                    f"{self.url} was written by another connection since this transaction first read.",
                    hint="Roll back and begin again, with BEGIN IMMEDIATE: a read that turns into a write"
                    " cannot wait.",
                )
            return translated_sqlite(error, self.url)
        seen = translated(error, self.url)
        return self._no_ledger() if isinstance(seen, errors.SchemaMissing) else seen

    def _no_ledger(self) -> errors.LedgerMissing:
        typed = f"Run: dutiful migrate --ledger {self.url}\n" if "://" in self.url else ""
        return errors.LedgerMissing(
            f"{self.url} has no ledger.", hint=f"{typed}Or call dutiful.make_ledger(connection), and commit."
        )


def snapshot_is_old(error: BaseException) -> bool:
    """Whether SQLite refused to let a transaction write that had read before others wrote."""
    code: Any = getattr(error, "sqlite_errorcode", None) or getattr(error, "extendedresult", None)
    return bool(code == sqlite3.SQLITE_BUSY_SNAPSHOT)
