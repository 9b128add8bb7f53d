"""Where a pass keeps what it reads: a table on disk that goes with it; a million keys cost no memory."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from msgspec import Struct

from ..model.reconcile import Class, Duty

T = TypeVar("T")

PIECE = 1_000
CACHE_KIB = 16_000
OUTSIDE = "outside"
"""Read to know what is expected, and not looked at: it was due before the window."""

TABLES = """
CREATE TABLE e (no INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, due INTEGER NOT NULL, row BLOB NOT NULL,
    kind TEXT, state TEXT, dead INTEGER NOT NULL DEFAULT 0, opened INTEGER NOT NULL DEFAULT 0,
    deadline INTEGER, done INTEGER NOT NULL DEFAULT 0, given_up INTEGER NOT NULL DEFAULT 0, job TEXT,
    why TEXT NOT NULL DEFAULT '');
CREATE TABLE d (key TEXT NOT NULL);
CREATE TABLE u (key TEXT PRIMARY KEY, many INTEGER NOT NULL) WITHOUT ROWID;
"""


class Line(Struct):
    """An expected duty that is not plainly done, with the job that holds it."""

    no: int
    duty: Duty
    job: str | None
    why: str


class Spool:
    """Of one pass, used by one thread."""

    def __init__(self) -> None:
        # The empty name: a database of its own, on disk as soon as it does not fit its cache.
        self._raw = sqlite3.connect("", isolation_level=None)
        self._raw.execute("PRAGMA journal_mode = OFF")
        self._raw.execute("PRAGMA synchronous = OFF")
        self._raw.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._raw.executescript(TABLES)

    def close(self) -> None:
        """It is gone."""
        self._raw.close()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ── reading in ──────────────────────────────────────────────────────────────────────────

    def expect(self, duties: Iterable[tuple[str, int, object]], since_us: int) -> None:
        """Keys with their due instants and rows; a key that comes twice is one duty."""
        rows = (
            (key, due, pickle.dumps(row, -1), OUTSIDE if due < since_us else None) for key, due, row in duties
        )
        self._many(
            "INSERT INTO e (key, due, row, kind) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING", rows
        )

    def evidence(self, keys: Iterable[str]) -> None:
        """Keys that are done, as often as they come."""
        self._many("INSERT INTO d (key) VALUES (?)", ((key,) for key in keys))

    def held(self, holders: Iterable[tuple[str, str | None, bool, int, int | None, str]]) -> None:
        """Of keys: an open job's state, or whether it is dead; since when it is there, deadline and id."""
        self._many(
            "UPDATE e SET state = ?2, dead = ?3, opened = ?4, deadline = ?5, job = ?6 WHERE key = ?1", holders
        )

    def done(self, keys: Iterable[str]) -> None:
        """Keys that are done by our own records."""
        self._many("UPDATE e SET done = 1 WHERE key = ?", ((key,) for key in keys))

    def given_up(self, keys: Iterable[str]) -> None:
        """Keys whose job a person has given up."""
        self._many("UPDATE e SET given_up = 1 WHERE key = ?", ((key,) for key in keys))

    def count_evidence(self) -> None:
        """How often each expected key is done."""
        self._raw.execute("CREATE INDEX d_key ON d (key)")
        self._raw.execute("UPDATE e SET done = (SELECT count(*) FROM d WHERE d.key = e.key)")

    # ── unexpected ones ─────────────────────────────────────────────────────────────────────

    def suspect(self) -> int:
        """Keys that are done and that nobody expected, so far; how many."""
        self._raw.execute(
            "INSERT INTO u SELECT d.key, count(*) FROM d"
            " WHERE NOT EXISTS (SELECT 1 FROM e WHERE e.key = d.key) GROUP BY d.key"
        )
        return self.suspected()

    def excuse(self, keys: Iterable[str]) -> None:
        """These are expected after all; those that are done twice stay."""
        self._many("DELETE FROM u WHERE key = ? AND many = 1", ((key,) for key in keys))

    def suspected(self) -> int:
        """How many of them are left."""
        return self._count("SELECT count(*) FROM u")

    def unexpected(self, limit: int) -> list[tuple[str, int]]:
        """Some of them, with how often each is done."""
        return self._raw.execute("SELECT key, many FROM u ORDER BY key LIMIT ?", (limit,)).fetchall()

    # ── judging ─────────────────────────────────────────────────────────────────────────────

    def pieces_of_keys(self) -> Iterator[list[str]]:
        """All keys of the window, in pieces."""
        no = 0
        while rows := self._raw.execute(
            "SELECT no, key FROM e WHERE no > ? AND kind IS NULL ORDER BY no LIMIT ?", (no, PIECE)
        ).fetchall():
            no = rows[-1][0]
            yield [row[1] for row in rows]

    def undone(self) -> Iterator[list[Line]]:
        """Those of the window that are not plainly done, in pieces."""
        no = 0
        while rows := self._raw.execute(
            "SELECT no, key, due, done, given_up, state, dead, opened, deadline, job, why FROM e"
            " WHERE no > ? AND kind IS NULL AND NOT (done = 1 OR given_up AND done < 2) ORDER BY no LIMIT ?",
            (no, PIECE),
        ).fetchall():
            no = rows[-1][0]
            yield [
                Line(
                    row[0],
                    Duty(row[1], row[2], row[3], bool(row[4]), row[5], bool(row[6]), row[7], row[8]),
                    row[9],
                    row[10],
                )
                for row in rows
            ]

    def judge(self, kinds: Iterable[tuple[int, Class, str]]) -> None:
        """What is said of lines, and why."""
        self._many("UPDATE e SET kind = ?2, why = ?3 WHERE no = ?1", kinds)

    def counts(self) -> dict[str, int]:
        """How many of the window are of each class."""
        rows = self._raw.execute("SELECT coalesce(kind, 'ok'), count(*) FROM e GROUP BY 1").fetchall()
        return {kind: n for kind, n in rows if kind != OUTSIDE}

    def first_open(self) -> int | None:
        """The smallest due instant of a duty that is not done."""
        text = "SELECT min(due) FROM e WHERE kind NOT IN ('ok', 'surplus', ?)"
        found: int | None = self._raw.execute(text, (OUTSIDE,)).fetchone()[0]
        return found

    def of_kind(
        self, kind: Class, limit: int
    ) -> Iterator[list[tuple[str, int, dict[str, Any], str | None, str]]]:
        """Those of a class, the longest due first, in pieces: key, due, row, job, why."""
        cursor = self._raw.cursor()
        cursor.execute(
            "SELECT key, due, row, job, why FROM e WHERE kind = ? ORDER BY due, key LIMIT ?", (kind, limit)
        )
        while rows := cursor.fetchmany(PIECE):
            yield [(key, due, pickle.loads(row), job, why) for key, due, row, job, why in rows]

    def kinds_of(self, keys: Sequence[str]) -> dict[str, str]:
        """The class of those that are in the window, or done without being expected."""
        found: dict[str, str] = {}
        for key in keys:
            row = self._raw.execute("SELECT coalesce(kind, 'ok') FROM e WHERE key = ?", (key,)).fetchone()
            if row is not None and row[0] != OUTSIDE:
                found[key] = row[0]
            elif self._raw.execute("SELECT 1 FROM u WHERE key = ?", (key,)).fetchone():
                found[key] = "surplus"
        return found

    # ── plumbing ────────────────────────────────────────────────────────────────────────────

    def _many(self, text: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._raw.execute("BEGIN")
        try:
            self._raw.executemany(text, rows)
        finally:
            self._raw.execute("COMMIT")

    def _count(self, text: str) -> int:
        return int(self._raw.execute(text).fetchone()[0])


def in_pieces(rows: Iterable[T], many: int = PIECE) -> Iterator[list[T]]:
    """As lists of so many."""
    iterator = iter(rows)
    while piece := list(islice(iterator, many)):
        yield piece
