"""A seeded life of a store, by the real operations: all there is, once, then whatever chance picks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

from dutiful.engines import sqlite
from dutiful.engines.checkpoints import Checkpointer
from dutiful.engines.sqlite import SqliteEngine
from tests.powerloss.disk import Event
from tests.powerloss.history import History, Mode
from tests.powerloss.looking import FILE
from tests.powerloss.recording import Recording, recording
from tests.powerloss.teller import Teller

SMALL_BYTES = 150_000
"""A log of this size is checkpointed where that is ours to do; usually it is of some MiB."""

WRITES = (
    *("register", "enqueue_one", "enqueue_many", "declare", "take", "end_one", "end_some", "work", "start"),
    *("effect", "beat", "cancel", "die_in_company", "suspect_alone", "retry", "waive", "unwaive", "turn"),
    *("sweep", "leave", "later", "prune"),
)
FILES = ("checkpoint", "by_itself", "read_on", "reopen")


@dataclass(frozen=True, slots=True)
class Told:
    """A story that was told: all that was asked of the disk, and what was promised meanwhile."""

    events: list[Event]
    history: History


def plan(chance: random.Random, length: int) -> list[str]:
    """All that can be done, once, then more of it by chance; something happens to the files between."""
    words = [*WRITES[:length], *chance.choices(WRITES, k=max(0, length - len(WRITES)))]
    for place in sorted(chance.sample(range(1, length), length // 5), reverse=True):
        words.insert(place, chance.choice(FILES))
    return words


def tell(
    seed: int,
    mode: Mode,
    folder: Path,
    *,
    words: Sequence[str] | int = 60,
    own_checkpoints: bool = False,
    synchronous: str | None = None,
    layer: type[Recording] = Recording,
) -> Told:
    """Tell the story of this seed in the empty ``folder``.

    ``words``: what happens, or how much of it. ``own_checkpoints``: as on builds of SQLite whose own
    are not safe, so that ours are taken. ``synchronous`` and ``layer`` differ from what is promised
    only where a bug is planted.
    """
    history = History(mode)
    with recording(layer) as recorder, _as_on_older_builds(own_checkpoints):
        engine = SqliteEngine(str(folder / FILE), driver="apsw", synchronous=synchronous or mode)
        engine._driver.vfs = recorder.name  # type: ignore[attr-defined]
        teller = Teller(engine, recorder, history, seed)
        try:
            teller.make()
            for word in plan(teller.chance, words) if isinstance(words, int) else words:
                getattr(teller, word)()
        finally:
            teller.end_reader()
            teller.close()
            engine.close()
    logs = {file for file, kind in recorder.kinds.items() if kind == "log"}
    history.note_syncs(recorder.events, logs)
    return Told(recorder.events, history)


def _as_on_older_builds(wanted: bool) -> AbstractContextManager[object]:
    if not wanted:
        return nullcontext()
    small = partial(Checkpointer, size_bytes=SMALL_BYTES, reset_bytes=2 * SMALL_BYTES)
    return mock.patch.multiple(sqlite, affected=lambda version: True, Checkpointer=small)
