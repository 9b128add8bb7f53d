"""What an engine promises; half a dozen methods are all that an operation needs of a database."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from ..operations.plan import Operation
from ..sql import EngineName
from .work import AsyncWorkTransaction, WorkTransaction

T = TypeVar("T")

Clock = Callable[[], int]
"""Gives microseconds since 1970, UTC. Only tests give one; else the database's own clock counts."""


def host_now() -> int:
    """This host's clock, which is the database's where that has none (SQLite)."""
    return time.time_ns() // 1000


RETRIES_MAX = 20
"""How often one operation is begun again after "locked" or a serialization failure."""


class Runner(Protocol):
    """What runs operations: an engine, or an engine bound to a caller's transaction."""

    name: EngineName

    can_copy: bool
    """Whether :class:`~dutiful.operations.plan.Load` works; else batches of calls do."""

    def run(self, operation: Operation[T]) -> T:
        """Carry out the operation whole, in one transaction, and return its result.

        Whatever is raised, nothing of it was written; after :class:`~dutiful.model.errors.CommitUnknown`
        alone it may have been. "Locked" and serialization failures begin it again, at most
        ``RETRIES_MAX`` times.
        """
        ...

    async def arun(self, operation: Operation[T]) -> T:
        """The same, for a caller on an event loop, which is not blocked meanwhile."""
        ...


class Engine(Runner, Protocol):
    """A database that holds jobs."""

    url: str
    clock: Clock | None

    def bind(self, connection: object) -> Runner:
        """Run operations in the transaction that is open on the caller's connection.

        Never commits and never rolls back more than its own savepoint. The connection must lead to
        the same database; its kind decides whether ``run`` or ``arun`` is to be used.
        """
        ...

    def work(self, *, elsewhere: bool = False) -> WorkTransaction:
        """A transaction for the body of an exactly_once run, not begun yet.

        ``elsewhere``: this database holds a ledger, but not the job.
        """
        ...

    def awork(self, *, elsewhere: bool = False) -> AsyncWorkTransaction:
        """The same for an async body."""
        ...

    def wait(self, queues: frozenset[str], timeout_s: float) -> bool:
        """Wait until something may have been enqueued in one of these queues, at most ``timeout_s``.

        Only a hint, true or false: polling is the truth.
        """
        ...

    def wake(self, queue: str) -> None:
        """Hint to all who wait that ``queue`` has work. Coalesced, and never in a transaction."""
        ...

    def interrupt(self) -> None:
        """End the :meth:`wait` that is under way, or the next one, at once (for shutdown)."""
        ...

    def migrate(self) -> list[str]:
        """Bring the tables to this version; returns what was done, one title a step."""
        ...

    def check_schema(self) -> None:
        """Raise SchemaMissing, SchemaTooOld or SchemaTooNew unless the tables are of this version."""
        ...

    async def leave_loop(self) -> None:
        """Close what belongs to the running event loop, which is about to end."""
        ...

    def close(self) -> None:
        """Close all connections. The engine opens new ones if it is used again."""
        ...
