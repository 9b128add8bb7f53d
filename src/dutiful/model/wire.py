"""Wire: typed values as JSON bytes and back, by msgspec, with what it does not know by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from .pydantic_models import dump_model, is_model, load_model

FAILURES = (msgspec.MsgspecError, TypeError, ValueError, RecursionError)
"""What writing or reading JSON may raise, the rules of users' classes included."""

NO_SUCH_VALUE = "is no such value: "
_AT = re.compile(r"(?P<problem>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)
_FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<field>.*)`")


def _outgoing(value: Any) -> Any:
    """What msgspec writes in place of a value that it does not know; subclasses become their base."""
    if is_model(type(value)):
        return msgspec.Raw(dump_model(value))
    for kind, plain in _PLAIN.items():
        if isinstance(value, kind):
            return plain(value)
    raise TypeError(f"is a {type(value).__name__}, which JSON cannot carry")


_PLAIN: Mapping[type, Any] = {  # the first that fits; a datetime is a date too
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    datetime: lambda d: datetime(
        d.year, d.month, d.day, d.hour, d.minute, d.second, d.microsecond, d.tzinfo, fold=d.fold
    ),
    date: lambda d: date(d.year, d.month, d.day),
    time: lambda t: time(t.hour, t.minute, t.second, t.microsecond, t.tzinfo, fold=t.fold),
    timedelta: lambda d: timedelta(d.days, d.seconds, d.microseconds),
    Decimal: Decimal,
    bytes: bytes,
    Mapping: dict,
}


def _incoming(kind: Any, value: Any) -> Any:
    """What stands for plain JSON where the annotation is a class that msgspec does not know."""
    if isinstance(kind, type) and is_model(kind):
        return load_model(kind, msgspec.json.encode(value))
    if kind is object:
        return value
    raise TypeError(f"no JSON makes {kind!r}")


encode = msgspec.json.Encoder(enc_hook=_outgoing, decimal_format="string", uuid_format="canonical").encode
"""Any supported value as JSON. Raises TypeError, ValueError or RecursionError."""


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Reads JSON as an annotation says. Raises ``TypeError`` for one that JSON cannot tell apart."""
    return msgspec.json.Decoder(kind, dec_hook=_incoming)


def record_type(name: str, fields: Mapping[str, tuple[Any, bool]]) -> type[msgspec.Struct]:
    """A class with these fields (annotation, required). A field that is absent in the JSON is UNSET.

    An unknown field is refused: it is an argument that this version of a task would lose.
    """
    listed = [
        (field, kind) if required else (field, kind, msgspec.UNSET)
        for field, (kind, required) in fields.items()
    ]
    return msgspec.defstruct(name, listed, kw_only=True, forbid_unknown_fields=True)


def unwritable(error: Exception) -> str:
    """What is wrong with a value that :data:`encode` refused."""
    if isinstance(error, RecursionError):
        return "is nested too deeply, or contains itself"
    if isinstance(error, UnicodeEncodeError):
        return "has text with lone surrogates, which is no text in UTF-8"
    return f"cannot be written as JSON ({error})"


def explained(error: Exception) -> tuple[str, str]:
    """The field and the problem in an error of msgspec's, or of a hook or class called by it."""
    found = _AT.fullmatch(str(error))
    assert found is not None
    path, problem = (found["path"] or "$").rpartition("$")[2].lstrip("."), found["problem"].partition("\n")[0]
    named = _FIELD.fullmatch(problem)
    if named is not None:
        path = f"{path}.{named['field']}".lstrip(".")
        missing = named["what"] == "missing required"
        return path, "is missing" if missing else "is unknown to this version of the task"
    return path, f"{NO_SUCH_VALUE}{problem[:1].lower()}{problem[1:]}"
