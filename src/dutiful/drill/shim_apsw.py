"""The shim of ``apsw``, for apps whose store is opened by it: connections that tell a drill what they do.

As that of sqlite3, with what differs: apsw begins and commits nothing by itself, but its ``with`` block is a
savepoint, the outermost of which commits. A connection that was not made by the shim's class (by a name that
was imported before) is refused by a hook of apsw's own.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from .boundaries import Track, UnseenIO, kind_of, track, unwatched, where
from .shim_http import put
from .shim_sqlite import Place, functions_of_time, path_of


def plain(path: str) -> Any:
    """A connection past the shim: for the drill's own looks, by the library that has the file open."""
    connection = _real().Connection(path)
    connection.set_busy_timeout(200)
    return connection


@lru_cache(maxsize=1)
def _real() -> Any:
    """apsw's classes, as they are without a shim."""
    import apsw

    class Real:
        Connection: Any = getattr(apsw.Connection, "drill_real", apsw.Connection)

    return Real


def faulted(one: Track | None, connection: Any, sql: str, act: Callable[[], Any]) -> Any:
    """Let a statement through, or what the plan says instead."""
    import apsw

    kind = kind_of(sql) if one is not None else None
    if one is None or kind is None:
        return act() if one is None else waiting(one, act)
    if kind == "commit" and not connection.in_transaction:
        return act()
    fault = one.at(kind, sql)
    if fault is None:
        return waiting(one, act)
    if kind == "commit":
        if fault == "lost_applied":
            waiting(one, act)
        else:
            with unwatched():
                connection.execute("ROLLBACK")
    raise apsw.IOError("IOError: disk I/O error")


def waiting(one: Track, act: Callable[[], Any]) -> Any:
    """Carry it out; where the other run holds the lock, let that go on first."""
    import apsw

    while True:
        try:
            return act()
        except (apsw.BusyError, apsw.LockedError):
            if one.blocked is None or not one.blocked():
                raise


@lru_cache(maxsize=1)
def _classes() -> tuple[Any, Any]:
    import apsw

    real = _real().Connection

    class Cursor(apsw.Cursor):
        """Tells of each statement."""

        def execute(self, statements: str, *args: Any, **kwargs: Any) -> Any:
            run = super().execute
            return faulted(track(), self.connection, statements, lambda: run(statements, *args, **kwargs))

        def executemany(self, statements: str, *args: Any, **kwargs: Any) -> Any:
            run = super().executemany
            return faulted(track(), self.connection, statements, lambda: run(statements, *args, **kwargs))

    class Connection(real):  # type: ignore[misc, valid-type]
        """Tells of statements and commits."""

        __module__ = "apsw"  # what asks whose connection it is shall find that
        drill_real = real
        drill_path = ""
        """Where it leads."""
        drill_depth = 0

        def cursor(self) -> Any:
            return Cursor(self)

        def execute(self, statements: str, *args: Any, **kwargs: Any) -> Any:
            return self.cursor().execute(statements, *args, **kwargs)

        def executemany(self, statements: str, *args: Any, **kwargs: Any) -> Any:
            return self.cursor().executemany(statements, *args, **kwargs)

        def set_busy_timeout(self, milliseconds: int) -> None:
            one = track()
            super().set_busy_timeout(0 if one is not None and one.blocked is not None else milliseconds)

        def __enter__(self) -> Any:
            self.drill_outer = getattr(self, "drill_outer", [])
            self.drill_outer.append(not self.in_transaction)
            super().__enter__()
            return self

        def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
            outermost, leave = self.drill_outer.pop(), super().__exit__
            if not outermost or kind is not None:
                return leave(kind, error, trace)
            try:
                return faulted(track(), self, "COMMIT", lambda: leave(None, None, None))
            except BaseException:
                if self.in_transaction:
                    with unwatched(), suppress(Exception):
                        self.execute("ROLLBACK")
                raise

    return Connection, Cursor


@contextmanager
def apsw_shim(place: Place) -> Iterator[None]:
    """While it is on, ``apsw.Connection`` makes connections that tell; ``place`` is as for sqlite3."""
    apsw: Any = sys.modules.get("apsw")
    if apsw is None:
        yield
        return
    made, _ = _classes()
    made_by_us: list[bool] = []

    def connect(filename: Any, *args: Any, **kwargs: Any) -> Any:
        one = track()
        path, target = path_of(filename), filename
        if path not in (":memory:", ""):
            led = place(path)
            if led is None:
                if one is None:
                    return _real().Connection(filename, *args, **kwargs)
                raise UnseenIO(f"The body opened {path}, which is not the database of its app.")
            query = str(filename).partition("?")[2] if str(filename).startswith("file:") else ""
            target = f"file:{led}?{query}" if query else led
        made_by_us.append(True)
        try:
            connection = made(target, *args, **kwargs)
        finally:
            made_by_us.pop()
        for name, function in functions_of_time():
            connection.create_scalar_function(name, function)
        connection.drill_path = path_of(target)
        if one is not None and where()[0] is not None:
            dropping(one, connection)
        return connection

    def hook(connection: Any) -> None:
        if not made_by_us and track() is not None:
            raise UnseenIO("The body opened a file by an apsw.Connection that was imported by name.")

    class Standing(type):
        """Calls make the shim's connections; ``isinstance`` is as it was."""

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return connect(*args, **kwargs)

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, _real().Connection)

    standing = Standing("Connection", (), {"drill_real": _real().Connection})
    apsw.connection_hooks.append(hook)
    try:
        with put(apsw, "Connection", standing):
            yield
    finally:
        apsw.connection_hooks.remove(hook)


def dropping(one: Track, connection: Any) -> None:
    """Close this connection when the run is cut off; if it ends otherwise, end what was left open."""
    held = weakref.ref(connection)

    def drop() -> None:
        found = held()
        if found is None:
            return
        with unwatched(), suppress(Exception):  # closed already
            if found.in_transaction:
                found.execute("ROLLBACK")
            if one.crashed:
                found.close(True)

    one.drops.append(drop)
