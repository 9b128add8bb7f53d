"""One transaction of ours on SQLite: all parts of its statements, at one instant of the host's clock."""

from __future__ import annotations

from typing import Any

from ..operations.plan import Load, Operation, Rows, Step
from ..sql.render import render
from .contract import Clock, host_now
from .sqlite_drivers import Connection
from .work_sqlite import BEGIN, COMMIT, ROLLBACK


class OwnTransaction:
    """One of ours; what only reads sees one snapshot and takes no lock."""

    def __init__(
        self, connection: Connection, clock: Clock | None, operation: Operation[Any], synchronous: str
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._reads = operation.reads
        self._usual = synchronous if operation.durable and synchronous != "full" else None
        """Where this one commit is to wait for the disk, and others are not: how they are synchronized."""

    def begin(self) -> None:
        if self._usual is not None:
            self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("BEGIN" if self._reads else BEGIN)

    def execute(self, step: Step, alone: bool) -> Rows:
        if isinstance(step, Load):
            raise TypeError("SQLite has no COPY; give it batches")
        params = {**step.params, "now": self._clock() if self._clock else host_now()}
        rows: Rows = ()
        for text, _names in render("sqlite", step.name, "named").parts:
            rows = self._connection.execute(text, params)
        return rows

    def commit(self) -> None:
        self._connection.execute(ROLLBACK if self._reads else COMMIT)
        self._as_usual()

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute(ROLLBACK)
        self._as_usual()

    def _as_usual(self) -> None:
        if self._usual is not None:
            self._connection.execute(f"PRAGMA synchronous = {self._usual}")
