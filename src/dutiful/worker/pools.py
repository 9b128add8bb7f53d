"""Where bodies run: threads for plain tasks, one event loop for async ones.

A pool is given claimed jobs and gives back endings. It starts nothing that the worker does not allow
at that moment (its lease must be trusted), and it can be asked to stop starting, to cancel, to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..app import events
from ..app.events import emit
from ..model.errors import RunError
from .batches import carry_out_batch
from .groups import carry_out_group
from .held import Held
from .run import STOPPING, acarry_out, carry_out, cut_off, failed

if TYPE_CHECKING:
    from ..app.app import App
    from ..model.jobs import Ending, Lease

logger = logging.getLogger("dutiful.worker")

Ended = Callable[[Held, "Ending"], None]
EndedTogether = Callable[[Sequence[tuple[Held, "Ending"]]], None]
Begin = Callable[[Held], bool]
"""Asked right before a body begins; False leaves the job alone (it was handed back, or must be)."""


class ThreadPool:
    """Plain tasks, on ``size`` threads. A thread that is stuck past a time-out gets a replacement."""

    def __init__(
        self, app: App, size: int, begin: Begin, ended: Ended, ended_together: EndedTogether
    ) -> None:
        self._app = app
        self._begin = begin
        self._ended = ended
        self._ended_together = ended_together
        self._queue: queue.SimpleQueue[Held | list[Held] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._slots = 0
        for _ in range(size):
            self._grow()

    def _grow(self) -> None:
        with self._lock:
            slot, self._slots = self._slots, self._slots + 1
            thread = threading.Thread(
                target=self._work, args=(slot,), name=f"dutiful-run-{slot}", daemon=True
            )
            self._threads.append(thread)
        thread.start()

    def put(self, jobs: Sequence[Held]) -> None:
        """Run these, in order, as threads come free; those that share a transaction or a call, together."""
        together: dict[str, list[Held]] = {}
        for held in jobs:
            size = held.task.policy.group or held.task.policy.batch
            if size is None:
                self._queue.put(held)
                continue
            members = together.setdefault(held.task.name, [])
            members.append(held)
            if len(members) == size:
                self._queue.put(together.pop(held.task.name))
        for members in together.values():
            self._queue.put(members)

    def replace(self, held: Held) -> None:
        """The thread of this job does not come back in time: another takes its place, for good."""
        with self._lock:
            if held.returned:
                return
            held.replaced = True
        emit(
            logger,
            logging.WARNING,
            events.THREAD_STUCK,
            job_id=held.lease.job_id,
            task=held.lease.task,
            slot=held.slot,
        )
        self._grow()

    def _work(self, slot: int) -> None:
        get, begin, ended, app = self._queue.get, self._begin, self._ended, self._app
        while True:
            held = get()
            if held is None:
                return
            if isinstance(held, list):
                self._together(slot, held)
                continue
            held.slot = 2 * slot  # even ones are the threads', odd ones the loop's
            if not begin(held):
                continue
            ending = contextvars.copy_context().run(carry_out, app, held.task, held.lease, held.run)
            with self._lock:
                held.returned = True
            ended(held, ending)
            if held.replaced:
                return

    def _together(self, slot: int, members: list[Held]) -> None:
        by_token = {held.lease.token: held for held in members}
        for held in members:
            held.slot = 2 * slot

        def begin(lease: Lease) -> bool:
            return self._begin(by_token[lease.token])

        policy = members[0].task.policy
        run_them = carry_out_group if policy.group is not None else carry_out_batch
        pairs = [(held.lease, held.run) for held in members]
        endings = contextvars.copy_context().run(run_them, self._app, members[0].task, pairs, begin)
        self._ended_together([(by_token[ending.token], ending) for ending in endings])

    def stop(self) -> None:
        """Let idle threads end; busy ones end after their body."""
        for _ in self._threads:
            self._queue.put(None)

    @property
    def busy(self) -> int:
        """How many threads have not ended."""
        return sum(thread.is_alive() for thread in self._threads)


class LoopPool:
    """Async tasks, on one event loop in a thread of its own; at most ``size`` at a time."""

    def __init__(self, app: App, size: int, begin: Begin, ended: Ended) -> None:
        self._app = app
        self._size = size
        self._begin = begin
        self._ended = ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._waiting: asyncio.Queue[Held | None]
        self._thread = threading.Thread(target=self._work, name="dutiful-loop", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start the loop, and wait until it runs."""
        self._thread.start()
        self._ready.wait()

    def put(self, jobs: Sequence[Held]) -> None:
        """Run these, in order, as slots come free."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._take, list(jobs))

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a plain or async function on the loop and wait for it (for start and stop hooks)."""

        async def once() -> Any:
            value = function()
            return await value if asyncio.iscoroutine(value) else value

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(once(), self._loop).result()

    def cancel(self, held: Held) -> None:
        """Cancel this job's body, from any thread."""
        if self._loop is not None and held.cancel is not None:
            held.stopped = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(held.cancel)

    def stop(self, timeout_s: float) -> None:
        """Let idle slots end; busy ones end after their body."""
        if self._loop is None or not self._thread.is_alive():
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take, [None] * max(self._size, 1))
        self._thread.join(timeout_s)

    def _take(self, jobs: Sequence[Held | None]) -> None:
        for held in jobs:
            self._waiting.put_nowait(held)

    def _work(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting = asyncio.Queue()
        self._ready.set()
        async with asyncio.TaskGroup() as group:
            for slot in range(max(self._size, 1)):
                group.create_task(self._slot(slot))
        await self._app.leave_loop()

    async def _slot(self, slot: int) -> None:
        while (held := await self._waiting.get()) is not None:
            held.slot = 2 * slot + 1
            if not self._begin(held):
                continue
            # A task of its own: its context is its own, and it can be cancelled without us.
            body = asyncio.create_task(acarry_out(self._app, held.task, held.lease, held.run))
            held.cancel = body.cancel
            try:
                ending = await body
            except asyncio.CancelledError:
                if held.stopped:
                    ending = cut_off(held.task, held.lease, STOPPING, "Cancelled")
                else:
                    error = RunError("The body was cancelled from inside.")
                    ending = failed(held.task, held.lease, error)
            held.cancel = None
            self._ended(held, ending)
