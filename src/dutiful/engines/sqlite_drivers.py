"""The two ways into SQLite, the standard library's and apsw, behind one small face.

Each gives a connection that begins nothing by itself: BEGIN and COMMIT are the engine's.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from ..model import errors

DriverName = Literal["sqlite3", "apsw"]
Row = tuple[Any, ...]


class Connection(Protocol):
    """One connection; used by one thread at a time."""

    raw: Any

    def execute(self, sql: str, params: Mapping[str, Any] = ...) -> list[Row]: ...

    @property
    def in_transaction(self) -> bool: ...

    def close(self) -> None: ...


class Driver(Protocol):
    """One SQLite library."""

    name: DriverName
    version: tuple[int, int, int]

    def connect(self, path: str, *, timeout_s: float, read_only: bool = False) -> Connection: ...

    def translate(self, error: Exception, path: str) -> Exception: ...

    def is_busy(self, error: BaseException) -> bool: ...


def _uri(path: str, read_only: bool) -> str:
    from urllib.parse import quote

    return f"file:{quote(path)}?mode={'ro' if read_only else 'rwc'}"


class _StandardConnection:
    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw

    def execute(self, sql: str, params: Mapping[str, Any] = {}) -> list[Row]:
        return self.raw.execute(sql, params).fetchall()

    @property
    def in_transaction(self) -> bool:
        return self.raw.in_transaction

    def close(self) -> None:
        self.raw.close()


class StandardDriver:
    """The ``sqlite3`` of the standard library, which applications open their files with."""

    name: DriverName = "sqlite3"

    def __init__(self) -> None:
        major, minor, patch = (int(part) for part in sqlite3.sqlite_version.split("."))
        self.version = (major, minor, patch)

    def connect(self, path: str, *, timeout_s: float, read_only: bool = False) -> Connection:
        if path == ":memory:":
            raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        else:
            raw = sqlite3.connect(
                _uri(path, read_only),
                timeout=timeout_s,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
                uri=True,
            )
        return _StandardConnection(raw)

    def is_busy(self, error: BaseException) -> bool:
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

    def translate(self, error: Exception, path: str) -> Exception:
        return translated(error, path)


class _ApswConnection:
    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def execute(self, sql: str, params: Mapping[str, Any] = {}) -> list[Row]:
        return self.raw.execute(sql, params).fetchall()  # type: ignore[no-any-return]

    @property
    def in_transaction(self) -> bool:
        return bool(self.raw.in_transaction)

    def close(self) -> None:
        self.raw.close()


class ApswDriver:
    """apsw, which carries a current SQLite of its own (``?driver=apsw``)."""

    name: DriverName = "apsw"
    vfs: str | None = None
    """What lies between SQLite and the disk; None for the usual. Tests of power loss put theirs there."""

    def __init__(self) -> None:
        try:
            import apsw
        except ImportError:
            raise errors.DriverMissing(
                "The URL says driver=apsw, but apsw is not installed.",
                hint="Run: pip install 'dutiful[apsw]' (or leave ?driver=apsw away)",
            ) from None
        self._apsw = apsw
        major, minor, patch = (int(part) for part in apsw.sqlite_lib_version().split(".")[:3])
        self.version = (major, minor, patch)

    def connect(self, path: str, *, timeout_s: float, read_only: bool = False) -> Connection:
        apsw = self._apsw
        if path == ":memory:":
            raw = apsw.Connection(path)
        else:
            mode = (
                apsw.SQLITE_OPEN_READONLY
                if read_only
                else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
            )
            mode |= apsw.SQLITE_OPEN_URI
            raw = apsw.Connection(_uri(path, read_only), mode, self.vfs, statementcachesize=256)
            raw.set_busy_timeout(int(timeout_s * 1000))
        return _ApswConnection(raw)

    def is_busy(self, error: BaseException) -> bool:
        return isinstance(error, (self._apsw.BusyError, self._apsw.LockedError))

    def translate(self, error: Exception, path: str) -> Exception:
        return translated(error, path)


def translated(error: Exception, path: str) -> Exception:
    """The error in our own words, by SQLite's primary result code; one that is not SQLite's as it is."""
    code: int | None = None
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
    elif (apsw := sys.modules.get("apsw")) is not None and isinstance(error, apsw.Error):
        code = getattr(error, "extendedresult", None) or getattr(error, "result", None)
        if isinstance(error, apsw.CantOpenError):
            code = sqlite3.SQLITE_CANTOPEN
    if code is None:
        return error
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return errors.StoreBusy(f"{path} stayed locked by another connection ({error}).")
        case sqlite3.SQLITE_READONLY:
            return errors.StoreReadOnly(f"{path} cannot be written ({error}).")
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR if "full" in str(error) or code & 0xFF == 13:
            return errors.StoreFull(f"{path}: {error}. Nothing of this transaction was kept.")
        case sqlite3.SQLITE_CANTOPEN:
            return errors.StoreUnreachable(
                f"{path} cannot be opened ({error}).",
                hint="Does the folder exist, and may this user write in it?",
            )
        case sqlite3.SQLITE_NOTADB:
            return errors.StoreUnreachable(
                f"{path} is no SQLite database ({error}).", hint="Give another path in the URL."
            )
        case _:
            return error


def driver(name: DriverName) -> Driver:
    """The driver of that name; raises DriverMissing if it is not installed."""
    return ApswDriver() if name == "apsw" else StandardDriver()
