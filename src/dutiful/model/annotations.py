"""Annotations: read once, when a task is declared, into a :class:`~dutiful.model.fits.Fit`.

What JSON cannot carry to a worker is refused then, not when a job is enqueued. A fit promises that a
worker reads back what it lets through, equal and of the same type; abstract annotations (Sequence,
Mapping, Set) promise no type, and come back as list, dict and set.
"""

from __future__ import annotations

import types
import typing
from collections import abc
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from .fits import JSON, SINGLE, Fit, Misfit, Unstorable, check_items, key_step, wrong
from .records import Records

_LISTS = (abc.Sequence, abc.MutableSequence, abc.Collection)
_ITEMS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    list: ("a list", lambda value: isinstance(value, list)),
    set: ("a set", lambda value: isinstance(value, set)),
    frozenset: ("a frozenset", lambda value: isinstance(value, frozenset)),
    abc.Set: ("a set", lambda value: isinstance(value, set | frozenset)),
    abc.MutableSet: ("a set", lambda value: isinstance(value, set)),
    **{kind: ("a list or tuple", lambda value: isinstance(value, list | tuple)) for kind in _LISTS},
}
_MAPPINGS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    dict: ("a dict", lambda value: isinstance(value, dict)),
    abc.Mapping: ("a mapping", lambda value: isinstance(value, abc.Mapping)),
    abc.MutableMapping: ("a mapping", lambda value: isinstance(value, abc.MutableMapping)),
}


def fit(annotation: Any) -> Fit:
    """What ``annotation`` asks of a value; raises :class:`Unstorable`."""
    return _Reader().read(annotation)


class _Reader:
    """Reads one annotation with all that it mentions; a class may mention itself, as a tree's node does."""

    def __init__(self) -> None:
        self.records = Records(self.read)

    def read(self, annotation: Any) -> Fit:
        if annotation is Any or annotation is object:
            return JSON
        if _hashable(annotation) and annotation in SINGLE:
            return SINGLE[annotation]
        if isinstance(annotation, typing.NewType):
            return self.read(annotation.__supertype__)
        if type(annotation).__name__ == "TypeAliasType":  # "type X = …", from Python 3.12 on
            return self.read(annotation.__value__)
        if isinstance(annotation, typing.TypeVar):
            raise Unstorable(f"is the type variable {annotation}, which is no type yet")
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            inner = self.read(arguments[0])
            ruled = any(isinstance(rule, msgspec.Meta) for rule in annotation.__metadata__)
            return msgspec.structs.replace(inner, proof=True, exact=None) if ruled else inner
        if origin is Literal:
            return _literal(arguments)
        if origin is typing.Union or origin is types.UnionType:
            return self._union(arguments)
        kind = origin or annotation
        if _hashable(kind):
            if kind in _ITEMS:
                return self._items(kind, arguments[0] if arguments else Any)
            if kind in _MAPPINGS:
                return self._mapping(kind, *(arguments or (str, Any)))
            if kind is tuple:
                return self._tuple(arguments if origin else (Any, ...))
            if isinstance(kind, type):
                return self.records.read(kind, arguments)
        raise Unstorable(f"is {str(annotation).removeprefix('typing.')}, which JSON cannot carry")

    def _union(self, members: tuple[Any, ...]) -> Fit:
        fits = [self.read(member) for member in members]
        fits.sort(key=lambda one: one is SINGLE[float])  # an int is an int first, where both may be
        says = " or ".join(one.says for one in fits)

        def check(value: Any) -> None:
            for one in fits:
                if one.looks(value):
                    return one.check(value)
            wrong(value, says)

        def looks(value: Any) -> bool:
            return any(one.looks(value) for one in fits)

        exact = next((one.exact for one in fits if one.exact), None)
        return Fit(says, looks, check, exact, proof=any(one.proof for one in fits))

    def _items(self, kind: Any, item: Any) -> Fit:
        (says, looks), inner = _ITEMS[kind], self.read(item)

        def check(value: Any) -> None:
            if not looks(value):
                wrong(value, says)
            check_items(inner.check, value)

        return Fit(says, looks, check, proof=inner.proof)

    def _mapping(self, kind: Any, key: Any, item: Any) -> Fit:
        (says, looks), keys, items = _MAPPINGS[kind], self.read(str if key is Any else key), self.read(item)
        if not keys.key:
            raise Unstorable(f"has keys that want {keys.says}, and a key of a JSON object is text")

        def check(value: Any) -> None:
            if not looks(value):
                wrong(value, says)
            for one, inner in value.items():
                try:
                    keys.check(one)
                except Misfit as misfit:
                    raise Misfit(f"has a key that {misfit.problem}", misfit.hint) from None
                try:
                    items.check(inner)
                except Misfit as misfit:
                    raise misfit.under(key_step(one)) from None

        return Fit(says, looks, check, proof=keys.proof or items.proof)

    def _tuple(self, items: tuple[Any, ...]) -> Fit:
        says = "a tuple"
        if len(items) == 2 and items[1] is Ellipsis:
            every, fits = self.read(items[0]), list[Fit]()
        else:
            every, fits = None, [self.read(item) for item in items]

        def looks(value: Any) -> bool:
            return isinstance(value, tuple)

        def check(value: Any) -> None:
            if not isinstance(value, tuple):
                wrong(value, says)
            if every is not None:
                return check_items(every.check, value)
            if len(value) != len(fits):
                raise Misfit(f"has {len(value)} items, not {len(fits)}")
            for index, (one, item) in enumerate(zip(fits, value, strict=True)):
                try:
                    one.check(item)
                except Misfit as misfit:
                    raise misfit.under(f"[{index}]") from None

        return Fit(says, looks, check, proof=any(one.proof for one in (*fits, *([every] if every else []))))


def _literal(values: tuple[Any, ...]) -> Fit:
    kinds = {type(value) for value in values}
    if not kinds <= {str, int, bool, type(None)}:
        raise Unstorable("is a Literal of more than text, whole numbers, bools and None")
    says = ("one of " if len(values) > 1 else "") + ", ".join(repr(value) for value in values)
    allowed = {(type(value), value) for value in values}

    def looks(value: Any) -> bool:
        return _hashable(value) and (type(value), value) in allowed

    def check(value: Any) -> None:
        if not looks(value):
            if type(value) in kinds:
                raise Misfit(f"is not {says}")
            wrong(value, says)

    return Fit(says, looks, check, key=kinds in ({str}, {int}))


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
