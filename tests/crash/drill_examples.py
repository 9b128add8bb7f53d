"""Examples of the operations of drills and the checklist: a task was drilled, and a line of it waived."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from dutiful.operations import checklist, drills, registry, waivers
from dutiful.operations.drills import Found, NewDrill
from dutiful.operations.plan import Operation

APP = "shop"
FOUND = Found("X3", "X3 crash", "DU007", "after COMMIT #1", "receipts 1 → 2 rows", "one transaction")
DRILL = NewDrill(
    "t", "c0de", "0.1.0", "sqlite", "findings", wanted=9, done=8, runs=20, took_us=5, findings=[FOUND],
    played={"X3": (8, 2)}, mode={"process": False},
)  # fmt: skip
TASK = registry.Declared("t", 1, "q", 0, "ann", "at_least_once", {"once": "t:{n}"})


def prepare(world: Any) -> None:
    """One task, drilled twice, with a line that is waived."""
    run = world.engine.run
    run(registry.register(APP, "1", [TASK]))
    for _ in range(2):
        run(drills.record(APP, DRILL, by="ann"))
    run(waive("late"))


def waive(line: str) -> Operation[waivers.Waiver]:
    return waivers.waive(APP, "t", line, actor="ann", owner="ben", span_us=10**9, reason="it may be late")


EXAMPLES: dict[str, Callable[[Any], Operation[Any]]] = {
    "drills.record": lambda w: drills.record(APP, replace(DRILL, outcome="clean", findings=[]), by="ann"),
    "drills.of": lambda w: drills.of(APP, "t"),
    "drills.latest": lambda w: drills.latest(APP),
    "waivers.listed": lambda w: waivers.listed(APP),
    "waivers.waive": lambda w: waive("order"),
    "waivers.waive again": lambda w: waive("late"),
    "waivers.end": lambda w: waivers.end(APP, "t", "late", actor="ann", reason="decided"),
    "checklist.facts": lambda w: checklist.facts(APP, codes={"t": "c0de"}),
}
