"""Correct tasks: whatever a drill does to them, there is nothing to be found."""

from __future__ import annotations

import os
import smtplib
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import httpx
import requests

from dutiful import EffectRefused, Late, Run
from dutiful.app.transactions import AsyncTransaction, Transaction
from dutiful.drill import Call, Provider
from tests.drill.corpus.bugs_sqlite import notify_once
from tests.drill.corpus.shop import connect, right

PAY = "https://pay.example/charges"
OUT = Path(gettempdir()) / f"dutiful-drill-right-{os.getpid()}.csv"
HTTPX: dict[str, Any] = {"where": "httpx"}


@right()
def on_conflict_do_nothing(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("INSERT INTO keyed_receipts VALUES (?, 100) ON CONFLICT DO NOTHING", (order_id,))


@right()
def insert_or_ignore(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("INSERT OR IGNORE INTO keyed_receipts VALUES (?, 100)", (order_id,))


@right()
def upsert(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute(
            "INSERT INTO keyed_receipts VALUES (?, 100) ON CONFLICT (order_id) DO UPDATE SET amount = 100",
            (order_id,),
        )


@right()
def sets_a_status(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET status = 'paid' WHERE id = ?", (order_id,))


@right()
def duty_row_and_work_together(order_id: int) -> None:
    with closing(connect()) as db, db:
        if db.execute("INSERT OR IGNORE INTO done_duties VALUES (?)", (f"p{order_id}",)).rowcount:
            db.execute("UPDATE accounts SET balance = balance - 100 WHERE id = 1")


@right()
def flag_and_work_together(order_id: int) -> None:
    with closing(connect()) as db, db:
        if db.execute("UPDATE orders SET sent = 1 WHERE id = ? AND sent = 0", (order_id,)).rowcount:
            db.execute("INSERT INTO receipts (order_id, amount) VALUES (?, 100)", (order_id,))


@right()
def derived_total(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute(
            "UPDATE accounts SET balance = (SELECT sum(total) FROM orders WHERE customer = 1) WHERE id = 2"
        )


@right()
def idempotent_in_two_transactions(order_id: int) -> None:
    with closing(connect()) as db:
        with db:
            db.execute("INSERT OR IGNORE INTO keyed_receipts VALUES (?, 100)", (order_id,))
        with db:
            db.execute("UPDATE orders SET status = 'paid' WHERE id = ?", (order_id,))


@right()
def deletes(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("DELETE FROM orders WHERE id = ?", (order_id,))


@right()
def replaces_a_set(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("DELETE FROM receipts WHERE order_id = ?", (order_id,))
        for amount in (1, 2, 3):
            db.execute("INSERT INTO receipts (order_id, amount) VALUES (?, ?)", (order_id, amount))


@right()
def begins_at_once(order_id: int) -> None:
    with closing(connect()) as db:
        db.isolation_level = None
        db.execute("BEGIN IMMEDIATE")
        try:
            (sent,) = db.execute("SELECT sent FROM orders WHERE id = ?", (order_id,)).fetchone()
            if not sent:
                db.execute("UPDATE orders SET sent = 1 WHERE id = ?", (order_id,))
                db.execute("UPDATE stock SET quantity = quantity - 1 WHERE item = 'pen'")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


@right()
def compares_a_version(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET version = 2, status = 'b' WHERE id = ? AND version = 1", (order_id,))


@right()
def date_from_the_arguments(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET day = '2026-01-31' WHERE id = ?", (order_id,))


@right()
def time_stamp_of_the_row(order_id: int) -> None:
    with closing(connect()) as db, db:
        new = db.execute("INSERT OR IGNORE INTO done_duties VALUES (?)", (f"l{order_id}",)).rowcount
        if new:
            db.execute("INSERT INTO log (line) VALUES ('done')")


@right()
def reads_only(order_id: int) -> None:
    with closing(connect()) as db:
        db.execute("SELECT * FROM orders WHERE id = ?", (order_id,)).fetchone()


@right()
def follow_up_with_key(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET status = 'paid' WHERE id = ?", (order_id,))
    notify_once.enqueue(order_id)


@right()
def writes_beside_and_renames(order_id: int) -> None:
    beside = OUT.with_suffix(".new")
    with beside.open("w") as out:
        out.write(f"{order_id}\n")
        out.flush()
        os.fsync(out.fileno())
    os.replace(beside, OUT)


@right()
def raises_and_is_retried(order_id: int) -> None:
    with closing(connect()) as db:
        try:
            with db:
                db.execute("INSERT OR IGNORE INTO keyed_receipts VALUES (?, 1)", (order_id,))
        except Exception as error:
            raise RuntimeError("not now") from error


@right(delivery="exactly_once")
def relative_in_tx(order_id: int, tx: Transaction) -> None:
    tx.execute("UPDATE accounts SET balance = balance - 100 WHERE id = 1")


@right(delivery="exactly_once")
def inserts_in_tx(order_id: int, tx: Transaction) -> None:
    tx.execute("INSERT INTO receipts (order_id) VALUES (:id)", {"id": order_id})
    tx.execute("UPDATE orders SET sent = 1 WHERE id = :id", {"id": order_id})


@right(delivery="exactly_once")
def late_tx(order_id: int, run: Run) -> None:
    with closing(connect()) as db:
        db.execute("SELECT total FROM orders WHERE id = ?", (order_id,)).fetchone()
    with run.transaction() as tx:
        tx.execute("UPDATE accounts SET balance = balance - 100 WHERE id = 1")


@right(delivery="exactly_once")
def enqueues_in_tx(order_id: int, run: Run) -> None:
    with run.transaction() as tx:
        tx.execute("UPDATE accounts SET balance = balance - 100 WHERE id = 1")
        notify_once.enqueue(order_id)


@right(delivery="exactly_once")
async def async_tx(order_id: int, tx: AsyncTransaction) -> None:
    await tx.execute("UPDATE accounts SET balance = balance - 100 WHERE id = 1")


@right(delivery="at_most_once")
def mail_at_most_once(order_id: int) -> None:
    mail = EmailMessage()
    mail["To"], mail["From"], mail["Subject"] = "ann@shop.example", "shop@shop.example", f"order {order_id}"
    mail.set_content("thank you")
    with smtplib.SMTP("mail.example") as server:
        server.send_message(mail)


@right(delivery="at_most_once")
def insert_at_most_once(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("INSERT INTO receipts (order_id) VALUES (?)", (order_id,))


@right(delivery="at_most_once")
async def async_at_most_once(order_id: int) -> None:
    async with httpx.AsyncClient() as client:
        await client.post(PAY, json={"order": order_id})


@right(HTTPX)
def post_with_a_stable_key(order_id: int, run: Run) -> None:
    httpx.post(PAY, json={"order": order_id}, headers={"Idempotency-Key": run.key("pay")}).raise_for_status()


@right(HTTPX)
def post_then_save(order_id: int, run: Run) -> None:
    headers = {"Idempotency-Key": run.key("pay")}
    charge = httpx.post(PAY, json={"order": order_id}, headers=headers).raise_for_status().json()["id"]
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET charge = ? WHERE id = ?", (charge, order_id))


@right(HTTPX)
def put_a_state(order_id: int) -> None:
    httpx.put(f"https://crm.example/orders/{order_id}", json={"status": "paid"}).raise_for_status()


@right(HTTPX)
def gets_only(order_id: int) -> None:
    rate = httpx.get("https://rates.example/eur").raise_for_status().json()["status"]
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET status = ? WHERE id = ?", (rate, order_id))


@right(HTTPX)
def effect_remembered(order_id: int, run: Run) -> None:
    def pay(key: str) -> Any:
        return (
            httpx.post(PAY, json={"order": order_id}, headers={"Idempotency-Key": key})
            .raise_for_status()
            .json()
        )

    charge = run.effect("pay", do=pay, request={"order": order_id}, remembered="1d")
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET charge = ? WHERE id = ?", (charge["id"], order_id))


@right(HTTPX)
def effect_without_proof_waits_for_people(order_id: int, run: Run) -> None:
    run.effect("pay", do=lambda key: httpx.post(PAY, json={"order": order_id}).raise_for_status().json())


def _asked(call: Call, provider: Provider) -> Any:
    if call.method == "GET":
        known = [one for one in provider.applied if one.method == "POST"]
        return {"found": len(known)}
    return {"id": "ch_1"}


@right({**HTTPX, "answers": _asked})
def effect_with_lookup(order_id: int, run: Run) -> None:
    def pay(key: str) -> Any:
        reply = httpx.post(PAY, json={"order": order_id})
        if reply.status_code == 402:
            raise EffectRefused("declined")
        return reply.raise_for_status().json()

    def find(key: str) -> Any:
        found = httpx.get(f"{PAY}?reference={key}").raise_for_status().json()["found"]
        return {"id": "ch_1"} if found else None

    run.effect("pay", do=pay, lookup=find)


@right(HTTPX, delivery="exactly_once")
def effect_then_tx(order_id: int, run: Run) -> None:
    def pay(key: str) -> Any:
        return (
            httpx.post(PAY, json={"order": order_id}, headers={"Idempotency-Key": key})
            .raise_for_status()
            .json()
        )

    charge = run.effect("pay", do=pay, remembered="1d")
    with run.transaction() as tx:
        tx.execute("UPDATE accounts SET balance = balance - 100 WHERE id = 1")
        tx.execute("UPDATE orders SET charge = :c WHERE id = :id", {"c": charge["id"], "id": order_id})


@right()
def requests_with_key(order_id: int, run: Run) -> None:
    headers = {"Idempotency-Key": run.key("pay")}
    requests.post(PAY, json={"order": order_id}, headers=headers, timeout=5).raise_for_status()


@right(late=Late("1h", then="skip"))
def too_late_is_skipped(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET day = date('now') WHERE id = ?", (order_id,))


@right({"golden": ({"order_id": 7},)})
def default_for_a_new_parameter(order_id: int, amount: int = 100) -> None:
    with closing(connect()) as db, db:
        db.execute("INSERT OR IGNORE INTO keyed_receipts VALUES (?, ?)", (order_id, amount))


@right({"siblings": ({"order_id": 8},)})
def siblings_do_not_meet(order_id: int) -> None:
    with closing(connect()) as db, db:
        db.execute("UPDATE orders SET status = 'paid' WHERE id = ?", (order_id,))
