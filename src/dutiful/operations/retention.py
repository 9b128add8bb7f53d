"""Forget what is old: endings, what runs died of, duties past their memory, workers' rows."""

from __future__ import annotations

from msgspec import Struct

from .plan import Call, Steps, operation

DAYS_AHEAD = 8
PIECE = 1000
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
def prune(keep_us: int) -> Steps[None]:
    """Forget endings older than ``keep_us``, and what their runs died of; the dead are never pruned."""
    yield Call("remember_long", {"keep": keep_us})
    yield Call("prune_history", {"keep": keep_us})
    yield Call("prune_failures", {"keep": keep_us, "limit": PIECE})
    yield Call("prune_events", {"keep": keep_us, "limit": PIECE})
    yield Call("forget_workers", {"keep": WORKER_KEEP_US})


@operation
def prune_duties(cursor: Cursor) -> Steps[Pruned]:
    """Forget duties whose job ended longer ago than they are remembered, one piece from ``cursor`` on."""
    app, task, key = cursor
    rows = yield Call("prune_duties", {"app": app, "task": task, "key": key, "limit": PIECE}, alone=True)
    if not rows:
        return Pruned(START, 0)
    return Pruned((rows[0][0], rows[0][1], rows[0][2]), rows[0][3])
