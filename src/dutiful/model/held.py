"""Held: what a value holds, found without its annotation, to check it or to compare it whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from .fits import Misfit, check_items, key_step


def fields_of(value: Any) -> tuple[str, ...]:
    """The names of the fields of a record (dataclass, Struct, pydantic model); none of anything else."""
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if dataclasses.is_dataclass(value):
        return tuple(field.name for field in dataclasses.fields(value))
    if hasattr(value, "__pydantic_fields_set__"):
        return (*vars(value), *(value.__pydantic_extra__ or ()))
    return ()


def check_held(value: Any, check: Callable[[Any], None]) -> None:
    """Check a value and whatever it holds; raises :class:`Misfit` with the path."""
    check(value)
    if isinstance(value, list | tuple | set | frozenset):
        check_items(lambda item: check_held(item, check), value)
        return
    if isinstance(value, dict):
        inside = {key_step(key): inner for key, inner in value.items()}
    else:
        inside = {f".{name}": getattr(value, name) for name in fields_of(value)}
    for step, inner in inside.items():
        try:
            check_held(inner, check)
        except Misfit as misfit:
            raise misfit.under(step) from None


def same(one: Any, two: Any) -> bool:
    """Whether two values are equal, their instants compared as instants.

    Python calls two datetimes of different zones unequal in the hour that is repeated when summer ends,
    also if they are the same instant (PEP 495).
    """
    if isinstance(one, datetime) and isinstance(two, datetime):
        if one.utcoffset() is None or two.utcoffset() is None:
            return one == two
        return one.astimezone(UTC) == two.astimezone(UTC)
    if isinstance(one, list | tuple) and type(one) is type(two):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    names = fields_of(one)
    if names and type(one) is type(two) and names == fields_of(two):
        return all(same(getattr(one, name), getattr(two, name)) for name in names)
    return bool(one == two)
