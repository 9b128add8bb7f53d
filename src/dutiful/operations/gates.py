"""Gates: find or make those of a job, let jobs come to them when they are due, grant starts, mend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from ..model.gates import Gate, granted
from .plan import Call, Steps, as_json, operation, query

COME_MAX = 1000
"""So many jobs stand in line in one transaction."""
GATES_MAX = 500
"""So many gates are looked at in one transaction."""
FRESH_US = 3_600_000_000
"""A gate that was used so recently is there for as long as a transaction that found it may take."""
IDLE_US = 2 * FRESH_US
"""One that nobody has used for so long may be forgotten."""
FORGET_MAX = 1000
"""So many gates are held at once to see whether they may be forgotten."""
STARTS_MAX = 1000
"""So many starts of one rate are granted at once."""

Ids = dict[tuple[str, str], int]


def known(app: str, gates: Iterable[Gate]) -> Steps[Ids]:
    """The ids of gates by kind and key; those that are missing, or declared otherwise, are written."""
    wanted = {(gate.kind, gate.key): gate for gate in gates}
    rows = [wanted[name].row for name in sorted(wanted)]
    there = yield Call("find_gates", {**_with(app, rows), "fresh": FRESH_US})
    found = {(row[0], row[1]): int(row[2]) for row in there if not row[3]}
    stale = [int(row[2]) for row in there if row[3]]
    if stale:  # it may be forgotten at this moment
        kept = yield Call("keep_gates", {"gates": as_json(stale)})
        found |= {(row[0], row[1]): int(row[2]) for row in kept}
    missing = [row for row in rows if (row["kind"], row["key"]) not in found]
    if missing:
        added = yield Call("add_gates", _with(app, missing))
        found |= {(row[0], row[1]): int(row[2]) for row in added}
    return found


@operation
def come(limit: int = COME_MAX) -> Steps[int]:
    """Jobs with gates whose time has come stand in line at their gates; returns how many."""
    return len((yield Call("come_to_gates", {"limit": limit}, alone=True)))


@query
def jams(after: int = 0, limit: int = GATES_MAX) -> Steps[list[int]]:
    """Gates at which somebody waits though a place is free."""
    return [int(row[0]) for row in (yield Call("find_jams", {"after": after, "limit": limit}, alone=True))]


@operation
def mend(gates: Sequence[int]) -> Steps[int]:
    """Look at these gates again; returns how many jobs went through."""
    rows = yield Call("mend_gates", {"gates": as_json(sorted(gates))}, alone=True)
    return int(rows[0][0])


class Forgotten(Struct, frozen=True):
    """How many gates were looked at, and how many of them were forgotten."""

    looked: int
    gone: int


@operation
def forget(limit: int = FORGET_MAX) -> Steps[Forgotten]:
    """Forget gates that nobody has used for hours, so that there is not one for each key that ever was.

    Only where nobody would tell: nobody stands there, no job that is live, dead, or may be brought back
    knows it, and its bucket is full. A scan of the live and the dead jobs, if there is any such gate.
    """
    gates = [int(row[0]) for row in (yield Call("hold_stale_gates", {"limit": limit, "idle": IDLE_US}))]
    if not gates:
        return Forgotten(0, 0)
    gone = yield Call("forget_gates", {"gates": as_json(gates)})
    return Forgotten(len(gates), len(gone))


@query
def busy_rates(after: int = 0, limit: int = GATES_MAX) -> Steps[list[int]]:
    """Rates for which starts wait, or were granted and were not seen to begin."""
    rows = yield Call("busy_rates", {"after": after, "limit": limit}, alone=True)
    return [int(row[0]) for row in rows]


class Granted(Struct, frozen=True):
    """How many ``starts`` were granted, and in about how many microseconds the next one may be.

    ``next_us`` is None where nobody waits for one, or somebody else is at the rate.
    """

    starts: int
    next_us: int | None


@operation
def grant(gate: int) -> Steps[Granted]:
    """Grant the starts that a rate allows now. None where somebody else is at it."""
    rows = yield Call("lock_rate", {"gate": gate})
    if not rows:
        return Granted(0, None)
    per, burst, level, level_at, waits, now = rows[0]
    begun, seen, open_ = [], [], 0
    for seq, began_at, may_begin in (yield Call("granted_starts", {"gate": gate})):
        if began_at is not None:
            begun.append(int(began_at))
            seen.append(int(seq))
        elif may_begin:
            open_ += 1
        else:
            seen.append(int(seq))
    level, allowed = granted(level, level_at, per, burst, begun, open_, now)
    allowed = min(allowed, STARTS_MAX)
    params = {"gate": gate, "seen": as_json(seen), "level": level, "at": now, "n": allowed}
    starts = len((yield Call("grant_starts", params)))
    if not waits or starts < allowed:
        return Granted(starts, None)
    return Granted(starts, max(0, round((1 + open_ + starts - level) * per)))


class Taken(Struct, frozen=True):
    """The gate that was ``busy`` (None: all places are taken), or ``lost``: the run is over."""

    busy: Gate | None = None
    lost: bool = False


@operation
def take(app: str, job_id: str, token: str, wanted: Sequence[Gate]) -> Steps[Taken]:
    """A run takes its places where its job did not wait for them: all, or none where one is busy.

    They are given back as all places are, when the job leaves "running". Who waits in line goes first: a
    gate with a line is busy.
    """
    rows = yield Call("hold_run", {"id": job_id, "token": token})
    if not rows:
        return Taken(lost=True)
    claimed_at = int(rows[0][0])
    ids = yield from known(app, wanted)
    of = {ids[gate.kind, gate.key]: gate for gate in wanted}
    buckets = {row[0]: row for row in (yield Call("hold_gates", {"gates": as_json(sorted(of))}))}
    places: list[dict[str, int | None]] = []
    for gate, one in of.items():
        _, low, per, burst, level, level_at = buckets[gate]
        [(others, own)] = yield Call(
            "places_taken", {"gate": gate, "low": low, "id": job_id, "limit": max(1, one.slots)}
        )
        if one.kind == "rate":
            begun, open_ = [], 0
            for _, began_at, waits in (yield Call("granted_starts", {"gate": gate})):
                if began_at is not None:
                    begun.append(int(began_at))
                open_ += bool(waits)
            _, starts = granted(level, level_at, per, burst, begun, open_, claimed_at)
            if others or starts < 1:  # somebody waits for a start, or there is none
                return Taken(busy=one)
            places.append({"gate": gate, "granted": claimed_at})
        elif not own:
            if others >= one.slots:
                return Taken(busy=one)
            places.append({"gate": gate, "granted": None})
    yield Call("take_places", {"id": job_id, "rows": as_json(places)})
    return Taken()


def _with(app: str, rows: Sequence[object]) -> dict[str, object]:
    return {"app": app, "rows": as_json(rows)}
