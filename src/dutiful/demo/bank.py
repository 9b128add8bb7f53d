"""The toy bank: the outside world. It appends every charge that it really makes; that is the truth.

It is a file of its own, so no transaction spans it and a queue. Without a key it refuses nothing:
asked twice, it charges twice. With a key it keeps one charge for it, and answers every repeat with
the first, as the interfaces of real payment companies do.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS charge (
    number INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    order_id TEXT NOT NULL,
    cents INTEGER NOT NULL,
    currency TEXT NOT NULL,
    key TEXT,
    UNIQUE (lane, key)
);
CREATE TABLE IF NOT EXISTS repeat (lane TEXT NOT NULL, charge INTEGER NOT NULL REFERENCES charge (number));
CREATE INDEX IF NOT EXISTS charge_order ON charge (lane, order_id);
"""

BUSY_S = 30.0


@dataclass(frozen=True, slots=True)
class Charge:
    """Money that was taken."""

    number: int
    lane: str
    order_id: str
    cents: int
    currency: str


class Bank:
    """One customer's way to the bank; a connection for each call, as if it were a request."""

    def __init__(self, path: Path, *, call_s: float = 0.0) -> None:
        self._path = path
        self._call_s = call_s

    def open(self) -> None:
        """Make the tables."""
        with closing(self._connect()) as connection:
            # Who looks into the records holds up nobody who charges, also if it is stopped while it looks.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA)

    def charge(self, lane: str, order_id: str, cents: int, currency: str, *, key: str | None = None) -> int:
        """Take the money; returns the number of the charge, with a known key that of the first one."""
        time.sleep(self._call_s / 2)  # the way there
        with closing(self._connect()) as connection:
            number = _charge(connection, lane, order_id, cents, currency, key)
        time.sleep(self._call_s / 2)  # and back
        return number

    # ── what the bank's own books say ───────────────────────────────────────────────────────

    def charges(self) -> list[Charge]:
        """Every charge made, in order."""
        query = "SELECT number, lane, order_id, cents, currency FROM charge ORDER BY number"
        with closing(self._connect()) as connection:
            return [Charge(*row) for row in connection.execute(query)]

    def charged(self, lane: str) -> list[dict[str, Any]]:
        """The order of each charge made for a lane: one that was charged twice comes twice."""
        query = "SELECT order_id FROM charge WHERE lane = ? ORDER BY number"
        with closing(self._connect()) as connection:
            return [{"order_id": order_id} for (order_id,) in connection.execute(query, (lane,))]

    def counts(self) -> dict[str, int]:
        """How many charges were made for each lane."""
        with closing(self._connect()) as connection:
            return dict(connection.execute("SELECT lane, count(*) FROM charge GROUP BY lane").fetchall())

    def times(self, lane: str, order_id: str) -> int:
        """How often an order was charged."""
        query = "SELECT count(*) FROM charge WHERE lane = ? AND order_id = ?"
        with closing(self._connect()) as connection:
            [(count,)] = connection.execute(query, (lane, order_id))
        return int(count)

    def repeats(self, lane: str) -> int:
        """How many calls were answered with an earlier charge."""
        with closing(self._connect()) as connection:
            [(count,)] = connection.execute("SELECT count(*) FROM repeat WHERE lane = ?", (lane,))
        return int(count)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")  # processes are killed here, not the machine
        return connection


def _charge(
    connection: sqlite3.Connection, lane: str, order_id: str, cents: int, currency: str, key: str | None
) -> int:
    connection.execute("BEGIN IMMEDIATE")
    known = connection.execute("SELECT number FROM charge WHERE lane = ? AND key = ?", (lane, key)).fetchone()
    if known is not None:
        connection.execute("INSERT INTO repeat (lane, charge) VALUES (?, ?)", (lane, known[0]))
        number = int(known[0])
    else:
        made = connection.execute(
            "INSERT INTO charge (lane, order_id, cents, currency, key) VALUES (?, ?, ?, ?, ?)",
            (lane, order_id, cents, currency, key),
        )
        assert made.lastrowid is not None
        number = made.lastrowid
    connection.execute("COMMIT")
    return number
