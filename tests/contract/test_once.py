"""``dutiful.once`` on every kind of connection: one first, its result for all later ones, one fate."""

from __future__ import annotations

import datetime
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dutiful.app.once import Turn, once
from dutiful.engines import bound_block
from dutiful.model.errors import (
    InvalidOption,
    LedgerMissing,
    NotInTransaction,
    PayloadTooLarge,
    RequestChanged,
    RunError,
    StoreBusy,
    TurnBroken,
    TurnOver,
    UnsupportedConnection,
)
from dutiful.operations.plan import Step
from tests.contract import lenders
from tests.contract.ledger_stores import (
    apsw_ledger_url,
    caller,
    ledger_url,
    postgres_ledger_url,
    shared_ledger_url,
    sqlite_ledger_url,
)
from tests.contract.stores import write
from tests.contract.test_bound import _autocommitting
from tests.contract.turn_callers import Caller, Execute, keys, order_7, orders, place, seen

__all__ = [
    "apsw_ledger_url",
    "caller",
    "ledger_url",
    "postgres_ledger_url",
    "shared_ledger_url",
    "sqlite_ledger_url",
]

Placed = tuple[str, Caller]


class Planted(Exception):
    """What a test makes happen."""


# ── first and later ─────────────────────────────────────────────────────────────────────────


def test_the_first_does_the_work_and_later_ones_read_its_result(caller: Placed) -> None:
    url, me = caller
    me.begin()
    first = me.once("charge:42", order_7)
    assert first.first and first.result == {"order": 7}
    assert keys(url) == [] and orders(url) == []  # never committed here
    same = me.once("charge:42", order_7)
    assert not same.first and same.result == {"order": 7}  # in the same transaction, too
    me.commit()
    assert keys(url) == ["charge:42"] and orders(url) == [7]

    me.begin()
    later = me.once("charge:42", order_7)
    other = me.once("charge:43", order_7, scope="other")
    me.commit()
    assert (later.first, later.result, later.at) == (False, {"order": 7}, first.at)
    assert other.first and orders(url) == [7, 7]
    assert abs(datetime.datetime.now(datetime.UTC) - first.at) < datetime.timedelta(minutes=5)


def test_a_rolled_back_key_is_not_used_up(caller: Placed) -> None:
    url, me = caller
    for end in (me.rollback, me.commit):
        me.begin()
        assert me.once("k", order_7).first
        end()
    assert keys(url) == ["k"] and orders(url) == [7]


def test_a_block_that_raises_leaves_nothing_though_the_caller_commits(caller: Placed) -> None:
    check_a_failed_block(*caller)


def check_a_failed_block(url: str, me: Caller) -> None:
    async def fails(turn: Turn, sql: Execute) -> None:
        await order_7(turn, sql)
        raise Planted

    me.begin()
    me.execute("INSERT INTO orders VALUES (1)")
    with pytest.raises(Planted) as raised:
        me.once("k", fails)
    assert not hasattr(raised.value, "__notes__")
    me.execute("INSERT INTO orders VALUES (2)")
    me.commit()
    assert keys(url) == [] and orders(url) == [1, 2]

    me.begin()
    with pytest.raises(Planted):  # as the first thing in a transaction
        me.once("k", fails)
    assert me.once("k", order_7).first
    me.commit()
    assert keys(url) == ["k"] and orders(url) == [1, 2, 7]


def test_an_error_of_the_database_in_the_block_is_taken_back_too(caller: Placed) -> None:
    url, me = caller

    async def stumbles(turn: Turn, sql: Execute) -> None:
        await order_7(turn, sql)
        await sql("INSERT INTO nowhere VALUES (1)")

    me.begin()
    me.execute("INSERT INTO orders VALUES (1)")
    with pytest.raises(Exception, match="nowhere"):
        me.once("k", stumbles)
    me.execute("INSERT INTO orders VALUES (2)")
    me.commit()
    assert keys(url) == [] and orders(url) == [1, 2]


def test_the_block_of_a_later_turn_is_plain_code(caller: Placed) -> None:
    url, me = caller
    me.begin()
    me.once("k", order_7)
    me.commit()

    async def writes(turn: Turn, sql: Execute) -> None:
        assert not turn.first
        await sql("INSERT INTO orders VALUES (1)")
        raise Planted

    me.begin()
    me.execute("INSERT INTO orders VALUES (0)")
    with pytest.raises(Planted):
        me.once("k", writes)
    me.commit()
    assert orders(url) == [0, 1, 7]


