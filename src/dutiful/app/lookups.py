"""``lookup=`` of a task: the function that says whether a body in doubt was done after all."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from ..model.errors import InvalidTask


class Lookup(Struct, frozen=True):
    """A lookup and the arguments of the task that it takes, by name. Make it with :meth:`of`."""

    function: Callable[..., Any]
    names: tuple[str, ...]
    is_async: bool

    @classmethod
    def of(cls, function: object, task: str, delivery: str, parameters: Mapping[str, Any]) -> Lookup:
        """Check what was given as ``lookup=``; raises InvalidTask."""
        if delivery != "at_most_once":
            raise InvalidTask(
                f"{task}: lookup= is for at_most_once tasks, whose bodies can be in doubt; it is {delivery}.",
                hint="A call to the world outside has a lookup of its own: run.effect(…, lookup=…).",
            )
        if not callable(function):
            raise InvalidTask(f"{task}: lookup={function!r} is no function.")
        kinds = inspect.Parameter
        names = []
        for one in inspect.signature(function).parameters.values():
            if one.kind is kinds.VAR_KEYWORD:
                names = list(parameters)
                break
            if one.kind in (kinds.POSITIONAL_ONLY, kinds.VAR_POSITIONAL):
                raise InvalidTask(f"{task}: lookup= is given the task's arguments by name, not {one}.")
            if one.name in parameters:
                names.append(one.name)
            elif one.default is kinds.empty:
                raise InvalidTask(
                    f"{task}: lookup= takes {one.name!r}, which is no argument of the task.",
                    hint=f"It may take any of: {', '.join(parameters) or '(nothing)'}.",
                )
        return cls(function, tuple(names), inspect.iscoroutinefunction(function))

    def arguments(self, of_task: Mapping[str, Any]) -> dict[str, Any]:
        """What it is called with."""
        return {name: of_task[name] for name in self.names if name in of_task}
