"""Rows of a table of another system's, each taken out by a statement once its duty is in good hands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

HANDLE = "handle"
PIECE = 1_000


class SqlTable:
    """A source over a plain SQL table, for ``app.reconcile(task, expected=SqlTable(…))``.

    ``connect`` opens a connection of any DB-API driver. ``select`` yields the task's arguments, perhaps
    ``due``, and ``handle``, which names the row; ``acknowledge`` is the statement that takes a row out, with
    one parameter, the handle, in the driver's own style (``?`` or ``%s``). It is committed by itself, after
    what was done about the row: should the process die in between, the row comes again, and its key makes
    that harmless.
    """

    def __init__(self, connect: Callable[[], Any], *, select: str, acknowledge: str) -> None:
        self._connect, self._select, self._acknowledge = connect, select, acknowledge

    def __iter__(self) -> Iterator[tuple[dict[str, Any], Any]]:
        with closing(self._connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(self._select)
            names = [column[0] for column in cursor.description]
            if HANDLE not in names:
                raise ValueError(f"The query of a SqlTable yields no {HANDLE!r}: {', '.join(names)}.")
            while rows := cursor.fetchmany(PIECE):
                for values in rows:
                    row = dict(zip(names, values, strict=True))
                    yield row, row.pop(HANDLE)

    def acknowledge(self, handle: Any, outcome: str) -> None:
        """Take the row out; ``outcome`` is done, enqueued or waiting, and each means good hands."""
        with closing(self._connect()) as connection:
            connection.cursor().execute(self._acknowledge, (handle,))
            connection.commit()
