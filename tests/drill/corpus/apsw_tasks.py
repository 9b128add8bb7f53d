"""An app whose store is opened by apsw: planted bugs and correct tasks on apsw's own connections."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import gettempdir

import apsw

from dutiful import App
from dutiful.app.transactions import Transaction
from tests.drill.corpus.shop import bug, right

FILE = str(Path(gettempdir()) / "dutiful-drill-corpus-never-made-apsw.db")
app = App("apsw-shop", f"sqlite:///{FILE}?driver=apsw")
HERE = {"app": app, "where": "apsw"}


def connect() -> apsw.Connection:
    return apsw.Connection(FILE)


@bug({**HERE})
def apsw_insert_without_key(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("INSERT INTO receipts (order_id, amount) VALUES (?, 100)", (order_id,))


@bug({**HERE})
def apsw_statements_of_their_own(order_id: int) -> None:
    """Without a block each statement is a transaction."""
    with closing(connect()) as db:
        if not db.execute("SELECT sent FROM orders WHERE id = ?", (order_id,)).fetchall()[0][0]:
            db.execute("UPDATE orders SET sent = 1 WHERE id = ?", (order_id,))
            db.execute("INSERT INTO receipts (order_id) VALUES (?)", (order_id,))


@bug({**HERE})
def apsw_read_modify_write(order_id: int) -> None:
    with closing(connect()) as db:
        [(balance,)] = db.execute("SELECT balance FROM accounts WHERE id = 1").fetchall()
        with db:
            db.execute("UPDATE accounts SET balance = ? WHERE id = 1", (balance - 100,))


@bug({**HERE})
def apsw_two_blocks(order_id: int) -> None:
    with closing(connect()) as db:
        with db:
            db.execute("INSERT OR IGNORE INTO done_duties VALUES (?)", (f"r{order_id}",))
            new = db.changes()
        if new:
            with db:
                db.cursor().execute("INSERT INTO receipts (order_id) VALUES (?)", (order_id,))


@right({**HERE})
def apsw_one_block(order_id: int) -> None:
    with closing(connect()) as db:
        db.set_busy_timeout(1000)
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT OR IGNORE INTO done_duties VALUES (?)", (f"a{order_id}",))
        if db.changes():
            db.execute("UPDATE accounts SET balance = balance + 100 WHERE id = 1")
        db.execute("COMMIT")


@right({**HERE})
def apsw_keyed_insert(order_id: int) -> None:
    with closing(connect()) as db, db:
        with db:  # a block in a block is a savepoint
            db.executemany("INSERT INTO keyed_receipts VALUES (?, 100) ON CONFLICT DO NOTHING", [(order_id,)])


@right({**HERE}, delivery="exactly_once")
def apsw_exactly_once(order_id: int, *, tx: Transaction) -> None:
    tx.execute("UPDATE accounts SET balance = balance + 100 WHERE id = 1")
    tx.connection.execute("INSERT INTO receipts (order_id) VALUES (?)", (order_id,))
