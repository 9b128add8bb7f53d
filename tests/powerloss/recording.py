"""A layer under SQLite (a VFS, by apsw) that hands everything on and keeps a list of it.

What SQLite's own layer for Unix syncs, and no more, is noted as synced: a file by its xSync, the folder
by the first xSync of a log or a journal that a connection opened, and by an xDelete that asks for it.
The shared memory (``-shm``) is no file here, so it is in no image: SQLite makes it anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import apsw

from tests.powerloss.disk import Create, Delete, Event, Sync, Truncate, Write

Kind = Literal["main", "journal", "log"]

KINDS: dict[int, Kind] = {
    apsw.SQLITE_OPEN_MAIN_DB: "main",
    apsw.SQLITE_OPEN_MAIN_JOURNAL: "journal",
    apsw.SQLITE_OPEN_SUPER_JOURNAL: "journal",
    apsw.SQLITE_OPEN_WAL: "log",
}
"""All others are temporary, and gone after a power loss."""

names = itertools.count(1)


class Recording(apsw.VFS):
    """Everything that was asked of the disk, in order."""

    def __init__(self) -> None:
        self.name = f"recording-{next(names)}"
        self.events: list[Event] = []
        self.kinds: dict[int, Kind] = {}
        self._files: dict[str, int] = {}
        self._numbers = itertools.count(1)
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        kind = next((kind for flag, kind in KINDS.items() if flags[0] & flag), None)
        if name is None or kind is None:
            return apsw.VFSFile("", name, flags)
        opened = _File(self, name, flags, kind)
        # Only now: an open that fails makes nothing.
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        opened.number = self._number(Path(path).name, kind)
        return opened

    def note(self, event: Event) -> None:
        """The disk was asked for this."""
        self.events.append(event)

    def _number(self, name: str, kind: Kind) -> int:
        if name not in self._files:
            self._files[name] = next(self._numbers)
            self.kinds[self._files[name]] = kind
            self.note(Create(name, self._files[name]))
        return self._files[name]

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        name = Path(filename).name
        if self._files.pop(name, None) is not None:
            self.note(Delete(name, bool(syncdir)))


class _File(apsw.VFSFile):
    number = 0

    def __init__(
        self, recording: Recording, name: str | apsw.URIFilename, flags: list[int], kind: Kind
    ) -> None:
        self._note = recording.note
        self._folder_unsynced = kind != "main" and bool(flags[0] & apsw.SQLITE_OPEN_CREATE)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._note(Write(self.number, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._note(Truncate(self.number, newsize))

    def xSync(self, flags: int) -> None:
        # Nothing is handed on: the machine that the tests run on keeps its power.
        self._note(Sync(self.number, self._folder_unsynced))
        self._folder_unsynced = False


@contextmanager
def recording(layer: type[Recording] = Recording) -> Iterator[Recording]:
    """A layer that is registered with SQLite meanwhile."""
    found = layer()
    try:
        yield found
    finally:
        found.unregister()
