"""The drill's clock: what Python and SQLite tell a body of the time while a run is carried out."""

from __future__ import annotations

import datetime as _datetime
import os
import sys
import time as _time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date as _real_date
from datetime import datetime as _real_datetime
from typing import Any

from .boundaries import is_users

_real_time, _real_ns = _time.time, _time.time_ns


class DrillClock:
    """Stands still until it is moved; microseconds since 1970, UTC."""

    def __init__(self, us: int) -> None:
        self.us = us

    def __call__(self) -> int:
        return self.us


_clock: DrillClock | None = None


def us_now() -> int:
    """The instant that counts now: the drill's, or the host's where none is on."""
    return _clock.us if _clock is not None else _real_ns() // 1000


class _Like(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls._real)  # type: ignore[attr-defined]

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls._real)  # type: ignore[attr-defined]


class _Date(_real_date, metaclass=_Like):
    _real = _real_date

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _real_date(*args, **kwargs)

    @classmethod
    def today(cls) -> Any:
        return _real_date.fromtimestamp(us_now() / 1e6)


class _Datetime(_real_datetime, metaclass=_Like):
    _real = _real_datetime

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _real_datetime(*args, **kwargs)

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _real_datetime.fromtimestamp(us_now() / 1e6, tz)

    @classmethod
    def today(cls) -> Any:
        return cls.now()

    @classmethod
    def utcnow(cls) -> Any:
        return _real_datetime.fromtimestamp(us_now() / 1e6, _datetime.UTC).replace(tzinfo=None)


for _name in ("fromtimestamp", "fromisoformat", "combine", "strptime", "fromordinal", "utcfromtimestamp"):
    for _ours, _theirs in ((_Date, _real_date), (_Datetime, _real_datetime)):
        if hasattr(_theirs, _name):
            setattr(_ours, _name, getattr(_theirs, _name))


def _time_now() -> float:
    return us_now() / 1e6


def _ns_now() -> int:
    return us_now() * 1000


_PAIRS = (
    (_real_datetime, _Datetime),
    (_real_date, _Date),
    (_real_time, _time_now),
    (_real_ns, _ns_now),
)


_taken: list[tuple[Any, str, Any]] = []


def taken(anew: bool = False) -> list[tuple[Any, str, Any]]:
    """What the user's modules took by name: (module, name, what to put there); looked for once a drill."""
    if anew:
        _taken.clear()
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or not is_users(file) or module.__name__.startswith("dutiful."):
                continue
            for name, value in list(vars(module).items()):
                _taken.extend((module, name, ours) for real, ours in _PAIRS if value is real)
    return _taken


@contextmanager
def telling(clock: DrillClock) -> Iterator[None]:
    """While it is on, the clocks that a body can ask tell the drill's time.

    ``datetime`` and ``time`` themselves, and what the user's own modules took from them by name.
    Libraries that did so keep the host's.
    """
    global _clock
    _clock = clock
    undo: list[tuple[Any, str, Any]] = []

    def put(holder: Any, name: str, value: Any) -> None:
        undo.append((holder, name, getattr(holder, name)))
        setattr(holder, name, value)

    put(_datetime, "datetime", _Datetime)
    put(_datetime, "date", _Date)
    put(_time, "time", _time_now)
    put(_time, "time_ns", _ns_now)
    for module, name, ours in taken():
        put(module, name, ours)
    try:
        yield
    finally:
        _clock = None
        for holder, name, value in reversed(undo):
            setattr(holder, name, value)


@contextmanager
def zone(name: str | None) -> Iterator[None]:
    """The local time zone of the process, for a while."""
    if name is None:
        yield
        return
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    _time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        _time.tzset()
