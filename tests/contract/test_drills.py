"""Drills and waivers in the store: the last are kept, a waiver lapses by itself, all of people is audited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from dutiful.model.checklist import checklist
from dutiful.model.errors import WaiverRefused
from dutiful.operations import audit, drills, numbers, registry, waivers
from dutiful.operations import checklist as checklists
from dutiful.operations.drills import KEEP, Found, NewDrill
from dutiful.worker.bookkeeping import Bookkeeping
from tests.contract.stores import APP
from tests.contract.world import DAY, World, world_at

DRILL = NewDrill(
    "send", "c0de", "0.1.0", "sqlite", "clean", wanted=9, done=8, runs=20, played={"X1": (3, 0), "X3": (5, 0)}
)
FOUND = Found("X3", "X3 crash", "DU007", "after COMMIT #1", "receipts 1 → 2 rows", "one transaction")


@pytest.fixture
def world(rows_url: str) -> Iterator[World]:
    with world_at(rows_url) as world:
        task = registry.Declared("send", 1, "q", 0, "ann", "at_least_once", {"once": "{n}", "timeout_us": 9})
        world.run(registry.register(APP, "1", [task]))
        yield world


def waive(world: World, line: str = "late", **more: Any) -> waivers.Waiver:
    said = {"actor": "ann", "owner": "ben", "span_us": DAY, "reason": "it may be late", "task": "send"} | more
    return world.run(waivers.waive(APP, said.pop("task"), line, **said))


def test_the_last_drills_of_a_task_are_kept(world: World) -> None:
    for number in range(KEEP + 3):
        world.run(drills.record(APP, replace(DRILL, runs=number), by="ann"))
    world.run(drills.record(APP, replace(DRILL, task="u", outcome="findings", findings=[FOUND]), by="ben"))
    world.run(drills.record("other", DRILL, by="ann"))
    kept = world.run(drills.of(APP, "send"))
    assert [one.runs for one in kept] == list(range(KEEP + 2, 2, -1))
    latest = world.run(drills.latest(APP))
    assert {name: one.runs for name, one in latest.items()} == {"send": KEEP + 2, "u": 20}
    assert latest["u"].findings == [FOUND] and latest["u"].by == "ben"
    assert latest["send"].played == {"X1": (3, 0), "X3": (5, 0)}
    assert [latest["send"].changed(code) for code in ("c0de", "other", "", None)] == [False, True, None, None]


def test_what_a_drill_says_is_cut_before_it_is_kept(world: World) -> None:
    found = [replace(FOUND, story="x" * 100_000)] * 1_000
    world.run(drills.record(APP, replace(DRILL, outcome="findings", findings=found), by="ann"))
    [one] = world.run(drills.of(APP))
    assert len(one.findings) == drills.FINDINGS_MAX
    assert len(one.findings[0].story) == drills.TEXT_MAX


def test_a_waiver_lapses_by_itself_and_is_told_as_lapsed(world: World) -> None:
    made = waive(world)
    assert made.holds and made.until_us - made.made_us == DAY
    assert state(world, "late") == "waived"
    world.clock.advance(DAY)
    [lapsed] = world.run(waivers.listed(APP))
    assert not lapsed.holds
    assert state(world, "late") == "missing"


def test_a_waiver_is_ended_and_both_are_audited(world: World) -> None:
    waive(world)
    waive(world, owner="cleo")
    world.run(waivers.end(APP, "send", "late", actor="ann", reason="decided"))
    assert state(world, "late") == "missing"
    said = [(row.verb, row.subject, row.before, row.reason) for row in world.run(audit.page(APP))]
    assert said == [
        ("end_waiver", "task send line late", "waived, owner cleo", "decided"),
        ("waive_line", "task send line late", "open", "it may be late"),
        ("waive_line", "task send line late", "open", "it may be late"),
    ]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"line": "lat"}, "no line 'lat' (did you mean late?)"),
    ({"task": "sent"}, "task 'sent' (did you mean send?)"),
    ({"owner": " "}, "without an owner"),
    ({"reason": ""}, "without a reason"),
    ({"span_us": 0}, "for 366d at most"),
    ({"span_us": 367 * DAY}, "for 366d at most"),
]


def test_a_waiver_is_refused(world: World) -> None:
    for more, says in REFUSED:
        with pytest.raises(WaiverRefused) as refused:
            waive(world, **more)
        assert says in str(refused.value)
    with pytest.raises(WaiverRefused, match="Nobody has waived"):
        world.run(waivers.end(APP, "send", "late", actor="ann"))
    assert world.run(audit.page(APP)) == []


def state(world: World, line: str, code: str = "c0de") -> str:
    [facts] = world.run(checklists.facts(APP, "send", codes={"send": code} if code else {}))
    return next(cell.state for cell in checklist(facts) if cell.line == line)


def test_the_facts_are_of_what_is_in_the_store(world: World) -> None:
    """Each fact of the records turns its cell, and nothing else does."""
    assert [state(world, line) for line in ("key", "timeout", "dead", "idempotent")] == [
        "declared", "declared", "declared", "missing",
    ]  # fmt: skip
    world.enqueue("k")
    [lease] = world.claim()
    assert state(world, "key") == "observed"
    world.end(lease, "complete")
    assert (state(world, "timeout"), state(world, "dead")) == ("observed", "observed")
    world.enqueue("d")
    [lease] = world.claim()
    world.end(lease, "bury")
    assert state(world, "dead") == "missing"
    world.run(drills.record(APP, DRILL, by="ann"))
    assert state(world, "idempotent") == "drilled"
    assert state(world, "idempotent", "changed") == "declared"
    assert state(world, "idempotent", "") == "unknown"
    for code, told in (("c0de", "drilled"), ("other", "declared")):  # what a worker says of its own wins
        task = registry.Declared("send", 1, "q", 0, "ann", "at_least_once", {"code": code})
        world.run(registry.register(APP, "1", [task]))
        [facts] = world.run(checklists.facts(APP, codes={"send": "c0de"}, running=True))
        assert checklist(facts)[0].state == told
    found = replace(DRILL, outcome="findings", findings=[FOUND])
    world.run(drills.record(APP, found, by="ann"))
    assert state(world, "idempotent") == "missing"


def test_the_verdict_names_the_tasks_that_nobody_drilled_clean(world: World) -> None:
    def seen() -> tuple[list[str], int | None, int | None]:
        found = world.run(numbers.numbers(APP))
        told = [one for one in found.unchecked if one.startswith("drills")]
        return told, found.facts["tasks_drilled"], found.facts["tasks_with_drill_findings"]

    other = registry.Declared("other", 1, "q", 0, "ann", "at_least_once", {})
    world.run(registry.register(APP, "1", [other]))
    assert seen() == (["drills"], 0, 0)
    world.run(drills.record(APP, replace(DRILL, outcome="findings", findings=[FOUND]), by="ann"))
    assert seen() == (["drills"], 0, 1)
    world.run(drills.record(APP, DRILL, by="ann"))
    assert seen() == (["drills of 1 of 2 tasks"], 1, 0)
    world.run(drills.record(APP, replace(DRILL, task="other"), by="ann"))
    assert seen() == ([], 2, 0)


def test_a_worker_says_the_hash_of_its_code_which_is_made_once(world: World) -> None:
    asked: list[int] = []

    def codes() -> dict[str, str]:
        asked.append(1)
        return {"send": "c0de"}

    task = registry.Declared("send", 1, "q", 0, "ann", "at_least_once", {"once": "{n}"})
    books = Bookkeeping(world.engine, APP, release="2", tasks=[task], codes=codes)
    for _ in range(2):
        books._register()
    [row] = [one for one in world.run(registry.tasks(APP)) if one.release == "2"]
    assert (row.facts, asked) == ({"once": "{n}", "code": "c0de"}, [1])
