"""``dutiful gate``: who is through at the orders, locks, rates and shares of tasks, and who waits."""

from __future__ import annotations

from typing import Any

import click

from ..model.spans import span
from ..operations import gate_views
from ..operations.gate_views import COUNT_MAX, GateView, Standing
from .lazy import SharedGroup
from .reach import reach
from .session import Session, pass_session
from .tables import Column
from .times import iso

COLUMNS = [
    Column("KIND"),
    Column("KEY", least=16),
    Column("PLACES", right=True),
    Column("STANDING", right=True),
    Column("FIRST", least=20),
    Column("ITS STATE"),
]


@click.group("gate", cls=SharedGroup)
def gate_command() -> None:
    """Look at the orders, locks, rates and shares that tasks declare."""


@gate_command.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@click.option("--after", type=int, default=0, metavar="ID", help="Go on behind this one (--json gives ids).")
@pass_session
def list_(session: Session, limit: int, after: int) -> None:
    """The gates at which jobs stand: how many may be through at once, and who is the first."""
    printer = session.printer
    with reach(session) as store:
        gates = store.run(gate_views.listed(store.name or None, after, limit))
    if printer.json:
        printer.document("gate.list/1", {"app": store.name, "gates": [_of(gate) for gate in gates]})
    elif gates:
        printer.table(COLUMNS, [_row(gate) for gate in gates])
    else:
        printer.say("No job stands at a gate.")


@gate_command.command("show")
@click.argument("key")
@click.option("--kind", type=click.Choice(["order", "lock", "rate", "fair"]))
@pass_session
def show(session: Session, key: str, kind: str | None) -> None:
    """The gates of one key, and the first who stand there, in turn."""
    printer = session.printer
    with reach(session) as store:
        gates = store.run(gate_views.named(store.name or None, key, kind))
    if printer.json:
        printer.document("gate.show/1", {"app": store.name, "gates": [_of(gate) for gate in gates]})
        return
    if not gates:
        printer.say(f"No gate has the key {key!r}.")
    for gate in gates:
        printer.put(f"{gate.name}: {_places(gate)}; {_count(gate.standing)} stand there.")
        for one in gate.first:
            printer.put(f"  {one.job_id}  {_state(one)}")


def _row(gate: GateView) -> list[str]:
    first = gate.first[0] if gate.first else None
    return [
        "share" if gate.kind == "fair" else gate.kind,
        gate.key,
        "" if gate.kind == "rate" else str(gate.slots),
        _count(gate.standing),
        first.job_id if first else "",
        _state(first) if first else "",
    ]


def _places(gate: GateView) -> str:
    if gate.kind == "rate":
        return f"one start in {span(gate.per_us or 0)}, {gate.burst} at once at most"
    return f"{gate.slots} at once"


def _state(one: Standing) -> str:
    if one.stuck:
        return f"is through, and waits for the paused queue {one.queue}"
    return "waits" if one.waits else one.state.replace("_", " ")


def _count(number: int) -> str:
    return f"{number:,}" + ("+" if number >= COUNT_MAX else "")


def _of(gate: GateView) -> dict[str, Any]:
    return {
        "id": gate.id,
        "app": gate.app,
        "kind": gate.kind,
        "key": gate.key,
        "slots": gate.slots,
        "per_us": gate.per_us,
        "burst": gate.burst,
        "standing": gate.standing,
        "standing_is_exact": gate.standing < COUNT_MAX,
        "first": [
            {
                "job": one.job_id,
                "state": one.state,
                "task": one.task,
                "waits": one.waits,
                "queue_paused": one.paused,
                "claimed_at": iso(one.claimed_at_us),
            }
            for one in gate.first
        ],
    }
