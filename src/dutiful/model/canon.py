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
    kind = type(value)
    if kind is str:
        return encode_basestring_ascii(value)
    if kind is int:
        return str(value)
    if value is None or kind is bool:
        return _NAMES[value]
    if isinstance(value, Enum):
        return canonical(value.value)
    if isinstance(value, float):
        return float.__repr__(value + 0.0)  # -0.0 equals 0.0
    if isinstance(value, list | tuple):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, dict):
        return _object((_key(key), inner) for key, inner in value.items())
    if isinstance(value, set | frozenset):
        return f"[{','.join(sorted(map(canonical, value)))}]"
    for one, text in _TEXTS.items():
        if isinstance(value, one):
            return encode_basestring_ascii(text(value))
    if is_model(type(value)):
        return canonical(msgspec.json.decode(dump_model(value)))
    return _object((encode_basestring_ascii(name), getattr(value, name)) for name in fields_of(value))


def digest(text: str) -> str:
    """A short stable hash of a text: BLAKE2b, 32 hexadecimal characters."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


_NAMES = {None: "null", True: "true", False: "false"}
_TEXTS: dict[type, Callable[[Any], str]] = {  # the first that fits: a datetime is a date too
    datetime: instant_text,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: lambda value: f"{value // timedelta(microseconds=1)}us",
    Decimal: decimal_text,
    UUID: str,
    bytes: bytes.hex,
}


def _object(pairs: Iterable[tuple[str, Any]]) -> str:
    return (
        "{" + ",".join(f"{key}:{canonical(inner)}" for key, inner in sorted(pairs, key=itemgetter(0))) + "}"
    )


def _key(key: Any) -> str:
    text = canonical(key)
    return text if text.startswith('"') else f'"{text}"'
