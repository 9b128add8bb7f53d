"""Callers of ``dutiful.once`` with a connection of every kind, one face for ``with`` and ``async with``.

Their databases hold a ledger and a table ``orders`` and no jobs. A body is an async function that is given
the turn and a way to execute SQL; for a connection that blocks it is carried out without a loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from dutiful.app.once import Turn, once
from dutiful.engines.contract import Engine
from dutiful.engines.ledgers import make_ledger
from dutiful.engines.urls import open_engine
from tests.contract import lenders
from tests.contract.lenders import Lender
from tests.contract.stores import look, write

T = TypeVar("T")

Make = Callable[[str], Lender]
Execute = Callable[[str], Awaitable[None]]
Body = Callable[[Turn, Execute], Coroutine[Any, Any, Any]]

EVERY = [
    *(
        pytest.param(("sqlite_ledger_url", make), id=f"sqlite-{name}")
        for name, make in lenders.SQLITE.items()
    ),
    *(pytest.param(("apsw_ledger_url", make), id=name) for name, make in lenders.APSW.items()),
    *(
        pytest.param(("postgres_ledger_url", make), id=f"postgres-{name}", marks=pytest.mark.postgres)
        for name, make in lenders.POSTGRES.items()
    ),
]


def place(url: str) -> str:
    """Where callers open connections of their own: the path of the file, or the server's URL."""
    return url.removeprefix("sqlite:///").partition("?")[0]


@contextmanager
def seen(url: str) -> Iterator[Engine]:
    """What :func:`~tests.contract.stores.look` needs, to see what is committed; opens nothing by itself."""
    engine = open_engine(url)
    yield engine
    engine.close()


def prepare(url: str) -> None:
    """The ledger, and the callers' own table."""
    make_ledger(url)
    with seen(url) as engine:
        write(engine, "CREATE TABLE orders (n integer)")


class Caller:
    """One connection, in its own transaction."""

    def __init__(self, lender: Lender) -> None:
        self.lender = lender
        self.begin, self.commit, self.rollback = lender.begin, lender.commit, lender.rollback
        self.execute, self.close = lender.execute, lender.close

    def do(self, body: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Carry out an async function: on the connection's loop, or at once."""
        if self.lender.loop is not None:
            return self.lender.loop.run(body())
        try:
            body().send(None)
        except StopIteration as end:
            answer: T = end.value
            return answer
        raise AssertionError("it waits for something, on a connection that blocks")

    def once(self, key: str = "k", body: Body | None = None, **options: Any) -> Turn:
        """One block, in the transaction that is open."""

        async def carry_out() -> Turn:
            if self.lender.loop is not None:
                async with once(self.lender.lent, key, **options) as turn:
                    if body is not None:
                        await body(turn, self.sql)
            else:
                with once(self.lender.lent, key, **options) as turn:
                    if body is not None:
                        await body(turn, self.sql)
            return turn

        return self.do(carry_out)

    async def sql(self, text: str) -> None:
        """Within a body."""
        lent = self.lender.lent
        if self.lender.loop is None:
            self.lender.execute(text)
        elif type(lent).__module__.startswith("psycopg"):
            await lent.execute(text)
        else:
            await lent.execute(lenders._text(text))

    async def end(self, how: str) -> None:
        """Within a body: commit or roll back, as one should not."""
        if self.lender.loop is None:
            getattr(self.lender, how)()
        else:
            await getattr(self.lender.lent, how)()


def orders(url: str) -> list[int]:
    """The callers' own rows, as committed."""
    with seen(url) as engine:
        return [row[0] for row in look(engine, "SELECT n FROM orders ORDER BY n")]


def keys(url: str) -> list[str]:
    """The keys that are used up, as committed."""
    with seen(url) as engine:
        return [row[0] for row in look(engine, "SELECT key FROM dutiful.ledger ORDER BY key")]


async def order_7(turn: Turn, sql: Execute) -> None:
    """A body: one row and a result, by whoever is first."""
    if turn.first:
        await sql("INSERT INTO orders VALUES (7)")
        turn.result = {"order": 7}
