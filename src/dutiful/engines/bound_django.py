"""A caller's Django connection (``django.db.connection``), on SQLite or PostgreSQL, inside ``atomic()``."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, cast

from ..model import errors
from ..operations.plan import Rows, Step
from . import bound_postgres, bound_sqlite
from .bound_runner import SyncRunner, plain, texts
from .contract import Engine

if TYPE_CHECKING:
    from .postgres import PostgresEngine
    from .sqlite import SqliteEngine

VENDORS = {"sqlite": "sqlite", "postgres": "postgresql"}

_seen: weakref.WeakKeyDictionary[Any, weakref.WeakSet[Engine]] = weakref.WeakKeyDictionary()


class DjangoRunner(SyncRunner):
    """Runs operations on a Django connection; each thread has its own behind the same name."""

    kind = "Django's connection"

    def __init__(self, engine: Engine, lent: Any) -> None:
        super().__init__(engine)
        self._lent = lent

    def enter(self) -> bool:
        lent = self._lent
        if lent.vendor != VENDORS[self.name]:
            raise errors.InvalidOption(
                f"connection= leads to {lent.vendor}, but this app's jobs are in {self.engine.url}.",
                hint="Give a connection to the app's own database; a job stored elsewhere would never run.",
            )
        if not lent.in_atomic_block and lent.get_autocommit():
            raise errors.NotInTransaction(
                "Django's connection is not in an atomic block: each statement would be committed at once.",
                hint="Enqueue inside `with transaction.atomic():`.",
            )
        lent.ensure_connection()
        raw = lent.connection
        if self.name == "sqlite":
            engine = cast("SqliteEngine", self.engine)
            began = bound_sqlite.begins(raw)
            bound_sqlite.check_file(engine, self._query, bound_sqlite.library_of(raw))
            bound_sqlite.see_tables(engine, began is None)
            if began is None:
                return False
            self.command(began)
            return True
        server = cast("PostgresEngine", self.engine)
        known = _seen.setdefault(raw, weakref.WeakSet())
        if server not in known:
            bound_postgres.see_tables(server)
            [(database, started)] = self._query(bound_postgres.WHICH)
            bound_postgres.check_database(server, (database, started))
            known.add(server)
        return False

    def in_transaction(self) -> bool:
        raw = self._lent.connection
        if raw is None:
            return False
        return bool(raw.in_transaction) if self.name == "sqlite" else not raw.closed

    def command(self, text: str) -> None:
        with self._lent.cursor() as cursor:
            cursor.execute(text)

    def execute(self, step: Step) -> Rows:
        rows: Rows = ()
        with self._lent.cursor() as cursor:
            for text, params in texts(self.engine, step, "format"):
                cursor.execute(text, params)
                rows = plain(cursor.fetchall()) if cursor.description else ()
        return rows

    def _query(self, text: str) -> Any:
        with self._lent.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else ()
