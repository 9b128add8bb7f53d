"""A row of either side as a duty: its key by the task's ``once`` template, and when it is due.

A row is the task's arguments, by name. What a database yields as text or number for another type is read as
the annotation says: the same values make the same key as an enqueue does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from ..model.errors import DutifulError, InvalidReconcile
from ..model.jobs import NewJob
from ..model.keys import checked_key, near
from .task import Task

DUE = "due"


class Rows:
    """How rows are read for one reconciliation."""

    def __init__(self, task: Task[..., Any], what: str, *, due_needed: bool) -> None:
        assert task.once is not None
        self._task, self._what, self._due_needed = task, what, due_needed
        self._template = task.once
        self._parameters = task.codec.parameters
        self._keyed = {one.parameter: self._parameters[one.parameter] for one in task.once.placeholders}
        self._due_is_argument = DUE in self._parameters

    def key(self, row: object) -> str:
        """The duty that a row of evidence names; a text is the key itself."""
        if isinstance(row, str):
            return checked_key(row, f"{self._what}: a row")
        if not isinstance(row, Mapping):
            raise InvalidReconcile(
                f"{self._what} yields {type(row).__name__}; a row is a key, "
                f"or a dict of {', '.join(self._keyed)}."
            )
        return self._template.render(self._values(row))

    def expected(self, row: object, default_us: int | None) -> tuple[str, int]:
        """The key of an expected row, and when it is due."""
        if not isinstance(row, Mapping):
            raise InvalidReconcile(
                f"{self._what} yields {type(row).__name__}; a row is a dict of the task's arguments."
            )
        due = row.get(DUE)
        if due is None:
            if default_us is None:
                raise InvalidReconcile(
                    f"{self._what} yields a row without an instant as due: {', '.join(map(str, row))}.",
                    hint="Say since when it is due: SELECT id AS order_id, paid_at AS due FROM orders",
                )
            return self._template.render(self._values(row)), default_us
        return self._template.render(self._values(row)), instant_us(due, self._what)

    def check(self, row: object) -> None:
        """Raises InvalidReconcile unless a job could be made of the row."""
        if not isinstance(row, Mapping):
            self.expected(row, None)
        self.job(row)  # type: ignore[arg-type]

    def job(self, row: Mapping[str, Any]) -> NewJob:
        """The job that does the duty; raises InvalidReconcile for columns that are no arguments, or lack."""
        given: dict[str, Any] = {}
        for name, value in row.items():
            if name == DUE and not self._due_is_argument:
                continue
            if name not in self._parameters:
                raise InvalidReconcile(
                    f"{self._what} yields {name!r}, which is no argument of "
                    f"{self._task.name}{near(str(name), self._parameters)}.",
                    hint="A row is the task's arguments and due: rename the column (AS), or leave it out.",
                )
            given[name] = self._converted(name, value)
        try:
            return self._task.using(on_duplicate="keep").new_job((), given)
        except DutifulError as error:
            if isinstance(error, InvalidReconcile):
                raise
            raise InvalidReconcile(f"{self._what}: {error.message}", hint=error.hint) from error

    def _values(self, row: Mapping[str, Any]) -> dict[str, Any]:
        values = dict(self._task.codec.defaults) if self._task.codec.defaults else {}
        for name, annotation in self._keyed.items():
            if name not in row:
                if name in values:
                    continue
                raise InvalidReconcile(
                    f"{self._what} yields no {name!r}, which once={self._template.text!r} needs; "
                    f"its columns are {', '.join(map(str, row)) or 'none'}.",
                    hint=f"Name a column so: SELECT … AS {name}",
                )
            value = row[name]
            values[name] = value if type(value) is annotation else self._converted(name, value)
        return values

    def _converted(self, name: str, value: Any) -> Any:
        annotation = self._parameters[name]
        if annotation is Any or type(value) is annotation or value is None:
            return value
        if annotation is datetime and isinstance(value, str | int | float):
            return _moment(value, f"{self._what}: {name}")
        if isinstance(value, datetime) and value.tzinfo is None and annotation is datetime:
            return value.replace(tzinfo=UTC)
        try:
            return msgspec.convert(value, annotation, strict=False)
        except (msgspec.ValidationError, TypeError, ValueError):
            return value  # the task's own check says what is wrong with it


def instant_us(value: object, what: str) -> int:
    """In microseconds: a datetime (without a zone: UTC), a date, ISO text, or seconds since 1970."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        value = _moment(value, f"{what}: due")
    if isinstance(value, datetime):
        at = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return round(at.timestamp() * 1_000_000)
    if isinstance(value, date):
        return round(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp() * 1_000_000)
    raise InvalidReconcile(f"{what} yields a {type(value).__name__} as due; it is an instant.")


def _moment(value: str | float, what: str) -> datetime:
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidReconcile(
            f"{what} is {value!r}, which is no instant.",
            hint="A timestamp, text as 2026-01-15T07:00Z, or seconds since 1970.",
        ) from None
