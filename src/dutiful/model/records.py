"""Records: fits of classes: enums, dataclasses, msgspec Structs, TypedDicts, NamedTuples, pydantic models.

A record must be of exactly the annotated class: a worker only knows the annotation, and would make an
instance of a subclass into one of its base. Other classes are refused, with the advice to pass an id.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from enum import Enum, Flag
from typing import Any

import msgspec

from .fits import SINGLE, Fit, Misfit, Unstorable, an, wrong
from .keys import near
from .pydantic_models import is_model, model_fit, subclass_hint

_UNSET = object()
_MARKERS = [
    getattr(typing, name) for name in ("Required", "NotRequired", "ReadOnly") if hasattr(typing, name)
]


class Records:
    """Reads classes; ``read`` reads the annotations of their fields."""

    def __init__(self, read: Callable[[Any], Fit]) -> None:
        self._read = read
        self._seen: dict[Any, Fit] = {}

    def read(self, kind: type, arguments: tuple[Any, ...]) -> Fit:
        """The fit of ``kind[arguments]``; raises :class:`Unstorable`."""
        if issubclass(kind, Enum):
            return _enum(kind)
        if is_model(kind):
            return model_fit(kind)
        names = None if typing.is_typeddict(kind) else _names(kind)
        known = self._seen.get((kind, arguments))
        if known is not None:
            return known
        fields: dict[str, Fit] = {}  # filled last, for a class may mention itself
        optional: set[str] = set()
        made = _typed_dict(kind, fields, optional) if names is None else _record(kind, fields)
        self._seen[kind, arguments] = made
        hints = _hints(kind, arguments)
        for name in hints if names is None else names:
            hint = hints.get(name, Any)  # a namedtuple has no annotations
            needed = name in getattr(kind, "__required_keys__", ())
            while (marker := typing.get_origin(hint)) in _MARKERS:
                needed = marker is typing.Required or (needed and marker is not typing.NotRequired)
                hint = typing.get_args(hint)[0]
            if not needed:
                optional.add(name)
            try:
                fields[name] = self._read(hint)
            except Unstorable as refusal:
                raise Unstorable(f"is {an(kind.__name__)}, whose field {name} {refusal}") from None
        return made


def _record(kind: type, fields: Mapping[str, Fit]) -> Fit:
    says = an(kind.__name__)

    def looks(value: Any) -> bool:
        return type(value) is kind

    def check(value: Any) -> None:
        if type(value) is not kind:
            wrong(value, says, subclass_hint(value, kind))
        for name, one in fields.items():
            _check_field(one, name, getattr(value, name, _UNSET))

    return Fit(says, looks, check, proof=True)


def _typed_dict(kind: type, fields: Mapping[str, Fit], optional: set[str]) -> Fit:
    says = f"a dict ({kind.__name__})"

    def looks(value: Any) -> bool:
        return isinstance(value, dict)

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            wrong(value, says)
        for name in value:
            if name not in fields:
                raise Misfit(f"has an unknown key {str(name)[:40]!r}{near(str(name), fields)}")
        for name, one in fields.items():
            if name in value:
                _check_field(one, name, value[name])
            elif name not in optional:
                raise Misfit("is missing").under(f".{name}")

    return Fit(says, looks, check, proof=True)


def _check_field(one: Fit, name: str, value: Any) -> None:
    try:
        if value is _UNSET:
            raise Misfit("is not set")
        one.check(value)
    except Misfit as misfit:
        raise misfit.under(f".{name}") from None


def _enum(kind: type[Enum]) -> Fit:
    values = [member.value for member in kind]
    if issubclass(kind, Flag):
        raise Unstorable("is a Flag; pass its value, an int")
    if not values or {type(value) for value in values} not in ({str}, {int}):
        raise Unstorable("is an Enum whose values are not all text or all whole numbers")
    says = an(kind.__name__)

    def looks(value: Any) -> bool:
        return isinstance(value, kind)

    def check(value: Any) -> None:
        if not isinstance(value, kind):
            wrong(value, says)

    return Fit(says, looks, check, key=True)


def _names(kind: type) -> tuple[str, ...]:
    """The fields that JSON carries; raises :class:`Unstorable` for a class that has no such thing."""
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return tuple(kind._fields)
    if dataclasses.is_dataclass(kind):
        if any("InitVar" in str(field.type) for field in kind.__dataclass_fields__.values()):
            raise Unstorable(f"is {an(kind.__name__)}, a dataclass with an InitVar, which is not kept")
        return tuple(field.name for field in dataclasses.fields(kind))
    for base in SINGLE:
        if isinstance(base, type) and issubclass(kind, base):
            raise Unstorable(f"is {an(kind.__name__)}, a subclass of {base.__name__}; use a NewType of it")
    raise Unstorable(
        f"is {an(kind.__name__)}, a class that JSON cannot carry to a worker; "
        "pass its id and load it in the task"
    )


def _hints(kind: type, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """The annotations of its fields, type variables filled in."""
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except Exception as error:
        raise Unstorable(f"is {an(kind.__name__)}, whose annotations cannot be resolved: {error}") from None
    variables = getattr(kind, "__parameters__", ())
    if len(variables) != len(arguments):
        return hints
    filled = dict(zip(variables, arguments, strict=True))

    def fill(hint: Any) -> Any:
        if hint in variables:
            return filled[hint]
        open_ones = getattr(hint, "__parameters__", ()) if not isinstance(hint, type) else ()
        return hint[tuple(filled.get(one, one) for one in open_ones)] if open_ones else hint

    return {name: fill(hint) for name, hint in hints.items()} if filled else hints
