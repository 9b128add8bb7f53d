"""What a test runs by ``run_all``, noted to be drilled: the task, its arguments, and the rows before."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from ..app.app import App
from ..app.task import Task
from ..drill import Report, drill
from ..engines.sqlite import SqliteEngine
from ..model.jobs import Lease
from . import running

Rows = list[tuple[str, list[tuple[Any, ...]]]]


class Recorder:
    """Notes each task with its arguments once."""

    def __init__(self) -> None:
        self.noted: dict[tuple[str, str, bytes], tuple[Task[..., Any], dict[str, Any], str, Rows]] = {}
        self.skipped: set[str] = set()

    @contextmanager
    def noting(self) -> Iterator[Recorder]:
        """Note what ``run_all`` runs meanwhile."""
        before, running.observe = running.observe, self.note
        try:
            yield self
        finally:
            running.observe = before

    def note(self, app: App, task: Task[..., Any], lease: Lease) -> None:
        """A run is about to begin."""
        key = (app.name, task.name, lease.args)
        if key in self.noted:
            return
        engine = app.engine
        if not isinstance(engine, SqliteEngine) or engine.memory:
            self.skipped.add(f"{task.name}: its store is no file of SQLite's")
            return
        schema, rows = _users(engine.path)
        self.noted[key] = task, task.codec.decode(lease.args), schema, rows

    def drill(self, *, limit: int) -> list[Report]:
        """Drill each of them; the reports."""
        return [
            drill(task, args, _fixture(schema, rows), limit=limit)
            for task, args, schema, rows in self.noted.values()
        ]


def _users(path: str) -> tuple[str, Rows]:
    """The user's tables of a file, and their rows."""
    with closing(sqlite3.connect(path)) as connection:
        made = [
            (kind, name, sql)
            for kind, name, table, sql in connection.execute(
                "SELECT type, name, tbl_name, sql FROM sqlite_master"
            )
            if sql and not table.startswith(("dutiful_", "sqlite_"))
        ]
        made.sort(key=lambda one: one[0] != "table")
        rows: Rows = [
            (name, connection.execute(f'SELECT * FROM "{name}"').fetchall())
            for kind, name, _ in made
            if kind == "table"
        ]
    return ";\n".join(sql for _, _, sql in made) + ";", rows


def _fixture(schema: str, rows: Rows) -> Any:
    def fill(connection: sqlite3.Connection) -> None:
        connection.executescript(schema)
        for name, every in rows:
            if every:
                marks = ", ".join("?" * len(every[0]))
                connection.executemany(f'INSERT INTO "{name}" VALUES ({marks})', every)

    return fill
