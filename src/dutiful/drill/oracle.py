"""The oracle: which ends of a scenario are as they should be, by the task's declared delivery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..app.task import Policy
from .scenarios import Scenario
from .states import Difference, State, Table, Volatile, differences, effect_differences, table_differences


def judge(
    scenario: Scenario,
    state: State,
    reference: State,
    start: Mapping[str, Table],
    volatile: Volatile,
    policy: Policy,
) -> list[Difference]:
    """In what the end is wrong; empty if it is as declared."""
    found = [
        Difference("key", call.name, f"{call.name}: a key was sent again with another request")
        for call in state.clashes
    ]
    if policy.delivery == "at_most_once":
        return found + _at_most_once(scenario, state, reference, start, volatile)
    if state.status == "in_doubt" and (scenario.fault is not None or scenario.twin):
        # Nobody can tell what became of the call: it is with people, and was not made twice. A second run
        # beside the first cannot tell either, nor can one that found an answer which proves nothing (429).
        return found + _too_much(state, reference, start, volatile)
    if state.status == "dead" and policy.retry.times == 0 and scenario.fault not in (None, "crash"):
        return found + _too_much(state, reference, start, volatile)
    if policy.late is not None and state.status in ("skipped", "dead") and scenario.name == "X7":
        return found
    if state.status != "done":
        words = f"the job ended {state.status}" + (
            f": {state.why.splitlines()[0][:120]}" if state.why else ""
        )
        found.append(Difference("status", state.status, words))
    return found + differences(state, reference, start, volatile)


def _at_most_once(
    scenario: Scenario, state: State, reference: State, start: Mapping[str, Table], volatile: Volatile
) -> list[Difference]:
    if state.begins > reference.begins:
        return [Difference("status", "begins", f"the body began {state.begins} times")]
    if scenario.fault is None and not scenario.twin:
        if state.status != "done":
            return [Difference("status", state.status, f"the job ended {state.status}: {state.why}")]
        return differences(state, reference, start, volatile)
    if state.status == "ready":
        return [Difference("status", "ready", "the job is to run again, though its body may have begun")]
    return _too_much(state, reference, start, volatile)


def _too_much(
    state: State, reference: State, start: Mapping[str, Table], volatile: Volatile
) -> list[Difference]:
    """A run that ended in front of people may have done less, never more."""
    every = table_differences(state, reference, start, volatile) + effect_differences(
        state.effects, reference.effects
    )
    return [one for one in every if one.more > 0]


def foreign_kept(
    state: State,
    reference: State,
    start: Mapping[str, Table],
    volatile: Volatile,
    bumps: list[tuple[str, str, dict[str, Any], Any]],
) -> list[Difference]:
    """Whether what somebody else wrote is still there, and the task's own change came to it once.

    A column that the task sets to a value of its own, whatever stood there, may hold that value.
    """
    found = []
    for name, column, key, change in bumps:
        wanted, is_ = _value(reference, name, column, key), _value(state, name, column, key)
        if wanted is None or is_ is None:
            continue
        if not _near(is_, wanted + change) and not _near(is_, wanted):
            named = ", ".join(f"{part}={value!r}" for part, value in key.items())
            words = f"{name}: {column} {wanted + change!r} → {is_!r}   [{named}]"
            found.append(Difference("values", name, words))
    others = frozenset({(name, column) for name, column, *_ in bumps}) | volatile
    return found + differences(state, reference, start, others)


def _near(one: Any, two: Any) -> bool:
    return bool(abs(one - two) <= (1e-9 * abs(one) if isinstance(one, float) else 0))


def _value(state: State, name: str, column: str, key: Mapping[str, Any]) -> Any:
    table = state.tables.get(name)
    if table is None:
        return None
    row = table.by_key().get(tuple(key[part] for part in table.key))
    return None if row is None else row[table.columns.index(column)]
