"""Signatures: which arguments a task's function takes, read once when the task is declared.

Parameters annotated with an injected type (``run: Run``, ``tx: Transaction | None``) are filled in by a
worker and are no arguments. What a stored job cannot give by name is refused: ``*args``, ``**kwargs``
and positional-only parameters.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec import Struct

from .errors import InvalidTask

MISSING: Any = inspect.Parameter.empty
"""The default of a parameter that has none."""


class Parameter(Struct, frozen=True):
    """One argument that a caller gives."""

    name: str
    annotation: Any
    """``Any`` where there is none."""
    default: Any
    positional: bool


class Signature(Struct, frozen=True):
    """What a function takes and returns."""

    parameters: tuple[Parameter, ...]
    injected: Mapping[str, type]
    returns: Any


def read_signature(
    function: Callable[..., Any],
    task: str,
    injected: Collection[type] = (),
    names: Mapping[str, Any] | None = None,
) -> Signature:
    """The signature of a task's function, annotations resolved.

    ``names`` helps to resolve annotations that are text and name something local to where the function
    is defined. Raises :class:`InvalidTask`, which names the parameter and says why.
    """
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise InvalidTask(f"{task}: the signature of {function!r} cannot be read: {error}.") from None
    hints = _hints(function, task, injected, names or {})
    parameters, filled_in = list[Parameter](), dict[str, type]()
    for one in found:
        hint = hints.get(one.name, Any)
        kind = _injected(hint, injected)
        _refuse_unnamed(one, task)
        if kind is not None:
            filled_in[one.name] = kind
        elif one.name in ("self", "cls") and one.name not in hints and not parameters:
            raise InvalidTask(
                f"{task}: its first parameter is {one.name}, so it looks like a method.",
                hint="Make the task a function that loads the object by its id and calls the method.",
            )
        else:
            positional = one.kind is one.POSITIONAL_OR_KEYWORD
            parameters.append(Parameter(one.name, hint, one.default, positional))
    return Signature(tuple(parameters), filled_in, hints.get("return", Any))


def batched(
    function: Callable[..., Any], task: str, names: Mapping[str, Any] | None = None
) -> tuple[str, Callable[..., Any]]:
    """The list that a ``batch=`` function takes, and a stand-in that takes one item of it, for its signature.

    Raises :class:`InvalidTask` unless exactly one parameter is annotated ``list[…]``.
    """
    hints = _hints(function, task, (), names or {})
    lists = [name for name, hint in hints.items() if name != "return" and typing.get_origin(hint) is list]
    if len(lists) != 1:
        raise InvalidTask(
            f"{task}: batch= wants one parameter annotated list[…], for the jobs' arguments.",
            hint="def index(pages: list[Page]) -> None; and: index.enqueue(Page(…))",
        )
    [name] = lists
    [item] = typing.get_args(hints[name])
    found = inspect.signature(function)

    def one() -> None:
        """Stands for the function."""

    changed = [p.replace(annotation=item) if p.name == name else p for p in found.parameters.values()]
    one.__signature__ = found.replace(parameters=changed)  # type: ignore[attr-defined]
    one.__annotations__ = dict(inspect.get_annotations(function)) | {name: item}
    one.__wrapped__ = function  # type: ignore[attr-defined]
    return name, one


def _refuse_unnamed(one: inspect.Parameter, task: str) -> None:
    if one.kind is one.VAR_POSITIONAL or one.kind is one.VAR_KEYWORD:
        stars = "*" if one.kind is one.VAR_POSITIONAL else "**"
        raise InvalidTask(
            f"{task}: parameter {stars}{one.name} takes any number of arguments, so that none of them "
            "could be checked when a job is enqueued.",
            hint=f"Name the arguments, or take one {'list' if stars == '*' else 'dict'} of them.",
        )
    if one.kind is one.POSITIONAL_ONLY:
        raise InvalidTask(
            f"{task}: parameter {one.name} is positional-only, and a worker passes arguments by name.",
            hint="Move it behind the slash, or leave the slash away.",
        )


def _injected(hint: Any, injected: Collection[type]) -> type | None:
    """The injected type that the annotation names, alone or with None."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    members = typing.get_args(hint) if is_union else (hint,)
    for kind in injected:
        others = [one for one in members if one is not kind and typing.get_origin(one) is not kind]
        if len(others) < len(members) and all(one is type(None) for one in others):
            return kind
    return None


def _hints(function: Any, task: str, injected: Collection[type], names: Mapping[str, Any]) -> dict[str, Any]:
    # The injected types are imported only for type checkers in many a code base: known here by name,
    # but only if the module has no such name of its own.
    given = {kind.__name__: kind for kind in injected}
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        texts = dict(inspect.get_annotations(function))
    except Exception as error:  # Python 3.14 evaluates them here
        raise _unresolved(task, error) from None
    returns = texts.pop("return", Any)
    hints = _resolved(texts, {**given, **scope}, names, task)
    try:
        hints |= _resolved({"return": returns}, {**given, **scope}, names, task)
    except InvalidTask:
        pass  # only results need it, and they can be read without
    return hints


def _resolved(
    texts: dict[str, Any], scope: dict[str, Any], names: Mapping[str, Any], task: str
) -> dict[str, Any]:
    holder = types.SimpleNamespace(__annotations__=texts)
    try:
        return typing.get_type_hints(holder, scope, dict(names), include_extras=True)
    except Exception as error:
        raise _unresolved(task, error) from None


def _unresolved(task: str, error: Exception) -> InvalidTask:
    return InvalidTask(
        f"{task}: an annotation cannot be resolved: {error}.",
        hint="Import what it names at run time too, not only under TYPE_CHECKING.",
    )
