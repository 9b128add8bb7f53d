"""Look at gates: who is through, who waits, and what one job waits for."""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Call, Rows, Steps, query

FIRST_MAX = 5
"""So many of those who are in front are named."""
COUNT_MAX = 10_000
"""So far those who stand at a gate are counted."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One of those who stand at a gate; ``waits`` if it is not through. ``state`` may say "closed"."""

    job_id: str
    state: str
    claimed_at_us: int | None
    task: str | None
    waits: bool


@dataclass(frozen=True, slots=True)
class GateView:
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


@dataclass(frozen=True, slots=True)
class Blocked:
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
    """The gates at which somebody stands, from an id on."""
    rows = yield Call("busy_gates", {"app": app, "after": after, "limit": limit})
    return (yield from _views(rows))


@query
def named(app: str | None, key: str, kind: str | None = None) -> Steps[list[GateView]]:
    """The gates of a key, whether anybody stands there or not."""
    rows = yield Call("gates_named", {"app": app, "key": key, "kind": kind, "limit": 100})
    return (yield from _views(rows, 50))


def _views(rows: Rows, first: int = FIRST_MAX) -> Steps[list[GateView]]:
    found = []
    for gate, app, kind, key, slots, low, per, burst in rows:
        params = {"gate": gate, "low": low, "seq": 2**62, "limit": COUNT_MAX}
        [(standing,)] = yield Call("gate_ahead", params)
        found.append(
            GateView(gate, app, kind, key, slots, per, burst, standing, (yield from _first(gate, low, first)))
        )
    return found


def _first(gate: int, low: int, limit: int) -> Steps[tuple[Standing, ...]]:
    rows = yield Call("gate_first", {"gate": gate, "low": low, "limit": limit})
    return tuple(Standing(row[0], row[1], row[2], row[3], bool(row[4])) for row in rows if row[6] is None)
