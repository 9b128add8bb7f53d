"""Checkpoints of SQLite's log, taken so that builds with the WAL-reset race lose nothing.

SQLite writes commits to a log beside the database (``-wal``); a *checkpoint* copies them into the
file, and the next writer after a complete one *resets* the log, that is, writes it again from its
beginning. In builds 3.7.0 to 3.51.2 a checkpoint reads how long the log is, and only later how much
of it was copied. If another connection resets the log in between, the checkpoint notes as copied what
was not, and later ones skip it: commits are lost, or the file is corrupt. (SQLite's own account:
sqlite.org/wal.html, "The WAL-Reset Bug"; fixed in 3.51.3, 3.50.7 and 3.44.6.)

So on those builds no connection of ours checkpoints by itself (:data:`NO_CHECKPOINTS`), and
:class:`Checkpointer` does it while **nobody can commit**: a second connection checkpoints while the
writer holds an empty ``BEGIN IMMEDIATE``. That holds between processes as well: it is the same lock.

A log that readers use all the time is never reset by that alone: each reader keeps the log's end as
it found it, and there is always one that came before the last commit. So a log above ``reset_bytes``
gets a moment of quiet: the writer keeps its lock, for at most ``QUIET_S`` of waiting, until all is
copied and those readers have left (new ones, finding all copied, do not use the log), and then writes
one row, which resets it.

Out of reach: connections that are not ours and checkpoint by themselves, as SQLite does by default.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

MIB: Final = 1 << 20
SIZE_BYTES: Final = 4 * MIB
"""A log of this size is checkpointed; about what SQLite itself does (1,000 pages)."""
RESET_BYTES: Final = 16 * MIB
"""A log of this size is reset, if that takes a moment without writers."""
QUIET_S: Final = 0.2
"""The longest that writers are kept waiting for readers then."""
PAUSE_S: Final = 0.001
LINGER_S: Final = 0.002
DOCTOR_BYTES: Final = 256 * MIB

NO_CHECKPOINTS: Final = ("PRAGMA wal_autocheckpoint = 0", f"PRAGMA journal_size_limit = {MIB}")
"""For each connection on an affected build, our own or bound to the engine. The limit makes whoever
resets the log cut its file, so that the size of the file tells the length of the log."""

_ROW = (
    "INSERT INTO main.dutiful_chore (name, last_at) VALUES ('checkpoint', :now)"
    " ON CONFLICT (name) DO UPDATE SET last_at = excluded.last_at"
)


class Connection(Protocol):
    """What is needed of a connection."""

    def execute(self, sql: str, params: Mapping[str, Any] = ...) -> list[tuple[Any, ...]]: ...

    def close(self) -> None: ...


def affected(version: tuple[int, int, int]) -> bool:
    """Whether a build of this version has the race (a distribution may have mended it in silence)."""
    if version[:2] == (3, 44):
        return version < (3, 44, 6)
    if version[:2] == (3, 50):
        return version < (3, 50, 7)
    return (3, 7, 0) <= version < (3, 51, 3)


def doctor(path: str) -> list[str]:
    """Warnings about the log of the database at ``path``; empty if all is well."""
    size = _log_bytes(path)
    if size <= DOCTOR_BYTES:
        return []
    return [
        f"The log {path}-wal has {size // MIB:,} MiB: some connection keeps a read open, or nobody "
        "checkpoints. Look for a long transaction; reads become slow and the disk fills up."
    ]


class Checkpointer:
    """Takes the checkpoints of one engine, in the thread that has just committed.

    Never raises what the database says: the commit before it stands. The last such error is kept in
    ``problem``, and the next commit beyond the threshold tries again.
    """

    def __init__(
        self,
        path: str,
        connect: Callable[[], Connection],
        size_bytes: int = SIZE_BYTES,
        reset_bytes: int = RESET_BYTES,
    ) -> None:
        self.problem: Exception | None = None
        self._path = path
        self._connect = connect
        self._size_bytes = size_bytes
        self._reset_bytes = reset_bytes
        self._threshold = size_bytes
        self._second: Connection | None = None

    def after_commit(self, writer: Connection) -> None:
        """Called after each write commit, while nobody else uses ``writer``. About 2 µs, or a checkpoint."""
        size = _log_bytes(self._path)
        if size < self._threshold:
            if size < self._size_bytes:
                self._threshold = self._size_bytes
            return
        try:
            if self._second is None:
                self._second = self._connect()
            if size < self._reset_bytes:
                _copy(writer, self._second, patience_s=0.0)
            else:
                self._reset(writer, self._second)
            self.problem = None
        except Exception as error:  # of either driver; what was to be stored is stored
            self.problem = error
        # What readers keep from being reset is left alone until there is more of it, by a quarter at
        # least: a read of an hour must not stop the writers again and again.
        left = _log_bytes(self._path)
        self._threshold = self._size_bytes
        if left >= self._size_bytes:
            self._threshold = left + max(self._size_bytes, left // 4)

    def close(self) -> None:
        """Close the second connection; it is opened again when it is needed."""
        if self._second is not None:
            self._second.close()
            self._second = None

    def _reset(self, writer: Connection, second: Connection) -> None:
        """Copy all, wait for the readers that use the log, and write the row that begins it anew."""
        writer.execute(NO_CHECKPOINTS[1])  # a writer that was not prepared would not cut the file
        _copy(writer, second, patience_s=0.0)  # most of it now, so that the quiet is short
        patience_s, linger_s = QUIET_S, LINGER_S
        while patience_s > LINGER_S:
            copied, waited_s = _copy(writer, second, patience_s=patience_s, linger_s=linger_s)
            if not copied:
                return
            # At once, in a new transaction: it begins after all was copied, so it does not use the
            # log itself, and may reset it if nobody else does.
            writer.execute("BEGIN IMMEDIATE")
            try:
                writer.execute(_ROW, {"now": time.time_ns() // 1000})
                writer.execute("COMMIT")
            except BaseException:
                with suppress(Exception):  # a COMMIT that failed may have rolled back by itself
                    writer.execute("ROLLBACK")
                raise
            if _log_bytes(self._path) < self._reset_bytes:
                return
            # A reader was still there. Each try costs a row, a sync and the wait until that row is
            # copied, so the next ones are few and linger long.
            patience_s -= waited_s
            linger_s = patience_s / 2


def _copy(
    writer: Connection, second: Connection, *, patience_s: float, linger_s: float = 0.0
) -> tuple[bool, float]:
    """Checkpoint while the writer keeps all others from committing.

    Waits up to ``patience_s`` for readers that keep it from copying all, and if all was copied another
    ``linger_s`` for those that came since. Returns whether all was, and how long it waited. (Copying
    and syncing take what they take, and are not counted: a slow disk must not use up the patience.)
    """
    writer.execute("BEGIN IMMEDIATE")
    try:
        waited_s = 0.0
        while True:
            # Not RESTART or TRUNCATE: they want the writer's lock for themselves, and go on without it
            # when they do not get it, which is the race.
            [(busy, frames, copied)] = second.execute("PRAGMA main.wal_checkpoint(PASSIVE)")
            if not busy and copied == frames:
                return True, waited_s + _sleep(min(linger_s, max(0.0, patience_s - waited_s)))
            if waited_s >= patience_s:
                return False, waited_s
            waited_s += _sleep(PAUSE_S)
    finally:
        writer.execute("ROLLBACK")


def _sleep(pause_s: float) -> float:
    """How long it really was."""
    began = time.monotonic()
    time.sleep(pause_s)
    return time.monotonic() - began


def _log_bytes(path: str) -> int:
    try:
        return os.stat(path + "-wal").st_size
    except FileNotFoundError:
        return 0
