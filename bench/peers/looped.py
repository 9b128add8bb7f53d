"""What peers with an asynchronous producer share: one event loop, and a bulk that keeps many calls under way.

``run`` starts a worker's coroutine on uvloop where that is installed, as the peers' manuals advise.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from bench.driven import Driven

T = TypeVar("T")


class Looped(Driven):
    """Fill in ``connect`` and ``send``; without a bulk interface, a bulk is many sends at once."""

    def prepare(self) -> None:
        try:
            import uvloop
        except ImportError:
            self.loop = asyncio.new_event_loop()
        else:
            self.loop = uvloop.new_event_loop()
        self.wait(self.connect())

    @abstractmethod
    async def connect(self) -> None:
        """Make tables and connections."""

    @abstractmethod
    async def send(self, index: int) -> Any:
        """Store one job."""

    def enqueue(self, index: int) -> None:
        self.wait(self.send(index))

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        self.wait(self._all(indexes))

    async def _all(self, indexes: Sequence[int]) -> None:
        await asyncio.gather(*(self.send(index) for index in indexes))

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)


def run(coroutine: Coroutine[Any, Any, Any]) -> None:
    """In a worker process: run that until it is stopped."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)
