"""What the web page asks that nobody else does: whether anything happened, and what to mask."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import Call, Steps, as_json, query


@query
def pulse() -> Steps[str]:
    """A text that is another one after anything that a page shows has happened; nothing is scanned for it."""
    [row] = yield Call("pulse", {}, alone=True)
    return "-".join("" if value is None else str(value) for value in row)


@query
def args_of(ids: Sequence[str], limit: int) -> Steps[dict[str, bytes]]:
    """The arguments of these jobs, as they are stored; those longer than ``limit`` bytes are left out."""
    rows = yield Call("args_of_jobs", {"ids": as_json(list(ids)), "limit": limit}, alone=True)
    return {row[0]: bytes(row[1]) for row in rows}
