"""Keys: templates like "receipt:{order_id}" that name a duty, an order or a lock from a job's arguments.

A template is checked when it is declared and rendered when a job is enqueued. Rendering is stable for
ever: the same values give the same text in every release, for keys are stored and compared with
business data. It is also unambiguous: different values of one type give different keys.

* With one placeholder the value stands as it is. With several, the punctuation between placeholders
  (and "%") is percent-encoded inside the values, so that ("a:b", "c") and ("a", "b:c") differ.
* Equal values give equal text: 1, 1.0 and Decimal("1.00") are "1"; an instant is in UTC whatever its
  zone. So is 42 the same key as "42": a parameter has one annotation, and changing it from int to str,
  or reading the value from a text column, must not make a second duty of the first.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum
from hashlib import blake2b
from typing import Any, get_type_hints
from uuid import UUID

from .errors import InvalidOption, InvalidTemplate

KEY_CHARS_MAX = 512

_FIELD = re.compile(r"([^\W\d]\w*)((?:\.[^\W\d]\w*|\[[^\[\]]+\])*)")
_STEP = re.compile(r"\.(\w+)|\[([^\[\]]+)\]")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One ``{…}``: a parameter, and the attributes and [keys] that lead from it to the value."""

    parameter: str
    steps: tuple[tuple[str, bool], ...]
    """Each a name, and whether it stands in brackets."""

    def __str__(self) -> str:
        return self.parameter + "".join(f"[{name}]" if key else f".{name}" for name, key in self.steps)

    def value(self, arguments: Mapping[str, Any]) -> Any:
        """The value it leads to; raises ``LookupError`` or ``AttributeError``."""
        value = arguments[self.parameter]
        for name, is_key in self.steps:
            if not is_key:
                value = getattr(value, name)
            elif isinstance(value, list | tuple):
                value = value[int(name)] if name.isdecimal() else value[name]  # type: ignore[call-overload]
            else:
                value = value[name] if name in value or not name.isdecimal() else value[int(name)]
        return value


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: text and placeholders in turn. Make one with :meth:`parse`."""

    text: str
    what: str
    literals: tuple[str, ...]
    """One more than placeholders: what stands before, between and after them."""
    placeholders: tuple[Placeholder, ...]
    escaped: Mapping[int, str] | None = field(compare=False)
    """``str.translate`` table for values; None where nothing can be mistaken."""

    @classmethod
    def parse(
        cls, text: str, parameters: Collection[str] | Mapping[str, Any], what: str = "once"
    ) -> Template:
        """Read a template for a task with these parameters (with their annotations, if it is a mapping).

        A template without placeholders is allowed: one duty for the whole task. Raises
        :class:`InvalidTemplate` for a placeholder that is no parameter (or no field of an annotated
        class), for two placeholders without punctuation between them, and for format specifications.
        """
        if not isinstance(text, str) or not text:
            raise InvalidTemplate(f"{what}={text!r} is not a text with at least one character.")
        literals, placeholders = [""], list[Placeholder]()
        try:
            parts = list(string.Formatter().parse(text))
        except ValueError as error:
            raise InvalidTemplate(f"{what}={text!r} cannot be read: {error}.") from None
        for literal, name, spec, conversion in parts:
            literals[-1] += literal
            if name is None:
                continue
            if spec or conversion:
                raise InvalidTemplate(
                    f"{what}={text!r}: {{{name}}} has a format; a key takes values as they are."
                )
            placeholders.append(_placeholder(name, text, parameters, what))
            literals.append("")
        return cls(text, what, tuple(literals), tuple(placeholders), _escapes(literals, text, what))

    def render(self, arguments: Mapping[str, Any]) -> str:
        """The key for these arguments (defaults filled in).

        Raises :class:`InvalidOption` where a value is None, missing or of a type that has no stable
        text, and where the key is longer than ``KEY_CHARS_MAX``.
        """
        out = self.literals[0]
        for index, placeholder in enumerate(self.placeholders, 1):
            try:
                value = placeholder.value(arguments)
            except (LookupError, AttributeError, TypeError, ValueError):
                raise InvalidOption(f"{self._where(placeholder)} is not in the arguments.") from None
            try:
                shown = text_of(value)
            except ValueError as error:
                raise InvalidOption(f"{self._where(placeholder)} {error}.") from None
            if self.escaped is not None:
                shown = shown.translate(self.escaped)
            out += shown + self.literals[index]
        return checked_key(out, self.what)

    def _where(self, placeholder: Placeholder) -> str:
        return f"{self.what}={self.text!r}: {placeholder}"


def checked_key(key: object, what: str = "once") -> str:
    """A key that can be stored, given whole (``.using(once="…")``) or rendered; else InvalidOption."""
    if not isinstance(key, str) or not key:
        raise InvalidOption(f"{what}={key!r} is not a text with at least one character.")
    if len(key) > KEY_CHARS_MAX:
        raise InvalidOption(
            f"{what} makes a key of {len(key):,} characters; the limit is {KEY_CHARS_MAX}.",
            hint="Put an id into the key, or a hash of what is long.",
        )
    if "\0" in key or (not key.isascii() and _unencodable(key)):
        raise InvalidOption(f"{what} makes a key with characters that a database cannot store.")
    return key


def text_of(value: object) -> str:
    """The stable text of a value in a key; ``ValueError`` says what is wrong with it."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]
    if kind is int:
        return str(value)
    for known, shown in _TEXTS:
        if isinstance(value, known):
            return shown(value)
    if value is None:
        raise ValueError("is None, and a part of a key must not be: all such jobs would be one duty")
    raise ValueError(f"is a {kind.__name__}, which has no stable text; use a field of it, such as its id")


