"""The connections that bodies work on, and our own few statements on them by libpq's own calls.

A run of an exactly_once task has four statements of ours: BEGIN, the ledger, the completion, COMMIT.
Through a cursor each costs the client more than the server needs for it, so they go by psycopg's ``pq``
module, prepared once per connection; psycopg still turns values into parameters and rows into tuples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.errors import error_from_result

from ..model.errors import WorkNotFinished
from ..operations.plan import Rows
from .postgres_transactions import adapt

GONE_STATE = "26000"
"""The statement was forgotten by the session (DEALLOCATE ALL): prepared again, in the body's next try."""
PREPARED_MAX = 100
"""So many statements are kept prepared per connection."""
_WELL = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class WorkConnection(psycopg.Connection[Any]):
    """psycopg's connection, which refuses to end the transaction of a run."""

    in_work = False
    """Whether a run's transaction is open."""
    _lean: Lean | None = None

    @property
    def lean(self) -> Lean:
        """Our own statements on it."""
        if self._lean is None:
            self._lean = Lean(self)
        return self._lean

    def commit(self) -> None:
        """As psycopg's; refused in the transaction of a run."""
        self._refuse("commit")
        super().commit()

    def rollback(self) -> None:
        """As psycopg's; refused in the transaction of a run."""
        self._refuse("rollback")
        super().rollback()

    def _refuse(self, name: str) -> None:
        if self.in_work:
            raise WorkNotFinished(f"The body called {name}() in the transaction of its run.")


class Lean:
    """Statements of ours on one connection. What fails raises psycopg's errors."""

    def __init__(self, connection: WorkConnection) -> None:
        self.adapters = AdaptersMap(psycopg.adapters)  # not the connection's, which are the body's
        self.connection = connection
        self._pgconn = connection.pgconn
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._number = 0
        adapt(self)
        self._transformer = Transformer(self)
        _tell_when_forgotten(connection, self._prepared.clear)

    def command(self, text: bytes) -> str:
        """Execute a command without parameters; what the server says it did."""
        result = self._pgconn.exec_(text)
        self._demand(result)
        return (result.command_status or b"").decode()

    def rows(self, text: str, params: Sequence[Any], *, anew: bool = False) -> Rows:
        """Execute a statement with ``$1``; its rows. ``anew``: planned for this time alone."""
        transformer = self._transformer
        values = transformer.dump_sequence(params, [PyFormat.BINARY] * len(params))
        types = transformer.types or ()
        given: Any = values  # psycopg's types leave out that a value may be None
        if anew:
            result = self._pgconn.exec_params(
                text.encode(), given, types, transformer.formats, pq.Format.BINARY
            )
        else:
            name = self.name_of(text, types)
            result = self._pgconn.exec_prepared(name, given, transformer.formats, pq.Format.BINARY)
        self._demand(result)
        if not result.ntuples:
            return []
        transformer.set_pgresult(result)
        try:
            return transformer.load_rows(0, result.ntuples, tuple)
        finally:
            transformer.set_pgresult(None)

    def name_of(self, text: str, types: tuple[int, ...]) -> bytes:
        """The prepared statement of this text, for parameters of these types."""
        name = self._prepared.get((text, types))
        if name is None:
            if len(self._prepared) >= PREPARED_MAX:  # texts that are other each time
                for name in self._prepared.values():
                    self._demand(self._pgconn.exec_(b"DEALLOCATE " + name))
                self._prepared.clear()
            self._number += 1
            name = b"dutiful_%d" % self._number
            self._demand(self._pgconn.prepare(name, text.encode(), types))
            self._prepared[text, types] = name
        return name

    def _demand(self, result: pq.abc.PGresult) -> None:
        if result.status not in _WELL:
            raise self.failed(error_from_result(result))

    def failed(self, error: psycopg.Error) -> psycopg.Error:
        """An error of one of these statements, to be raised."""
        if error.sqlstate == GONE_STATE:
            self._prepared.clear()
        return error


def _tell_when_forgotten(connection: Any, forget: Any) -> None:
    """psycopg sends DEALLOCATE ALL when a savepoint is rolled back: ours are gone with its own.

    Where psycopg cannot be asked, the body runs once more (GONE_STATE), which costs more and is as right.
    """
    manager: Any = getattr(connection, "_prepared", None)
    if not hasattr(manager, "clear"):
        return
    clear = manager.clear

    def cleared() -> bool:
        if not clear():
            return False
        forget()
        return True

    manager.clear = cleared
