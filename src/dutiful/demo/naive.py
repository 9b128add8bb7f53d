"""Lanes A and B: the two ways in which a queue without dutiful hands out work, each done properly.

**A, acknowledge first** (``BLPOP``, auto-ack): a message is gone from the queue when it is taken.
**B, acknowledge last** (SQS, late ack): a message is lent for a time, deleted when its work is done,
and lent again when that time is over. The receipt keeps a latecomer from deleting what another has.

Neither sends the bank a key, and their workers do not load dutiful: they are started by ``START``.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .bank import BUSY_S, Bank
from .orders import Order
from .places import Folder, this_folder
from .points import point

START = """
import sys, types
package = sys.modules["dutiful"] = types.ModuleType("dutiful")  # its folder, without what it imports
package.__path__ = [sys.argv[2]]
from dutiful.demo.naive import main
main(sys.argv[1])
"""
"""The program of a worker, for ``python -c``, with the lane and the package's folder as arguments."""

IDLE_S = 0.05

SCHEMA = """
CREATE TABLE message (
    number INTEGER PRIMARY KEY,
    order_id TEXT NOT NULL,
    cents INTEGER NOT NULL,
    currency TEXT NOT NULL,
    visible_at REAL NOT NULL DEFAULT 0
)
"""


@dataclass(frozen=True, slots=True)
class Message:
    """An order on the queue; ``receipt`` is worth something until the message is lent again."""

    number: int
    order_id: str
    cents: int
    currency: str
    receipt: float


class Queue:
    """Messages in an SQLite file; each method is one statement, and so one transaction."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        self._connection.execute("PRAGMA synchronous = OFF")  # processes are killed here, not the machine

    def open(self, orders: Sequence[Order]) -> None:
        """Make the queue, with a message for each order."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(SCHEMA)
        self._connection.executemany(
            "INSERT INTO message (order_id, cents, currency) VALUES (?, ?, ?)",
            [(order.id, order.cents, order.currency) for order in orders],
        )
        self._connection.execute("COMMIT")

    def take(self) -> Message | None:
        """The oldest message, which the queue forgets."""
        return self._message(
            "DELETE FROM message WHERE number = (SELECT min(number) FROM message)"
            " RETURNING number, order_id, cents, currency, visible_at"
        )

    def lend(self, for_s: float) -> Message | None:
        """The oldest visible message, which nobody else sees for so long."""
        now = time.time()
        return self._message(
            "UPDATE message SET visible_at = ? WHERE number ="
            " (SELECT number FROM message WHERE visible_at <= ? ORDER BY number LIMIT 1)"
            " RETURNING number, order_id, cents, currency, visible_at",
            (now + for_s, now),
        )

    def delete(self, message: Message) -> None:
        """The work is done; nothing happens if the message was lent to another since."""
        statement = "DELETE FROM message WHERE number = ? AND visible_at = ?"
        self._run(statement, (message.number, message.receipt))

    def left(self) -> int:
        """How many messages there are, lent ones too."""
        return int(self._run("SELECT count(*) FROM message")[0][0])

    def has(self, order_id: str) -> bool:
        """Whether there is a message for this order."""
        return bool(self._run("SELECT 1 FROM message WHERE order_id = ?", (order_id,)))

    def _message(self, statement: str, parameters: tuple[object, ...] = ()) -> Message | None:
        rows = self._run(statement, parameters)
        return Message(*rows[0]) if rows else None

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _run(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()


def acknowledge_first(folder: Folder, queue: Queue, bank: Bank, lease_s: float) -> bool:
    """Lane A: one order, if there is any."""
    message = queue.take()
    if message is None:
        return False
    point(folder, "A", message.order_id, "before")
    bank.charge("A", message.order_id, message.cents, message.currency)
    point(folder, "A", message.order_id, "gap")
    point(folder, "A", message.order_id, "after")
    return True


def acknowledge_last(folder: Folder, queue: Queue, bank: Bank, lease_s: float) -> bool:
    """Lane B: one order, if there is any."""
    message = queue.lend(lease_s)
    if message is None:
        return False
    point(folder, "B", message.order_id, "before")
    bank.charge("B", message.order_id, message.cents, message.currency)
    point(folder, "B", message.order_id, "gap")
    queue.delete(message)
    point(folder, "B", message.order_id, "after")
    return True


PROTOCOLS: dict[str, Callable[[Folder, Queue, Bank, float], bool]] = {
    "A": acknowledge_first,
    "B": acknowledge_last,
}


def main(lane: str) -> None:
    """A worker: one order after the other, until SIGTERM or until the demonstration is gone."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    folder = this_folder()
    settings = folder.settings()
    queue, bank = Queue(folder.queue(lane)), Bank(folder.bank, call_s=settings.bank_s)
    while not told and settings.is_directed():
        if not PROTOCOLS[lane](folder, queue, bank, settings.lease_s):
            time.sleep(IDLE_S)
