"""Look at gates: who is through, who waits, and what one job waits for."""

from __future__ import annotations

from msgspec import Struct

from .plan import Call, Steps, query

FIRST_MAX = 5
"""So many of those who are in front are named."""
NAMED_MAX = 50
"""The same of gates that are asked for by key."""
COUNT_MAX = 10_000
"""So far those who stand at a gate are counted."""


class Standing(Struct, frozen=True):
    """One of those who stand at a gate; ``waits`` if it is not through. ``state`` may say "closed".

    ``queue`` is that of a live job; ``paused`` says whether nothing is claimed from it now. (Neither is
    known of the first in a list of gates.)
    """

    job_id: str
    state: str
    claimed_at_us: int | None
    task: str | None
    waits: bool
    queue: str | None = None
    paused: bool = False

    @property
    def stuck(self) -> bool:
        """Whether it was let through, and holds a place, and is not claimed as its queue is paused."""
        return self.paused and self.state == "ready" and not self.waits


class GateView(Struct, frozen=True):
    """A gate and the first who stand there; ``standing`` is how many do, counted up to ``COUNT_MAX``."""

    id: int
    app: str
    kind: str
    key: str
    slots: int
    per_us: int | None
    burst: int | None
    standing: int
    first: tuple[Standing, ...]

    @property
    def name(self) -> str:
        """As people say it: ``order customer:7``."""
        return f"{'share' if self.kind == 'fair' else self.kind} {self.key}"


class Blocked(Struct, frozen=True):
    """What a job waits for: the gate it stands at, how many stand before it, and the first of them.

    ``next_start_us``: in about how many microseconds a rate grants its start; None at other gates.
    """

    gate: GateView
    ahead: int
    next_start_us: int | None = None


def blocked(job_id: str, gate: int) -> Steps[Blocked | None]:
    """None for a job that is let through just now, or comes to its gate only now."""
    rows = yield Call("gate_of_job", {"id": job_id, "gate": gate})
    if not rows:
        return None
    _, kind, key, slots, low, per, burst, level, level_at, seq, now = rows[0]
    first = yield from _first(gate, low, FIRST_MAX)
    [(ahead,)] = yield Call("gate_ahead", {"gate": gate, "low": low, "seq": seq, "limit": COUNT_MAX})
    view = GateView(gate, "", kind, key, slots, per, burst, ahead + 1, first)
    if kind != "rate":
        return Blocked(view, ahead)
    filled = min(float(burst), level + max(0, now - level_at) / per)
    return Blocked(view, ahead, max(0, round((ahead + 1 - filled) * per)))


@query
def listed(app: str | None, after: int = 0, limit: int = 200) -> Steps[list[GateView]]:
    """The gates at which somebody stands, from an id on, each with the first of them."""
    params = {"app": app, "after": after, "limit": limit, "count": COUNT_MAX}
    found = []
    for row in (yield Call("busy_gates", params, alone=True)):
        first = () if row[8] is None else (Standing(row[8], row[9], row[10], row[11], bool(row[12])),)
        gate, owner, kind, key, slots, per, burst, standing = row[:8]
        found.append(GateView(gate, owner, kind, key, slots, per, burst, standing, first))
    return found


@query
def named(app: str | None, key: str, kind: str | None = None) -> Steps[list[GateView]]:
    """The gates of a key, whether anybody stands there or not, each with the first 50 who do."""
    found = []
    rows = yield Call("gates_named", {"app": app, "key": key, "kind": kind})
    for gate, owner, kind_, key_, slots, low, per, burst in rows:
        params = {"gate": gate, "low": low, "seq": 2**62, "limit": COUNT_MAX}
        [(standing,)] = yield Call("gate_ahead", params)
        first = yield from _first(gate, low, NAMED_MAX)
        found.append(GateView(gate, owner, kind_, key_, slots, per, burst, standing, first))
    return found


def _first(gate: int, low: int, limit: int) -> Steps[tuple[Standing, ...]]:
    rows = yield Call("gate_first", {"gate": gate, "low": low, "limit": limit})
    return tuple(
        Standing(row[0], row[1], row[2], row[3], bool(row[4]), row[7], bool(row[8]))
        for row in rows
        if row[6] is None
    )
