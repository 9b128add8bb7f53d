"""Statements in the parameter style that a driver wants.

``render("postgres", "claim_jobs", "dollar")`` gives the text with ``$1, $2, …`` and the names in
that order. ``:now`` becomes the server's clock on PostgreSQL, unless the caller fills it in itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

from msgspec import Struct

from . import EngineName, pieces, statements

Style = Literal["dollar", "named", "format", "qmark", "pyformat"]

# A sub-select, so that the planner sees one value and may use an index; never now(), which stands
# still in a transaction.
SERVER_NOW = "(SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)"


class Rendered(Struct, frozen=True):
    """The texts to execute in turn, each with the names of its parameters in order."""

    name: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]


@cache
def render(engine: EngineName, name: str, style: Style, own_now: bool = False) -> Rendered:
    """The statement in ``style``; with ``own_now`` the caller gives ``:now``. Raises KeyError."""
    statement = statements(engine)[name]
    texts = statement.parts if engine == "sqlite" else (statement.text,)
    return Rendered(name, tuple(_part(text, style, engine == "postgres", own_now) for text in texts))


def together(calls: Sequence[str], own_now: bool = False) -> tuple[str, list[tuple[int, str]]]:
    """Statements of PostgreSQL that only read, as one; and of which of them each parameter is, by name.

    It gives one row, with the rows of each statement as JSON: null, or objects in order of the columns.
    """
    parts: list[str] = []
    params: list[tuple[int, str]] = []
    for place, name in enumerate(calls):
        text, names = _part(statements("postgres")[name].text, "dollar", True, own_now, len(params))
        parts.append(f"(SELECT json_agg(q)::text FROM (\n{text}\n) AS q)")
        params += [(place, one) for one in names]
    return "SELECT " + ",\n".join(parts), params


def _part(
    text: str, style: Style, postgres: bool, own_now: bool, before: int = 0
) -> tuple[str, tuple[str, ...]]:
    out: list[str] = []
    names: list[str] = []
    for literal, name in pieces(text):
        out.append(literal.replace("%", "%%") if style in ("format", "pyformat") else literal)
        if name is None:
            continue
        if name == "now" and postgres and not own_now:
            out.append(SERVER_NOW)
            continue
        if style == "dollar":
            if name not in names:
                names.append(name)
            out.append(f"${before + names.index(name) + 1}")
        else:
            names.append(name)
            out.append({"named": f":{name}", "format": "%s", "qmark": "?", "pyformat": f"%({name})s"}[style])
        if name == "now" and postgres:
            out.append("::bigint")  # or a driver that leaves types to the server would have it as text
    return "".join(out), tuple(names)
