"""The statements of a group's bodies, sent together: most of them are one statement with many parameters.

A body's ``tx.execute`` is answered at once, with something that reads like a cursor; the statement goes to
the server when an answer is asked for, when another statement comes, or when the last body has returned.
An error may so come later than its statement: then all of the group is taken back and runs with care.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

from .alike import send
from .lean import WorkConnection
from .work import refuse_ending

TOGETHER_MAX = 200
"""With so many of them they are sent at once."""
_UNCHANGING: set[type] = {
    type(None), bool, int, float, str, bytes, Decimal, UUID, datetime, date, time, timedelta,
}  # fmt: skip
"""Values that may wait; another, as a list, could be changed by the body before it is sent."""


class Soon:
    """Statements that wait to be sent on one connection."""

    def __init__(self, connection: WorkConnection) -> None:
        self._connection = connection
        self._sql: Any = None
        self._params: list[Any] = []
        self._answers: list[Answer] = []

    def execute(self, sql: Any, params: Any) -> Answer:
        """Take a statement; its answer."""
        if sql != self._sql or len(self._answers) == TOGETHER_MAX:
            refuse_ending(sql)
            self.flush()
            self._sql = sql
        answer = Answer(self)
        kept: Any
        values: Iterable[Any]
        if type(params) is dict or isinstance(params, Mapping):
            kept = dict(params)  # the body may change its own
            values = kept.values()
        else:
            kept = values = tuple(params)
        self._params.append(kept)
        self._answers.append(answer)
        if not _UNCHANGING.issuperset(map(type, values)):
            self.flush()
        return answer

    def flush(self) -> None:
        """Send what waits, and wait for it; raises what the server says of the first that failed."""
        if not self._answers:
            return
        sql, params, answers = self._sql, self._params, self._answers
        self._sql, self._params, self._answers = None, [], []
        results = send(self._connection, sql, params)
        if results is not None:
            for answer, result in zip(answers, results, strict=True):
                answer._result = result
            return
        cursor = psycopg.Cursor(self._connection)
        if len(params) == 1:
            cursor.execute(sql, params[0])
        else:
            cursor.executemany(sql, params, returning=True)
        sent = _Sent(cursor, answers)
        for answer in answers:
            answer._sent = sent


class _Sent:
    """One cursor with the results of many statements, read when the first of them is asked for."""

    def __init__(self, cursor: psycopg.Cursor[Any], answers: list[Answer]) -> None:
        self._cursor = cursor
        self._answers: list[Answer] | None = answers

    def read(self) -> None:
        answers, self._answers = self._answers, None
        cursor = self._cursor
        for answer in answers or ():
            answer._rows = cursor.fetchall() if cursor.description else None
            answer._about = (cursor.rowcount, cursor.description, cursor.statusmessage)
            cursor.nextset()


class Answer:
    """What a cursor says after ``execute``: rows, ``rowcount``, ``description``, ``statusmessage``."""

    __slots__ = ("_about", "_at", "_result", "_rows", "_sent", "_soon")

    def __init__(self, soon: Soon) -> None:
        self._soon = soon
        self._sent: _Sent | None = None
        self._result: Any = None
        self._rows: list[Any] | None = None
        self._about: tuple[int, Any, str | None] | None = None
        self._at = 0

    def _known(self) -> tuple[int, Any, str | None]:
        if self._about is None:
            if self._sent is None and self._result is None:
                self._soon.flush()
            if self._result is not None:  # one that gives no rows
                touched, status = self._result.command_tuples, self._result.command_status
                self._about = (-1 if touched is None else touched, None, status and status.decode())
            elif self._sent is not None:
                self._sent.read()
            if self._about is None:
                raise psycopg.ProgrammingError("the statement was not carried out: one before it failed")
        return self._about

    @property
    def rowcount(self) -> int:
        """How many rows it touched, or gave."""
        return self._known()[0]

    @property
    def description(self) -> Any:
        """Its columns; None where it gives no rows."""
        return self._known()[1]

    @property
    def statusmessage(self) -> str | None:
        """What the server says it did, as "INSERT 0 1"."""
        return self._known()[2]

    def _all(self) -> list[Any]:
        self._known()
        if self._rows is None:
            raise psycopg.ProgrammingError("the last operation didn't produce records")
        return self._rows

    def fetchone(self) -> Any:
        """The next row, or None."""
        return next(self, None)

    def fetchmany(self, size: int = 1) -> list[Any]:
        """The next rows."""
        rows = self._all()[self._at : self._at + size]
        self._at += len(rows)
        return rows

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        rows = self._all()[self._at :]
        self._at += len(rows)
        return rows

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        rows = self._all()
        if self._at >= len(rows):
            raise StopIteration
        self._at += 1
        return rows[self._at - 1]

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def close(self) -> None:
        """Nothing is held."""
