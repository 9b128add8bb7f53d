"""Work transactions: what an exactly_once body writes in, from BEGIN to the one commit that is ours.

An engine opens them apart from its own statements: on PostgreSQL on connections with the planner as the
user has it, on SQLite on a connection whose authorizer refuses to end the transaction.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..model.errors import WorkNotFinished
from ..operations.plan import Operation
from ..sql import EngineName

if TYPE_CHECKING:
    from .contract import Runner

T = TypeVar("T")


class WorkTransaction(Protocol):
    """One transaction for one run, in a body's own thread; used once."""

    engine: Any
    engine_name: EngineName
    queues: set[str]
    """Where the body enqueued in it: who waits there is told after the commit."""
    style: str
    """The driver's parameter style: "pyformat" or "named"."""

    @property
    def raw(self) -> Any:
        """The driver's connection, as the body is given it."""
        ...

    def begin(self) -> None:
        """Open it. Raises StoreError; nothing is held then."""
        ...

    def run(self, operation: Operation[T]) -> T:
        """Carry out an operation in it, without a savepoint."""
        ...

    def joined(self) -> Runner:
        """What runs operations in it with a savepoint each: for the body's own enqueues."""
        ...

    def session(self) -> Any:
        """A SQLAlchemy session in it, the same one each time."""
        ...

    def command(self, text: str) -> None:
        """A statement of ours without parameters or rows, as SAVEPOINT."""
        ...

    def execute(self, *statement: Any) -> Any:
        """A statement of the body's, in the driver's own words; the cursor, or what reads like one."""
        ...

    def lend(self) -> Any:
        """The driver's connection for the body to use by itself."""
        ...

    def quickly(self) -> AbstractContextManager[object]:
        """A block in which statements by :meth:`execute` may wait to be sent together.

        An error may come later than its statement; leaving the block waits for all.
        """
        ...

    def flush(self) -> None:
        """Write what a session still holds, and end it: nothing of ours may stand in its savepoint."""
        ...

    def commit(self) -> None:
        """Keep it. Raises CommitUnknown if no answer came; any other error means: not kept."""
        ...

    def rollback(self) -> None:
        """Take it back, if it is open, and give the connection back. Raises nothing."""
        ...


class AsyncWorkTransaction(Protocol):
    """The same for a body on an event loop."""

    engine: Any
    engine_name: EngineName
    queues: set[str]
    """Where the body enqueued in it: who waits there is told after the commit."""
    style: str

    @property
    def raw(self) -> Any: ...

    async def begin(self) -> None: ...

    async def run(self, operation: Operation[T]) -> T: ...

    def joined(self) -> Runner: ...

    async def session(self) -> Any: ...

    async def flush(self) -> None: ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...


AnyWork = WorkTransaction | AsyncWorkTransaction

open_work: ContextVar[AnyWork | None] = ContextVar("dutiful_open_work", default=None)
"""The transaction that the running body has open, if it has: enqueues join it, calls outside are refused."""

_ENDS = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
    r"(?:COMMIT|END|ABORT|ROLLBACK(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b)|BEGIN|START\s+TRANSACTION|PREPARE\s+TRANSACTION)\b",
    re.IGNORECASE | re.DOTALL,
)


def refuse_ending(sql: object) -> None:
    """Raise WorkNotFinished for a statement that would end (or begin) a transaction.

    The first of three nets, with the clearest words: below it are the deferred trigger, which keeps
    nothing of an unsettled run, and the completion, which looks for the run's ledger row.
    """
    text = sql.decode("utf-8", "replace") if isinstance(sql, bytes) else sql
    if isinstance(text, str) and _ENDS.match(text):
        raise WorkNotFinished(f"The body executed {text.strip()[:40]!r} in the transaction of its run.")


RERUN_STATES = {"40001", "40P01", "26000"}
"""Serialization failure, deadlock, a prepared statement of ours that the body threw away."""
LOCKED_STATES = {"55P03"}
SQLITE_BUSY, SQLITE_AUTH = "SQLITE_BUSY", "SQLITE_AUTH"
UNFINISHED_STATE = "DU001"
"""What the ledger's deferred trigger raises for work that nobody settled."""


def sqlstates(error: BaseException) -> set[str]:
    """The SQL states (or SQLite's results) in an error and in what it wraps, as libraries do the driver's."""
    found: set[str] = set()
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen or len(seen) > 20:
            continue
        seen.add(id(one))
        state = getattr(one, "sqlstate", None) or getattr(one, "pgcode", None)
        if isinstance(state, str):
            found.add(state)
        elif code := _sqlite_code(one):
            found.add(code)
        todo += [getattr(one, "orig", None), one.__cause__, one.__context__]
        todo += list(getattr(one, "exceptions", ()))
    return found


def _sqlite_code(error: BaseException) -> str | None:
    """SQLite's result, of those that matter here, by either library."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None and type(error).__module__.startswith("apsw"):
        code = getattr(error, "result", None)
    if not isinstance(code, int):
        return None
    return {5: SQLITE_BUSY, 6: SQLITE_BUSY, 23: SQLITE_AUTH}.get(code & 0xFF)
