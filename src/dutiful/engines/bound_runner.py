"""The part of a bound runner that all kinds of connections share: a savepoint around the steps.

A first call that is whole by itself goes without: if it fails there is nothing to take back. SQLite's
statements may have several parts, so there it is never left out. What only reads needs none.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..model import errors
from ..operations.plan import Call, Load, Operation, Rows, Step
from ..sql import EngineName
from ..sql.render import Style, render
from .anywhere import Anywhere
from .contract import Engine, host_now
from .drive import drive
from .postgres_errors import translated

if TYPE_CHECKING:
    from .postgres import PostgresEngine
    from .sqlite import SqliteEngine

T = TypeVar("T")

SAVEPOINT = "dutiful_operation"
BLOCK = "dutiful_block"
"""The savepoint of a with-block of the caller's, see :mod:`.bound_block`."""

Home = Engine | Anywhere
"""The database that the connection has to lead to, or whichever it leads to."""


class SyncRunner(ABC):
    """Runs operations on a connection whose methods block; the kinds fill in how."""

    name: EngineName
    can_copy = False
    kind: str
    """What the connection is called in messages."""
    style: Style
    """How the driver writes parameters; known once the runner is attached."""

    def __init__(self, engine: Home) -> None:
        self.engine = engine
        self.name = engine.name

    def run(self, operation: Operation[T]) -> T:
        """See :class:`~dutiful.engines.contract.Runner`; never begins again, never commits."""
        try:
            began = self.enter()
            try:
                transaction = _Savepoint(self, operation.reads)
                return drive(operation, transaction, observer(self.engine), self.name == "sqlite")
            except BaseException:
                if began and self.in_transaction():
                    self.command("ROLLBACK")
                raise
        except Exception as error:
            seen = in_our_words(self.engine, error)
            if seen is error:
                raise
            raise seen from error

    async def arun(self, operation: Operation[T]) -> T:
        """Refuses: an event loop must not wait for a connection that blocks."""
        raise errors.UnsupportedConnection(
            f"connection= is {self.kind}, which blocks its thread; it cannot be awaited.",
            hint="Call .enqueue(…) instead of .aenqueue(…), or give an async connection.",
        )

    def attach(self) -> None:  # noqa: B027
        """Find out what the connection is; called before all else. Begins nothing by itself."""

    @abstractmethod
    def enter(self) -> bool:
        """Attach; see that it is the right database and a transaction is open.

        True: there was none, and one was begun as the driver itself would have at the next write.
        Raises NotInTransaction or InvalidOption.
        """

    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether a transaction is open, so that a savepoint can be rolled back."""

    @abstractmethod
    def command(self, text: str) -> None:
        """Execute a statement without parameters or rows."""

    @abstractmethod
    def rows(self, text: str, params: Any) -> Rows:
        """Execute one statement, its parameters in the container of the style; returns its rows."""

    def execute(self, step: Step) -> Rows:
        """Execute a step."""
        rows: Rows = ()
        for text, params in texts(self.engine, step, self.style):
            rows = self.rows(text, params)
        return rows

    # A with-block of the caller's; kinds whose library counts savepoints have it make one.

    def open_block(self) -> None:
        """Make a savepoint."""
        self.command(f"SAVEPOINT {BLOCK}")

    def block_is_open(self) -> bool:
        """False if the library knows that it is not; a statement may have ended it all the same."""
        return True

    def keep_block(self) -> None:
        """Release it, and all within."""
        self.command(f"RELEASE SAVEPOINT {BLOCK}")

    def undo_block(self, error: BaseException) -> None:
        """Roll back to it, and release it."""
        self.command(f"ROLLBACK TO SAVEPOINT {BLOCK}")
        self.command(f"RELEASE SAVEPOINT {BLOCK}")

    def leave_block(self) -> None:  # noqa: B027
        """It is gone already: have the library forget it. Raises nothing."""


class _Savepoint:
    """The transaction that :func:`~dutiful.engines.drive.drive` sees: a savepoint in the caller's."""

    def __init__(self, runner: SyncRunner, reads: bool) -> None:
        self._runner = runner
        self._wanted = not reads
        self._made = False

    def begin(self) -> None:
        if self._wanted:
            self._runner.command(f"SAVEPOINT {SAVEPOINT}")
            self._made = True

    def execute(self, step: Step, alone: bool) -> Rows:
        return self._runner.execute(step)

    def commit(self) -> None:
        if self._made:
            self._runner.command(f"RELEASE SAVEPOINT {SAVEPOINT}")

    def rollback(self) -> None:
        if self._made and self._runner.in_transaction():
            # Should it fail, the connection is broken and the caller's transaction gone with it;
            # the error that led here says more.
            with contextlib.suppress(Exception):
                self._runner.command(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")
                self._runner.command(f"RELEASE SAVEPOINT {SAVEPOINT}")


def observer(engine: Home) -> Any:
    """What watches the engine's steps, watches those on bound connections, too."""
    return getattr(engine, "observe", None)


def texts(engine: Home, step: Step, style: Style) -> Iterator[tuple[str, Any]]:
    """A call as texts to execute in turn, each with its parameters in the style's container."""
    if isinstance(step, Load):
        raise TypeError("this connection has no COPY; give it batches")
    call: Call = step
    params: Mapping[str, Any] = call.params
    own_now = engine.name == "sqlite" or engine.clock is not None
    if own_now:
        params = {**params, "now": engine.clock() if engine.clock else host_now()}
    for text, names in render(engine.name, call.name, style, own_now).parts:
        if style in ("named", "pyformat"):
            yield text, {name: params[name] for name in names}
        else:
            yield text, tuple(params[name] for name in names)


def plain(rows: Sequence[Sequence[Any]]) -> Rows:
    """Rows as tuples whose bytes are bytes (psycopg2 gives memoryviews)."""
    return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in rows]


def in_our_words(engine: Home, error: Exception) -> Exception:
    """The error that the caller should see; a library's wrapper is looked into, but given back whole."""
    if isinstance(error, errors.DutifulError):
        return error
    root = getattr(error, "orig", None)
    if not isinstance(root, Exception):
        root = error.__cause__ if type(error).__module__.startswith("django.") else None
    inner: Exception = root if isinstance(root, Exception) else error
    if isinstance(engine, Anywhere):
        seen = engine.in_our_words(inner)
    elif engine.name == "sqlite":
        seen = cast("SqliteEngine", engine)._translated(inner)
    else:
        seen = translated(inner, cast("PostgresEngine", engine).shown)
    return error if seen is inner else seen
