"""A with-block of the caller's in a transaction of the caller's: a savepoint around it, never a commit.

Promises: what the block wrote is kept or taken back whole, with what was written at its beginning and its
end; a block that ended the transaction is noticed; waiting for a lock has an end.

Written once, as generators of what is to be done on the connection; two loops do it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..model import errors
from ..operations.plan import Call, Operation
from .bound import kind_of, lent
from .bound_runner import in_our_words, observer

if TYPE_CHECKING:
    from .bound_postgres import AsyncPsycopgRunner
    from .bound_runner import SyncRunner
    from .bound_sqlalchemy import AsyncSqlalchemyRunner

T = TypeVar("T")

WAIT_S = 5
"""How long a statement of ours waits for a lock on PostgreSQL, if the caller's lock_timeout is none."""

ENDING = "dutiful_ending"
"""The savepoint around what is written at the block's end."""

RERUN = {"40001", "40P01"}
NO_SAVEPOINT = {"3B001", "25P01"}

Doing = Generator[Callable[[], Any], Any, T]
"""Yields what is to be called (and awaited, if the connection is async), is sent what it gave."""


class _Acts:
    """What is done on the connection, by whichever loop."""

    def __init__(self, runner: SyncRunner | AsyncPsycopgRunner) -> None:
        self.name = runner.name
        self._runner: Any = runner
        self._began = False

    def opening(self, operation: Operation[T], lasts: Callable[[T], bool]) -> Doing[T]:
        """The savepoint and the operation; unless its answer says that the block lasts, all is undone."""
        runner = self._runner
        opened = False
        try:
            self._began = yield runner.enter
            yield runner.open_block
            opened = True
            answer = yield from self._carrying_out(operation, waits=True)
            if not lasts(answer):
                yield runner.keep_block
                yield from self._ending_own()
            return answer
        except BaseException as error:
            if opened:
                yield from self.undoing(error)
            else:
                yield from self._ending_own()
            self._raise_seen(error)
            raise

    def keeping(self, operation: Operation[bool], waits: bool) -> Doing[None]:
        """The operation, and the savepoint's release; it says whether the block is what it was."""
        runner = self._runner
        if not runner.block_is_open() or (self.name == "sqlite" and not runner.in_transaction()):
            yield runner.leave_block
            raise _broken()
        try:
            yield partial(runner.command, f"SAVEPOINT {ENDING}")
            if not (yield from self._carrying_out(operation, waits)):
                raise _broken()
            yield runner.keep_block
        except errors.TurnBroken:
            yield from self._leaving()
            raise
        except BaseException as error:
            if _has_no_savepoint(error):
                yield from self._leaving()
                raise _broken() from error
            yield from self.undoing(error)
            self._raise_seen(error)
            raise

    def undoing(self, error: BaseException) -> Doing[None]:
        """The way back to the savepoint; raises nothing, but the error gets a note if it is not found."""
        runner = self._runner
        try:
            if runner.in_transaction():
                yield partial(runner.undo_block, error)
                yield from self._ending_own()
        except Exception as failure:
            error.add_note(f"What the block wrote could not be taken back ({failure}): do not commit it.")

    def _leaving(self) -> Doing[None]:
        """Take back what was written at the end, in a transaction that is not the block's any more."""
        runner = self._runner
        try:
            yield partial(runner.command, f"ROLLBACK TO SAVEPOINT {ENDING}")
            yield partial(runner.command, f"RELEASE SAVEPOINT {ENDING}")
        except Exception:
            pass  # there was no transaction to make it in
        yield runner.leave_block

    def _ending_own(self) -> Doing[None]:
        """Nothing is written in a transaction that we had to begin: others need not wait for it."""
        if self._began and self._runner.in_transaction():
            yield partial(self._runner.command, "ROLLBACK")

    def _carrying_out(self, operation: Operation[T], waits: bool) -> Doing[T]:
        """``waits``: it may come to rows or locks that another transaction holds."""
        runner = self._runner
        bounded: Any = ()
        if waits and self.name == "postgres":
            bounded = yield partial(runner.execute, Call("bound_wait", {"wait": f"{WAIT_S}s"}))
        observe = observer(runner.engine)
        steps = operation.begin()
        try:
            step = next(steps)
            while True:
                rows = yield partial(runner.execute, step)
                if observe is not None:
                    observe(step)
                step = steps.send(rows)
        except StopIteration as end:
            answer: T = end.value
        if bounded:
            yield partial(runner.execute, Call("unbound_wait"))
        return answer

    def _raise_seen(self, error: BaseException) -> None:
        """Raise it in our words, if we have any; the driver's own "again" is only given a note."""
        if not isinstance(error, Exception):
            return
        seen = in_our_words(self._runner.engine, error)
        if seen is not error:
            raise seen from error
        if _states(error) & RERUN:
            error.add_note("Roll back, and run the whole transaction again: nothing of it is kept.")


