"""What the doctor says of a SQLite file: its build, its log, its settings, where it lies."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..engines import checkpoints, filesystems
from ..engines.contract import Engine
from .notes import NO_SUCH, Note, bad, named, note, unknown, well

OLDEST = (3, 35, 0)
HEADER, WAL = 20, b"\x02\x02"
"""The 19th and 20th byte of a database are its write and read version: 2 is the log, 1 a rollback journal."""

SYNCHRONOUS = {"0": "off", "1": "normal", "2": "full", "3": "extra"}


def before_opening(engine: Any) -> Iterator[Note]:
    """What can be said without the database: is there a file, and may we write beside it?"""
    if engine.memory:
        yield note("store", "It is in memory: its jobs end with this process.", "As in: sqlite:///jobs.db")
    elif not os.path.exists(engine.path):
        yield bad(
            "store",
            f"There is no file {engine.path} yet.",
            "Is the path right? The first enqueue makes it, and so does: dutiful migrate",
        )
    elif not (_writable(engine.path) and _writable(os.path.dirname(engine.path))):
        yield bad(
            "store",
            f"This user may not write {engine.path}, or in its folder.",
            "Workers need both: the log and its index are files beside it. chown or chmod them.",
        )
    else:
        yield from mode(_header(engine.path))


def mode(header: bytes) -> Iterator[Note]:
    """The log mode as it stands in the file, which opening it would set right without a word."""
    if len(header) < HEADER:
        return  # no database yet
    if header[18:20] == WAL:
        yield well("journal_mode", "wal: readers never wait for writers.")
    else:
        yield bad(
            "journal_mode",
            "It was not wal, but rollback: another program set it back. Opening it just now set it right.",
            "Find that program: who opens this file and says PRAGMA journal_mode?",
        )


def _header(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEADER)


def _writable(path: str) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def settings(engine: Engine, readings: Mapping[str, str]) -> Iterator[Note]:
    """The build, durability, the file system, the size of the log."""
    yield from build(str(getattr(getattr(engine, "_driver", None), "name", "sqlite3")), readings["version"])
    path = str(getattr(engine, "path", ""))
    if getattr(engine, "memory", False):
        return
    if readings["journal_mode"] != "wal":
        yield bad(
            "journal_mode",
            f"It is {readings['journal_mode']}, and would not be changed: another program has the file open.",
            "Close all programs that use the file, then start a worker.",
        )
    yield from durability(readings["synchronous"])
    yield from _place(path)
    yield from _log(path)


def build(driver: str, version: str) -> Iterator[Note]:
    """Which SQLite runs, and whether it has the WAL-reset race."""
    numbers = tuple(int(part) for part in version.split(".")[:3])
    name = f"SQLite {version} by {driver}"
    if numbers < OLDEST:
        yield bad(
            "build", f"{name} is older than {'.'.join(map(str, OLDEST))}.", "Use ?driver=apsw, or upgrade."
        )
    elif checkpoints.affected((numbers[0], numbers[1], numbers[2])):
        yield note(
            "build",
            f"{name} has the WAL-reset race of builds 3.7.0 to 3.51.2. dutiful takes its checkpoints so that "
            "it cannot happen by its own connections.",
            "Other programs that write this file: PRAGMA wal_autocheckpoint = 0. If only dutiful opens it: "
            "?driver=apsw has a newer build.",
        )
    else:
        yield well("build", f"{name} does not have the WAL-reset race.")
    if driver == "apsw" and checkpoints.affected(sqlite3.sqlite_version_info):
        yield note(
            "build",
            f"Python's own sqlite3 is {sqlite3.sqlite_version}: to open this file by it in the same process "
            "is refused.",
            "Let the application use apsw, too; or leave ?driver=apsw away.",
        )


def durability(synchronous: str) -> Iterator[Note]:
    """What a loss of power may cost."""
    word = SYNCHRONOUS.get(synchronous, synchronous)
    if word == "off":
        yield bad("synchronous", "off: a loss of power may corrupt the file.", "Leave it at normal, or full.")
    elif word == "normal":
        yield note(
            "synchronous",
            "normal: a loss of power may lose the last commits, a crash of the process never.",
            "To lose none: ?synchronous=full, at about half the speed.",
        )
    else:
        yield well("synchronous", f"{word}: a commit is on the disk.")


def at_most_once(names: Sequence[str]) -> Iterator[Note]:
    """Starts of these tasks are on the disk, whatever the setting."""
    what = f"{named(names)}: each start is on the disk before the body begins." if names else NO_SUCH
    yield well("at_most_once", what)


def _place(path: str) -> Iterator[Note]:
    kind = filesystems.kind_of_folder(os.path.dirname(os.path.realpath(path)))
    doubts = filesystems.doubts(path)
    for doubt in doubts:
        yield note("file system", doubt, "Or move the file to a disk of one side's own.")
    if kind is None:
        yield unknown(
            "file system",
            f"This system does not tell what {os.path.dirname(path)} is on.",
            "It must be a local disk: locks on network file systems are not safe.",
        )
    elif not doubts:
        yield well("file system", f"{kind}, local.")


def _log(path: str) -> Iterator[Note]:
    warnings = checkpoints.doctor(path)
    for warning in warnings:
        yield bad("log", warning, "Which program has the file open? lsof names it; end its transaction.")
    if not warnings:
        try:
            size = os.stat(path + "-wal").st_size
        except FileNotFoundError:
            size = 0
        yield well("log", f"{size / checkpoints.MIB:,.1f} MiB (-wal).")
