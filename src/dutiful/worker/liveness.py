"""Who is alive on this host, told by the kernel: each worker process holds a lock on a file of its own.

A lease can only guess that a silent worker is dead. On one host the kernel knows: an ``flock`` is
freed when its last holder is gone, also after ``kill -9``, and not before, also not while the process
is stopped. So a free lock is a dead worker, whose jobs lapse at once; a held one with an old heartbeat
is a paused or stuck worker, whose jobs lapse by the lease, and the fence does the rest.

The file is at the same time the record of **begun** jobs, in shared memory: when a body begins, its
job's id is written into the slot of its thread, when its run is settled the slot is zeroed. It survives
the process, not the host. Who reaps a dead worker learns from it which jobs were in a body when it
died, and so may have killed it; all others had not begun and are no suspects. That is its only use:
whether an at-most-once job was started is told by the database alone.

    16 bytes   "dutiful", format version 1, 8 bytes reserved
    16 bytes   the host's boot id (zeros where there is none)
    16 bytes   × slots: the id of the job whose body runs there, or zeros

Not on network file systems, where locks lie: :mod:`dutiful.engines.filesystems` refuses them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
import threading
import time
from collections.abc import Container
from pathlib import Path
from typing import Final

from ..model.errors import UsedAfterFork

MAGIC: Final = b"dutiful\x01" + bytes(8)
SLOT_BYTES: Final = 16
HEADER_BYTES: Final = 2 * SLOT_BYTES
SLOTS_MIN: Final = 32
SLOTS_MAX: Final = 65_536
"""A worker has as many as it has threads that run bodies, and those that were given up after a time-out."""

DRAFT: Final = ".new"
"""Ends the name of a file that is being made; what is left of it after a kill is removed by sweep."""

SWEEP_AGE_S: Final = 3600.0

_EMPTY: Final = bytes(SLOT_BYTES)


class WorkerFile:
    """The living worker's side: the lock is held from :meth:`create` until :meth:`close` or death.

    Closed in every forked child at once: a child that outlives the worker must not keep its lock.
    (One forked by C code behind Python's back does, until it ends or calls exec; then the lease
    decides, as everywhere else.)
    """

    def __init__(self, path: Path, lock_fd: int, record_fd: int, slots: int) -> None:
        self.path = path
        # Two open files, not one: a mapping, and the descriptor that mmap duplicates, keep their open
        # file alive, and with it an flock made through it. So the lock has one of its own.
        self._lock_fd = lock_fd
        self._record_fd = record_fd
        self._record = mmap.mmap(record_fd, HEADER_BYTES + slots * SLOT_BYTES)
        self._enlarging = threading.Lock()
        _mine.add(self)

    @classmethod
    def create(
        cls, folder: str | os.PathLike[str], worker_token: str, *, slots: int = SLOTS_MIN
    ) -> WorkerFile:
        """Make ``folder`` if need be, and in it the worker's file, locked.

        Make it before the worker's row in the database, which names it: a row without a file is judged
        by its lease alone. ``worker_token`` must be unique for good, and a file name. Raises
        FileExistsError where it is not, and OSError where the folder cannot be written.
        """
        if not worker_token or worker_token.startswith(".") or Path(worker_token).name != worker_token:
            raise ValueError(f"{worker_token!r} is no name for a worker's file")
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = Path(folder, worker_token)
        # Under a name that nobody looks at until it is locked and written: no one may find it free.
        draft = path.with_name(f".{worker_token}{DRAFT}")
        if path.exists():
            raise FileExistsError(f"{path} exists: another worker has, or had, this token")
        lock_fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        record_fd = -1
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(lock_fd, MAGIC + _boot_id(), 0)
            _lengthen(lock_fd, 0, slots)
            record_fd = os.open(draft, os.O_RDWR | os.O_CLOEXEC)
            file = cls(path, lock_fd, record_fd, slots)
        except BaseException:
            draft.unlink()
            os.close(lock_fd)
            if record_fd >= 0:
                os.close(record_fd)
            raise
        os.rename(draft, path)
        return file

    def begin(self, slot_no: int, job_id: str) -> None:
        """Write, before the body runs, that it runs. About 1 µs; ``slot_no`` counts from 0."""
        assert slot_no >= 0
        at = HEADER_BYTES + slot_no * SLOT_BYTES
        try:
            self._record[at : at + SLOT_BYTES] = bytes.fromhex(job_id.replace("-", ""))
        except (IndexError, ValueError):
            self._enlarge_for(slot_no)
            self._record[at : at + SLOT_BYTES] = bytes.fromhex(job_id.replace("-", ""))

    def end(self, slot_no: int) -> None:
        """Zero the slot, after the run was settled. A process that dies in between has settled it."""
        assert slot_no >= 0
        at = HEADER_BYTES + slot_no * SLOT_BYTES
        try:
            self._record[at : at + SLOT_BYTES] = _EMPTY
        except (IndexError, ValueError):
            self._enlarge_for(slot_no)
            self._record[at : at + SLOT_BYTES] = _EMPTY

    def close(self) -> None:
        """Remove the file and free the lock: this worker left by itself, and holds no job any more."""
        if self in _mine:
            remove(self.path)
            self._let_go()

    def _let_go(self) -> None:
        _mine.discard(self)
        self._record.close()
        os.close(self._record_fd)
        os.close(self._lock_fd)

    def _enlarge_for(self, slot_no: int) -> None:
        """Make room for the slot, or say why the write before was refused."""
        if self not in _mine:
            raise UsedAfterFork(f"The worker's file {self.path} is closed, or belongs to the parent process.")
        if slot_no >= SLOTS_MAX:
            raise IndexError(f"slot {slot_no} is above the limit of {SLOTS_MAX} slots")
        with self._enlarging:  # else the zeros of one thread could fall on a slot that another has begun
            slots = (os.fstat(self._record_fd).st_size - HEADER_BYTES) // SLOT_BYTES
            if slot_no >= slots:
                wanted = min(max(2 * slots, slot_no + 1), SLOTS_MAX)
                _lengthen(self._record_fd, slots, wanted)
                # A thread that still writes through the smaller mapping writes to the same memory.
                self._record = mmap.mmap(self._record_fd, HEADER_BYTES + wanted * SLOT_BYTES)


def is_dead(path: str | os.PathLike[str]) -> bool | None:
    """Whether the worker of this file is dead; None where the file is missing or unreadable.

    Dead (its lock is free) is for good. Alive may be stopped or stuck: its lease decides.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Shared, so that two who ask at the same time do not take each other for the owner.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return None  # a file system without locks (ENOLCK, EOPNOTSUPP)
    finally:
        os.close(fd)