class Block(_Acts):
    """On a connection whose methods block."""

    def open(self, operation: Operation[T], lasts: Callable[[T], bool]) -> T:
        """Begin the block with an operation, and return its answer.

        Unless that says that the block ``lasts``, nothing is open then, and nothing is to follow; nor if
        this raises.
        """
        return _now(self.opening(operation, lasts))

    def keep(self, operation: Operation[bool], *, waits: bool = False) -> None:
        """End it with an operation. Whatever is raised, all was taken back, as far as that is possible.

        ``waits``: the operation may have to wait for others. Raises TurnBroken if the block is not open any
        more, or the operation says so.
        """
        _now(self.keeping(operation, waits))

    def undo(self, error: BaseException) -> None:
        """Take back what was written in it. Raises nothing; should it fail, the error gets a note."""
        _now(self.undoing(error))


class AsyncBlock(_Acts):
    """On psycopg's async connection."""

    async def open(self, operation: Operation[T], lasts: Callable[[T], bool]) -> T:
        """See :meth:`Block.open`."""
        return await _awaited(self.opening(operation, lasts))

    async def keep(self, operation: Operation[bool]) -> None:
        """See :meth:`Block.keep`."""
        await _awaited(self.keeping(operation, False))

    async def undo(self, error: BaseException) -> None:
        """See :meth:`Block.undo`."""
        await _awaited(self.undoing(error))


class AlchemyBlock:
    """On an async connection or session of SQLAlchemy's: a :class:`Block` in its greenlet."""

    def __init__(self, runner: AsyncSqlalchemyRunner) -> None:
        self.name = runner.name
        self._runner = runner
        self._block: Block | None = None

    async def open(self, operation: Operation[T], lasts: Callable[[T], bool]) -> T:
        """See :meth:`Block.open`."""

        def opened(inner: SyncRunner) -> T:
            self._block = Block(inner)
            return self._block.open(operation, lasts)

        return await self._runner.apply(opened)

    async def keep(self, operation: Operation[bool]) -> None:
        """See :meth:`Block.keep`."""
        block = self._block
        assert block is not None
        await self._runner.apply(lambda _: block.keep(operation))

    async def undo(self, error: BaseException) -> None:
        """See :meth:`Block.undo`."""
        block = self._block
        assert block is not None
        await self._runner.apply(lambda _: block.undo(error))


def block_on(connection: object) -> Block:
    """A block on a connection that is not async. Raises UnsupportedConnection."""
    runner = _lent(connection, asynchronous=False)
    return Block(runner)


def async_block_on(connection: object) -> AsyncBlock | AlchemyBlock:
    """A block on an async connection. Raises UnsupportedConnection."""
    runner = _lent(connection, asynchronous=True)
    return AlchemyBlock(runner) if runner.kind.startswith("SQLAlchemy") else AsyncBlock(runner)


def _lent(connection: object, *, asynchronous: bool) -> Any:
    kind = kind_of(connection)
    if kind is not None and kind.endswith("async") != asynchronous:
        if asynchronous:
            message, hint = "blocks its thread", "Write `with …` without async, or give an async connection."
        else:
            message, hint = "must be awaited", "Write `async with …`, or give a connection that is not async."
        raise errors.UnsupportedConnection(f"The connection is one of {kind}, which {message}.", hint=hint)
    return lent(connection)


def _broken() -> errors.TurnBroken:
    return errors.TurnBroken("The block ended the transaction in which it began.")


def _states(error: BaseException) -> set[str]:
    """The SQL states of an error and of what it was made from."""
    found = set()
    for one in (error, getattr(error, "orig", None), error.__cause__):
        state = getattr(one, "sqlstate", None) or getattr(one, "pgcode", None)
        if isinstance(state, str):
            found.add(state)
    return found


def _has_no_savepoint(error: BaseException) -> bool:
    return bool(_states(error) & NO_SAVEPOINT) or "no such savepoint" in str(error)


def _now(doing: Doing[T]) -> T:
    try:
        act = next(doing)
        while True:
            try:
                given = act()
            except BaseException as error:
                act = doing.throw(error)
            else:
                act = doing.send(given)
    except StopIteration as end:
        answer: T = end.value
        return answer


async def _awaited(doing: Doing[T]) -> T:
    try:
        act: Callable[[], Any] = next(doing)
        while True:
            try:
                given = await act()
            except BaseException as error:
                act = doing.throw(error)
            else:
                act = doing.send(given)
    except StopIteration as end:
        answer: T = end.value
        return answer
