"""Work transactions on Django's own connection, so that the ORM of the body is in them.

The body runs inside ``atomic()``: ``transaction.commit()`` raises there by Django's rule, nested blocks are
savepoints, and ``on_commit`` hooks run after our commit. Below it are the same nets as elsewhere: the
ledger's trigger on PostgreSQL, an authorizer on SQLite, and the completion's look at the ledger.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any, TypeVar

from ..model.errors import CommitUnknown, LedgerMissing
from ..operations.plan import Operation, Rows, Step
from ..sql import EngineName
from .bound_django import DjangoRunner
from .bound_runner import in_our_words
from .contract import Engine, Runner
from .drive import drive

T = TypeVar("T")


class _TakenBack(Exception):
    """Leaves the atomic block with a rollback."""


class DjangoWork:
    """One work transaction of a plain body, on ``connections[alias]`` of its own thread."""

    style = "pyformat"

    def __init__(self, engine: Engine, alias: str) -> None:
        self.engine = engine
        self.engine_name: EngineName = engine.name
        self.queues: set[str] = set()
        self.raw: Any = None
        self._alias = alias
        self._atomic: Any = None
        self._runner: DjangoRunner | None = None
        self._guarded = False

    def begin(self) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`; it must lead to the queue's own database."""
        from django.db import close_old_connections, connections, transaction

        close_old_connections()
        connection = connections[self._alias]
        runner = DjangoRunner(self.engine, connection)
        try:
            self._atomic = transaction.atomic(using=self._alias, durable=True)
            self._atomic.__enter__()
        except Exception as error:
            raise in_our_words(self.engine, error.__cause__ or error) from error  # type: ignore[arg-type]
        self.raw, self._runner = connection, runner
        try:
            runner.enter()
        except BaseException:
            self.rollback()
            raise
        if self.engine_name == "sqlite":
            connection.connection.set_authorizer(self._authorize)
        self._guarded = True

    def _authorize(self, action: int, *about: Any) -> int:
        if self._guarded and action == sqlite3.SQLITE_TRANSACTION:
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def execute(self, sql: str, params: Any = None) -> Any:
        """One statement of the body's, by Django's cursor."""
        cursor = self.raw.cursor()
        cursor.execute(sql, params)
        return cursor

    def run(self, operation: Operation[T]) -> T:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        assert self._runner is not None
        try:
            return drive(operation, _Inside(self._runner), getattr(self.engine, "observe", None))
        except Exception as error:
            if "dutiful" in str(error) and "ledger" in str(error) and "exist" in str(error):
                raise LedgerMissing(f"Django's database {self._alias!r} has no ledger.") from error
            raise

    def joined(self) -> Runner:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        return DjangoRunner(self.engine, self.raw)

    def session(self) -> Any:
        """Refuses: Django's transaction is its ORM's."""
        from ..model.errors import UnsupportedConnection

        raise UnsupportedConnection("This task works on Django's connection: there is no SQLAlchemy session.")

    def command(self, text: str) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        assert self._runner is not None
        self._runner.command(text)

    def lend(self) -> Any:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        return self.raw

    def quickly(self) -> contextlib.AbstractContextManager[object]:
        """See :class:`~dutiful.engines.work.WorkTransaction`: here each is sent at once."""
        return contextlib.nullcontext()

    def flush(self) -> None:
        """Nothing is held back."""

    def commit(self) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        atomic, self._atomic = self._atomic, None
        raw, self._guarded = self.raw, False
        if raw.needs_rollback:
            # An error inside a nested block that was swallowed: Django would roll back in silence.
            self._atomic = atomic
            raise _rolled_back()
        try:
            atomic.__exit__(None, None, None)
        except Exception as error:
            if self.engine_name == "postgres" and (raw.connection is None or not raw.is_usable()):
                raise CommitUnknown(
                    f"The connection broke while the work was committed ({error})."
                ) from error
            raise
        finally:
            if self._atomic is None:
                self.raw = self._runner = None

    def rollback(self) -> None:
        """See :class:`~dutiful.engines.work.WorkTransaction`."""
        self._guarded = False
        atomic, self._atomic = self._atomic, None
        if atomic is None:
            self.raw = self._runner = None
            return
        raw = self.raw
        try:
            with contextlib.suppress(_TakenBack):
                raised = _TakenBack()
                atomic.__exit__(_TakenBack, raised, None)
        except Exception:
            raw.close()
        finally:
            self.raw = self._runner = None


def _rolled_back() -> Exception:
    from ..model.errors import WorkRolledBack

    return WorkRolledBack("An error inside the body's atomic() was swallowed: Django has to roll it back.")


class _Inside:
    """Steps in a transaction that is somebody else's to end."""

    def __init__(self, runner: DjangoRunner) -> None:
        self._runner = runner

    def begin(self) -> None:
        return None

    def execute(self, step: Step, alone: bool) -> Rows:
        return self._runner.execute(step)

    def commit(self) -> None:
        return None

    def rollback(self) -> None:
        return None
