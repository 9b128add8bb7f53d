"""Forget what is old: endings, what runs died of, duties past their memory, workers' rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from .plan import Call, Steps, operation

DAYS_AHEAD = 8
Runs = Literal["failures", "events"]
"""What is known of single runs: what they died of, how they ended."""

PIECE = 1000
HISTORY_PIECE = 5000
"""So many endings are forgotten at a time on SQLite; PostgreSQL drops a whole day at a time."""
WORKER_KEEP_US = 86_400_000_000

FOREVER = 2**62
RUNS: Mapping[Runs, tuple[str, str]] = {
    "failures": ("failures_until", "prune_failures"),
    "events": ("events_until", "prune_events"),
}

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
    """Forget endings older than ``keep_us``, a bounded piece; the dead are never pruned.

    Returns whether more may be left. Raises StoreBusy (nothing forgotten) where a transaction that ended or
    looked at a job is open for longer than PostgreSQL is asked to wait: others wait behind it meanwhile.
    """
    yield Call("remember_long", {"keep": keep_us})
    gone = yield Call("prune_history", {"keep": keep_us, "limit": HISTORY_PIECE})
    yield Call("forget_workers", {"keep": WORKER_KEEP_US})
    return bool(gone and gone[0][0])


@operation
def prune_runs(what: Runs, keep_us: int, after_us: int = -1) -> Steps[int | None]:
    """Forget what runs of forgotten jobs died of (or how they ended) longer ago than ``keep_us``.

    One piece of those behind ``after_us``, an instant: what belongs to jobs that are kept is passed by, as
    the dead may be many. Returns where the next piece begins; None where it is through.
    """
    params = {"after": after_us, "keep": keep_us}
    look, forget = RUNS[what]
    rows = yield Call(look, {**params, "limit": PIECE})
    until = rows[0][0] if rows else None
    yield Call(forget, {**params, "until": FOREVER if until is None else until})
    return None if until is None else int(until)


@operation
def prune_duties(cursor: Cursor) -> Steps[Pruned]:
    """Forget duties whose job ended longer ago than they are remembered, one piece from ``cursor`` on."""
    app, task, key = cursor
    rows = yield Call("prune_duties", {"app": app, "task": task, "key": key, "limit": PIECE}, alone=True)
    if not rows:
        return Pruned(START, 0)
    return Pruned((rows[0][0], rows[0][1], rows[0][2]), rows[0][3])
