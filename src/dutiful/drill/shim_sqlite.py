"""The shim of ``sqlite3``: connections that tell a drill what they are about to do.

Django's and SQLAlchemy's go through here, too. A connection to the app's own file leads to the scratch copy;
one to any other file is refused, so that a drill changes nothing it does not put back. The SQL functions of
the date and time ask the drill's clock.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from .boundaries import Fault, Track, UnseenIO, kind_of, track, unwatched
from .times import us_now

_connect = sqlite3.connect
_functions = _connect(":memory:", check_same_thread=False)
Place = Callable[[str], str | None]


def faulted(one: Track | None, connection: Any, sql: str, act: Callable[[], Any], autocommit: bool) -> Any:
    """Let a statement through, or what the plan says instead."""
    kind = kind_of(sql) if one is not None else None
    if one is None or kind is None:
        return act() if one is None else waiting(one, act)
    if kind == "commit" and not connection.in_transaction:
        return act()
    fault: Fault | None = one.at(kind, sql)
    alone = kind == "write" and autocommit and not connection.in_transaction
    if fault is None:
        return waiting(one, act)
    if kind != "commit" and (fault == "error" or alone):
        raise sqlite3.OperationalError("disk I/O error")
    if fault in ("error", "lost_unapplied"):
        with unwatched():
            sqlite3.Connection.rollback(connection)
    elif fault == "lost_applied":
        waiting(one, act)
    raise sqlite3.OperationalError("disk I/O error")


def waiting(one: Track, act: Callable[[], Any]) -> Any:
    """Carry it out; where the other run holds the lock, let that go on first."""
    while True:
        try:
            return act()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or one.blocked is None or not one.blocked():
                raise


class Cursor(sqlite3.Cursor):
    """Tells of each statement."""

    def execute(self, sql: str, *args: Any) -> Any:
        connection = self.connection
        return faulted(
            track(), connection, sql, lambda: super(Cursor, self).execute(sql, *args), _alone(connection)
        )

    def executemany(self, sql: str, *args: Any) -> Any:
        connection = self.connection
        return faulted(
            track(), connection, sql, lambda: super(Cursor, self).executemany(sql, *args), _alone(connection)
        )

    def executescript(self, sql: str) -> Any:
        connection = self.connection
        return faulted(track(), connection, sql, lambda: super(Cursor, self).executescript(sql), True)


def _alone(connection: sqlite3.Connection) -> bool:
    return connection.isolation_level is None


class Connection(sqlite3.Connection):
    """Tells of statements and commits."""

    drill_path = ""
    """Where it leads."""

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(Cursor if factory is None else _cursor_class(factory))

    def execute(self, sql: str, *args: Any) -> Any:
        return self.cursor().execute(sql, *args)

    def executemany(self, sql: str, *args: Any) -> Any:
        return self.cursor().executemany(sql, *args)

    def executescript(self, sql: str) -> Any:
        return self.cursor().executescript(sql)

    def commit(self) -> None:
        faulted(track(), self, "COMMIT", super().commit, False)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if kind is None:
            self.commit()
        else:
            self.rollback()
        return False


_classes: dict[tuple[type, type], type] = {}


def _cursor_class(factory: type) -> type:
    return _mixed(Cursor, factory)


def _mixed(ours: type, theirs: type) -> type:
    if issubclass(theirs, ours) or issubclass(ours, theirs):
        return theirs if issubclass(theirs, ours) else ours
    made = _classes.get((ours, theirs))
    if made is None:
        made = _classes[ours, theirs] = type(theirs.__name__, (theirs, ours), {})
    return made


def path_of(database: Any) -> str:
    """The file that a connection would open, absolute; ":memory:" as it is."""
    text = os.fsdecode(database)
    if text.startswith("file:"):
        text = unquote(text[5:].partition("?")[0])
        if "mode=memory" in str(database):
            return ":memory:"
    return text if text in (":memory:", "") else os.path.abspath(text)


@contextmanager
def sqlite_shim(place: Place) -> Iterator[None]:
    """While it is on, ``sqlite3.connect`` gives connections that tell.

    ``place`` maps a file to where it leads, and to None what is not the drill's.
    """

    def connect(database: Any, *args: Any, **kwargs: Any) -> Any:
        one = track()
        path = path_of(database)
        target: Any = database
        if path not in (":memory:", ""):
            led = place(path)
            if led is None:
                if one is None:
                    return _connect(database, *args, **kwargs)
                raise UnseenIO(f"The body opened {path}, which is not the database of its app.")
            target = led
            if kwargs.get("uri"):
                target = (
                    "file:" + led + ("?" + str(database).partition("?")[2] if "?" in str(database) else "")
                )
        kwargs["factory"] = _mixed(Connection, kwargs.get("factory", Connection))
        kwargs["check_same_thread"] = False
        if one is not None and one.blocked is not None:
            kwargs["timeout"] = 0.0
        connection = _connect(target, *args, **kwargs)
        _tell_time(connection)
        connection.drill_path = target
        if one is not None and _from_body():
            dropping(one, connection)
        return connection

    from sqlite3 import dbapi2

    before = sqlite3.connect
    sqlite3.connect = dbapi2.connect = connect
    try:
        yield
    finally:
        sqlite3.connect = dbapi2.connect = before


def _from_body() -> bool:
    from .boundaries import where

    return where()[0] is not None


def dropping(one: Track, connection: Any) -> None:
    """Close this connection when the run is cut off; if it ends otherwise, end what was left open."""
    held = weakref.ref(connection)
    one.drops.append(lambda: _drop(held(), one.crashed))


def is_current(connection: Any, path: str) -> bool:
    """Whether a connection leads to this file, and is open."""
    if not isinstance(connection, Connection):
        return False
    try:
        connection.cursor().close()
    except sqlite3.ProgrammingError:
        return False
    return path_of(connection.drill_path) in (path, ":memory:")


def _drop(connection: sqlite3.Connection | None, close: bool) -> None:
    if connection is None:
        return
    with unwatched():
        try:
            if connection.in_transaction:
                connection.rollback()
            if close:
                connection.close()
        except sqlite3.Error:
            pass  # closed already


def functions_of_time() -> Iterator[tuple[str, Callable[..., Any]]]:
    """SQL's functions of the date and time, asking the drill's clock."""
    for name in ("datetime", "date", "time", "julianday", "unixepoch", "strftime"):
        yield name, _function(name, int(name == "strftime"))
    for name, of in (("current_timestamp", "datetime"), ("current_date", "date"), ("current_time", "time")):
        yield name, _function(of, 0)


def _tell_time(connection: sqlite3.Connection) -> None:
    for name, function in functions_of_time():
        connection.create_function(name, 0 if name.startswith("current_") else -1, function)


def _function(name: str, at: int) -> Callable[..., Any]:
    def function(*args: Any) -> Any:
        given = list(args)
        if len(given) == at:
            given.append("now")
        if isinstance(given[at], str) and given[at].lower() == "now":
            given[at] = us_now() / 86_400_000_000 + 2440587.5
        marks = ", ".join("?" * len(given))
        return _functions.execute(f"SELECT {name}({marks})", given).fetchone()[0]

    return function
