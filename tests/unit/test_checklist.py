"""The checklist's pure part: each fact's cell, that green needs a fact, and what a waiver does."""

from __future__ import annotations

from typing import Any, cast

import pytest
from msgspec.structs import replace

from dutiful.check.catalogue import all_rules
from dutiful.model.answers import OPEN, SIGNS, WORDS, Cell, Drilled, Facts, Reconciled, Waived
from dutiful.model.checklist import JUDGES, LINES, checklist, summed

DAY = 86_400_000_000
NOW = 100 * DAY
PLAYED = {f"X{n}": (2, 0) for n in range(1, 11)}
BARE = Facts("t", "at_least_once", "default", "", {}, NOW)
CLEAN = Drilled("clean", NOW - DAY, False, PLAYED, calls=1)
RECON = Reconciled("r", NOW - DAY)


def cell(line: str, facts: Facts) -> Cell:
    return next(one for one in checklist(facts) if one.line == line)


def with_(**more: Any) -> Facts:
    declared = {name: more.pop(name) for name in ("once", "retry", "timeout_us", "late", "order", "lock",
                                                  "unreconciled") if name in more}  # fmt: skip
    return replace(BARE, declared=declared, **more)


TABLE: list[tuple[str, dict[str, Any], str]] = [
    ("idempotent", {}, "missing"),
    ("idempotent", {"delivery": "exactly_once"}, "declared"),
    ("idempotent", {"delivery": "exactly_once", "ledger": "work"}, "observed"),
    ("idempotent", {"delivery": "at_most_once", "ledger": "start"}, "observed"),
    ("idempotent", {"drill": CLEAN}, "drilled"),
    ("idempotent", {"drill": replace(CLEAN, changed=True)}, "declared"),
    ("idempotent", {"drill": replace(CLEAN, changed=None)}, "unknown"),
    ("idempotent", {"drill": replace(CLEAN, outcome="findings", findings=2)}, "missing"),
    ("idempotent", {"drill": replace(CLEAN, outcome="not comparable", why="no")}, "missing"),
    ("idempotent", {"drill": replace(CLEAN, played={})}, "missing"),
    ("idempotent", {"drill": replace(CLEAN, played={"X7": (6, 0)})}, "missing"),
    ("idempotent", {"drill": replace(CLEAN, changed=True), "delivery": "exactly_once", "ledger": "work"},
     "observed"),
    ("idempotent", {"drill": replace(CLEAN, outcome="findings"), "delivery": "exactly_once",
                    "ledger": "work"}, "missing"),
    ("key", {}, "missing"),
    ("key", {"once": "t:{n}"}, "declared"),
    ("key", {"once": "t:{n}", "duties": True, "duplicates": 2}, "observed"),
    ("key", {"scheduled": True}, "declared"),
    ("key", {"scheduled": True, "duties": True}, "observed"),
    ("locks", {}, "missing"),
    ("locks", {"lock": True}, "declared"),
    ("locks", {"order": True, "gated": 3}, "observed"),
    ("locks", {"drill": CLEAN}, "drilled"),
    ("locks", {"drill": replace(CLEAN, played={"X1": (2, 0), "X2": (2, 0)})}, "missing"),
    ("locks", {"drill": replace(CLEAN, played=PLAYED | {"X5": (2, 1)})}, "missing"),
    ("locks", {"delivery": "exactly_once", "ledger": "work"}, "observed"),
    ("retries", {}, "unknown"),
    ("retries", {"delivery": "at_most_once"}, "na"),
    ("retries", {"retry": 0}, "declared"),
    ("retries", {"retry": 8, "failed": 1}, "observed"),
    ("timeout", {}, "missing"),
    ("timeout", {"timeout_us": 9}, "declared"),
    ("timeout", {"timeout_us": 9, "done": 1}, "observed"),
    ("queue", {}, "declared"),
    ("queue", {"target_us": 9}, "declared"),
    ("queue", {"target_us": 9, "sampled_us": NOW}, "observed"),
    ("transactions", {}, "unknown"),
    ("transactions", {"drill": CLEAN}, "drilled"),
    ("transactions", {"delivery": "exactly_once"}, "declared"),
    ("dead", {}, "declared"),
    ("dead", {"done": 1}, "observed"),
    ("dead", {"dead": 1, "done": 1}, "observed"),
    ("dead", {"dead": 1, "unseen": 1}, "missing"),
    ("reconciled", {}, "missing"),
    ("reconciled", {"delivery": "at_most_once"}, "na"),
    ("reconciled", {"reconciled": [RECON]}, "observed"),
    ("reconciled", {"reconciled": [replace(RECON, looked_us=None)]}, "declared"),
    ("reconciled", {"reconciled": [RECON, replace(RECON, open=3)]}, "missing"),
    ("reconciled", {"reconciled": [replace(RECON, trouble="it could not check")]}, "missing"),
    ("reconciled", {"unreconciled": "the ledger is the bank's"}, "waived"),
    ("outside", {}, "unknown"),
    ("outside", {"effects": True}, "observed"),
    ("outside", {"drill": CLEAN}, "drilled"),
    ("outside", {"drill": replace(CLEAN, calls=0)}, "na"),
    ("outside", {"drill": replace(CLEAN, calls=0, changed=True)}, "declared"),
    ("outside", {"drill": replace(CLEAN, calls=0, changed=None)}, "unknown"),
    ("outside", {"delivery": "at_most_once", "ledger": "start"}, "observed"),
    ("order", {}, "unknown"),
    ("order", {"order": True}, "declared"),
    ("order", {"order": True, "gated": 1}, "observed"),
    ("order", {"drill": CLEAN}, "drilled"),
    ("late", {}, "missing"),
    ("late", {"target_us": 9}, "missing"),
    ("late", {"late": "1d"}, "declared"),
    ("late", {"late": "1d", "skipped": 1}, "observed"),
    ("late", {"late": "1d", "stale": 1}, "observed"),
    ("supervised", {"workers": 1}, "missing"),
    ("supervised", {"owner": "ann"}, "declared"),
    ("supervised", {"owner": "ann", "workers": 2}, "observed"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "facts", "state"), TABLE)
