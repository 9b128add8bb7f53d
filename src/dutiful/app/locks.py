"""``app.lock(…)``: a lock by name, held by one process at a time, or by so many as it has slots.

A lock keeps honest processes apart while their leases last; it cannot stop one that was suspended from going
on after that. Where that would hurt, the write itself compares ``held.grant_no``, which only grows
(:func:`dutiful.write_if_newer`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from msgspec.structs import replace

from ..model.durations import Duration, microseconds, text
from ..model.errors import InvalidOption, LockBusy, LockLost, SlotsDiffer
from ..model.locks import LEASE, Answer, LockAsk, lease_us, whoami
from .lock_keeper import Entry, Keeper, steady_now
from .lock_stores import EngineLocks, LockStore

T = TypeVar("T")


class HeldLock:
    """A lock that is held within the ``with`` block."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry

    @property
    def name(self) -> str:
        """Of the lock."""
        return self._entry.ask.name

    @property
    def grant_no(self) -> int:
        """Greater than that of every earlier grant of this lock, also of those that lapsed or were broken."""
        assert self._entry.grant_no is not None
        return self._entry.grant_no

    @property
    def trusted(self) -> bool:
        """Whether the lock is surely ours at this moment, by the renewals that were confirmed.

        It ends a margin (a sixth of the lease) before the lease does. A look at a clock, and no more.
        """
        return self._entry.trusted

    def check(self) -> None:
        """Raise LockLost unless :attr:`trusted`; to be called before each step that needs the lock."""
        if not self._entry.trusted:
            raise self._lost()

    def _lost(self) -> LockLost:
        gone = (
            "another was let in, or somebody broke it" if self._entry.lost else "it was not renewed in time"
        )
        return LockLost(self.name, self.grant_no, gone)


class NamedLock:
    """What ``app.lock(…)`` gives: ``with`` and ``async with`` take the lock and give it back."""

    def __init__(
        self,
        keeper: Keeper,
        app: str,
        name: str,
        *,
        lease: Duration,
        slots: int,
        wait: Duration | None,
    ) -> None:
        self._keeper = keeper
        self._lease_us = lease_us(lease)
        self._wait_us = None if wait is None else microseconds(wait, what="wait")
        self._entry: Entry | None = None
        waits = self._wait_us != 0
        # Made once here, which says at once what is wrong with it.
        self._wanted = LockAsk(app, name, "", slots, self._lease_us, whoami(), waits)

    # ── sync ────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> HeldLock:
        """Take it. Raises LockBusy, SlotsDiffer, StoreError; then nothing is held and nobody waits."""
        turn = threading.Event()
        asking = self._begin(turn.set)
        try:
            while not asking.ask():
                turn.wait(asking.left_s)
                turn.clear()
        except BaseException:
            asking.give_up()
            raise
        return HeldLock(asking.entry)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back. Raises LockLost if another was let in before that, unless the block raised itself."""
        if (lost := self._release()) is not None and error is None:
            raise lost._lost()

    # ── async ───────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> HeldLock:
        """See :meth:`__enter__`."""
        loop, turn = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(turn.set)

        asking = self._begin(wake)
        try:
            while not await _off(asking.ask):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(turn.wait(), asking.left_s)
                turn.clear()
        except BaseException:
            await _off(asking.give_up)
            raise
        return HeldLock(asking.entry)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See :meth:`__exit__`."""
        if (lost := await _off(self._release)) is not None and error is None:
            raise lost._lost()

    # ── both ────────────────────────────────────────────────────────────────────────────────

    def _begin(self, wake: Callable[[], None]) -> Asking:
        if self._entry is not None:
            raise InvalidOption(
                f"lock {self._entry.ask.name!r} is held through this object already.",
                hint="A lock is not taken twice; call app.lock(…) anew for another holder.",
            )
        self._entry = Entry(replace(self._wanted, token=uuid.uuid4().hex, who=whoami()), wake)
        return Asking(self, self._keeper, self._entry, self._wait_us)

    def _release(self) -> HeldLock | None:
        """Give it back; what is returned was another's before that."""
        entry, self._entry = self._entry, None
        assert entry is not None
        self._keeper.drop(entry)
        if entry.pid != os.getpid() or self._keeper.store.release(entry.ask):
            return None  # a forked child has nothing to give back
        entry.lost = True
        return HeldLock(entry)

    def _forget(self) -> None:
        self._entry = None


class Asking:
    """One ask, from the first call to the grant."""

    def __init__(self, lock: NamedLock, keeper: Keeper, entry: Entry, wait_us: int | None) -> None:
        self._lock = lock
        self._keeper = keeper
        self.entry = entry
        self._wait_us = wait_us
        self._until = None if wait_us is None else steady_now() + wait_us / 1e6
        self._waits = False
        self._stored = False
        """Whether the store may know of it."""

    @property
    def left_s(self) -> float | None:
        """How long it may still wait; None: for ever."""
        return None if self._until is None else max(0.0, self._until - steady_now())

    def ask(self) -> bool:
        """Whether the lock is ours now; False: wait. Raises LockBusy when the time is over."""
        over = self.left_s == 0
        self._stored, asked_at = True, steady_now()
        answer: Answer = self._keeper.store.ask(self.entry.ask)
        self._stored = answer.waiting or answer.grant_no is not None
        if answer.slots is not None:
            raise SlotsDiffer(self.entry.ask.name, self.entry.ask.slots, answer.slots)
        if answer.grant_no is not None:
            self._keeper.granted(self.entry, answer.grant_no, asked_at)
            return True
        if over or not answer.waiting:
            waited = f" after {text(self._wait_us)}" if self._wait_us else ""
            raise LockBusy(self.entry.ask.name, answer.holders, answer.now_us, waited)
        if not self._waits:
            self._waits = True
            self._keeper.add(self.entry)
        return False

    def give_up(self) -> None:
        """Wait no more, and hold nothing; should the store not be reached, the row lapses by itself."""
        self._lock._forget()
        self._keeper.drop(self.entry)
        if self._stored:
            with contextlib.suppress(Exception):
                self._keeper.store.release(self.entry.ask)


async def _off(call: Callable[[], T]) -> T:
    """In a thread; one who is cancelled waits for its end, so that nothing is granted behind its back."""
    task = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


class Locks:
    """What an app has of locks."""

    name: str
    _lock_store: LockStore | None
    _keeper: Keeper | None = None

    @property
    def keeper(self) -> Keeper:
        """The locks of this process."""
        if self._keeper is None:
            with _making:
                if self._keeper is None:
                    self._keeper = Keeper(self._lock_store or EngineLocks(cast(Any, self).engine))
        return self._keeper

    def lock(
        self, name: str, *, lease: Duration = LEASE, slots: int = 1, wait: Duration | None = None
    ) -> NamedLock:
        """A lock by name, for ``with`` and ``async with``: at most ``slots`` hold it at a time.

        It is renewed in the background; ``lease`` (at least 200 ms) is how long it stays taken when its
        process is gone. Who waits is served in the order of asking; ``wait`` bounds that (0 tries once,
        None waits as long as it takes). It is not re-entrant. Raises InvalidOption here, and LockBusy,
        SlotsDiffer or StoreError when it is taken; then nothing is held.
        """
        return NamedLock(self.keeper, self.name, name, lease=lease, slots=slots, wait=wait)

    def close_locks(self) -> None:
        """Close the connections of locks. What is held still lapses when its lease is over."""
        if self._keeper is not None:
            self._keeper.close()


_making = threading.Lock()
