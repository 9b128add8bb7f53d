"""Who watches says that it has looked: at once, or with the next beat of the worker's heart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..engines.contract import Engine
from ..operations import watchers

Looked = Callable[[str, float, str], None]
"""Told the watcher's name, how often it looks (seconds), and the app that it watches ("": all)."""


def at_once(engine: Engine) -> Looked:
    """Says it by a statement of its own."""

    def say(name: str, period_s: float, app: str = "") -> None:
        engine.run(watchers.beat(name, round(period_s * 1e6), app=app))

    return say


class WithBeats:
    """Says it with the next beat, where the store takes that on the way; the first time at once."""

    def __init__(self, engine: Engine) -> None:
        self._say = at_once(engine)
        self._carried = engine.name == "postgres"
        self._known: set[tuple[str, str]] = set()
        self._waiting: dict[tuple[str, str], tuple[float, float]] = {}
        self._lock = threading.Lock()

    def looked(self, name: str, period_s: float, app: str = "") -> None:
        """A watcher has just looked."""
        if not self._carried or (app, name) not in self._known:
            self._known.add((app, name))
            self._say(name, period_s, app)
            return
        with self._lock:
            self._waiting[app, name] = (period_s, time.monotonic())

    def waiting(self) -> Mapping[tuple[str, str], tuple[float, float]]:
        """What is not said yet; to be given to :meth:`said` once it is."""
        with self._lock:
            return dict(self._waiting)

    def said(self, told: Mapping[tuple[str, str], tuple[float, float]]) -> None:
        """The beat that carried these has come through."""
        with self._lock:
            for watcher, look in told.items():
                if self._waiting.get(watcher) == look:
                    del self._waiting[watcher]


def rows(told: Mapping[tuple[str, str], tuple[float, float]]) -> Sequence[Mapping[str, Any]]:
    """As a beat takes them, in one order for all, so that two workers never wait for each other in a ring."""
    now = time.monotonic()
    return [
        {"app": app, "name": name, "period": round(period_s * 1e6), "ago": round((now - at) * 1e6)}
        for (app, name), (period_s, at) in sorted(told.items())
    ]
