"""Canonical JSON: one text for equal values, the same in every release, so that hashes of it may be kept.

It is what the standard library's ``json`` would write with sorted keys. A hash is kept for months, and
the text of numbers in another library might change from one release to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec

from .held import fields_of
from .keys import decimal_text, instant_text
from .pydantic_models import dump_model, is_model


def canonical(value: Any) -> str:
    """The text of a value of any kind that arguments may have.

    Equal values of one annotation have equal texts: instants are in UTC, decimals without needless
    zeros, keys of dicts and items of sets in order, records by the names of their fields. A pydantic model
    is what its own JSON says.
    """
    write = _WRITERS.get(type(value))
    return write(value) if write is not None else _other(value)


def digest(text: str) -> str:
    """A short stable hash of a text: BLAKE2b, 32 hexadecimal characters."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _other(value: Any) -> str:
    if isinstance(value, Enum):
        return canonical(value.value)
    if isinstance(value, tuple):  # a NamedTuple
        return _array(value)
    if is_model(type(value)):
        return canonical(msgspec.json.decode(dump_model(value)))
    return _object((_quoted(name), getattr(value, name)) for name in fields_of(value))


def _array(items: Iterable[Any]) -> str:
    return f"[{','.join(map(canonical, items))}]"


def _set(items: Iterable[Any]) -> str:
    return f"[{','.join(sorted(map(canonical, items)))}]"


def _dict(value: dict[Any, Any]) -> str:
    return _object((_key(key), inner) for key, inner in value.items())


def _key(key: Any) -> str:
    text = canonical(key)
    return text if text.startswith('"') else f'"{text}"'


def _object(pairs: Iterable[tuple[str, Any]]) -> str:
    texts = [f"{key}:{canonical(inner)}" for key, inner in sorted(pairs, key=itemgetter(0))]
    return "{" + ",".join(texts) + "}"


_quoted = encode_basestring_ascii
_WRITERS: dict[type, Callable[[Any], str]] = {
    str: _quoted,
    int: int.__repr__,
    bool: lambda value: "true" if value else "false",
    type(None): lambda value: "null",
    float: lambda value: float.__repr__(value + 0.0),  # -0.0 equals 0.0
    list: _array,
    tuple: _array,
    dict: _dict,
    set: _set,
    frozenset: _set,
    datetime: lambda value: _quoted(instant_text(value)),
    date: lambda value: _quoted(value.isoformat()),
    time: lambda value: _quoted(value.isoformat()),
    timedelta: lambda value: f'"{value // timedelta(microseconds=1)}us"',
    Decimal: lambda value: _quoted(decimal_text(value)),
    UUID: lambda value: _quoted(str(value)),
    bytes: lambda value: _quoted(value.hex()),
}
