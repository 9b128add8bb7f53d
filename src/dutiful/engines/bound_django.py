"""A caller's Django connection (``django.db.connection``), on SQLite or PostgreSQL, inside ``atomic()``."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, cast

from ..model import errors
from ..operations.plan import Rows
from . import bound_postgres, bound_sqlite
from .anywhere import Anywhere
from .bound_runner import Home, SyncRunner, plain
from .contract import Engine

if TYPE_CHECKING:
    from .postgres import PostgresEngine
    from .sqlite import SqliteEngine

VENDORS = {"sqlite": "sqlite", "postgres": "postgresql"}

_seen: weakref.WeakKeyDictionary[Any, weakref.WeakSet[Engine]] = weakref.WeakKeyDictionary()


class DjangoRunner(SyncRunner):
    """Runs operations on a Django connection; each thread has its own behind the same name."""

    kind = "Django's connection"
    style = "format"

    def __init__(self, engine: Home, lent: Any) -> None:
        super().__init__(engine)
        self._lent = lent
        self._savepoint: str | None = None

    def attach(self) -> None:
        self._lent.ensure_connection()

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
                hint="Do it inside `with transaction.atomic():`.",
            )
        self.attach()
        raw = lent.connection
        if isinstance(self.engine, Anywhere):
            self.engine.url = whereabouts(lent)
        if self.name == "sqlite":
            began = bound_sqlite.begins(raw)
            if not isinstance(self.engine, Anywhere):
                engine = cast("SqliteEngine", self.engine)
                bound_sqlite.check_file(engine, self._query, bound_sqlite.library_of(raw))
                bound_sqlite.see_tables(engine, began is None)
            if began is None:
                return False
            self.command(began)
            return True
        if not isinstance(self.engine, Anywhere):
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

    def rows(self, text: str, params: Any) -> Rows:
        with self._lent.cursor() as cursor:
            cursor.execute(text, params)
            return plain(cursor.fetchall()) if cursor.description else ()

    # As Django's own atomic() does it, so that on_commit() hooks of a block that failed are dropped.

    def open_block(self) -> None:
        self._savepoint = self._lent.savepoint()
        self._lent.savepoint_ids.append(self._savepoint)

    def keep_block(self) -> None:
        self.leave_block()
        self._lent.savepoint_commit(self._savepoint)

    def undo_block(self, error: BaseException) -> None:
        self.leave_block()
        self._lent.needs_rollback = False  # of an inner block that had no savepoint of its own
        self._lent.savepoint_rollback(self._savepoint)
        self._lent.savepoint_commit(self._savepoint)

    def leave_block(self) -> None:
        if self._savepoint in self._lent.savepoint_ids:
            self._lent.savepoint_ids.remove(self._savepoint)

    def _query(self, text: str) -> Any:
        with self._lent.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else ()


def whereabouts(lent: Any) -> str:
    """The URL of the database of a Django connection, without user and password."""
    settings = lent.settings_dict
    if lent.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    return f"postgresql://{settings['HOST'] or 'localhost'}:{settings['PORT'] or 5432}/{settings['NAME']}"
