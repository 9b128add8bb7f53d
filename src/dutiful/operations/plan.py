"""The one idea: an operation is a value that says what to do in one transaction, and does nothing.

It is a generator behind a small frozen value, so that an engine can start it again from the
beginning when the database says "locked" or "serialization failure". It yields calls, is sent the
rows, and returns its result. It does no input or output and never looks at a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar

import msgspec
from msgspec import Struct, field

T = TypeVar("T")
P = ParamSpec("P")

Row = tuple[Any, ...]
Rows = Sequence[Row]


class Call(Struct, frozen=True):
    """Run the statement ``name`` with ``params``; the reply is its rows.

    ``alone`` promises that the statement is whole by itself: should the operation end after it,
    no transaction was needed. An engine uses that to save a round trip for BEGIN and COMMIT.
    Only an operation's first call can be alone, or the first after some that were asked together.
    ``planned_anew``: which plan is good depends on how
    large the tables are at this moment, so that none is kept where the planner is not ours.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    alone: bool = False
    planned_anew: bool = False


class Load(Struct, frozen=True):
    """Bring many rows into a table by the engine's fastest means; the reply is ``[(count,)]``.

    ``name`` is the statement for one row (its parameters are ``columns``); PostgreSQL uses COPY.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    rows: Iterable[Row]


class Together(Struct, frozen=True):
    """Calls that only read, of which none needs another's reply. Use :func:`together`.

    An engine that can asks all of them by one statement, which sees one state of the database. The reply has
    a row for each, which holds its rows.
    """

    calls: tuple[Call, ...]
    alone: bool = False


Step = Call | Load
Steps = Generator[Step | Together, Rows, T]


class Operation(Struct, Generic[T], frozen=True):
    """What an engine runs. ``begin()`` starts the steps afresh; ``reads`` says it writes nothing.

    ``durable``: when it has returned, what it wrote outlives a loss of power, and of the primary where
    there is a synchronous standby, whatever the settings are for all else.
    """

    name: str
    begin: Callable[[], Steps[T]]
    reads: bool = False
    durable: bool = False


def operation(make: Callable[P, Steps[T]]) -> Callable[P, Operation[T]]:
    """Turn a generator function into one that returns an :class:`Operation`."""

    @wraps(make)
    def planned(*args: P.args, **kwargs: P.kwargs) -> Operation[T]:
        return Operation(make.__name__, lambda: make(*args, **kwargs))

    return planned


def query(make: Callable[P, Steps[T]]) -> Callable[P, Operation[T]]:
    """Like :func:`operation`, for one that only reads."""

    @wraps(make)
    def planned(*args: P.args, **kwargs: P.kwargs) -> Operation[T]:
        return Operation(make.__name__, lambda: make(*args, **kwargs), reads=True)

    return planned


def durable(make: Callable[P, Steps[T]]) -> Callable[P, Operation[T]]:
    """Like :func:`operation`, for one whose commit must last. On PostgreSQL its statements see to it."""

    @wraps(make)
    def planned(*args: P.args, **kwargs: P.kwargs) -> Operation[T]:
        return Operation(make.__name__, lambda: make(*args, **kwargs), durable=True)

    return planned


def together(*calls: Call, alone: bool = False) -> Steps[list[Rows]]:
    """The rows of each of these calls; no value in them is a document or bytes."""
    return [rows for (rows,) in (yield Together(calls, alone))]


def as_json(value: object) -> str:
    """A batch of rows as one parameter, which both engines unpack in SQL."""
    return msgspec.json.encode(value).decode()


def typed(kind: Callable[..., T], row: Row, *, flags: Sequence[int] = ()) -> T:
    """A value made from a row; ``flags`` are the places of truth values, which SQLite keeps as numbers."""
    values = list(row)
    for place in flags:
        values[place] = bool(values[place])
    return kind(*values)
