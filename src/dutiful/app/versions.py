"""Writes that compare first: a row is changed only if it still is as it was read, else Conflict is raised.

No lock is held between the reading and the writing, however long that takes; of two that read the same, the
second to write is told. A task that lets Conflict go through is run again soon, uncharged (see
:func:`dutiful.model.retry.judge`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..engines.bound_statement import aexecute, execute
from ..model.errors import Conflict, InvalidOption
from ..sql.render import Style
from .newer import PLACES, Columns, Table, quoted


def compare_and_set(
    connection: object, table: Table, *, key: Columns, expected: Columns, new: Columns
) -> None:
    """Change a row's columns to ``new`` if those of ``expected`` are still so; raises Conflict if not.

    One statement, on any connection or session that ``dutiful.once`` takes (and an exactly_once body's ``tx``
    through its connection), in its transaction or by itself, never committed here. ``key`` names one row; a
    row that is gone is a conflict, too. ``None`` is equal to a null. Names are as for
    :func:`dutiful.write_if_newer`. Text is compared by the column's collation, floats as they are stored.

    Under PostgreSQL's READ COMMITTED and on SQLite it waits for a writer that is under way and then compares
    with what that left; in REPEATABLE READ and above the database raises its serialization failure instead.
    Raises InvalidOption and UnsupportedConnection before anything was done; else the driver's errors. More
    rows than one being named by ``key`` is InvalidOption: the change was made, so roll back.
    """
    _judged(execute(connection, _written(table, key, expected, new)), table, key)


async def acompare_and_set(
    connection: object, table: Table, *, key: Columns, expected: Columns, new: Columns
) -> None:
    """See :func:`compare_and_set`; for async connections."""
    _judged(await aexecute(connection, _written(table, key, expected, new)), table, key)


def write_version(
    connection: object, table: Table, *, key: Columns, version: tuple[str, int], values: Columns
) -> int:
    """Change a row whose version column is still that which was read; returns the new version, one more.

    ``version`` is a pair: the column and the number that was read, ``("version", 3)``. Every writer has to
    go by it. Else as :func:`compare_and_set`.
    """
    expected, new, following = _counted(version, values)
    compare_and_set(connection, table, key=key, expected=expected, new=new)
    return following


async def awrite_version(
    connection: object, table: Table, *, key: Columns, version: tuple[str, int], values: Columns
) -> int:
    """See :func:`write_version`; for async connections."""
    expected, new, following = _counted(version, values)
    await acompare_and_set(connection, table, key=key, expected=expected, new=new)
    return following


def _counted(version: tuple[str, int], values: Columns) -> tuple[Columns, Columns, int]:
    match version:
        case (str(name), int(number)) if not isinstance(number, bool) and name not in values:
            return {name: number}, {**values, name: number + 1}, number + 1
        case _:
            raise InvalidOption(f'version= is {version!r}; it is a pair, ("version", 3), and not in values=.')


def _written(table: Table, key: Columns, expected: Columns, new: Columns) -> Any:
    for what, columns in (("key", key), ("expected", expected), ("new", new)):
        if not isinstance(columns, Mapping) or not columns:
            raise InvalidOption(f"{what}= names at least one column: {{column: value}}.")
    if set(key) & set(expected):
        raise InvalidOption("A column is in key= or in expected=, not in both.")
    parts = table.split(".") if isinstance(table, str) else table or ("",)
    target = ".".join(quoted(part) for part in parts)
    for name in (*key, *expected, *new):
        quoted(name)
    return partial(_statement, target, key, expected, new)


def _statement(
    target: str, key: Columns, expected: Columns, new: Columns, style: Style
) -> tuple[str, dict[str, Any] | tuple[Any, ...]]:
    values: list[Any] = []

    def name(column: str) -> str:
        return _literal(quoted(column), style)

    def place(value: Any) -> str:
        values.append(value)
        return PLACES[style].format(len(values) if style == "dollar" else len(values) - 1)

    def is_so(column: str, value: Any) -> str:
        # "IS NULL" and not a parameter that is null, whose type the server could not tell.
        return f"{name(column)} IS NULL" if value is None else f"{name(column)} = {place(value)}"

    changes = ", ".join(f"{name(column)} = {place(value)}" for column, value in new.items())
    tests = " AND ".join(is_so(column, value) for column, value in (*key.items(), *expected.items()))
    text = f"UPDATE {_literal(target, style)} SET {changes} WHERE {tests} RETURNING 1"
    if style in ("named", "pyformat"):
        return text, {f"p{number}": value for number, value in enumerate(values)}
    return text, tuple(values)


def _literal(text: str, style: Style) -> str:
    return text.replace("%", "%%") if style in ("format", "pyformat") else text


def _judged(rows: Any, table: Table, key: Columns) -> None:
    if len(rows) == 1:
        return
    shown = table if isinstance(table, str) else ".".join(table)
    named = ", ".join(f"{column}={value!r}" for column, value in key.items())
    if rows:
        raise InvalidOption(
            f"{len(rows)} rows of {shown} have {named}, and were changed: roll back.",
            hint="The columns of key= have to name one row.",
        )
    raise Conflict(f"The row of {shown} with {named} is not as it was read.")