def begun(path: str | os.PathLike[str]) -> list[str] | None:
    """The jobs in whose bodies the worker of this file was when it died (or is, while it lives).

    None where there is no record to go by: no file, one of another format, or one written before the
    host was started anew, as it may have been lost half. Then each job of the worker may have begun.
    """
    try:
        record = Path(path).read_bytes()
    except OSError:
        return None
    if len(record) < HEADER_BYTES or record[:SLOT_BYTES] != MAGIC:
        return None
    if record[SLOT_BYTES:HEADER_BYTES] != _boot_id():
        return None
    slots = (record[at : at + SLOT_BYTES] for at in range(HEADER_BYTES, len(record), SLOT_BYTES))
    return [_text(slot) for slot in slots if slot != _EMPTY and len(slot) == SLOT_BYTES]


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a dead worker's file, once its jobs have lapsed. No error if another did it first."""
    Path(path).unlink(missing_ok=True)


def sweep(folder: str | os.PathLike[str], keep: Container[str], *, age_s: float = SWEEP_AGE_S) -> int:
    """Remove what workers left that died before they had a row, and after it was forgotten; how many.

    ``keep`` names the files of all rows that were not yet reaped. Locked files stay in any case, and
    those younger than ``age_s``, which a worker may be about to name in its row.
    """
    removed = 0
    for path in Path(folder).glob("*"):
        try:
            young = path.stat().st_mtime > time.time() - age_s
        except FileNotFoundError:
            continue  # another sweeps, too
        if path.name not in keep and not young and is_dead(path):
            remove(path)
            removed += 1
    return removed


def _text(job: bytes) -> str:
    digits = job.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _lengthen(fd: int, slots: int, slots_wanted: int) -> None:
    """Write zeros for the new slots. Not ftruncate: on a full disk a hole kills who writes into it."""
    zeros = bytes((slots_wanted - slots) * SLOT_BYTES)
    os.pwrite(fd, zeros, HEADER_BYTES + slots * SLOT_BYTES)


def _boot_id() -> bytes:
    """Names this start of the host (Linux); zeros elsewhere."""
    if sys.platform == "linux":
        try:
            return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
        except (OSError, ValueError):
            pass  # no /proc in this container: then all its workers write zeros and agree
    return bytes(SLOT_BYTES)


_mine: set[WorkerFile] = set()
"""The files that this process holds. Strong: a file that is merely forgotten must stay locked."""


def _let_go_in_child() -> None:
    for file in tuple(_mine):
        file._let_go()


os.register_at_fork(after_in_child=_let_go_in_child)
