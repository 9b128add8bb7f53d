"""From what was typed, KEY=VALUE or JSON, to the arguments of a task, read by its annotations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
import msgspec

from ..app.task import Task
from ..model.wire import FAILURES, decoder

Call = tuple[tuple[Any, ...], dict[str, Any]]


def from_pairs(task: Task[..., Any], pairs: Iterable[str]) -> Call:
    """Arguments from ``order_id=42 note=hello``.

    A value is read as JSON where that fits the parameter's annotation, else as text; so 42 is a number
    for an int and text for a str. What fits neither way is left to the enqueue, which says why.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{pair!r} is no KEY=VALUE; for JSON there is --args.")
        if name in found:
            raise click.UsageError(f"{name!r} is given twice.")
        found[name] = _typed(task, name, text.encode(), text)
    return (), found


def from_json(task: Task[..., Any], text: str | bytes, what: str = "--args") -> Call:
    """Arguments from ``--args`` (or what else it is): an object is keyword arguments, an array positional."""
    try:
        given = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise click.UsageError(f"{what} is no JSON: {error}.") from None
    if isinstance(given, dict):
        return (), {
            name: _typed(task, name, msgspec.json.encode(value), value) for name, value in given.items()
        }
    if isinstance(given, list):
        names = [*task.codec.parameters, *[""] * len(given)]
        typed = (
            _typed(task, name, msgspec.json.encode(value), value)
            for name, value in zip(names, given, strict=False)
        )
        return tuple(typed), {}
    raise click.UsageError(
        f'{what} is a JSON object, {{"order_id": 42}}, or an array of positional arguments.'
    )


def _typed(task: Task[..., Any], name: str, json: bytes, otherwise: Any) -> Any:
    """The value as its annotation reads it; as it is where that does not work or nobody knows the name."""
    if name not in task.codec.parameters:
        return otherwise
    read = decoder(task.codec.parameters[name]).decode
    for data in (json, msgspec.json.encode(otherwise)):
        try:
            return read(data)
        except FAILURES:
            continue
    return otherwise
