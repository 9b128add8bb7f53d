"""Child processes that run one job at a time: tasks with isolation="process", and suspects.

A suspect is a job that was in its body when a worker died. It runs alone, so that if it kills again
it takes nobody with it, and the crash is charged to it and to nothing else. A child has a worker row
of its own ("alone"), beaten for by its parent, which claims for it, ends its runs, and reports its
death at once. The child does no database work. It is ready before anything is claimed for it: what is
claimed begins at once, so a worker that is killed while a child starts has lost no job.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from ..app import events
from ..app.events import emit
from ..model.errors import CommitUnknown
from ..model.jobs import Beat, Claimed, Lease, NewWorker, Waiting
from ..model.marks import Marks
from ..operations import claims, workers
from ..operations.plan import Operation
from .child import PAUSE_S, Child
from .child_process import where_is
from .run import cut_off
from .unwanted import unwanted

if TYPE_CHECKING:
    from .worker import Worker

logger = logging.getLogger("dutiful.worker")

T = TypeVar("T")

IDLE_S = 60.0
START_PAUSE_MAX_S = 30.0
"""So long, at most, until a start that failed is tried again."""


def _first(seen: list[Claimed], reply: Claimed) -> Lease | None:
    seen.append(reply)
    return reply.leases[0] if reply.leases else None


class ChildPool:
    """Feeds idle children from one thread."""

    def __init__(self, worker: Worker, isolated: Mapping[str, int]) -> None:
        self.worker = worker
        self.isolated = isolated
        self.app_path = worker.app_path or where_is(worker.app)
        self.closing = False
        self.claiming = True
        count = max(1, min(worker.options.slots, os.cpu_count() or 1)) if isolated else 1
        self._children = [Child(self) for _ in range(count)]
        self._busy: dict[Child, threading.Thread] = {}
        self._suspects = False
        self._asked: list[int] = []
        self._marks = Marks()
        self._starting = False
        self._start_at = 0.0
        self._start_pause = PAUSE_S
        self._news = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="dutiful-children", daemon=True)

    # ── what the worker asks ────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Begin to feed."""
        self._thread.start()

    def rows(self) -> list[int]:
        """The rows to beat for."""
        self._asked = [child.row for child in self._children if child.row is not None]
        return self._asked

    def beaten(self, beat: Beat) -> None:
        """Take note whether suspects wait, and which of our rows are gone."""
        for child in self._children:
            if child.row is not None and child.row in self._asked and child.row not in beat.alive:
                child.stale = True
                if child.lease is None:
                    child.row = None
        self._suspects = beat.suspects
        if beat.suspects:
            self._tell()

    @property
    def busy(self) -> bool:
        """Whether a child runs something."""
        return any(child.lease is not None for child in self._children)

    def stop_claiming(self) -> None:
        """Feed no more."""
        self.claiming = False
        self._tell()
        for child in self._children:
            if (starting := child.starting) is not None:
                starting.kill()
        if self._thread.ident is not None:
            self._thread.join(10.0)

    def kill_all(self) -> None:
        """End what still runs: its jobs are handed back, uncharged."""
        for child in self._children:
            if child.lease is not None and child.process is not None:
                child.killed_for = "drain"
                child.process.kill()

    def cancel(self, token: str) -> None:
        """End the child of this run: its job was asked to stop, and had its time."""
        for child in self._children:
            lease, process = child.lease, child.process
            if lease is not None and process is not None and lease.token == token:
                child.killed_for = "cancel"
                process.kill()

    def close(self) -> None:
        """Let the processes go, and their rows."""
        self.closing = True
        for thread in list(self._busy.values()):
            thread.join(5.0)
        for child in self._children:
            self._retire(child)

    def register(self) -> int:
        """A row for a child that is about to be claimed for."""
        worker = self.worker
        return worker.engine.run(
            workers.register(
                NewWorker(
                    app=worker.app.name,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    parent=worker.id,
                    alone=True,
                    lease_us=round(worker.options.lease_s * 1e6),
                    concurrency=1,
                    queues=msgspec.json.encode(sorted(worker.queues)).decode(),
                    tasks=msgspec.json.encode(worker.app.known()).decode(),
                    release=worker.app.release,
                    file=worker.file_path,
                )
            )
        )

    # ── feeding ─────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        while self.claiming:
            self._news = False
            self._retire_idle()
            idle = [child for child in self._children if child not in self._busy]
            wanted = bool(self.isolated) or self._suspects
            fed = False
            if idle and wanted and self.worker.heart.trusted:
                try:
                    fed = self._feed(idle)
                except Exception as error:
                    emit(logger, logging.ERROR, events.STORE_LOST, error=str(error))
            if not fed:
                with self._changed:
                    self._changed.wait_for(lambda: self._news, PAUSE_S)

    def _tell(self) -> None:
        with self._changed:
            self._news = True
            self._changed.notify()

    def _feed(self, idle: list[Child]) -> bool:
        """Claim for a child that is ready; where none is and something waits, start one."""
        child = next((child for child in idle if child.ready), None)
        if child is None:
            child = idle[0]
            if self.app_path:
                if self._may_start() and self._waits():
                    self._starting = True
                    self._occupy(child, self._start, child)
                return False
        try:
            lease = self._claim(child)
        except CommitUnknown:
            # The row may hold a job that nobody runs. No more beats for it: what it holds
            # lapses, but not before the endings that are on their way are settled.
            child.row = None
            raise
        if lease is None:
            return False
        if (ending := unwanted(self.worker.app, lease)) is not None:
            self.worker.settler.put_and_wait(ending)
            return True
        child.take(lease)
        self._occupy(child, self._one, child, lease)
        return True

    def _occupy(self, child: Child, target: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=target, args=given, name="dutiful-child", daemon=True)
        self._busy[child] = thread
        thread.start()

    def _free(self, child: Child) -> None:
        self._busy.pop(child, None)
        self._tell()

    def _one(self, child: Child, lease: Lease) -> None:
        try:
            child.work(lease)
        except Exception:
            logger.exception("child_failed job_id=%r", lease.job_id)
            self.worker.settler.put(
                cut_off(self.worker.app.find_task(lease.task), lease, "its child was lost")
            )
        finally:
            child.lease = None
            self._free(child)

    def _start(self, child: Child) -> None:
        started = False
        try:
            started = child.start()
        except OSError as error:
            emit(logger, logging.ERROR, events.CHILD_START_FAILED, error=str(error))
        finally:
            self._start_at = 0.0 if started else time.monotonic() + self._start_pause
            self._start_pause = PAUSE_S if started else min(2 * self._start_pause, START_PAUSE_MAX_S)
            self._starting = False
            self._free(child)

    def _may_start(self) -> bool:
        """One at a time: a job that waits is seen until it is claimed, and wants one child only."""
        return not self._starting and time.monotonic() >= self._start_at

    def _waits(self) -> bool:
        """Whether there is something to claim for a child."""
        engine, lanes = self.worker.engine, self.worker.lanes.ordered()
        if not lanes:
            return False
        if self._suspects:
            if engine.run(claims.waiting_suspect(lanes, self.worker.app.known())):
                return True
            self._suspects = False
        if not self.isolated:
            return False
        found = self._look(lanes)
        if found.due and not found.ready:
            engine.run(claims.claim(self.worker.id, [], {}, 1, promote=True))  # promotes, takes nothing
            found = self._look(lanes)
        return found.ready

    def _look(self, lanes: Sequence[int]) -> Waiting:
        now = time.monotonic()
        asked = self._marks.lanes(lanes, now)
        found = self.worker.engine.run(claims.waiting(asked, self.isolated))
        if not found.ready:
            then = time.monotonic()
            self._marks.claimed(asked, [], 1, found.horizon, then, then - now)
        return found

    def _claim(self, child: Child) -> Lease | None:
        lanes = self.worker.lanes.ordered()
        if not lanes:
            return None
        row = child.ready_row()
        if self._suspects:
            for queue, ids in self.worker.lanes.parts(lanes):
                asking = claims.claim_suspect(row, ids, self.worker.app.known())
                if (lease := self._within(queue, asking, lambda found: found)) is not None:
                    return lease
            self._suspects = False
        if not self.isolated:
            return None
        for queue, ids in self.worker.lanes.parts(lanes):
            now = time.monotonic()
            asked = self._marks.lanes(ids, now)
            reply: list[Claimed] = []
            claiming = claims.claim(row, asked, self.isolated, 1, promote=True)
            lease = self._within(queue, claiming, partial(_first, reply))
            then = time.monotonic()
            if reply:
                self._marks.claimed(asked, reply[0].leases, 1, reply[0].horizon, then, then - now)
            if lease is not None:
                return lease
        return None

    def _within(
        self, queue: str | None, claiming: Operation[T], taken: Callable[[T], Lease | None]
    ) -> Lease | None:
        """Claim one job; of a limited queue only with a slot, which is used up if there is no answer."""
        engine, shares = self.worker.engine, self.worker.shares
        if queue is None:
            return taken(engine.run(claiming))
        if not shares.reserve(queue, 1):
            return None
        try:
            lease = taken(engine.run(claiming))
        except BaseException:
            shares.lost(queue, 1)
            raise
        shares.claimed(queue, 1, [] if lease is None else [lease])
        return lease

    def _retire_idle(self) -> None:
        for child in self._children:
            if child not in self._busy and child.process and time.monotonic() - child.used_at > IDLE_S:
                self._retire(child)

    def _retire(self, child: Child) -> None:
        if child.process is not None:
            child.process.close()
            emit(logger, logging.INFO, events.CHILD_ENDED, pid=child.process.pid)
            child.process = None
        if child.row is not None:
            row, child.row = child.row, None
            try:
                self.worker.engine.run(workers.leave(row))
            except Exception as error:
                emit(logger, logging.ERROR, events.STORE_LOST, error=str(error))
