"""The loop that carries an operation through its steps; whose transaction it is, a value says.

Written twice, for threads and for event loops, and nowhere else. Whatever is raised on the way, by
the database, the operation or an observer, the transaction is rolled back and the error goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from ..operations.plan import Load, Operation, Rows, Step

T = TypeVar("T")

Observer = Callable[[Step], None]
"""Called after each statement; what it raises ends the operation there (tests cut them so)."""


class Transaction(Protocol):
    """What surrounds the steps of one operation; ``rollback`` only follows ``begin``."""

    def begin(self) -> None:
        """Begin; a first call that is :attr:`~dutiful.operations.plan.Call.alone` may go before it."""
        ...

    def execute(self, step: Step, alone: bool) -> Rows:
        """Carry out one step; ``alone`` says that it is not between begin and commit."""
        ...

    def commit(self) -> None:
        """Keep what was done since ``begin``."""
        ...

    def rollback(self) -> None:
        """Take it back, as far as the database has not done so by itself."""
        ...


class AsyncTransaction(Protocol):
    """The same for an event loop."""

    async def begin(self) -> None: ...

    async def execute(self, step: Step, alone: bool) -> Rows: ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...


def drive(
    operation: Operation[T],
    transaction: Transaction,
    observe: Observer | None = None,
    begin_always: bool = False,
) -> T:
    """Carry out the operation and return its result.

    ``begin_always``: also before a call that is alone (SQLite's statements may have several parts).
    """
    steps = operation.begin()
    begun = False
    try:
        try:
            step = next(steps)
            if begin_always or not _alone(step):
                begun = True
                transaction.begin()
            while True:
                rows = transaction.execute(step, not begun)
                if observe is not None:
                    observe(step)
                step = steps.send(rows)
                if not begun:
                    begun = True
                    transaction.begin()
        except StopIteration as end:
            result: T = end.value
        if begun:
            transaction.commit()
        return result
    except BaseException:
        if begun:
            transaction.rollback()
        raise


async def adrive(
    operation: Operation[T], transaction: AsyncTransaction, observe: Observer | None = None
) -> T:
    """See :func:`drive`."""
    steps = operation.begin()
    begun = False
    try:
        try:
            step = next(steps)
            if not _alone(step):
                begun = True
                await transaction.begin()
            while True:
                rows = await transaction.execute(step, not begun)
                if observe is not None:
                    observe(step)
                step = steps.send(rows)
                if not begun:
                    begun = True
                    await transaction.begin()
        except StopIteration as end:
            result: T = end.value
        if begun:
            await transaction.commit()
        return result
    except BaseException:
        if begun:
            await transaction.rollback()
        raise


def _alone(step: Step) -> bool:
    return not isinstance(step, Load) and step.alone
