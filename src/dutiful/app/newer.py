"""Numbers that only grow, kept in a table of the user's: a late writer with a smaller one changes nothing.

A job's ``run.run_no`` and a lock's ``grant_no`` are such numbers: a run that was taken over may still be at
work, and must not overwrite what the newer one wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..engines.bound_statement import aexecute, execute
from ..model.errors import DutifulError, InvalidOption
from ..sql.render import Style

Table = str | tuple[str, ...]
Columns = Mapping[str, Any]

PLACES: Mapping[Style, str] = {
    "named": ":p{}",
    "pyformat": "%(p{})s",
    "qmark": "?",
    "format": "%s",
    "dollar": "${}",
}


def write_if_newer(
    connection: object, table: Table, *, key: Columns, number: tuple[str, int], values: Columns | None = None
) -> bool:
    """Write a row if its number is the greatest that was written under its key; False if it is not.

    One statement, on any connection or session that ``dutiful.once`` takes, in its transaction or by
    itself, and never committed here. The row is inserted, or the row of that key updated if its number is
    smaller (or null); an equal number changes nothing. ``table`` is a name, ``"schema.name"``, or the parts
    in a tuple; all names are as the database has them, and quoted. The columns of ``key`` need a primary
    key or a unique constraint. Concurrent writers wait for each other, and the greatest number stays.

    Raises InvalidOption and UnsupportedConnection before anything was done; else the driver's errors.
    """
    written = _written(table, key, number, values or {})
    try:
        return bool(execute(connection, written))
    except DutifulError:
        raise
    except Exception as error:
        _explain(error, table, key)
        raise


async def awrite_if_newer(
    connection: object, table: Table, *, key: Columns, number: tuple[str, int], values: Columns | None = None
) -> bool:
    """See :func:`write_if_newer`; for async connections."""
    written = _written(table, key, number, values or {})
    try:
        return bool(await aexecute(connection, written))
    except DutifulError:
        raise
    except Exception as error:
        _explain(error, table, key)
        raise


def _written(table: Table, key: Columns, number: tuple[str, int], values: Columns) -> Any:
    name, value = _checked(number)
    columns = {**key, name: value, **values}
    if not key or len(columns) != len(key) + 1 + len(values):
        raise InvalidOption("key= names at least one column, and no column is named twice.")
    parts = table.split(".") if isinstance(table, str) else table or ("",)
    target = ".".join(quoted(part) for part in parts)
    return partial(_statement, target, [quoted(one) for one in key], quoted(name), columns)


def _statement(
    target: str, key: list[str], number: str, columns: Columns, style: Style
) -> tuple[str, dict[str, Any] | tuple[Any, ...]]:
    names = [quoted(name) for name in columns]
    counted = enumerate(columns, 1 if style == "dollar" else 0)
    places = ", ".join(PLACES[style].format(place) for place, _ in counted)
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    if style in ("format", "pyformat"):
        target, number = target.replace("%", "%%"), number.replace("%", "%%")
        names, key = ([name.replace("%", "%%") for name in one] for one in (names, key))
        changes = changes.replace("%", "%%")
    text = (
        f"INSERT INTO {target} AS kept ({', '.join(names)}) VALUES ({places})"
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
        f" WHERE kept.{number} IS NULL OR kept.{number} < excluded.{number} RETURNING 1"
    )
    if style in ("named", "pyformat"):
        return text, {f"p{place}": value for place, value in enumerate(columns.values())}
    return text, tuple(columns.values())


def quoted(name: object) -> str:
    """An identifier, whatever it contains; raises InvalidOption for what can be none."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise InvalidOption(f"{name!r} is no name of a table or column.")
    return '"' + name.replace('"', '""') + '"'


def _checked(number: tuple[str, int]) -> tuple[str, int]:
    match number:
        case (str(name), int(value)) if not isinstance(value, bool):
            return name, value
        case _:
            raise InvalidOption(f'number= is {number!r}; it is a pair: ("run_no", run.run_no).')


def _explain(error: Exception, table: Table, key: Columns) -> None:
    """Say it where the cause is a constraint that is not there."""
    root = getattr(error, "orig", None) or error.__cause__ or error
    state = getattr(root, "sqlstate", None) or getattr(root, "pgcode", None)
    if state == "42P10" or "ON CONFLICT clause does not match" in str(error):
        shown = table if isinstance(table, str) else ".".join(table)
        raise InvalidOption(
            f"{shown} has no unique constraint over ({', '.join(key)}).",
            hint="Add one: the key has to name one row.",
        ) from error
