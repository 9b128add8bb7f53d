"""Planted bugs on plain sqlite3."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import time
from contextlib import closing
from datetime import date
from pathlib import Path
from tempfile import gettempdir

from dutiful import Run
from dutiful.app.transactions import Transaction
from tests.drill.corpus.shop import app, bug, connect

OUT = Path(gettempdir()) / f"dutiful-drill-corpus-{os.getpid()}.csv"


@bug()
def insert_without_key(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("INSERT INTO receipts (order_id, amount) VALUES (?, 100)", (order_id,))


@bug()
def relative_update(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE accounts SET balance = balance + 100 WHERE id = 1")


@bug()
def second_run_raises(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("INSERT INTO keyed_receipts VALUES (?, 100)", (order_id,))


@bug()
def mark_first_work_after(order_id: int) -> None:
    with closing(connect()) as db:
        with db:
            done = db.execute("INSERT OR IGNORE INTO done_duties VALUES (?)", (f"r{order_id}",)).rowcount
        if done:
            with db:
                db.execute("INSERT INTO receipts (order_id) VALUES (?)", (order_id,))


@bug()
def work_first_mark_after(order_id: int) -> None:
    with closing(connect()) as db:
        if db.execute("SELECT sent FROM orders WHERE id = ?", (order_id,)).fetchone()[0]:
            return
        with db:
            db.execute("INSERT INTO receipts (order_id) VALUES (?)", (order_id,))
        with db:
            db.execute("UPDATE orders SET sent = 1 WHERE id = ?", (order_id,))


@bug()
def check_outside_transaction(order_id: int) -> None:
    with closing(connect()) as db:
        known = db.execute("SELECT count(*) FROM receipts WHERE order_id = ?", (order_id,)).fetchone()[0]
        if not known:
            with db:
                db.execute("INSERT INTO receipts (order_id) VALUES (?)", (order_id,))


@bug()
def read_modify_write(order_id: int) -> None:
    with closing(connect()) as db:
        (balance,) = db.execute("SELECT balance FROM accounts WHERE id = 1").fetchone()
        with db:
            db.execute("UPDATE accounts SET balance = ? WHERE id = 1", (balance - 100,))


@bug()
def guard_that_fits_the_fixture(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE accounts SET balance = balance + 100 WHERE id = 2 AND balance < 100")


@bug()
def date_from_the_clock(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET day = ? WHERE id = ?", (date.today().isoformat(), order_id))


@bug()
def date_from_sql(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET day = date('now') WHERE id = ?", (order_id,))


@bug()
def month_from_the_clock(order_id: int) -> None:
    month = datetime.datetime.now(datetime.UTC).strftime("%Y-%m")
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET day = ? WHERE id = ?", (month, order_id))


@bug()
def local_midnight(order_id: int) -> None:
    day = time.strftime("%d", time.localtime(time.time()))
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET day = ? WHERE id = ?", (day, order_id))


@bug()
def swallows_an_error(order_id: int) -> None:
    with closing(connect()) as db:
        with contextlib.suppress(Exception), db:
            db.execute("INSERT INTO keyed_receipts VALUES (?, 100) ON CONFLICT DO NOTHING", (order_id,))


@bug()
def logs_an_error_and_goes_on(order_id: int) -> None:
    with closing(connect()) as db:
        try:
            with db:
                db.execute("UPDATE orders SET status = 'paid' WHERE id = ?", (order_id,))
        except Exception as error:
            print("could not mark", order_id, type(error).__name__)


@bug()
def autocommit_writes(order_id: int) -> None:
    with closing(connect()) as db:
        db.isolation_level = None
        taken = db.execute("UPDATE orders SET sent = 1 WHERE id = ? AND sent = 0", (order_id,)).rowcount
        if taken:
            db.execute("UPDATE stock SET quantity = quantity - 1 WHERE item = 'pen'")


@bug()
def transfer_in_two_transactions(order_id: int) -> None:
    with closing(connect()) as db:
        with db:
            first = db.execute("INSERT OR IGNORE INTO done_duties VALUES ('from')").rowcount
            if first:
                db.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
        with db:
            db.execute("UPDATE accounts SET balance = balance + 10 WHERE id = 2")


@bug()
def counts_in_a_loop(order_id: int) -> None:
    with closing(connect()) as db:
        for item in ("pen", "ink"):
            with db:
                db.execute("UPDATE stock SET quantity = quantity - 1 WHERE item = ?", (item,))


@bug()
def half_marked_loop(order_id: int) -> None:
    with closing(connect()) as db:
        for number in (1, 2):
            with db:
                new = db.execute("INSERT OR IGNORE INTO done_duties VALUES (?)", (f"i{number}",)).rowcount
            if new:
                with db:
                    db.execute("INSERT INTO log (line) VALUES (?)", (f"item {number}",))


@bug()
def deletes_then_inserts(order_id: int) -> None:
    with closing(connect()) as db:
        with db:
            row = db.execute("SELECT total FROM orders WHERE id = ?", (order_id,)).fetchone()
            db.execute("DELETE FROM orders WHERE id = ?", (order_id,))
        if row is not None:
            with db:
                db.execute("INSERT INTO receipts (order_id, amount) VALUES (?, ?)", (order_id, row[0]))


@bug()
def commits_in_the_middle(order_id: int) -> None:
    with closing(connect()) as db:
        db.execute("UPDATE orders SET total = total - 5 WHERE id = ? AND sent = 0", (order_id,))
        db.commit()
        db.execute("UPDATE orders SET sent = 1 WHERE id = ?", (order_id,))
        db.commit()


@bug()
def raises_when_done(order_id: int) -> None:
    with closing(connect()) as db, db:
        if not db.execute("UPDATE orders SET sent = 1 WHERE id = ? AND sent = 0", (order_id,)).rowcount:
            raise ValueError("sent already")


@bug()
def appends_a_log(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("INSERT INTO log (line) VALUES (?)", (f"order {order_id}",))


@bug()
def takes_the_greatest_plus_one(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("INSERT INTO keyed_receipts SELECT coalesce(max(order_id), 0) + 1, 1 FROM keyed_receipts")


@bug()
def increments_a_version(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET version = version + 1, status = 'seen' WHERE id = ?", (order_id,))


@bug()
def appends_text(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET status = status || '+' WHERE id = ?", (order_id,))


@bug()
def toggles(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET sent = 1 - sent WHERE id = ?", (order_id,))


@bug()
def appends_to_a_file(order_id: int) -> None:
    with OUT.open("a") as out:
        out.write(f"{order_id}\n")


@bug()
def follow_up_without_key(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET status = 'paid' WHERE id = ?", (order_id,))
    notify.enqueue(order_id)


@app.task()
def notify(order_id: int) -> None:
    """What others enqueue."""


@app.task(once="notify:{order_id}")
def notify_once(order_id: int) -> None:
    """The same with a key."""


@bug()
def follow_up_only_the_first_time(order_id: int) -> None:
    with closing(connect()) as db:
        with db:
            new = db.execute("UPDATE orders SET sent = 1 WHERE id = ? AND sent = 0", (order_id,)).rowcount
        if new:
            notify_once.enqueue(order_id)


@bug(delivery="exactly_once")
def own_connection_beside_tx(order_id: int, tx: Transaction) -> None:
    tx.execute("UPDATE orders SET status = 'x' WHERE id = :id", {"id": order_id})
    notify.using(once=f"n{os.urandom(4).hex()}").enqueue(order_id)
    OUT.open("a").write("x")


@bug({"siblings": ({"order_id": 7, "status": "shipped"},), "args": {"order_id": 7, "status": "paid"}},
     once="newest:{order_id}:{status}")  # fmt: skip
def last_message_wins(order_id: int, status: str) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET status = ? WHERE id = ?", (status, order_id))


@bug({"golden": ({"order_id": 7},), "args": {"order_id": 7, "amount": 100}})
def new_parameter(order_id: int, amount: int) -> None:
    with closing(connect()) as db, db:
        db.execute("INSERT OR IGNORE INTO keyed_receipts VALUES (?, ?)", (order_id, amount))


@bug()
def key_by_run(order_id: int, run: Run) -> None:
    with closing(connect()) as db, db:
        new = db.execute("INSERT OR IGNORE INTO done_duties VALUES (?)", (f"{run.run_no}",)).rowcount
        if new:
            db.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")


@bug()
def caught_busy_and_gave_up(order_id: int) -> None:
    with closing(connect()) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT OR IGNORE INTO keyed_receipts VALUES (?, 1)", (order_id,))
            db.execute("COMMIT")
        except Exception:
            return


@bug()
def deduplicates_in_a_file(order_id: int) -> None:
    state = OUT.with_suffix(".json")
    seen = json.loads(state.read_text()) if state.exists() else []
    if order_id in seen:
        return
    with closing(connect()) as db, db:
        db.execute("INSERT INTO receipts (order_id) VALUES (?)", (order_id,))
    state.write_text(json.dumps([*seen, order_id]))


@bug({"fixture": "CREATE TABLE t (id INT PRIMARY KEY, n REAL); INSERT INTO t VALUES (1, 0.5)"})
def relative_real(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE t SET n = n * 2 WHERE id = 1")
