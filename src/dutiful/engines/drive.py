"""The loop that carries an operation through its steps; whose transaction it is, a value says.

Written twice, for threads and for event loops, and nowhere else. Whatever is raised on the way, by
the database, the operation or an observer, the transaction is rolled back and the error goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from ..operations.plan import Load, Operation, Rows, Step, Together

T = TypeVar("T")

Observer = Callable[[Step], None]
"""Called after each statement; what it raises ends the operation there (tests cut them so)."""


class Transaction(Protocol):
    """What surrounds the steps of one operation; ``rollback`` only follows ``begin``.

    One that has ``together`` as well asks several calls by one statement.
    """

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
                if isinstance(step, Together):
                    rows = _together(transaction, step, not begun, observe)
                else:
                    rows = transaction.execute(step, not begun)
                    if observe is not None:
                        observe(step)
                only_read = isinstance(step, Together)
                step = steps.send(rows)
                if not begun and not (only_read and _alone(step)):
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
                if isinstance(step, Together):
                    rows = await _atogether(transaction, step, not begun, observe)
                else:
                    rows = await transaction.execute(step, not begun)
                    if observe is not None:
                        observe(step)
                only_read = isinstance(step, Together)
                step = steps.send(rows)
                if not begun and not (only_read and _alone(step)):
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


def _together(transaction: Transaction, step: Together, alone: bool, observe: Observer | None) -> Rows:
    ask: Any = getattr(transaction, "together", None)
    found = ask(step.calls) if ask is not None else None
    rows = []
    for place, call in enumerate(step.calls):
        rows.append((transaction.execute(call, alone) if found is None else found[place],))
        if observe is not None:
            observe(call)
    return rows


async def _atogether(
    transaction: AsyncTransaction, step: Together, alone: bool, observe: Observer | None
) -> Rows:
    ask: Any = getattr(transaction, "together", None)
    found = await ask(step.calls) if ask is not None else None
    rows = []
    for place, call in enumerate(step.calls):
        rows.append((await transaction.execute(call, alone) if found is None else found[place],))
        if observe is not None:
            observe(call)
    return rows


def _alone(step: Step | Together) -> bool:
    return not isinstance(step, Load) and step.alone
