"""One thread for all the locks that a process holds or waits for: it renews them, and listens for their turn.

What a holder may trust is measured here from before each renewal was sent, by a clock that goes on while the
machine is suspended. The thread begins with the first lock and ends when there is none.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..model.locks import TICKET_US, LockAsk
from . import events
from .events import emit
from .lock_stores import LockStore

logger = logging.getLogger("dutiful.app")

POLL_S = 1.0
"""Hints may be lost: so often, at the latest, a waiter looks whether it is its turn."""
BEATS = 6
"""Renewals within a lease."""
BEAT_S_MAX = 5.0
LINGER_S = 5.0
"""How long the thread stays when there is nothing to do."""


def steady_now() -> float:
    """Seconds that only go forward, and go on while the machine is suspended (where it can tell)."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


@dataclass(eq=False)
class Entry:
    """A lock that is held, or waited for while ``grant_no`` is None."""

    ask: LockAsk
    wake: Callable[[], None]
    grant_no: int | None = None
    trusted_until: float = 0.0
    lost: bool = False
    warned: bool = False
    pid: int = field(default_factory=os.getpid)

    @property
    def beat_s(self) -> float:
        """How often it is renewed."""
        span_us = self.ask.lease_us if self.grant_no is not None else min(TICKET_US, self.ask.lease_us)
        return min(BEAT_S_MAX, span_us / 1e6 / BEATS)

    @property
    def trusted(self) -> bool:
        """Whether it is surely ours now."""
        if self.lost or self.grant_no is None or self.pid != os.getpid():
            return False
        return steady_now() < self.trusted_until

    def trust_from(self, asked_at: float) -> None:
        """What was sent at ``asked_at`` has renewed it: until then and its lease, less a margin."""
        if self.grant_no is None:
            return
        lease_s = self.ask.lease_us / 1e6
        margin_s = max(lease_s / 10, min(self.beat_s, lease_s / 4))
        self.trusted_until = max(self.trusted_until, asked_at + lease_s - margin_s)


class Keeper:
    """The locks of one process in one store."""

    def __init__(self, store: LockStore) -> None:
        self.store = store
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._entries: dict[str, Entry] = {}
        self._thread: threading.Thread | None = None
        self._next_beat = 0.0
        self._listening = False
        self._stopping = False

    def add(self, entry: Entry) -> None:
        """From now on it is renewed; while it waits, ``wake`` is called when it should ask again."""
        self._look_out()
        with self._changed:
            self._entries[entry.ask.token] = entry
            self._next_beat = min(self._next_beat, steady_now() + entry.beat_s)
            if self._thread is None:
                self._next_beat = steady_now() + entry.beat_s
                self._thread = threading.Thread(target=self._work, name="dutiful-locks", daemon=True)
                self._thread.start()
            self._changed.notify()
            listening = self._listening
        if listening:
            self.store.interrupt()

    def granted(self, entry: Entry, grant_no: int, asked_at: float) -> None:
        """It holds its lock; the grant was asked for at ``asked_at``."""
        with self._changed:
            entry.grant_no = grant_no
            entry.trust_from(asked_at)
        self.add(entry)

    def drop(self, entry: Entry) -> None:
        """It is renewed no more."""
        self._look_out()
        with self._changed:
            self._entries.pop(entry.ask.token, None)
            self._changed.notify()

    def close(self) -> None:
        """End the thread, and close the store's connections; the next lock begins anew.

        What is still held is renewed no more until then, and lapses; who still waits asks again.
        """
        self._look_out()
        with self._changed:
            thread, self._stopping = self._thread, True
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            while thread.is_alive():
                self.store.interrupt()
                thread.join(0.05)
        self._stopping = False
        self.store.close()

    def _look_out(self) -> None:
        if self._pid != os.getpid():
            self._reset()  # a forked child holds nothing of its parent's

    # ── the thread ──────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._entries and not self._stopping:
                    self._changed.wait(LINGER_S)
                if not self._entries or self._stopping:
                    self._thread = None
                    for entry in self._entries.values():
                        entry.wake()
                    return
                waiting = [entry for entry in self._entries.values() if entry.grant_no is None]
                pause = max(0.0, self._next_beat - steady_now())
                self._listening = bool(waiting)
                if not waiting and not self._stopping:
                    self._changed.wait(pause)
            if waiting:
                self._listen(waiting, min(pause, POLL_S * random.uniform(0.8, 1.0)))
            if steady_now() >= self._next_beat:
                self._beat()

    def _listen(self, waiting: list[Entry], timeout_s: float) -> None:
        try:
            self.store.wait([entry.ask for entry in waiting], timeout_s)
            turns = self.store.turns([entry.ask.token for entry in waiting])
        except Exception:
            # The store cannot be reached: the waiters' own asks will say so, or find it back.
            time.sleep(min(timeout_s, 0.2))
            turns = {entry.ask.token for entry in waiting} if steady_now() >= self._next_beat else set()
        finally:
            self._listening = False
        for entry in waiting:
            if entry.ask.token in turns:
                entry.wake()

    def _beat(self) -> None:
        with self._changed:
            entries = dict(self._entries)
        asked_at = steady_now()
        alive: set[str] | None = None
        try:
            alive = self.store.renew(list(entries))
        except Exception as error:
            for entry in entries.values():
                if entry.grant_no is not None and not entry.trusted and not entry.warned:
                    entry.warned = True
                    self._tell(entry, events.LOCK_AT_RISK, error=str(error))
        with self._changed:
            for token, entry in entries.items():
                if alive is None:
                    continue
                if token in alive:
                    entry.warned = False
                    entry.trust_from(asked_at)
                elif entry.grant_no is None:
                    entry.wake()  # its ticket lapsed: it asks anew, at the back
                elif self._entries.pop(token, None) is entry:  # else it was given back meanwhile
                    entry.lost = True
                    self._tell(entry, events.LOCK_LOST)
            beats = (entry.beat_s for entry in self._entries.values())
            self._next_beat = asked_at + min(beats, default=BEAT_S_MAX)

    @staticmethod
    def _tell(entry: Entry, event: str, **more: object) -> None:
        ask = entry.ask
        emit(logger, logging.ERROR, event, lock=ask.name, grant_no=entry.grant_no, app=ask.app, **more)