def instant_text(value: datetime) -> str:
    """An instant in UTC, as ``2024-05-01T07:30:00Z``, with microseconds only if there are any."""
    if value.utcoffset() is None:
        raise ValueError("is a datetime without time zone")
    try:
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    except OverflowError:  # its instant is before the year 1 or after 9999 in UTC
        return value.isoformat()


def decimal_text(value: Decimal) -> str:
    """A decimal without needless zeros: 1.00 is "1", 0.50 is "0.5"; equal values, equal text."""
    if not value.is_finite():
        raise ValueError("is not a finite number")
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    plain = "".join(map(str, digits)).lstrip("0")
    short = plain.rstrip("0")
    if not short:
        return "0"
    exponent += len(plain) - len(short)
    minus = "-" if sign else ""
    if 0 <= exponent <= 40:
        return minus + short + "0" * exponent
    if -40 <= exponent < 0:
        short = short.rjust(1 - exponent, "0")
        return f"{minus}{short[:exponent]}.{short[exponent:]}"
    return f"{minus}{short}E{exponent:+d}"


def _float_text(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("is not a finite number")
    return str(int(value)) if value.is_integer() else float.__repr__(value)


_TEXTS: tuple[tuple[type, Callable[[Any], str]], ...] = (  # the first that fits
    (Enum, lambda member: text_of(member.value)),
    (bool, lambda value: "true" if value else "false"),
    (int, int.__repr__),
    (str, str.__str__),
    (UUID, str),
    (datetime, instant_text),
    (date, date.isoformat),
    (Decimal, decimal_text),
    (float, _float_text),
)


def effect_key(task: str, duty: str, name: str) -> str:
    """The idempotency key of an effect: the same in every run, job and epoch of the duty, for ever.

    32 hexadecimal characters: BLAKE2b over the three, each framed by its length in bytes, so that no
    two triples share a key by where they are cut.
    """
    framed = bytearray()
    for part in (task, duty, name):
        data = part.encode("utf-8", "surrogatepass")
        framed += b"%d:" % len(data) + data
    return blake2b(framed, digest_size=16, person=b"dutiful.effect.1").hexdigest()


def _placeholder(
    field: str, text: str, parameters: Collection[str] | Mapping[str, Any], what: str
) -> Placeholder:
    found = _FIELD.fullmatch(field)
    if found is None:
        raise InvalidTemplate(f"{what}={text!r}: {{{field}}} is no argument, {{x.field}} or {{x[key]}}.")
    name, rest = found.groups()
    if name not in parameters:
        raise InvalidTemplate(
            f"{what}={text!r}: {{{name}}} is no argument of the task{near(name, parameters)}."
        )
    steps = tuple((attribute or key, not attribute) for attribute, key in _STEP.findall(rest))
    if any(step.startswith("_") for step, is_key in steps if not is_key):
        raise InvalidTemplate(f"{what}={text!r}: {{{field}}} names a private attribute.")
    annotation = parameters[name] if isinstance(parameters, Mapping) else None
    for step, is_key in steps:
        known = _fields(annotation, is_key)
        if known is None:
            break
        if step not in known:
            raise InvalidTemplate(f"{what}={text!r}: {{{field}}} has no {step!r}{near(step, known)}.")
        annotation = known[step]
    return Placeholder(name, steps)


def _fields(annotation: Any, is_key: bool) -> Mapping[str, Any] | None:
    """The names that an annotated class has; None where that cannot be known for sure."""
    if not isinstance(annotation, type) or is_key != hasattr(annotation, "__total__"):
        return None
    if not any(hasattr(annotation, mark) for mark in _FIELD_CLASSES):
        return None
    try:
        hints = get_type_hints(annotation)
    except Exception:
        return None
    if is_key:
        return hints
    return {name: None for name in dir(annotation) if not name.startswith("_")} | hints


_FIELD_CLASSES = (
    "__dataclass_fields__",
    "__struct_fields__",
    "__pydantic_validator__",
    "_fields",
    "__total__",
)


def near(name: str, known: Collection[str]) -> str:
    """Ends a sentence: which of the known names was meant, or which there are."""
    close = get_close_matches(name, list(known), n=1)
    if close:
        return f" (did you mean {close[0]}?)"
    return f" (known: {', '.join(known)})" if known else " (there are none)"


def _escapes(literals: list[str], text: str, what: str) -> Mapping[int, str] | None:
    between = literals[1:-1]
    for literal in between:
        if all(char.isalnum() or char == "%" for char in literal):
            raise InvalidTemplate(
                f"{what}={text!r} has two placeholders without punctuation between them, "
                "so that different arguments could make one key.",
                hint='Write a separator: "{a}:{b}".',
            )
    if not between:
        return None
    chars = {"%"} | {char for literal in between for char in literal if not char.isalnum()}
    return {ord(char): "".join(f"%{byte:02X}" for byte in char.encode()) for char in sorted(chars)}


def _unencodable(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return True
    return False
