"""A caller's own connection to the SQLite file, by sqlite3 or apsw; what must be seen to before use.

The file has to be the engine's, opened by the same SQLite library, and on libraries with the
WAL-reset race the connection must not take checkpoints of its own.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..model import errors
from ..operations.plan import Rows
from .anywhere import Anywhere
from .bound_runner import Home, SyncRunner
from .checkpoints import NO_CHECKPOINTS, affected

if TYPE_CHECKING:
    from .sqlite import SqliteEngine

Query = Callable[[str], Sequence[Sequence[Any]]]

_opened: weakref.WeakSet[SqliteEngine] = weakref.WeakSet()
_seen: weakref.WeakKeyDictionary[Any, weakref.WeakSet[SqliteEngine]] = weakref.WeakKeyDictionary()


class SqliteRunner(SyncRunner):
    """Runs operations on a connection of sqlite3 or apsw."""

    style = "named"

    def __init__(self, engine: Home, connection: Any, library: str) -> None:
        super().__init__(engine)
        self.kind = f"a {library}.Connection"
        self._raw = connection
        self._library = library

    def enter(self) -> bool:
        began = begins(self._raw)
        if isinstance(self.engine, Anywhere):
            self.engine.url = whereabouts(self.rows)
        else:
            self._see(cast("SqliteEngine", self.engine), began is None)
        if began is None:
            return False
        self.command(began)
        return True

    def _see(self, engine: SqliteEngine, in_transaction: bool) -> None:
        if self._library == "apsw":
            known = _seen.setdefault(self._raw, weakref.WeakSet())
            if engine not in known:
                check_file(engine, self.rows, self._library)
                known.add(engine)
        else:  # takes no weak reference, and the question costs some microseconds
            check_file(engine, self.rows, self._library)
        see_tables(engine, in_transaction)

    def in_transaction(self) -> bool:
        return bool(self._raw.in_transaction)

    def command(self, text: str) -> None:
        self._raw.execute(text)

    def rows(self, text: str, params: Any = None) -> Rows:
        """With cursors that no row factory, row trace or text factory of the caller's touches."""
        cursor = self._raw.cursor()
        if self._library == "apsw":
            cursor.row_trace = _untraced
            return cursor.execute(text, params).fetchall()  # type: ignore[no-any-return]
        cursor.row_factory = None
        factory, self._raw.text_factory = self._raw.text_factory, str
        try:
            return cursor.execute(text, params or {}).fetchall()  # type: ignore[no-any-return]
        finally:
            self._raw.text_factory = factory
            cursor.close()


def _untraced(cursor: object, row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row


def begins(raw: Any) -> str | None:
    """How a transaction begins on this connection; None if one is open. Raises NotInTransaction.

    Python's sqlite3 begins one by itself before INSERT, UPDATE, DELETE and REPLACE, but neither
    before WITH nor before SAVEPOINT; so we do it, in its words. The caller commits.
    """
    if raw.in_transaction:
        return None
    if getattr(raw, "isolation_level", None) is None or _autocommits(raw):
        raise errors.NotInTransaction(
            "The SQLite connection given is in no transaction: each statement would be committed at once.",
            hint='Execute "BEGIN IMMEDIATE" on it first (or your library\'s way to begin).',
        )
    return f"BEGIN {raw.isolation_level}".rstrip()


def _autocommits(raw: Any) -> bool:
    """Whether ``autocommit=True`` was given (Python 3.12): then commit() would do nothing."""
    own = getattr(raw, "_conn", raw)  # aiosqlite keeps sqlite3's connection there
    try:
        return getattr(own, "autocommit", None) is True
    except Exception:  # sqlite3 refuses to be asked by another thread, as aiosqlite's is
        return False


def library_of(raw: Any) -> str:
    """The library that a SQLite connection belongs to, also one of a class of the program's own; aiosqlite
    stands on sqlite3."""
    packages = [str(ancestor.__module__).partition(".")[0] for ancestor in type(raw).__mro__]
    for package in packages:
        if package in ("sqlite3", "_sqlite3", "aiosqlite"):
            return "sqlite3"
        if package == "apsw":
            return package
    return next((package for package in packages if package != "builtins"), "unknown")


def _path(query: Query) -> str:
    return next((str(row[2] or "") for row in query("PRAGMA database_list") if row[1] == "main"), "")


def whereabouts(query: Query) -> str:
    """The URL of the file that a connection has open."""
    path = _path(query)
    return f"sqlite:///{path}" if path else "this database in memory"


def check_file(engine: SqliteEngine, query: Query, library: str) -> None:
    """Raise InvalidOption or TwoSqliteBuilds unless it is our file, opened by our library."""
    path = _path(query)
    if not _same_file(engine, path):
        theirs = path or "a database in memory"
        raise errors.InvalidOption(
            f"connection= leads to {theirs}, but this app's jobs are in {engine.path}.",
            hint="Give a connection to the app's own file; a job stored elsewhere would never run.",
        )
    ours = engine._driver
    if library != ours.name:
        raise errors.TwoSqliteBuilds(
            f"{engine.path} is opened by {ours.name} for dutiful, and by {library} in connection=."
        )
    if affected(ours.version):
        for setting in NO_CHECKPOINTS:
            query(setting)


def _same_file(engine: SqliteEngine, path: str) -> bool:
    if engine.memory or not path:
        return False
    try:
        return os.path.samefile(engine.path, path)
    except OSError:
        return os.path.realpath(engine.path) == os.path.realpath(path)


def see_tables(engine: SqliteEngine, in_transaction: bool) -> None:
    """Once per engine: make the tables of a new file, or raise unless they are of this version."""
    if engine in _opened:
        return
    try:
        engine.check_schema()
    except Exception as error:
        seen = engine._translated(error)
        if in_transaction and isinstance(seen, errors.StoreBusy):
            raise errors.StoreBusy(
                f"{engine.path} has to be made ready for jobs first, and this transaction is in the way.",
                hint="Use the app once before it begins, or run: dutiful migrate --app MODULE:APP",
            ) from error
        if seen is error:
            raise
        raise seen from error
    _opened.add(engine)


async def asee_tables(engine: SqliteEngine, in_transaction: bool) -> None:
    """The same, off the event loop."""
    if engine not in _opened:
        await asyncio.to_thread(see_tables, engine, in_transaction)
