"""What a disk may hold after the power went, from what a program asked of it. Pure: no file is touched.

A disk keeps what was synced. What was only written may be there whole, in part, in any order, or not
at all; so may the size of a file, and the names of files that were made or deleted. A write changes no
byte beside its own range (SQLite calls this *powersafe overwrite*, and takes it for granted).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

SECTOR_BYTES = 512
PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Create:
    """The name is new in the folder; the file is empty."""

    name: str
    file: int


@dataclass(frozen=True, slots=True)
class Delete:
    """The name is gone, and if ``synced`` it stays gone."""

    name: str
    synced: bool


@dataclass(frozen=True, slots=True)
class Write:
    """These bytes were handed over."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """The file was cut, or grown with zeros."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """All of the file is on the disk now; with ``folder`` the names are, too."""

    file: int
    folder: bool


Event = Create | Delete | Write | Truncate | Sync
Image = dict[str, bytes]
"""File name → what is in it."""


@dataclass(frozen=True, slots=True)
class Fate:
    """How one power loss treats what was not synced."""

    name: str
    keep: float = 1.0
    """The chance of each piece of being there."""
    names: float = 1.0
    """The same for each name made or deleted."""
    piece_bytes: int = 0
    """Writes are torn at multiples of this; 0: each is there whole or not at all."""
    only_last: bool = False
    """Nothing but the last write is torn; those before it are there."""
    shuffled: bool = False
    garbled: bool = False
    """What is missing of a torn write, or of a hole, holds chance instead of the old bytes, or zeros."""
    size: Literal["written", "synced", "extended"] = "written"
    """As the kept pieces need it; never longer than at the last sync; or as if all had been kept."""


DROPPED = Fate("dropped", keep=0.0, names=0.0)
KEPT = Fate("kept")
TORN = Fate("torn", keep=0.5, piece_bytes=SECTOR_BYTES, only_last=True)


def drawn(chance: random.Random) -> Fate:
    """A fate by chance."""
    piece_bytes = chance.choice((0, 0, SECTOR_BYTES, PAGE_BYTES))
    return Fate(
        "torn pieces" if piece_bytes else "some",
        keep=chance.choice((0.1, 0.5, 0.9)),
        names=chance.choice((0.0, 0.5, 1.0)),
        piece_bytes=piece_bytes,
        shuffled=chance.random() < 0.5,
        garbled=chance.random() < 0.3,
        size=chance.choice(("written", "written", "synced", "extended")),
    )


def torn(chance: random.Random) -> Fate:
    """The last write torn, by sectors or by pages."""
    return replace(TORN, piece_bytes=chance.choice((SECTOR_BYTES, PAGE_BYTES)), garbled=chance.random() < 0.3)


@dataclass(slots=True)
class _File:
    synced: bytes = b""
    pending: list[Write | Truncate] = field(default_factory=list)


class Disk:
    """One folder, after the events that were applied so far."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}
        self._pending_names: list[Create | Delete] = []

    def apply(self, event: Event) -> None:
        """The next event took place."""
        match event:
            case Create():
                self._files[event.file] = _File()
                self._pending_names.append(event)
            case Delete():
                self._pending_names.append(event)
                if event.synced:
                    self._sync_names()
            case Sync():
                file = self._files[event.file]
                file.synced = bytes(_grown(file.synced, file.pending))
                file.pending.clear()
                if event.folder:
                    self._sync_names()
            case Write() | Truncate():
                self._files[event.file].pending.append(event)

    def _sync_names(self) -> None:
        self._names = _named(self._names, self._pending_names)
        self._pending_names.clear()

    def image(self, fate: Fate, last: Event, chance: random.Random) -> Image:
        """What may be found afterwards, if ``last`` was the last event."""
        names = [change for change in self._pending_names if chance.random() < fate.names]
        return {
            name: _survivors(self._files[file], fate, last, chance)
            for name, file in _named(self._names, names).items()
        }


def _named(names: dict[str, int], changes: Sequence[Create | Delete]) -> dict[str, int]:
    found = dict(names)
    for change in changes:
        if isinstance(change, Create):
            found[change.name] = change.file
        else:
            found.pop(change.name, None)
    return found


def _survivors(file: _File, fate: Fate, last: Event, chance: random.Random) -> bytes:
    kept: list[Write | Truncate] = []
    for change in file.pending:
        sure = fate.only_last and change is not last
        if isinstance(change, Truncate):
            if sure or chance.random() < fate.keep:
                kept.append(change)
            continue
        for piece in [change] if sure or not fate.piece_bytes else pieces(change, fate.piece_bytes):
            if sure or chance.random() < fate.keep:
                kept.append(piece)
            elif fate.garbled and fate.piece_bytes:
                kept.append(replace(piece, data=chance.randbytes(len(piece.data))))
    if fate.shuffled:
        kept = _shuffled(kept, chance)
    content = _grown(file.synced, kept, chance if fate.garbled else None)
    if fate.size == "synced":
        del content[len(file.synced) :]
    elif fate.size == "extended":
        hole = max(0, len(_grown(file.synced, file.pending)) - len(content))
        content += chance.randbytes(hole) if fate.garbled else bytes(hole)
    return bytes(content)


def pieces(write: Write, size: int) -> Iterator[Write]:
    """The write, torn at the multiples of ``size`` in the file."""
    start = 0
    while start < len(write.data):
        end = min(len(write.data), start + size - (write.offset + start) % size)
        yield Write(write.file, write.offset + start, write.data[start:end])
        start = end


def _shuffled(changes: list[Write | Truncate], chance: random.Random) -> list[Write | Truncate]:
    """Writes in any order; a cut stays where it was among them."""
    found: list[Write | Truncate] = []
    run: list[Write | Truncate] = []
    for change in changes:
        run.append(change)
        if isinstance(change, Truncate):
            found += [*chance.sample(run[:-1], len(run) - 1), change]
            run = []
    return found + chance.sample(run, len(run))


def _grown(
    content: bytes, changes: Sequence[Write | Truncate], chance: random.Random | None = None
) -> bytearray:
    """The content after these changes; holes hold zeros, or chance."""
    found = bytearray(content)
    for change in changes:
        if isinstance(change, Truncate):
            del found[change.size :]
            found += bytes(change.size - len(found))
            continue
        hole = change.offset - len(found)
        if hole > 0:
            found += chance.randbytes(hole) if chance else bytes(hole)
        found[change.offset : change.offset + len(change.data)] = change.data
    return found
