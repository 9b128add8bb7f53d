"""One SQLite library per file: sees that no file is opened by two of them in this process.

SQLite's locks are POSIX locks, which belong to the process: when it closes *any* descriptor of a
file, all its locks on that file are gone. Each library knows this of its own descriptors and is
careful; two libraries (the standard ``sqlite3`` on the system's, apsw on the one that it carries) do
not know each other, and closing a connection of one lets another process write under the other.

The engine claims its file for its driver before it opens it. From then on whoever opens the file
by the other one in this process, be it Django, SQLAlchemy or a script, gets
:class:`~dutiful.model.errors.TwoSqliteBuilds`:

* ``sqlite3`` is refused *before* it opens anything, by an audit hook (installed when the first file
  is claimed for apsw, since every audited event of the process pays a little for it).
* apsw can be refused only *after* it opened: its hook gets the new connection, which apsw then
  closes, and with that the locks of ours are gone for once. So :func:`watch`, which the engine calls
  before each transaction, then says so, and the engine opens its connections anew.
* A connection that was there before the claim is found, too: apsw knows its connections; one of
  ``sqlite3`` shows as a descriptor of the file that none of apsw's accounts for.

Out of reach: an ATTACH, and other modules with a library of their own (pysqlite3, sqlcipher3), for
which there is no hook.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import sys
import threading
import time
from collections import Counter
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

from ..model.errors import TwoSqliteBuilds

Library = Literal["sqlite3", "apsw"]

_FD_FOLDER: Final = "/dev/fd"

LOOKS = 100
LOOK_AGAIN_S = 0.02
_lock = threading.RLock()  # re-entrant: a hook may fire while a claim looks at connections
_claims: Counter[tuple[str, Library]] = Counter()
_auditing = False
_intruded = False
_dropped = 0


def claim_file(path: str, driver: Library) -> None:
    """Before the engine opens ``path`` by this driver. Raises TwoSqliteBuilds, and claims nothing, if
    this process has the file open by the other. Each claim is given back by :func:`release_file`.
    """
    real = _file_of(path)
    if real is None:
        return
    if driver == "apsw":
        _audit_sqlite3()
    looks = LOOKS
    while not _claim(real, driver):
        looks -= 1
        if not looks:
            raise _refusal(real, opened_by="sqlite3", refused=driver)
        time.sleep(LOOK_AGAIN_S)
    watch()


def _claim(real: str, driver: Library) -> bool:
    """Claim it, or say that ``sqlite3`` seems to have it open. Raises TwoSqliteBuilds where that is sure.

    The guess is made again, without the lock in between: a connection that apsw is just opening has its
    file, is not listed yet, and may wait for this very lock, in its hook. Threads that open and close all
    the time are seen so again and again, but hardly each time; a refusal, which ends the program anyway,
    takes two seconds.
    """
    with _lock:
        other: Library = "sqlite3" if driver == "apsw" else "apsw"
        if _claimed(real, other) or (driver == "sqlite3" and _open_by_apsw(real)):
            raise _refusal(real, opened_by=other, refused=driver)
        # Once it is claimed the hook refuses sqlite3; what is open then is ours, and may be half open.
        if driver == "apsw" and not _claimed(real, driver) and _open_by_sqlite3(real):
            return False
        _claims[real, driver] += 1
        return True


def release_file(path: str, driver: Library) -> None:
    """After the engine closed what it had opened under one claim."""
    real = _file_of(path)
    if real is not None:
        with _lock:
            _claims[real, driver] -= 1
            if _claims[real, driver] <= 0:
                del _claims[real, driver]


def watch() -> int:
    """Keep an eye on apsw, which may be imported at any time; for each transaction (0.1 µs).

    Returns how many times apsw has closed a file that is claimed for ``sqlite3``: when this has
    grown, the locks of connections opened before are gone, and they must be closed and opened anew.
    Raises TwoSqliteBuilds while a connection is open that was made between the import and this call.
    """
    apsw = sys.modules.get("apsw")
    if apsw is not None and (_intruded or _refuse_apsw not in getattr(apsw, "connection_hooks", _ALREADY)):
        _look_into(apsw)
    return _dropped


# ── the two hooks ───────────────────────────────────────────────────────────────────────────


def _audit_sqlite3() -> None:
    global _auditing
    if not _auditing:
        _auditing = True
        sys.addaudithook(_refuse_sqlite3)


def _refuse_sqlite3(event: str, args: tuple[Any, ...]) -> None:
    if event == "sqlite3.connect" and _claims:
        real = _file_of(args[0])
        if real is not None:
            with _lock:
                if _claimed(real, "apsw"):
                    raise _refusal(real, opened_by="apsw", refused="sqlite3")


def _look_into(apsw: Any) -> None:
    """Set the hook, and see who was quicker."""
    global _intruded, _dropped
    with _lock:
        if _refuse_apsw not in apsw.connection_hooks:
            # First of all hooks: the others must not use a connection that is about to be refused.
            apsw.connection_hooks.insert(0, _refuse_apsw)
        for real, driver in _claims:
            if driver == "sqlite3" and _open_by_apsw(real):
                _intruded = True
                raise _refusal(real, opened_by="apsw", refused="sqlite3")
        if _intruded:
            _intruded = False
            _dropped += 1


def _refuse_apsw(connection: Any) -> None:
    global _dropped
    if not _claims:
        return
    with _lock:
        for real in _files_of(connection):
            if _claimed(real, "sqlite3"):
                _dropped += 1
                raise _refusal(real, opened_by="sqlite3", refused="apsw")


_ALREADY: Final = (_refuse_apsw,)
"""Stands for the hooks of an apsw that is still being imported."""


# ── who has a file open ─────────────────────────────────────────────────────────────────────


def _open_by_apsw(real: str) -> bool:
    apsw = sys.modules.get("apsw")
    connections: list[Any] = getattr(apsw, "connections", list)()
    return any(_same(real, file) for connection in connections for file in _files_of(connection))


def _may_be_apsw(real: str) -> bool:
    """Whether apsw has the file open, or a connection that is too busy to be asked."""
    apsw = sys.modules.get("apsw")
    for connection in getattr(apsw, "connections", list)():
        try:
            names = [connection.db_filename(name) for name in connection.db_names()]
        except Exception:
            return True
        if any(_same(real, os.path.realpath(name)) for name in names if name):
            return True
    return False


def _open_by_sqlite3(real: str) -> bool:
    """Guessed: there is a connection of ``sqlite3``, and a descriptor of the file that is not apsw's."""
    if not _has_descriptor(real) or _may_be_apsw(real):
        return False
    return any(issubclass(type(thing), sqlite3.Connection) and _is_open(thing) for thing in gc.get_objects())


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        return connection.total_changes >= 0  # which, unlike all else, any thread may ask
    except sqlite3.ProgrammingError:
        return False


