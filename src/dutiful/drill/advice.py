"""From what differs to why, to what to do, and to the rule of ``dutiful check`` that says the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .boundaries import Event
from .report import Finding
from .scenarios import Scenario
from .states import Difference, State

if TYPE_CHECKING:
    from .drilling import Drilling

WRITTEN = re.compile(r"\b(?:INTO|UPDATE(?:\s+OR\s+\w+)?|DELETE\s+FROM)\s+\"?([\w.]+)\"?", re.IGNORECASE)


def finding_of(scenario: Scenario, found: list[Difference], state: State, drilling: Drilling) -> Finding:
    """The story of one scenario that ended wrong."""
    worst = min(found, key=lambda one: (one.what == "status", one.what == "values", -abs(one.more)))
    why, fix, rule = _advice(scenario, worst, state, drilling.trace.events)
    differs = worst.words
    others = [one.words for one in found if one is not worst]
    if others:
        differs += f"; {others[0]}" + (f"; {len(others) - 1} more" if len(others) > 1 else "")
    return Finding(scenario.name, scenario.title, scenario.words, differs, why, fix, rule)


OLDER = ("Older arguments are not understood.", "give new parameters defaults, raise version=", "DU036")


def refused(scenario: Scenario, said: str) -> Finding:
    """The story of one in which dutiful itself refused to go on."""
    why, fix, rule = OLDER if scenario.name == "X11" else ("", "", "")
    return Finding(scenario.name, scenario.title, scenario.words, " ".join(said.split()), why, fix, rule)


def _advice(scenario: Scenario, one: Difference, state: State, events: list[Event]) -> tuple[str, str, str]:
    name = scenario.name
    if one.what == "key":
        return "One key stands for one request.", "Make the request from the arguments alone.", "DU005"
    if one.what == "effects":
        if one.more < 0 and name in ("X6", "X10"):
            return "The call was left out though its answer never came.", "let what it raises go on", "DU010"
        if one.more < 0:
            return (
                "It is marked as done before the call is made.",
                'run.effect("name", do=lambda key: …)',
                "DU007",
            )
        if one.where.startswith("MAIL"):
            return (
                "A mail cannot be recognised as a repeat.",
                'delivery="at_most_once", or run.effect(…, lookup=…) with the provider\'s message id',
                "DU006",
            )
        keyed = any(call.name == one.where and call.key for call in state.effects)
        if keyed:
            return (
                "The call goes by another key in each try, or by one that is forgotten.",
                "run.effect(…, remembered=…, lookup=…), with the key that it gives",
                "DU005",
            )
        return "Nothing says that the call was made before.", 'run.effect("name", do=lambda key: …)', "DU004"
    if one.what == "jobs":
        return (
            "Each run enqueues anew." if one.more > 0 else "The job ends before it is enqueued.",
            "give the follow-up once=, or enqueue it in the work's transaction",
            "DU020" if one.more > 0 else "DU019",
        )
    if one.what == "files":
        return "A file is written in place.", "write beside it, fsync, rename", "DU040"
    if name == "X7":
        return (
            "The clock decides what is written.",
            "pass the date as an argument, and put it in once=",
            "DU012",
        )
    if name == "X8":
        return "The later message wins, whichever is newer.", 'order="…:{id}", or compare a version', "DU028"
    if name == "X11":
        return OLDER
    if one.what == "status":
        return (
            "A second run raises where the first had begun.",
            "insert … on conflict do nothing, and go on",
            "DU002",
        )
    groups = _transactions(events)
    split = len([group for group in groups if group]) > 1
    if name == "X6" and (one.more < 0 or (one.what == "values" and not split)):
        return "An error was swallowed, so that the job counts as done.", "let it raise", "DU010"
    if scenario.twin:
        if one.what == "rows":
            return (
                "Both runs look before either writes.",
                "a unique constraint, and insert … on conflict do nothing",
                "DU003",
            )
        return (
            "Both runs read before either writes.",
            "select … for update, or update … where version = …",
            "DU033",
        )
    if split:
        told = ", ".join(
            f"transaction {number} writes {' and '.join(group)}"
            for number, group in enumerate(groups, 1)
            if group
        )
        key = "" if one.what != "rows" else f", or insert … on conflict do nothing in {one.where}"
        return told, f"one transaction{key}", "DU007"
    if one.what == "rows":
        return (
            "The insert has no key of the duty's.",
            f"a unique constraint in {one.where}, and insert … on conflict do nothing",
            "DU002",
        )
    return (
        "The write is relative to what stands there.",
        'delivery="exactly_once", or dutiful.once(…)',
        "DU001",
    )


def _transactions(events: list[Event]) -> list[list[str]]:
    """What each transaction of the body writes, with the line of it."""
    groups: list[list[str]] = [[]]
    for event in events:
        if event.kind == "write" and (found := WRITTEN.search(event.text)):
            groups[-1].append(f"{found[1]} ({event.place})")
        elif event.kind == "commit":
            groups.append([])
    return groups
