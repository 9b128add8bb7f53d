"""Tasks on PostgreSQL by psycopg and SQLAlchemy, and on SQLite by SQLAlchemy: with bugs, and right."""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dutiful import App, Run
from dutiful.app.transactions import AsyncTransaction, Transaction
from tests.drill.corpus.shop import FILE, bug, right

app = App("shop-on-postgres", "postgresql://nobody@127.0.0.1:1/shop")
"""Its URL is that of a test's server while a test drills it."""

TABLES = """
CREATE TABLE orders (id int PRIMARY KEY, total numeric, status text DEFAULT 'new',
                     sent boolean DEFAULT false);
CREATE TABLE receipts (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id int,
                       made_at timestamptz DEFAULT clock_timestamp());
CREATE TABLE lines (id serial PRIMARY KEY, receipt int REFERENCES receipts, what text);
CREATE TABLE once_receipts (order_id int PRIMARY KEY);
CREATE TABLE accounts (id int PRIMARY KEY, balance numeric);
CREATE TABLE done_duties (duty text PRIMARY KEY);
INSERT INTO orders (id, total) VALUES (7, 100), (8, 40);
INSERT INTO accounts VALUES (1, 500), (2, 0);
"""
PG: dict[str, Any] = {"app": app, "fixture": TABLES, "where": "postgres"}
SA: dict[str, Any] = {"where": "sqlalchemy"}


def connect() -> psycopg.Connection[Any]:
    return psycopg.connect(app.url)


@bug(PG)
def pg_insert_without_key(order_id: int) -> None:
    with connect() as db:
        db.execute("INSERT INTO receipts (order_id) VALUES (%s)", (order_id,))


@bug(PG)
def pg_two_transactions(order_id: int) -> None:
    with connect() as db:
        db.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
        db.commit()
        db.execute("UPDATE orders SET sent = true WHERE id = %s", (order_id,))


@bug(PG)
def pg_check_then_insert(order_id: int) -> None:
    with connect() as db:
        found = db.execute("SELECT 1 FROM receipts WHERE order_id = %s", (order_id,)).fetchone()
        if found is None:
            db.execute("INSERT INTO receipts (order_id) VALUES (%s)", (order_id,))


@bug(PG)
async def pg_async_read_modify_write(order_id: int) -> None:
    async with await psycopg.AsyncConnection.connect(app.url) as db:
        row = await (await db.execute("SELECT balance FROM accounts WHERE id = 2")).fetchone()
        assert row is not None
        if row[0] == 0:
            await db.execute("INSERT INTO receipts (order_id) VALUES (%s)", (order_id,))
            await db.execute("UPDATE accounts SET balance = %s WHERE id = 2", (row[0] + 10,))


@bug(PG)
def pg_unique_violation_is_not_caught(order_id: int) -> None:
    with connect() as db:
        db.execute("INSERT INTO once_receipts VALUES (%s)", (order_id,))


@bug(PG)
def pg_swallows(order_id: int) -> None:
    try:
        with connect() as db:
            db.execute("INSERT INTO once_receipts VALUES (%s) ON CONFLICT DO NOTHING", (order_id,))
    except psycopg.Error:
        return


@bug(PG)
def pg_autocommit(order_id: int) -> None:
    with psycopg.connect(app.url, autocommit=True) as db:
        new = db.execute("INSERT INTO done_duties VALUES ('a') ON CONFLICT DO NOTHING").rowcount
        if new:
            db.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")


@right(PG)
def pg_on_conflict(order_id: int) -> None:
    with connect() as db:
        db.execute("INSERT INTO once_receipts VALUES (%s) ON CONFLICT DO NOTHING", (order_id,))


