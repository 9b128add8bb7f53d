"""Forget what is old: endings, what runs died of, duties past their memory, workers' rows."""

from __future__ import annotations

from msgspec import Struct

from .plan import Call, Steps, operation

DAYS_AHEAD = 8
PIECE = 1000
HISTORY_PIECE = 5000
"""So many endings are forgotten at a time on SQLite (``prune_history``); PostgreSQL drops whole days."""
WORKER_KEEP_US = 86_400_000_000

Cursor = tuple[str, str, str]
START: Cursor = ("", "", "")


class Pruned(Struct, frozen=True):
    """How far the walk over the duties came (``START``: it is through), and how many were forgotten."""

    cursor: Cursor
    duties: int


@operation
def prepare() -> Steps[None]:
    """Make the history's partitions for the days to come."""
    yield Call("add_history_days", {"days": DAYS_AHEAD}, alone=True)


@operation
def prune(keep_us: int) -> Steps[bool]:
    """Forget endings older than ``keep_us``, and what their runs died of; the dead are never pruned.

    A bounded piece of them: returns whether more may be left.
    """
    yield Call("remember_long", {"keep": keep_us})
    endings = yield Call("prune_history", {"keep": keep_us})
    failures = yield Call("prune_failures", {"keep": keep_us, "limit": PIECE})
    events = yield Call("prune_events", {"keep": keep_us, "limit": PIECE})
    yield Call("forget_workers", {"keep": WORKER_KEEP_US})
    pieces = ((endings, HISTORY_PIECE), (failures, PIECE), (events, PIECE))
    return any(bool(gone) and gone[0][0] == most for gone, most in pieces)


@operation
def prune_duties(cursor: Cursor) -> Steps[Pruned]:
    """Forget duties whose job ended longer ago than they are remembered, one piece from ``cursor`` on."""
    app, task, key = cursor
    rows = yield Call("prune_duties", {"app": app, "task": task, "key": key, "limit": PIECE}, alone=True)
    if not rows:
        return Pruned(START, 0)
    return Pruned((rows[0][0], rows[0][1], rows[0][2]), rows[0][3])