def test_a_key_goes_with_the_callers_own_savepoint(caller: Placed) -> None:
    url, me = caller
    me.begin()
    me.execute("INSERT INTO orders VALUES (1)")
    me.execute("SAVEPOINT mine")
    assert me.once("k", order_7).first
    me.execute("ROLLBACK TO SAVEPOINT mine")
    assert me.once("k", order_7).first
    me.commit()
    assert keys(url) == ["k"] and orders(url) == [1, 7]


def test_blocks_may_stand_in_each_other(caller: Placed) -> None:
    url, me = caller
    lent = me.lender.lent

    async def outer() -> None:
        if me.lender.loop is None:
            with once(lent, "outer") as turn:
                await me.sql("INSERT INTO orders VALUES (1)")
                with pytest.raises(Planted):
                    with once(lent, "inner"):
                        await me.sql("INSERT INTO orders VALUES (2)")
                        raise Planted
                with once(lent, "second"):
                    await me.sql("INSERT INTO orders VALUES (3)")
                turn.result = 1
            return
        async with once(lent, "outer") as turn:
            await me.sql("INSERT INTO orders VALUES (1)")
            with pytest.raises(Planted):
                async with once(lent, "inner"):
                    await me.sql("INSERT INTO orders VALUES (2)")
                    raise Planted
            async with once(lent, "second"):
                await me.sql("INSERT INTO orders VALUES (3)")
            turn.result = 1

    me.begin()
    me.do(outer)
    me.commit()
    assert keys(url) == ["outer", "second"] and orders(url) == [1, 3]