def test_each_fact_has_its_cell(line: str, facts: dict[str, Any], state: str) -> None:
    found = cell(line, with_(**facts))
    assert found.state == state, found
    assert found.words.endswith((".", "?", "no")) and "  " not in found.words
    if state == "missing":
        assert found.fix


def test_every_line_is_in_the_table_and_names_a_rule_that_there_is() -> None:
    assert {line for line, _, _ in TABLE} == LINES.keys() == JUDGES.keys()
    assert {one.rule for one in LINES.values()} - {""} <= all_rules().keys()
    assert SIGNS.keys() == WORDS.keys()


def green_by_words() -> set[str]:
    """Lines that are green though nothing but the declaration says so."""
    declared = {"once": "t:{n}", "retry": 3, "timeout_us": 9, "late": "1d", "order": True, "lock": True}
    found = set()
    for delivery in ("at_least_once", "exactly_once", "at_most_once"):
        told = Facts("t", delivery, "q", "ann", declared, NOW, target_us=9)
        found |= {one.line for one in checklist(told) if one.state in ("observed", "drilled", "waived")}
    return found


def test_nothing_is_green_that_only_the_declaration_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert green_by_words() == set()
    for line in LINES:  # planted: a line that believes what is said
        with monkeypatch.context() as planted:
            planted.setitem(cast("dict[str, Any]", JUDGES), line, lambda facts: ("observed", "Said.", ""))
            assert green_by_words() == {line}


def test_a_drill_of_other_code_makes_nothing_green() -> None:
    for changed in (True, None):
        states = {one.state for one in checklist(with_(drill=replace(CLEAN, changed=changed)))}
        assert "drilled" not in states and "na" not in states


def test_each_evidence_alone_turns_some_cell() -> None:
    """No fact is read in vain: with all declared, taking one away changes a cell."""
    declared = {"once": "t:{n}", "retry": 3, "timeout_us": 9, "late": "1d", "order": True}
    full = Facts(
        "t", "at_least_once", "q", "ann", declared, NOW, duties=True, effects=True, skipped=1, gated=1,
        done=1, failed=1, workers=1, target_us=9, sampled_us=NOW, reconciled=[RECON], drill=CLEAN,
    )  # fmt: skip
    before = [one.state for one in checklist(full)]
    assert set(before) == {"observed", "drilled"}
    empty = {one: getattr(BARE, one) for one in Facts.__struct_fields__}
    for name in ("duties", "effects", "skipped", "gated", "done", "failed", "workers", "sampled_us",
                 "reconciled", "drill"):  # fmt: skip
        more: dict[str, Any] = {name: empty[name]}
        if name == "done":
            more["failed"] = 0
        assert [one.state for one in checklist(replace(full, **more))] != before, name


WAIVER = Waived("ben", "ann", "it may be late", NOW + DAY, NOW - DAY)


def test_a_waiver_answers_what_is_open_and_lapses() -> None:
    waived = with_(waivers={"late": WAIVER})
    found = cell("late", waived)
    assert (found.state, found.sign) == ("waived", "~")
    said = "Waived by ann, for 1d more; ben answers for it: it may be late. Without that: A month late"
    assert said in found.words
    lapsed = cell("late", replace(waived, now_us=NOW + DAY))
    assert lapsed.state == "missing" and "A waiver lapsed" in lapsed.words and lapsed.waiver == WAIVER
    observed = with_(late="1d", skipped=1, waivers={"late": WAIVER})
    assert cell("late", observed).state == "observed"
    assert OPEN.isdisjoint({"observed", "drilled", "na"})


def test_the_sum_counts_tasks_and_lines() -> None:
    rows = [checklist(BARE), checklist(with_(waivers=dict.fromkeys(LINES, WAIVER)))]
    found = summed(rows)
    assert (found.tasks, found.passing, found.failing) == (2, 1, 1)
    assert found.checks == sum(one.state == "missing" for one in rows[0])
    assert found.waived == sum(one.state == "waived" for one in rows[1]) == len(LINES)
    assert summed([]) == replace(found, tasks=0, passing=0, failing=0, checks=0, waived=0)
