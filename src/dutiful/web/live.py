"""Live: one look a second for all viewers of this process, and none when nobody watches.

What goes out are hints ("something is new"), never data: the page fetches its part again by the same
path as any request, so that permissions and masking are in one place.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar
from urllib.parse import quote

from anyio.to_thread import run_sync

from ..model.errors import DutifulError
from ..operations import pages
from .site import Site

T = TypeVar("T")

PERIOD_S: Final = 1.0
BEAT_S: Final = 5.0
STREAM_S: Final = 30 * 60
"""A stream ends after so long; the browser begins another one, and is asked again who it is."""
VIEWERS_MAX: Final = 500
KEPT_MAX: Final = 200


class Ticker:
    """Looks at the store while somebody listens."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._listeners: set[asyncio.Queue[tuple[str, str]]] = set()
        self._task: asyncio.Task[None] | None = None
        self._lock = threading.Lock()
        self._version = ""
        self._at = 0.0
        self.looks = 0
        """How often the store was asked, for tests."""

    def version(self) -> str:
        """What the store's pulse is, at most a second old. Raises a StoreError."""
        with self._lock:
            if time.monotonic() - self._at >= PERIOD_S * 0.9:
                self.looks += 1
                pulse = self._site.reader.run(pages.pulse())
                # What nobody writes any more shows in the verdict alone: its watchers fall silent.
                self._version = f"{pulse}-{quote(self._site.verdict().title)}"
                self._at = time.monotonic()
            return self._version

    async def listen(self) -> AsyncIterator[str]:
        """The lines of an event stream: hints, beats, and what is wrong with the store."""
        mine: asyncio.Queue[tuple[str, str]] = asyncio.Queue(maxsize=8)
        if len(self._listeners) >= VIEWERS_MAX:
            yield "retry: 30000\nevent: trouble\ndata: too many viewers\n\n"
            return
        self._listeners.add(mine)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._tick())
        try:
            yield "retry: 2000\nevent: beat\ndata: \n\n"
            until = time.monotonic() + STREAM_S
            while time.monotonic() < until:
                kind, said = await mine.get()
                yield f"event: {kind}\ndata: {said}\n\n"
        finally:
            self._listeners.discard(mine)

    async def _tick(self) -> None:
        told, beat = "", 0.0
        while self._listeners:
            try:
                version = await run_sync(self.version)
                message = ("hint", version) if version != told else None
                told = version
            except DutifulError as error:
                told, message = "", ("trouble", error.code)
            if message is None and time.monotonic() - beat >= BEAT_S:
                message = ("beat", "")
            if message is not None:
                beat = time.monotonic()
                for one in list(self._listeners):
                    if not one.full():  # who does not read misses hints, and gets the next
                        one.put_nowait(message)
            await asyncio.sleep(PERIOD_S)


class Kept:
    """View-models of the moment, so that fifty viewers of one screen ask the store once."""

    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker
        self._lock = threading.Lock()
        self._models: dict[object, tuple[str, float, object]] = {}
        self._making: dict[object, threading.Lock] = {}

    def model(self, key: object, make: Callable[[], T]) -> T:
        """What ``make`` returns, or returned since the last pulse; made by one at a time."""
        version = self._ticker.version()
        with self._lock:
            turn = self._making.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                found = self._models.get(key)
            if found is not None and found[0] == version and time.monotonic() - found[1] < BEAT_S:
                return found[2]  # type: ignore[return-value]
            made = make()
            with self._lock:
                if len(self._models) >= KEPT_MAX:
                    self._models.clear()
                    self._making.clear()
                self._models[key] = (version, time.monotonic(), made)
        return made
