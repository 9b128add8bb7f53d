"""Which function carries out which rule."""

from __future__ import annotations

from collections.abc import Callable

from .looking import PlaceRule, TaskRule

TASK_RULES: dict[str, TaskRule] = {}
"""Called for each task."""
PLACE_RULES: dict[str, PlaceRule] = {}
"""Called for each module that may enqueue something."""


def rule(id: str) -> Callable[[TaskRule], TaskRule]:
    """The function that looks at one task for the rule of that id."""

    def keep(function: TaskRule) -> TaskRule:
        TASK_RULES[id] = function
        return function

    return keep


def place_rule(id: str) -> Callable[[PlaceRule], PlaceRule]:
    """The function that looks at one module for the rule of that id."""

    def keep(function: PlaceRule) -> PlaceRule:
        PLACE_RULES[id] = function
        return function

    return keep


def load() -> None:
    """Import every module of rules."""
    from .rules import arguments, calls, declared, keys, running, transactions, writes

    assert arguments and calls and declared and keys and running and transactions and writes
