"""Whole transactions on connections that a factory of the caller's makes: begun, committed, given back here.

A connection that comes in a transaction already came from a context manager that ends it; that it did is
looked at. What is raised within rolls back.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from ..model import errors
from .bound import Kind, described, kind_of
from .postgres_transactions import IDLE

SHARED = ("scoped_session", "async_scoped_session")
"""Whoever has made it keeps it: what such a name leads to is one and the same for many."""


@contextmanager
def connected(connect: Callable[[], Any]) -> Iterator[Any]:
    """A connection or session in a transaction that is committed at the end."""
    made = connect()
    kind = _fitting(made, asynchronous=False)
    if kind is not None:
        try:
            _refuse_open(made, kind)
            with _transaction(made, kind):
                yield made
        finally:
            if not _is_shared(made, kind):
                made.close()
        return
    if not hasattr(made, "__enter__"):
        raise _useless(made)
    with made as inner:
        kind = _known(inner, asynchronous=False)
        if _in_transaction(inner, kind):
            yield inner
        else:
            with _transaction(inner, kind):
                yield inner
    _look(inner, kind)


@asynccontextmanager
async def aconnected(connect: Callable[[], Any]) -> AsyncIterator[Any]:
    """The same on an event loop; what ``connect`` gives may have to be awaited."""
    made = connect()
    if inspect.isawaitable(made):
        made = await made
    kind = _fitting(made, asynchronous=True)
    if kind is not None:
        try:
            _refuse_open(made, kind)
            async with _atransaction(made, kind):
                yield made
        finally:
            if not _is_shared(made, kind):
                await made.close()
        return
    if not hasattr(made, "__aenter__"):
        raise _useless(made)
    async with made as inner:
        kind = _known(inner, asynchronous=True)
        if _in_transaction(inner, kind):
            yield inner
        else:
            async with _atransaction(inner, kind):
                yield inner
    _look(inner, kind)


@contextmanager
def _transaction(connection: Any, kind: Kind) -> Iterator[None]:
    if kind == "django":
        from django.db import transaction

        with transaction.atomic(using=connection.alias):
            yield
    elif kind == "psycopg":
        with connection.transaction():
            yield
    elif kind == "apsw":
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    else:  # sqlite3, SQLAlchemy
        if kind == "sqlite3" and not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")  # a read that turns into a write cannot wait
        try:
            yield
        except BaseException:
            connection.rollback()
            raise
        if kind == "sqlite3" and _autocommits(connection):
            connection.execute("COMMIT")  # its own commit() would do nothing
        else:
            connection.commit()


@asynccontextmanager
async def _atransaction(connection: Any, kind: Kind) -> AsyncIterator[None]:
    if kind == "psycopg-async":
        async with connection.transaction():
            yield
        return
    try:
        yield
    except BaseException:
        await connection.rollback()
        raise
    await connection.commit()


def _in_transaction(connection: Any, kind: Kind) -> bool:
    """Whether somebody has begun one; Django's atomic() blocks nest, and need no look."""
    if kind == "django":
        return False
    if kind.startswith("psycopg"):
        return bool(connection.info.transaction_status != IDLE)
    if kind == "sqlite3" and getattr(connection, "autocommit", None) is False:
        return False  # the module keeps one open all the time
    if type(connection).__name__ in SHARED:
        connection = connection()
    found = connection.in_transaction
    return bool(found() if callable(found) else found)


def _refuse_open(connection: Any, kind: Kind) -> None:
    if _in_transaction(connection, kind):
        raise errors.InvalidOption(
            f"connect= gave {described(connection)} with a transaction open, that is not ours to commit.",
            hint="Let connect= make a new one for each call; in a transaction of yours use dutiful.once().",
        )


def _look(connection: Any, kind: Kind) -> None:
    """After a context manager: was the transaction ended? Else nothing was committed, unbeknown to all."""
    try:
        still = _in_transaction(connection, kind)
    except Exception:
        return  # closed, and so ended
    if still:
        raise errors.NotInTransaction(
            f"connect= gave {described(connection)} in a transaction that its context manager did not end.",
            hint="Nothing was committed. Use one that commits, or that gives a connection in no transaction.",
        )


def _known(connection: Any, *, asynchronous: bool) -> Kind:
    kind = _fitting(connection, asynchronous=asynchronous)
    if kind is None:
        raise _useless(connection)
    return kind


def _fitting(connection: Any, *, asynchronous: bool) -> Kind | None:
    kind = kind_of(connection)
    if kind is not None and kind.endswith("-async") != asynchronous:
        raise errors.UnsupportedConnection(
            f"connect= gave {described(connection)}.",
            hint="An async def function wants an async connection, a plain one a connection that is not.",
        )
    return kind


def _useless(made: object) -> errors.UnsupportedConnection:
    return errors.UnsupportedConnection(
        f"connect= gave {described(made)}: no connection known here, nor a context manager of one."
    )


def _is_shared(connection: Any, kind: Kind) -> bool:
    return kind == "django" or type(connection).__name__ in SHARED


def _autocommits(connection: Any) -> bool:
    return sys.version_info >= (3, 12) and connection.autocommit is True