def _has_descriptor(real: str) -> bool:
    wanted = _identity(real)
    if wanted is None:
        return False
    try:
        names = os.listdir(_FD_FOLDER)
    except OSError:
        return False  # no /proc here: then only what apsw and the engine know counts
    for name in names:
        try:
            found = os.fstat(int(name))
        except OSError:
            continue  # closed meanwhile; surely that of the listing itself
        if (found.st_dev, found.st_ino) == wanted:
            return True
    return False


def _files_of(connection: Any) -> list[str]:
    """The files of an apsw connection, attached ones included."""
    try:
        names = [connection.db_filename(name) for name in connection.db_names()]
    except Exception:  # closed meanwhile, or busy in another thread: it is none of ours
        names = []
    return [os.path.realpath(name) for name in names if name]


# ── which file ──────────────────────────────────────────────────────────────────────────────


def _claimed(real: str, driver: Library) -> bool:
    return any(claim[1] == driver and _same(real, claim[0]) for claim in _claims)


def _same(one: str, other: str) -> bool:
    """By path, or by device and inode: a file has more names than one (links, mounts)."""
    if one == other:
        return True
    identity = _identity(one)
    return identity is not None and identity == _identity(other)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def _file_of(database: object) -> str | None:
    """The file that ``sqlite3.connect`` would open; None for one in memory or a temporary one."""
    if not isinstance(database, (str, bytes, os.PathLike)):
        return None
    name = os.fsdecode(database)
    # Whether uri=True was given is not told to the hook. A file whose plain name begins with "file:"
    # is thus taken for another, which can refuse or allow wrongly only if somebody has such files.
    if name.startswith("file:"):
        parts = urlsplit(name)
        if "mode=memory" in parts.query.split("&"):
            return None
        name = unquote(parts.path)
    return os.path.realpath(name) if _is_file(name) else None


def _is_file(name: str) -> bool:
    return name not in ("", ":memory:")


def _refusal(real: str, *, opened_by: Library, refused: Library) -> TwoSqliteBuilds:
    return TwoSqliteBuilds(
        f"This process has {real} open by {opened_by}; opening it by {refused} as well, "
        "which brings another SQLite library, could corrupt it."
    )


def _begin_anew_in_child() -> None:
    """A forked child holds no lock; its engine opens connections of its own, and claims for them."""
    global _lock
    _lock = threading.RLock()  # another thread may have held it at the fork
    _claims.clear()


os.register_at_fork(after_in_child=_begin_anew_in_child)
