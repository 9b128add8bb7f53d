"""Job ids: UUIDs of version 7, made by the producer, so that an enqueue tried again is one job.

The first 48 bits are the time in milliseconds, so ids sort by time and the history finds a job's
day from its id alone. Ids made in one process always increase, also within a millisecond and when
the clock steps back a little.

:func:`make_id` is the one place in ``model`` that looks at the clock and asks for randomness. It
stands here because an id is made before there is a database to ask: the producer needs it to repeat
an enqueue whose answer was lost. All it does is hand the two to :class:`IdMaker`, which is tested
with a clock and chance of the test's own.
"""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator

RANDOM_BYTES = 10
"""What an id takes from chance: 12 bits beside the time (a counter, where IdMaker made it) and 62."""

SETBACK_MS_MAX = 10_000
"""A clock that steps back by less is not followed, so that ids go on increasing; one that steps back
by more was wrong before, and ids must not keep carrying the wrong day."""

_SETBACK = SETBACK_MS_MAX << 12
_VARIANT = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}
"""What a random hexadecimal digit becomes where the variant stands."""
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BARE = re.compile(r"[0-9a-f]{32}")


def new_id(now_ms: int, random_bytes: bytes) -> str:
    """The id for an instant (ms since 1970, UTC) and ten random bytes, as canonical text."""
    if not 0 <= now_ms < 1 << 48 or len(random_bytes) != RANDOM_BYTES:
        raise ValueError("an id needs a time in milliseconds below 2**48 and ten random bytes")
    beside = int.from_bytes(random_bytes[:2], "big") & 0x0FFF
    return _text(now_ms << 12 | beside, random_bytes[2:])


def _text(sorted_by: int, chance: bytes) -> str:
    """60 bits to sort by, the version between them, 62 bits of chance, the variant before them."""
    first, rest = f"{sorted_by:015x}", chance.hex()
    return f"{first[:8]}-{first[8:12]}-7{first[12:]}-{'89ab'[chance[0] >> 4 & 3]}{rest[1:4]}-{rest[4:]}"


class IdMaker:
    """Makes increasing ids from a clock (in nanoseconds) and a source of chance.

    Within one millisecond the 12 bits beside the time count up from 0; at 4,096 the id borrows the
    next millisecond. The 62 random bits are fresh each time: two processes, or a fork's two halves,
    never make the same id.
    """

    def __init__(self, now_ns: Callable[[], int], chance: Callable[[int], bytes]) -> None:
        self._now_ns, self._chance = now_ns, chance
        self._last = -1  # time in ms << 12 | counter
        self._lock = threading.Lock()

    def make(self) -> str:
        """The next id."""
        return _text(self._take(1), self._chance(8))

    def make_many(self, count: int) -> list[str]:
        """The next ``count`` ids: those of as many calls of :meth:`make`, several times as fast."""
        first = self._take(count)
        chance, ids, head = self._chance(8 * count).hex(), [], ""
        for n in range(count):
            sorted_by, at = first + n, 16 * n
            if not n or not sorted_by & 0xFFF:  # another millisecond
                time_ms = f"{sorted_by >> 12:012x}"
                head = f"{time_ms[:8]}-{time_ms[8:]}-7"
            ids.append(
                f"{head}{sorted_by & 0xFFF:03x}-{_VARIANT[chance[at]]}{chance[at + 1 : at + 4]}"
                f"-{chance[at + 4 : at + 16]}"
            )
        return ids

    def _take(self, count: int) -> int:
        """The first of so many numbers, which are nobody else's."""
        with self._lock:
            fresh = self._now_ns() // 1_000_000 << 12
            if fresh <= self._last and self._last - fresh < _SETBACK:
                fresh = self._last + 1
            self._last = fresh + count - 1
        return fresh

    def renew_lock(self) -> None:
        """In the child of a fork: another thread may have held the lock, and is not there any more."""
        self._lock = threading.Lock()


_maker = IdMaker(time.time_ns, os.urandom)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_maker.renew_lock)


def make_id() -> str:
    """A fresh job id, from this machine's clock and chance."""
    return _maker.make()


def make_ids(count: int) -> list[str]:
    """So many fresh job ids, one after the other."""
    return _maker.make_many(count)


class LaterIds:
    """So many fresh ids, each made when it is first asked for: a bulk's, while its rows are on their way."""

    PIECE = 500

    def __init__(self, count: int) -> None:
        self._count = count
        self._made: list[str] = []

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        for start in range(0, self._count, self.PIECE):
            if len(self._made) == start:
                self._made += make_ids(min(self.PIECE, self._count - start))
            yield from self._made[start : start + self.PIECE]


def parse_id(text: str) -> str:
    """The canonical text of any UUID text (upper case, without dashes, ``urn:uuid:``, braces).

    Raises ``ValueError``, which quotes the text.
    """
    lowered = text.strip().lower()
    if _ID.fullmatch(lowered):
        return lowered
    bare = lowered.removeprefix("urn:uuid:").removeprefix("{").removesuffix("}")
    if not (_ID.fullmatch(bare) or _BARE.fullmatch(bare)):
        raise ValueError(f"{text[:60]!r} is no job id: a UUID has 32 hexadecimal digits")
    return str(uuid.UUID(bare))


def id_time_us(id: str) -> int | None:
    """When a canonical id was made, in microseconds (whole milliseconds); None if it does not say."""
    if len(id) != 36 or id[14] != "7":
        return None
    return int(id[:8] + id[9:13], 16) * 1_000


def id_between(low: str, high: str, share: float) -> str:
    """The canonical id that lies ``share`` (0 to 1) of the way from one to another: a place in a table."""
    first, last = (int(id.replace("-", ""), 16) for id in (low, high))
    return str(uuid.UUID(int=first + (last - first) * int(share * (1 << 53)) // (1 << 53)))