@right(PG)
def pg_duty_row_first(order_id: int) -> None:
    with connect() as db:
        new = db.execute("INSERT INTO done_duties VALUES (%s) ON CONFLICT DO NOTHING", (f"d{order_id}",))
        if new.rowcount:
            db.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
            row = db.execute(
                "INSERT INTO receipts (order_id) VALUES (%s) RETURNING id", (order_id,)
            ).fetchone()
            assert row is not None
            db.execute("INSERT INTO lines (receipt, what) VALUES (%s, 'pen')", row)


@right(PG, delivery="exactly_once")
def pg_exactly_once(order_id: int, tx: Transaction) -> None:
    tx.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
    tx.execute("INSERT INTO receipts (order_id) VALUES (:id)", {"id": order_id})


@right(PG, delivery="exactly_once")
async def pg_exactly_once_async(order_id: int, tx: AsyncTransaction) -> None:
    await tx.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")


@right(PG)
def pg_locks_the_row(order_id: int) -> None:
    with connect() as db:
        row = db.execute("SELECT sent FROM orders WHERE id = %s FOR UPDATE", (order_id,)).fetchone()
        assert row is not None
        if not row[0]:
            db.execute("UPDATE orders SET sent = true WHERE id = %s", (order_id,))
            db.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")


@right(PG, delivery="at_most_once")
def pg_at_most_once(order_id: int) -> None:
    with connect() as db:
        db.execute("INSERT INTO receipts (order_id) VALUES (%s)", (order_id,))


# ── SQLAlchemy on SQLite, with an engine of the program's ───────────────────────────────────

engine = sqlalchemy.create_engine(f"sqlite:///{FILE}")


class Base(DeclarativeBase):
    """Of the models."""


class Order(Base):
    """A row of orders."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int]
    status: Mapped[str]
    version: Mapped[int]


class Receipt(Base):
    """A row of receipts."""

    __tablename__ = "receipts"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int]


class Account(Base):
    """A row of accounts."""

    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]


@bug(SA)
def sa_adds_a_receipt(order_id: int) -> None:
    with Session(engine) as session:
        session.add(Receipt(order_id=order_id))
        session.commit()


@bug(SA)
def sa_two_commits(order_id: int) -> None:
    with Session(engine) as session:
        order = session.get_one(Order, order_id)
        if order.status == "paid":
            return
        session.get_one(Account, 1).balance -= 10
        session.commit()
        order.status = "paid"
        session.commit()


@bug(SA)
def sa_relative(order_id: int) -> None:
    with engine.begin() as db:
        db.execute(text("UPDATE accounts SET balance = balance - 1 WHERE id = 1"))


@bug(SA)
def sa_get_or_create(order_id: int) -> None:
    with Session(engine) as session:
        found = session.query(Receipt).filter_by(order_id=order_id).first()
        session.commit()
        if found is None:
            session.add(Receipt(order_id=order_id))
            session.commit()


@bug(SA)
def sa_swallows(order_id: int) -> None:
    with Session(engine) as session:
        try:
            session.get_one(Order, order_id).status = "paid"
            session.commit()
        except Exception:
            session.rollback()


@right(SA)
def sa_sets_a_status(order_id: int) -> None:
    with Session(engine) as session:
        session.get_one(Order, order_id).status = "paid"
        session.commit()


@right(SA)
def sa_duty_row(order_id: int) -> None:
    with engine.begin() as db:
        new = db.execute(
            text("INSERT OR IGNORE INTO done_duties VALUES (:d)"), {"d": f"sa{order_id}"}
        ).rowcount
        if new:
            db.execute(text("UPDATE accounts SET balance = balance - 1 WHERE id = 1"))


@right(SA, delivery="exactly_once")
def sa_session_of_the_run(order_id: int, tx: Transaction) -> None:
    session = tx.session()
    session.get_one(Account, 1).balance -= 10
    session.add(Receipt(order_id=order_id))
    session.commit()


@right(SA, delivery="exactly_once")
def sa_late_transaction(order_id: int, run: Run) -> None:
    with run.transaction() as tx:
        tx.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
