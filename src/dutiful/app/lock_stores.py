"""Where locks are kept: in the app's own database; something else that does the same may be given instead."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from ..engines.contract import Engine
from ..engines.urls import open_engine
from ..engines.work import open_work
from ..model.errors import CommitUnknown, InsideTransaction
from ..model.locks import Answer, LockAsk, LockLine
from ..operations import locks


class LockStore(Protocol):
    """What keeps locks. Its clock alone decides over leases; tokens are its fences."""

    def ask(self, wanted: LockAsk) -> Answer:
        """Ask for a lock, or, with the token of one who waits, whether it is its turn."""
        ...

    def renew(self, tokens: Sequence[str]) -> set[str]:
        """Move on leases and tickets; returns those that are still there. Nothing lapsed comes back."""
        ...

    def turns(self, tokens: Sequence[str]) -> set[str]:
        """Which waiters should ask again; a hint."""
        ...

    def release(self, wanted: LockAsk) -> bool:
        """Give back; False if this token was passed by or broken before. Hints to those who wait."""
        ...

    def wait(self, asks: Sequence[LockAsk], timeout_s: float) -> None:
        """Until one of these locks may have become free, or :meth:`interrupt`; a hint, for one thread."""
        ...

    def interrupt(self) -> None:
        """End the wait that is under way, or the next."""
        ...

    def listed(self, app: str, name: str | None = None) -> list[LockLine]:
        """Who holds and who waits."""
        ...

    def close(self) -> None:
        """Close connections; new ones are opened when it is used again."""
        ...


class EngineLocks:
    """Locks in an app's database, by an engine of their own: what is busy elsewhere loses no lease."""

    def __init__(self, engine: Engine) -> None:
        self._of = engine
        self._own: Engine | None = None
        self._lock = threading.Lock()
        self._here = threading.Event() if getattr(engine, "memory", False) else None
        """Hints in a store that only this process sees: its engine's are the worker's."""

    @property
    def engine(self) -> Engine:
        """Opened when it is needed."""
        with self._lock:
            if self._own is None:
                self._own = self._of if self._here else open_engine(self._of.url, clock=self._of.clock)
            return self._own

    def ask(self, wanted: LockAsk) -> Answer:
        """See :class:`LockStore`. After a commit of unknown outcome it asks again: the token tells."""
        work = open_work.get()
        if self._of.name == "sqlite" and work is not None and work.engine is self._of:
            raise InsideTransaction(f"lock {wanted.name!r} would wait for the run's own transaction.")
        try:
            return self.engine.run(locks.ask(wanted))
        except CommitUnknown:
            return self.engine.run(locks.ask(wanted))

    def renew(self, tokens: Sequence[str]) -> set[str]:
        """See :class:`LockStore`."""
        return self.engine.run(locks.renew(tokens))

    def turns(self, tokens: Sequence[str]) -> set[str]:
        """See :class:`LockStore`."""
        return self.engine.run(locks.turns(tokens))

    def release(self, wanted: LockAsk) -> bool:
        """See :class:`LockStore`. After a commit of unknown outcome, "it is gone" is not held against us."""
        try:
            held = self.engine.run(locks.release(wanted.token))
        except CommitUnknown:
            self.engine.run(locks.release(wanted.token))
            held = True
        if self._here:
            self._here.set()
        else:
            self.engine.wake(channel(wanted.app, wanted.name))
        return held

    def wait(self, asks: Sequence[LockAsk], timeout_s: float) -> None:
        """See :class:`LockStore`; by the engine's hints."""
        if self._here:
            self._here.wait(timeout_s)
            self._here.clear()
            return
        self.engine.wait(frozenset(channel(ask.app, ask.name) for ask in asks), timeout_s)

    def interrupt(self) -> None:
        """See :class:`LockStore`."""
        if self._here:
            self._here.set()
        else:
            self.engine.interrupt()

    def listed(self, app: str, name: str | None = None) -> list[LockLine]:
        """See :class:`LockStore`."""
        return self.engine.run(locks.listed(app, name))

    def close(self) -> None:
        """See :class:`LockStore`."""
        with self._lock:
            if self._own is not None and self._own is not self._of:
                self._own.close()
            self._own = None


def channel(app: str, name: str) -> str:
    """What is hinted at when a lock comes free. No queue is called so."""
    return f"lock {app} {name}"
