"""Fits: whether a value is what an annotation asks for, strictly, and would come back from JSON equal.

This module has the single values (numbers, text, instants) and plain JSON; ``annotations`` makes fits of
whole annotations from them, and ``records`` those of classes. What a fit refuses is named by its path
(``user.created``, ``items[2].sku``), never by its value, which may be secret.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NoReturn
from uuid import UUID

from msgspec import Struct

ANNOTATE = "Annotate the parameter (or its fields) with the type, and it comes back as what it was."


class Unstorable(Exception):
    """The annotation names something that JSON cannot carry to a worker; the text says what and why."""


class Misfit(Exception):
    """A value does not fit; ``problem`` reads after its name, ``path`` leads to it from the outside."""

    def __init__(self, problem: str, hint: str | None = None) -> None:
        self.problem, self.hint = problem, hint
        self.path = ""
        super().__init__(problem)

    def under(self, step: str) -> Misfit:
        """The same, seen from one level further out."""
        self.path = step + self.path
        return self


class Fit(Struct, frozen=True):
    """What an annotation asks of a value."""

    says: str
    """What it wants, for messages: "a str"."""
    looks: Callable[[Any], bool]
    """Whether the outermost type is right; chooses the member of a union."""
    check: Callable[[Any], None]
    """Checks all of the value; raises :class:`Misfit`."""
    exact: type | None = None
    """A type whose own instances fit without a check."""
    key: bool = False
    """Whether it may be a key of a JSON object."""
    proof: bool = False
    """Whether only reading the JSON back proves that it fits, as for a class with rules of its own."""


def an(name: str) -> str:
    """The name with its article."""
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"


def wrong(value: object, wanted: str, hint: str | None = None) -> NoReturn:
    """Refuse the value for its type."""
    found = "None" if value is None else an(type(value).__name__)
    raise Misfit(f"is {found}, not {wanted}", hint)


def check_items(check: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Check each; a misfit says at which index."""
    index = 0
    try:
        for index, item in enumerate(items):  # noqa: B007 (read when a check raises)
            check(item)
    except Misfit as misfit:
        raise misfit.under(f"[{index}]") from None


def key_step(key: object) -> str:
    """How a path shows a key of a dict."""
    return f"[{str(key)[:40]!r}]"


# ── single values ───────────────────────────────────────────────────────────────────────────


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def _is_date(value: Any) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime)


def check_float(value: Any) -> None:
    """A finite float, or an int that a float holds exactly."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Misfit("is not a finite number, which JSON cannot say")
    elif _is_int(value):
        try:
            same = float(value) == value
        except OverflowError:
            same = False
        if not same:
            raise Misfit("is an int that a float cannot hold exactly")
    else:
        wrong(value, "a float")


def _check_decimal(value: Any) -> None:
    if not isinstance(value, Decimal):
        wrong(value, "a Decimal")
    if not value.is_finite():
        raise Misfit("is not a finite number, which JSON cannot say")


def check_datetime(value: Any) -> None:
    """An instant: aware, with an offset that ISO 8601 can say."""
    if not isinstance(value, datetime):
        wrong(value, "a datetime")
    offset = value.utcoffset()
    if offset is None:
        raise Misfit("is a datetime without time zone", "Pass an aware datetime: datetime.now(UTC).")
    _check_offset(offset)


def _check_time(value: Any) -> None:
    if not isinstance(value, time):
        wrong(value, "a time")
    _check_offset(value.utcoffset())


def _check_offset(offset: timedelta | None) -> None:
    if offset is not None and (offset.seconds % 60 or offset.microseconds):
        raise Misfit(
            "has a time zone with seconds in its offset, which JSON cannot say",
            "Pass it in UTC: value.astimezone(UTC).",
        )


def _plain(kind: type, looks: Callable[[Any], bool] | None = None, *, key: bool = False) -> Fit:
    says = an(kind.__name__)
    fits = looks or (lambda value: isinstance(value, kind))

    def check(value: Any) -> None:
        if not fits(value):
            wrong(value, says)

    return Fit(says, fits, check, exact=kind, key=key)


def _check_none(value: Any) -> None:
    if value is not None:
        wrong(value, "None")


NOTHING = Fit("None", lambda value: value is None, _check_none)

SINGLE: dict[Any, Fit] = {
    int: _plain(int, _is_int, key=True),
    str: _plain(str, key=True),
    bool: _plain(bool),
    bytes: _plain(bytes),
    UUID: _plain(UUID, key=True),
    date: _plain(date, _is_date, key=True),
    timedelta: _plain(timedelta),
    float: Fit("a float", _is_number, check_float),
    Decimal: Fit("a Decimal", lambda value: isinstance(value, Decimal), _check_decimal, key=True),
    datetime: Fit("a datetime", lambda value: isinstance(value, datetime), check_datetime, key=True),
    time: Fit("a time", lambda value: isinstance(value, time), _check_time),
    None: NOTHING,
    type(None): NOTHING,
}


# ── plain JSON, where nothing is annotated ──────────────────────────────────────────────────


def _check_json(value: Any) -> None:
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool:
        return
    if isinstance(value, float):
        check_float(value)
    elif isinstance(value, list):
        check_items(_check_json, value)
    elif isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str:
                raise Misfit(f"has a key that is {an(type(key).__name__)}, and JSON's are text", ANNOTATE)
            try:
                _check_json(item)
            except Misfit as misfit:
                raise misfit.under(key_step(key)) from None
    elif isinstance(value, Enum) or not isinstance(value, str | int):
        raise Misfit(f"is {an(kind.__name__)}, which plain JSON does not keep", ANNOTATE)


JSON = Fit("plain JSON", lambda value: True, _check_json)
