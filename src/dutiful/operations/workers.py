"""Workers come, beat and go; what the gone ones held lapses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import asdict

from ..model.jobs import Beat, Due, Lapsed, Left, NewWorker, WorkerRow
from .plan import Call, Steps, as_json, operation, query, typed

FRESH_US = 15_000_000
"""So long after a worker was marked gone, each pass looks again for what it held."""


@operation
def register(worker: NewWorker) -> Steps[int]:
    """Make a worker's row; returns its id, which is never given again."""
    fields = asdict(worker)
    fields["lease"] = fields.pop("lease_us")
    [(number,)] = yield Call("add_worker", fields, alone=True)
    return int(number)


@operation
def beat(
    ids: Sequence[int], marks: str | None = None, looks: Sequence[Mapping[str, Any]] = ()
) -> Steps[Beat]:
    """Renew the leases of a worker and its children. An id that does not come back is gone for good.

    ``looks`` are what watchers of this process looked at, where the store takes them on the way (SQLite
    does not): app, name, period, and how long ago.
    """
    params = {
        "ids": as_json(list(ids)), "marks": marks, "fresh": FRESH_US, "looks": as_json(list(looks)),
    }  # fmt: skip
    rows = yield Call("beat", params, alone=True)
    return Beat(
        frozenset(row[0] for row in rows),
        any(row[1] for row in rows),
        max((int(row[2]) for row in rows), default=0),
        any(row[3] for row in rows),
        _due(rows[0][4:8]) if rows and len(rows[0]) > 4 else None,
        Left(*map(bool, rows[0][8:])) if rows and len(rows[0]) > 4 else None,
    )


@query
def asked_to_cancel(ids: Sequence[int]) -> Steps[list[tuple[str, str]]]:
    """Runs of these workers that somebody asked to stop: (job id, token)."""
    rows = yield Call("asked_to_cancel", {"ids": as_json(list(ids))}, alone=True)
    return [(row[0], row[1]) for row in rows]


@operation
def leave(worker: int) -> Steps[bool]:
    """A worker's last write: its leases end now. Whatever it still held lapses, with no suspicion."""
    left = bool((yield Call("mark_gone", {"id": worker, "how": "left"})))
    yield from _lapse([], [], worker)
    yield Call("close_reaped")
    return left


@operation
def report_dead(child: int) -> Steps[list[Lapsed]]:
    """A living parent saw its child die: what the child ran alone is charged a crash, at once."""
    yield Call("mark_gone", {"id": child, "how": "reported"})
    lapsed = yield from _lapse([], [], child)
    yield Call("close_reaped")
    return lapsed


@query
def due() -> Steps[Due]:
    """Who is due to be marked gone, and whether a reaper waits with that."""
    [row] = yield Call("due_workers", {"fresh": FRESH_US}, alone=True)
    return _due(row)


def _due(row: Sequence[Any]) -> Due:
    alive, silent, unreaped, braked_us = row
    return Due(int(alive), int(silent), int(unreaped), None if braked_us is None else int(braked_us))


@operation
def brake(forget_us: int) -> Steps[bool]:
    """Note, for reapers yet to come, that one begins to brake now; False: one did, within ``forget_us``."""
    return (yield from _turn("brake", forget_us))


@operation
def let_go() -> Steps[None]:
    """The brake is off: what it waited for was reaped, or came back."""
    yield Call("let_go_brake", {}, alone=True)


@operation
def bury(dead: Sequence[int] = (), *, silent: bool = True) -> Steps[list[tuple[int, str, str | None]]]:
    """Mark silent workers gone, and those whose process is known to be dead: (id, host, file)."""
    rows = yield Call("bury_workers", {"dead": as_json(list(dead)), "silent": silent}, alone=True)
    return [(row[0], row[1], row[2]) for row in rows]


@query
def unreaped() -> Steps[list[tuple[int, str, str | None]]]:
    """Gone workers that may still hold jobs: (id, host, file)."""
    return [(row[0], row[1], row[2]) for row in (yield Call("unreaped_workers", {}, alone=True))]


@operation
def lapse(recorded: Sequence[int] = (), begun: Sequence[str] = ()) -> Steps[list[Lapsed]]:
    """Take back what gone workers held; what an at_most_once body had begun is in doubt.

    ``recorded`` are workers whose record of begun jobs could be read, ``begun`` what stands in them.
    """
    lapsed = yield from _lapse(recorded, begun, None)
    yield Call("close_reaped")
    return lapsed


def _lapse(recorded: Sequence[int], begun: Sequence[str], only: int | None) -> Steps[list[Lapsed]]:
    cut = yield Call("lapse_started", {"only": only})
    params = {"recorded": as_json(list(recorded)), "begun": as_json(list(begun)), "only": only}
    rows = yield Call("lapse_jobs", params)
    lapsed = [Lapsed(row[0], row[1], bool(row[2]), bool(row[3])) for row in rows]
    return [Lapsed(row[0], row[1], begun=True, last=False, doubt=True) for row in cut] + lapsed


@query
def live() -> Steps[list[WorkerRow]]:
    """Workers that are not yet marked gone."""
    rows = yield Call("live_workers", {}, alone=True)
    return [typed(WorkerRow, row, flags=(5,)) for row in rows]


@operation
def turn(chore: str, period_us: int) -> Steps[bool]:
    """Take the turn of a chore that one worker does for all; False if it was done within the period."""
    return (yield from _turn(chore, period_us))


def _turn(name: str, period_us: int) -> Steps[bool]:
    return bool((yield Call("chore_turn", {"name": name, "period": period_us}, alone=True)))
