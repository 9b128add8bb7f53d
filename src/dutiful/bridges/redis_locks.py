"""``App(locks=RedisLocks(url))``: the locks of :meth:`dutiful.App.lock` in Redis instead of the database.

The same interface, with a weaker promise: Redis acknowledges before a replica or a disk has it. After a
failover, a restart that lost writes, or an eviction, a grant may be forgotten and given again while its
holder still trusts it. Grant numbers go on to grow even then, as long as the servers' clocks agree, so that a
write that compares them is safe still.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..app import events
from ..app.events import emit
from ..model.errors import DriverMissing, LockNotHeld, StoreUnreachable
from ..model.locks import TICKET_US, Answer, Holder, LockAsk, LockLine
from . import redis_scripts as scripts

T = TypeVar("T")

logger = logging.getLogger("dutiful.app")

PREFIX = "dutiful:lock:"
TIMEOUT_S = 5.0


def connected(url: str) -> Any:
    """A client whose commands are sent once: we decide what a repeat would mean. Raises DriverMissing."""
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise DriverMissing(
            "Locks in Redis need redis-py, which is not installed.", hint="Run: pip install 'dutiful[redis]'"
        ) from None
    return redis.Redis.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        decode_responses=True,
    )


class RedisLocks:
    """Keeps an app's locks in one Redis (or Valkey) server, from version 5 on; ``url`` as redis-py takes it.

    The server must not evict keys (``maxmemory-policy noeviction``). Raises DriverMissing.
    """

    def __init__(self, url: str) -> None:
        self._redis = connected(url)
        self._scripts: dict[str, Any] = {}
        self._known: dict[str, LockAsk] = {}
        self._listener: Any = None
        self._heard: set[str] = set()
        self._mine = f"{PREFIX}interrupt:{uuid.uuid4().hex}"
        self._lock = threading.Lock()

    # ── what the keeper asks ────────────────────────────────────────────────────────────────

    def ask(self, wanted: LockAsk) -> Answer:
        """See :class:`~dutiful.app.lock_stores.LockStore`. Sent again once: the token makes it one ask."""
        span = min(TICKET_US, wanted.lease_us)
        args = [wanted.token, wanted.slots, wanted.lease_us, span, int(wanted.waits), wanted.who]
        self._known[wanted.token] = wanted
        said, *rest = self._twice(lambda: self._call(scripts.ASK, wanted, args))
        match said:
            case "held":
                return Answer(int(rest[0]))
            case "differs":
                return Answer(slots=int(rest[0]))
        now_us, listed = int(rest[0]), rest[1:]
        holders = tuple(
            Holder(listed[at], int(listed[at + 1]), int(listed[at + 2]), int(float(listed[at + 3])))
            for at in range(0, len(listed), 4)
        )
        return Answer(None, said == "waits", holders, now_us)

    def renew(self, tokens: Sequence[str]) -> set[str]:
        """See :class:`~dutiful.app.lock_stores.LockStore`; one round trip for all locks."""
        return self._for_each_lock(scripts.RENEW, tokens)

    def turns(self, tokens: Sequence[str]) -> set[str]:
        """See :class:`~dutiful.app.lock_stores.LockStore`."""
        return self._for_each_lock(scripts.TURNS, tokens)

    def release(self, wanted: LockAsk) -> bool:
        """See :class:`~dutiful.app.lock_stores.LockStore`."""
        args = [wanted.token, channel(wanted.app, wanted.name)]
        try:
            return bool(self._once(lambda: self._call(scripts.RELEASE, wanted, args)))
        except StoreUnreachable:
            # It may have been done; the second time is then told "not there", which is not held against us.
            self._once(lambda: self._call(scripts.RELEASE, wanted, args))
            return True
        finally:
            self._known.pop(wanted.token, None)

    def wait(self, asks: Sequence[LockAsk], timeout_s: float) -> None:
        """See :class:`~dutiful.app.lock_stores.LockStore`; by what a release publishes."""
        wanted = {self._mine, *(channel(ask.app, ask.name) for ask in asks)}
        if self._listener is None:
            self._listener = self._redis.pubsub(ignore_subscribe_messages=True)
            self._heard = set()
        here = self._heard
        if wanted - here:
            self._once(lambda: self._listener.subscribe(*(wanted - here)))
        if here - wanted:
            self._once(lambda: self._listener.unsubscribe(*(here - wanted)))
        self._heard = wanted
        self._once(lambda: self._listener.get_message(timeout=timeout_s))

    def interrupt(self) -> None:
        """See :class:`~dutiful.app.lock_stores.LockStore`."""
        try:
            self._once(lambda: self._redis.publish(self._mine, "1"))
        except StoreUnreachable:
            pass  # then nothing waits there either

    def close(self) -> None:
        """See :class:`~dutiful.app.lock_stores.LockStore`."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        self._redis.close()

    # ── what people ask ─────────────────────────────────────────────────────────────────────

    def listed(self, app: str, name: str | None = None) -> list[LockLine]:
        """Who holds and who waits. Goes through all keys of the server for it."""
        start = f"{PREFIX}{{{app}:"
        found = [f"{start}{name}}}"] if name is not None else sorted(self._keys(start))
        lines: list[LockLine] = []
        for key in found:
            lines += self._lines(app, key.removeprefix(start).removesuffix("}"))
        return lines

    def break_lock(
        self, app: str, name: str, *, actor: str, reason: str, grant_no: int | None = None
    ) -> list[tuple[int, str]]:
        """Take a lock from those who hold it; logged (``lock_broken``), not audited. Raises LockNotHeld."""
        args = [channel(app, name), "" if grant_no is None else str(grant_no)]
        said = self._once(lambda: self._script(scripts.BREAK)(keys=_keys(app, name), args=args))
        broken = [(int(said[at]), said[at + 1]) for at in range(0, len(said), 2)]
        if not broken:
            raise LockNotHeld(f"Nobody holds lock {name!r} of app {app!r} in Redis.")
        for number, who in broken:
            about = {"lock": name, "app": app, "grant_no": number, "who": who, "actor": actor}
            emit(logger, logging.WARNING, events.LOCK_BROKEN, **about, reason=reason)
        return broken

    def _keys(self, start: str) -> set[str]:
        mask = "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in start)
        return set(self._once(lambda: list(self._redis.scan_iter(match=f"{mask}*}}"))))

    def _lines(self, app: str, name: str) -> list[LockLine]:
        now, slots, last, *rest = self._once(
            lambda: self._script(scripts.LIST)(keys=_keys(app, name), args=[])
        )
        lines = []
        for at in range(0, len(rest), 3):
            until, ticket, about = rest[at], rest[at + 1], json.loads(rest[at + 2] or "{}")
            number = about.get("grant_no")
            granted_at = None if number is None else int(about["granted_at"])
            lines.append(
                LockLine(
                    app,
                    name,
                    int(slots),
                    int(last),
                    int(float(ticket or 0)),
                    None if number is None else int(number),
                    None,
                    str(about.get("who", "")),
                    int(about.get("asked_at", 0)),
                    granted_at,
                    int(float(until)),
                    int(now),
                )
            )
        return lines

    # ── scripts ─────────────────────────────────────────────────────────────────────────────

    def _script(self, text: str) -> Any:
        if text not in self._scripts:
            self._scripts[text] = self._redis.register_script(text)
        return self._scripts[text]

    def _call(self, text: str, of: LockAsk, args: list[Any]) -> Any:
        return self._script(text)(keys=_keys(of.app, of.name), args=args)

    def _for_each_lock(self, text: str, tokens: Sequence[str]) -> set[str]:
        by_lock: dict[tuple[str, str], list[str]] = {}
        for token in tokens:
            if (ask := self._known.get(token)) is not None:
                by_lock.setdefault((ask.app, ask.name), []).append(token)
        script = self._script(text)

        def send() -> list[Any]:
            pipe = self._redis.pipeline(transaction=False)
            for (app, name), mine in by_lock.items():
                script(keys=_keys(app, name), args=mine, client=pipe)
            found: list[Any] = pipe.execute()
            return found

        return {token for kept in self._once(send) for token in kept}

    def _once(self, call: Callable[[], T]) -> T:
        import redis

        try:
            return call()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise StoreUnreachable(
                f"Redis cannot be reached ({error}).", hint="Is the server running, and is the URL right?"
            ) from error

    def _twice(self, call: Callable[[], T]) -> T:
        try:
            return self._once(call)
        except StoreUnreachable:
            return self._once(call)


def channel(app: str, name: str) -> str:
    """What a release publishes to."""
    return f"{PREFIX}free:{app}:{name}"


def _keys(app: str, name: str) -> list[str]:
    start = f"{PREFIX}{{{app}:{name}}}"
    return [start, *(f"{start}:{part}" for part in ("holders", "alive", "queue", "about"))]