@pytest.mark.parametrize("cut", range(1, 4))
def test_a_block_that_is_cut_leaves_nothing(
    caller: Placed, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each of its statements, though the caller commits."""
    url, me = caller
    seen: list[str] = []

    def observe(step: Step) -> None:
        seen.append(getattr(step, "name", ""))
        if len(seen) == cut:
            raise Planted

    me.begin()
    me.once("known", order_7)
    me.commit()
    monkeypatch.setattr(bound_block, "observer", lambda engine: observe)
    me.begin()
    with pytest.raises(Planted):
        me.once("new", order_7) if cut < 3 else me.once("known", order_7) and me.once("new", order_7)
    me.execute("INSERT INTO orders VALUES (1)")
    me.commit()
    assert keys(url) == ["known"] and orders(url) == [1, 7]
    assert seen[-1] == {1: "take_turn", 2: "settle_turn", 3: "take_turn"}[cut]


# ── requests and results ────────────────────────────────────────────────────────────────────


def test_the_same_key_with_another_request_is_refused(caller: Placed) -> None:
    url, me = caller
    me.begin()
    me.once("k", order_7, request={"cents": 100, "to": "ann"})
    me.commit()

    me.begin()
    me.execute("INSERT INTO orders VALUES (1)")
    assert me.once("k", request={"to": "ann", "cents": 100}).result == {"order": 7}
    assert me.once("k").result == {"order": 7}  # not asked, not compared
    with pytest.raises(RequestChanged, match="'k' was used before") as refusal:
        me.once("k", order_7, request={"cents": 101, "to": "ann"})
    assert (refusal.value.key, refusal.value.scope) == ("k", "")
    me.execute("INSERT INTO orders VALUES (2)")
    me.commit()
    assert orders(url) == [1, 2, 7]


ODD = [
    "50% 'é' :now ? $1 %s %(x)s \\",
    '"quoted"; --',
    "x" * 512,
    "é" * 512,
]


def test_odd_keys_and_results_arrive_as_they_are(caller: Placed) -> None:
    _, me = caller
    for number, key in enumerate(ODD):

        async def sets(turn: Turn, sql: Execute, key: str = key) -> None:
            turn.result = {"text": key + " :now %s \0", "list": [1, None, 2.5]}

        me.begin()
        assert me.once(key, sets, scope=ODD[-number - 1], request=key).first
        me.commit()
        me.begin()
        assert me.once(key, scope=ODD[-number - 1], request=key).result == {
            "text": key + " :now %s \0",
            "list": [1, None, 2.5],
        }
        me.rollback()


@pytest.mark.parametrize("result", [object(), float("nan"), "x" * 70_000])
def test_a_result_that_cannot_be_kept_takes_the_key_back(ledger_url: str, result: object) -> None:
    async def sets(turn: Turn, sql: Execute) -> None:
        await order_7(turn, sql)
        turn.result = result

    for lender in some(ledger_url):
        me = Caller(lender)
        me.begin()
        with pytest.raises((RunError, PayloadTooLarge)):
            me.once("k", sets)
        me.commit()
        assert keys(ledger_url) == [] and orders(ledger_url) == []
        me.close()


def test_a_result_that_the_database_refuses_takes_all_back(ledger_url: str) -> None:
    for lender in some(ledger_url):
        me = Caller(lender)
        check_a_refused_result(ledger_url, me)
        me.close()


def check_a_refused_result(url: str, me: Caller) -> None:
    """The last statement of the block fails: it is part of the block."""
    with seen(url) as engine:
        if engine.name == "postgres":
            planted = ["ALTER TABLE dutiful.ledger ADD CONSTRAINT planted CHECK (length(result) < 9)"]
            cleared = ["ALTER TABLE dutiful.ledger DROP CONSTRAINT planted"]
        else:
            refuse = "BEGIN SELECT RAISE(ABORT, 'planted'); END"
            planted = [f"CREATE TRIGGER planted BEFORE UPDATE ON dutiful_ledger {refuse}"]
            cleared = ["DROP TRIGGER planted"]
        for sql in planted:
            write(engine, sql)
        try:
            me.begin()
            me.execute("INSERT INTO orders VALUES (1)")
            with pytest.raises(Exception, match="planted"):
                me.once("k", order_7)
            me.commit()
            assert keys(url) == [] and orders(url) == [1]
        finally:
            if getattr(me.lender.lent, "in_transaction", True):
                me.rollback()
            for sql in cleared:
                write(engine, sql)
            write(engine, "DELETE FROM orders")


def test_a_result_is_the_first_callers_and_set_in_its_block(ledger_url: str) -> None:
    me = Caller(next(some(ledger_url)))
    me.begin()
    turn = me.once("k")
    with pytest.raises(TurnOver, match="ended"):
        turn.result = 1

    async def sets(turn: Turn, sql: Execute) -> None:
        with pytest.raises(TurnOver, match="was used before"):
            turn.result = 2

    assert me.once("k", sets).result is None
    me.commit()
    me.close()


def test_a_falsy_result_is_kept(ledger_url: str) -> None:
    me = Caller(next(some(ledger_url)))
    for number, value in enumerate([0, "", [], False]):

        async def sets(turn: Turn, sql: Execute, value: object = value) -> None:
            turn.result = value

        me.begin()
        me.once(str(number), sets)
        found = me.once(str(number)).result
        assert found == value and type(found) is type(value)
        me.commit()
    me.close()


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("", {}),
        (None, {}),
        (42, {}),
        ("x" * 513, {}),
        ("nul\0", {}),
        ("\ud800", {}),
        ("k", {"scope": "x" * 513}),
        ("k", {"request": object()}),
        ("k", {"request": datetime.datetime(2024, 1, 1)}),
    ],
)
def test_what_cannot_be_a_key_or_a_request_is_refused(key: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        once(sqlite3.connect(":memory:"), key, **options)


# ── a block that ends the transaction ───────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["commit", "rollback"])
def test_a_block_that_ends_the_transaction_is_noticed(caller: Placed, how: str) -> None:
    check_an_ended_block(*caller, how)


def check_an_ended_block(url: str, me: Caller, how: str) -> None:
    """What it committed stays, with its key; what it rolled back is gone. The result is kept in neither."""
    django = hasattr(me.lender.lent, "vendor")

    async def ends(turn: Turn, sql: Execute) -> None:
        await order_7(turn, sql)
        if django:  # its own commit() is refused by the library
            await sql(how.upper())
        else:
            await me.end(how)

    me.begin()
    with pytest.raises(TurnBroken):
        me.once("k", ends)
    if django:
        assert me.lender.lent.savepoint_ids == []
    if django or me.begin is lenders._nothing:
        me.rollback()
    assert (keys(url), orders(url)) == ((["k"], [7]) if how == "commit" else ([], []))

    me.begin()
    again = me.once("k", order_7)
    me.commit()
    assert (again.first, again.result) == ((False, None) if how == "commit" else (True, {"order": 7}))
    assert keys(url) == ["k"] and orders(url) == [7]


def test_a_block_that_rolls_back_to_before_itself_is_noticed(ledger_url: str) -> None:
    for lender in some(ledger_url):
        me = Caller(lender)

        async def back(turn: Turn, sql: Execute) -> None:
            await order_7(turn, sql)
            await sql("ROLLBACK TO SAVEPOINT mine")
            await sql("INSERT INTO orders VALUES (8)")

        me.begin()
        me.execute("INSERT INTO orders VALUES (1)")
        me.execute("SAVEPOINT mine")
        with pytest.raises(TurnBroken):
            me.once("k", back)
        me.rollback()
        assert keys(ledger_url) == [] and orders(ledger_url) == []
        me.close()


# ── connections ─────────────────────────────────────────────────────────────────────────────


def some(url: str) -> Any:
    """Connections of the commonest kinds to this store."""
    at = place(url)
    if url.endswith("apsw"):
        yield lenders.apsw_manual(at)
    elif url.startswith("sqlite"):
        yield lenders.standard(at)
        yield lenders.standard_manual(at)
    else:
        yield lenders.psycopg_plain(at)
        yield lenders.psycopg_async(at)


def test_a_connection_that_commits_by_itself_is_refused(ledger_url: str) -> None:
    names = []
    for name, lender in _autocommitting(ledger_url):
        me = Caller(lender)
        with pytest.raises(NotInTransaction) as refusal:
            me.once("k", order_7)
        assert refusal.value.hint, name
        lender.close()
        assert keys(ledger_url) == [] and orders(ledger_url) == [], name
        names.append(name)
    assert names


def test_only_the_fitting_with_works(caller: Placed) -> None:
    url, me = caller
    if me.lender.loop is None:

        async def wrong() -> None:
            async with once(me.lender.lent, "k"):
                pass

        with pytest.raises(UnsupportedConnection, match="Write `with …`"):
            Caller.do(me, wrong)
    else:
        with pytest.raises(UnsupportedConnection, match="Write `async with …`"):
            with once(me.lender.lent, "k"):
                pass
    assert keys(url) == []


def test_what_is_no_connection_of_our_databases_is_refused() -> None:
    class BaseDatabaseWrapper:
        vendor = "mysql"

    BaseDatabaseWrapper.__module__ = "django.db.backends.base.base"
    for lent, says in ((object(), "no kind of connection"), (BaseDatabaseWrapper(), "leads to mysql")):
        with pytest.raises(UnsupportedConnection, match=says):
            with once(lent, "k"):
                pass


def test_without_a_ledger_it_says_what_to_type(
    sqlite_url: str, sqlite_apsw_url: str, empty_postgres_url: str
) -> None:
    for url in (sqlite_url, empty_postgres_url):
        at = place(url)
        makes = lenders.SQLITE if url is sqlite_url else lenders.POSTGRES
        for name, make in makes.items():
            if name == "sqlite3-autocommit-off" and sys.version_info < (3, 12):
                continue
            me = Caller(make(at))
            me.begin()
            with pytest.raises(LedgerMissing) as missing:
                me.once("k")
            assert re.search(r"Run: dutiful migrate --ledger \w+://\S+\n", missing.value.hint), name
            assert (at if url is sqlite_url else at.rpartition("/")[2]) in missing.value.hint
            me.execute("CREATE TABLE IF NOT EXISTS t (n integer)")  # the transaction goes on
            me.rollback()
            me.close()


def test_a_session_forgets_what_a_failed_block_put_into_it(ledger_url: str) -> None:
    from sqlalchemy import Integer, create_engine
    from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

    if ledger_url.endswith("apsw"):
        pytest.skip("SQLAlchemy has no dialect for apsw")

    class Base(DeclarativeBase):
        pass

    class Order(Base):
        __tablename__ = "orders"
        n = mapped_column(Integer, primary_key=True)

    engine = create_engine(
        lenders._alchemy_url(place(ledger_url), "pysqlite" if "sqlite" in ledger_url else "psycopg")
    )
    with Session(engine) as session:
        session.add(Order(n=1))  # pending, and the caller's
        with pytest.raises(Planted):
            with once(session, "k"):
                session.add(Order(n=2))
                raise Planted
        session.add(Order(n=3))
        session.commit()
    assert keys(ledger_url) == [] and orders(ledger_url) == [1, 3]

    with Session(engine) as session:
        session.add(Order(n=4))
        with once(session, "k") as turn:
            session.add(Order(n=5))  # flushed with the key, at the latest
            turn.result = 5
        session.commit()
        with pytest.raises(Exception, match=r"UNIQUE|unique|new instance|conflicts"), once(session, "l"):
            session.add(Order(n=6))
            session.flush()
            raise ValueError("new instance")
        session.add(Order(n=7))
        session.commit()
    engine.dispose()
    assert keys(ledger_url) == ["k"] and orders(ledger_url) == [1, 3, 4, 5, 7]


def test_a_flush_that_fails_at_the_blocks_end_takes_the_key_back(ledger_url: str) -> None:
    from sqlalchemy import Integer, create_engine
    from sqlalchemy.exc import IntegrityError
    from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

    if ledger_url.endswith("apsw"):
        pytest.skip("SQLAlchemy has no dialect for apsw")

    class Base(DeclarativeBase):
        pass

    class Order(Base):
        __tablename__ = "strict_orders"
        n = mapped_column(Integer, primary_key=True)

    engine = create_engine(
        lenders._alchemy_url(place(ledger_url), "pysqlite" if "sqlite" in ledger_url else "psycopg")
    )
    Base.metadata.create_all(engine)
    try:
        with Session(engine) as session:
            session.add(Order(n=1))
            session.commit()
        for where in ("in the block", "at its end"):
            with Session(engine) as session:
                with pytest.raises(IntegrityError):
                    with once(session, "k"):
                        session.add(Order(n=2))
                        session.add(Order(n=1))
                        if where == "in the block":
                            session.flush()
                session.add(Order(n=3))
                session.commit()
            assert keys(ledger_url) == []
            with engine.connect() as connection:
                found = connection.exec_driver_sql("SELECT n FROM strict_orders ORDER BY n").fetchall()
                assert [row[0] for row in found] == [1, 3]
                connection.exec_driver_sql("DELETE FROM strict_orders WHERE n = 3")
                connection.commit()
    finally:
        Base.metadata.drop_all(engine)
        engine.dispose()


def test_djangos_hooks_of_a_failed_block_do_not_run(ledger_url: str) -> None:
    if ledger_url.endswith("apsw"):
        pytest.skip("Django has no backend for apsw")
    lender = lenders.django(place(ledger_url))
    from django.db import transaction

    ran: list[str] = []
    alias = lender.lent.alias
    me = Caller(lender)
    me.begin()
    transaction.on_commit(lambda: ran.append("before"), using=alias)
    with pytest.raises(Planted):
        with once(lender.lent, "k"):
            transaction.on_commit(lambda: ran.append("failed"), using=alias)
            raise Planted
    with pytest.raises(ZeroDivisionError):
        with once(lender.lent, "k"):
            with transaction.atomic(using=alias, savepoint=False):
                raise ZeroDivisionError  # marks the block for rollback, and only the block
    with once(lender.lent, "k"):
        transaction.on_commit(lambda: ran.append("done"), using=alias)
    assert ran == []
    me.commit()
    assert ran == ["before", "done"] and keys(ledger_url) == ["k"]
    me.close()


@pytest.mark.postgres
def test_psycopg_3_is_not_needed_where_another_driver_is(postgres_ledger_url: str) -> None:
    pytest.importorskip("psycopg2")
    program = f"""
import sys
sys.modules["psycopg"] = None
import sqlalchemy, dutiful
engine = sqlalchemy.create_engine({lenders._alchemy_url(postgres_ledger_url, "psycopg2")!r})
from dutiful.app.once import once
for n in range(2):
    with engine.begin() as connection, once(connection, "k") as turn:
        print(turn.first)
with engine.connect() as connection:
    connection.exec_driver_sql("SET search_path = public")
    try:
        with once(connection, "l"):
            connection.exec_driver_sql("SELECT nonsense")
    except sqlalchemy.exc.ProgrammingError as error:
        print(type(error.orig).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "False", "UndefinedColumn"], done.stderr


# ── SQLite's own ────────────────────────────────────────────────────────────────────────────


def test_a_transaction_that_was_begun_for_it_is_ended_where_nothing_was_written(
    sqlite_ledger_url: str,
) -> None:
    """Or it would keep all writers waiting."""
    lender = lenders.standard(place(sqlite_ledger_url))
    me = Caller(lender)

    async def fails(turn: Turn, sql: Execute) -> None:
        raise Planted

    with pytest.raises(Planted):
        me.once("k", fails)
    assert not lender.lent.in_transaction
    me.once("k", order_7)
    assert lender.lent.in_transaction
    me.commit()
    assert me.once("k").result == {"order": 7}
    assert not lender.lent.in_transaction
    me.close()


def test_a_read_that_turns_into_a_write_too_late_is_explained(ledger_url: str) -> None:
    if ledger_url.startswith("postgres"):
        pytest.skip("SQLite's")
    make = lenders.apsw_manual if ledger_url.endswith("apsw") else lenders.standard_manual
    one, two = Caller(make(place(ledger_url))), Caller(make(place(ledger_url)))
    one.execute("PRAGMA journal_mode = WAL")
    one.begin()
    list(one.lender.lent.execute("SELECT * FROM orders"))
    two.begin()
    two.once("k", order_7)
    two.commit()
    with pytest.raises(StoreBusy, match="written by another connection") as busy:
        one.once("k", order_7)
    assert "BEGIN IMMEDIATE" in busy.value.hint
    one.rollback()
    one.execute("BEGIN IMMEDIATE")
    assert one.once("k", order_7).result == {"order": 7}
    one.rollback()
    one.close()
    two.close()


def test_it_works_in_memory_with_a_ledger_made_by_hand() -> None:
    from dutiful.engines.ledgers import make_ledger

    connection = sqlite3.connect(":memory:")
    with connection, pytest.raises(LedgerMissing, match="in memory") as missing:
        with once(connection, "k"):
            pass
    assert missing.value.hint.startswith("Or call") is False or "make_ledger" in missing.value.hint
    assert make_ledger(connection) is True
    connection.commit()
    assert make_ledger(connection) is False and not connection.in_transaction
    with connection, once(connection, "k") as turn:
        assert turn.first
    connection.close()


def test_the_file_may_hold_jobs_too(tmp_path: Path) -> None:
    import dutiful

    app = dutiful.App("shop", f"sqlite:///{tmp_path / 'shop.db'}")
    app.migrate()
    connection = sqlite3.connect(tmp_path / "shop.db")
    with connection, once(connection, "k") as turn:
        assert turn.first
    connection.close()
    app.close()


# ── in a task of ours ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
def test_it_works_in_the_transaction_of_an_exactly_once_body(store_url: str, asynchronous: bool) -> None:
    import dutiful
    from dutiful.testing import run_all

    app = dutiful.App("shop", store_url)
    app.migrate()
    ran: list[tuple[bool, Any]] = []

    @app.task(delivery="exactly_once", retry=0)
    def act(number: int, *, tx: dutiful.Transaction = dutiful.Transaction.given) -> None:
        with once(tx.connection, "k") as turn:
            if turn.first:
                tx.execute("INSERT INTO orders VALUES (:n)", {"n": number})
                turn.result = number
        ran.append((turn.first, turn.result))
        if number == 1:
            raise ValueError("after the block")

    @app.task(delivery="exactly_once", retry=0)
    async def aact(number: int, *, tx: dutiful.AsyncTransaction = dutiful.AsyncTransaction.given) -> None:
        block: Any = once(tx.connection, "k")
        if store_url.startswith("sqlite"):  # whose connection is a plain one
            with block as turn:
                if turn.first:
                    await tx.execute("INSERT INTO orders VALUES (:n)", {"n": number})
                    turn.result = number
        else:
            async with block as turn:
                if turn.first:
                    await tx.execute("INSERT INTO orders VALUES (:n)", {"n": number})
                    turn.result = number
        ran.append((turn.first, turn.result))
        if number == 1:
            raise ValueError("after the block")

    with seen(store_url) as engine:
        write(engine, "CREATE TABLE orders (n integer)")
    task = aact if asynchronous else act
    for number in (1, 2, 3):
        task.enqueue(number)
        run_all(app)
    app.close()
    assert ran == [(True, 1), (True, 2), (False, 2)]
    assert orders(store_url) == [2] and "k" in keys(store_url)
