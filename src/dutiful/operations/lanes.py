"""Lanes: the (queue, priority) pairs that jobs stand in, and what a program says of its queues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from .plan import Call, Steps, as_json, operation, query


class LaneRow(Struct, frozen=True):
    """One lane of an app; ``turn`` is what a beat compares, ``slots`` and ``target_us`` are its queue's."""

    id: int
    queue: str
    priority: int
    turn: int = 0
    slots: int | None = None
    target_us: int | None = None


@query
def lanes(app: str) -> Steps[list[LaneRow]]:
    """All lanes of an app."""
    return [LaneRow(*row) for row in (yield Call("list_lanes", {"app": app}, alone=True))]


@operation
def declare(
    app: str,
    lanes: Iterable[tuple[str, int]],
    targets: Iterable[tuple[str, int | None]] = (),
    limits: Mapping[str, int | None] | None = None,
) -> Steps[None]:
    """Make the lanes (queue, priority) that are missing, and note the queues' targets (microseconds).

    ``limits`` are how many jobs of a queue may run at a time; None takes a limit away.
    """
    rows = [{"queue": queue, "priority": priority} for queue, priority in sorted(set(lanes))]
    yield Call("add_lanes", {"app": app, "rows": as_json(rows)})
    for name, target_us in targets:
        yield Call(
            "set_queue",
            {"app": app, "name": name, "target": target_us, "slots": (limits or {}).get(name)},
        )
