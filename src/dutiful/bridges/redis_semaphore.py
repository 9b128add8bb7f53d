"""A semaphore that Python processes share with Ruby's by the keys of the gem redis-semaphore.

Our side takes a token, and gives it back, in one step each; never gives a token back that is not its own any
more; renews what it holds, and takes back what its dead left. It cannot mend the gem: where that goes over
its limit by itself (it gives back a token that was taken from it as stale, and two have one), ours puts the
list right at its next step, and grants no more than there are slots.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from ..app.lock_keeper import Entry, Keeper, steady_now
from ..app.locks import HeldLock
from ..model.durations import Duration, microseconds, text
from ..model.errors import InvalidOption, LockBusy, SlotsDiffer, StoreUnreachable
from ..model.locks import LEASE, LockAsk, lease_us, whoami
from . import redis_semaphore_scripts as scripts
from .redis_locks import TIMEOUT_S, connected

ROUND_S = 1.0
"""How long one wait for a token lasts before what may be wrong is looked at again."""
SPAN_US = 10_000_000
"""When a token that was on its way to a process is given to another, the process not having been heard of."""


class RedisSemaphore:
    """``with RedisSemaphore(url, "imports", slots=3) as held:`` (Redis 6.2 or newer).

    ``slots`` is the gem's ``resources``. ``stale`` is the gem's ``stale_client_timeout``, for holders of the
    gem's alone: a token that is taken for longer is given to another (None: never). ``lost_after`` is when a
    token that is neither free nor taken is made anew: a gem's process died between two commands. It should be
    far above any pause of such a process. ``lease``, ``wait`` and what is held are as for
    :meth:`dutiful.App.lock`; a gem with ``stale_client_timeout`` leaves ours alone while ``lease`` is at most
    that. One object is one holder at a time. Raises InvalidOption, DriverMissing.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        slots: int = 1,
        lease: Duration = LEASE,
        wait: Duration | None = None,
        stale: Duration | None = None,
        lost_after: Duration | None = "60s",
    ) -> None:
        self._lease_us = lease_us(lease)
        self._wait_us = None if wait is None else microseconds(wait, what="wait")
        self._wanted = LockAsk("", name, "", slots, self._lease_us, whoami(), True)
        self._limits = [slots, _span(stale, "stale"), _span(lost_after, "lost_after")]
        self._redis = connected(url)
        keys = ("AVAILABLE", "GRABBED", "EXISTS", "VERSION", "DUTIFUL")
        self._keys = [f"SEMAPHORE:{name}:{key}" for key in keys]
        self._keys += [f"SEMAPHORE:{name}:DUTIFUL:{key}" for key in ("ASKS", "MISSING", "NUMBER")]
        self._scripts = {
            one: self._redis.register_script(one)
            for one in (scripts.ENTER, scripts.TAKE, scripts.RENEW, scripts.RELEASE)
        }
        self._keeper = Keeper(_Renewing(self))
        self._entry: Entry | None = None

    def __enter__(self) -> HeldLock:
        """Take one of the slots. Raises LockBusy, SlotsDiffer, StoreUnreachable; then nothing is held."""
        if self._entry is not None:
            raise InvalidOption(f"semaphore {self._wanted.name!r} is held through this object already.")
        ask = LockAsk(
            "", self._wanted.name, uuid.uuid4().hex, self._wanted.slots, self._lease_us, whoami(), True
        )
        self._entry = Entry(ask, lambda: None)
        try:
            self._take(self._entry)
        except BaseException:
            with contextlib.suppress(Exception):
                self._call(scripts.RELEASE, ask.token)
            self._entry = None
            raise
        return HeldLock(self._entry)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back; raises LockLost if it was another's before that, unless the block raised itself."""
        entry, self._entry = self._entry, None
        assert entry is not None
        self._keeper.drop(entry)
        try:
            held = self._call(scripts.RELEASE, entry.ask.token)
        except StoreUnreachable:  # it may have been done
            self._call(scripts.RELEASE, entry.ask.token)
            held = True
        if not held:
            entry.lost = True
            if error is None:
                HeldLock(entry).check()

    def close(self) -> None:
        """Close the connections."""
        self._keeper.close()

    def _take(self, entry: Entry) -> None:
        token = entry.ask.token
        end = None if self._wait_us is None else time.monotonic() + self._wait_us / 1e6
        while True:
            said, count = self._call(scripts.ENTER, token, SPAN_US)
            if said == "differs":
                raise SlotsDiffer(entry.ask.name, entry.ask.slots, int(float(count)))
            left = ROUND_S if end is None else min(ROUND_S, end - time.monotonic())
            if self._moved(token, left):
                asked_at = steady_now()
                found = self._call(scripts.TAKE, token, self._lease_us)
                if found:
                    self._keeper.granted(entry, int(found[1]), asked_at)
                    return
            elif end is not None and time.monotonic() >= end:
                waited = f" after {text(self._wait_us)}" if self._wait_us else ""
                raise LockBusy(entry.ask.name, (), 0, waited)

    def _moved(self, token: str, timeout_s: float) -> bool:
        """Wait in Redis's own queue, in which the gem waits too; what we get lies in a list that names us."""
        there = f"{self._keys[4]}:{token}"
        return (
            self._safely(
                lambda: (
                    self._redis.lmove(self._keys[0], there)
                    if timeout_s < 0.01
                    else self._redis.blmove(self._keys[0], there, timeout_s)
                )
            )
            is not None
        )

    def _call(self, script: str, *args: Any) -> Any:
        return self._safely(lambda: self._scripts[script](keys=self._keys, args=[*self._limits, *args]))

    @staticmethod
    def _safely(call: Any) -> Any:
        import redis

        try:
            return call()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise StoreUnreachable(f"Redis cannot be reached ({error}).") from error


class _Renewing:
    """As much of a store of locks as renewing needs."""

    def __init__(self, of: RedisSemaphore) -> None:
        self._of = of

    def renew(self, tokens: Sequence[str]) -> set[str]:
        kept = self._of._call(scripts.RENEW, self._of._lease_us, *tokens)
        return set(kept)

    def interrupt(self) -> None:
        return None

    def close(self) -> None:
        self._of._redis.close()

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)  # nobody waits through the keeper


def _span(of: Duration | None, what: str) -> int:
    return 0 if of is None else microseconds(of, what=what, zero_ok=False)


assert ROUND_S < TIMEOUT_S, "a wait must end before its connection gives up"
