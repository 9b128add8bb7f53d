"""Child processes that run one job at a time: tasks with isolation="process", and suspects.

A suspect is a job that was in its body when a worker died. It runs alone, so that if it kills again
it takes nobody with it, and the crash is charged to it and to nothing else. A child has a worker row
of its own ("alone"), beaten for by its parent, which claims for it, ends its runs, and reports its
death at once. The child does no database work.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from ..app import events
from ..app.events import emit
from ..model.errors import CommitUnknown
from ..model.jobs import Beat, Ending, Lease, NewWorker
from ..model.marks import Marks
from ..operations import claims, workers
from .child_process import ChildProcess, where_is
from .run import failed, released, timed_out

if TYPE_CHECKING:
    from .worker import Worker

logger = logging.getLogger("dutiful.worker")

IDLE_S = 60.0
PAUSE_S = 1.0


class Child:
    """One place for a child: at most one process, one row, one job at a time."""

    def __init__(self, pool: ChildPool) -> None:
        self._pool = pool
        self.row: int | None = None
        self.process: ChildProcess | None = None
        self.lease: Lease | None = None
        self.stale = False
        """Whether the row was marked gone: nothing may be claimed for it any more."""
        self.used_at = 0.0
        self.killed_for = ""
        """Why we killed the process: "timeout", "drain", or "" if we did not."""

    def ready_row(self) -> int:
        """The row to claim for; registered when there is none."""
        if self.row is None or self.stale:
            self.row = self._pool.register()
            self.stale = False
        return self.row

    def work(self, lease: Lease) -> None:
        """Run one claimed job in the process, and end it. Called in a thread of this job's own."""
        pool, worker = self._pool, self._pool.worker
        task = worker.app.find_task(lease.task)
        self.killed_for = ""
        try:
            if self.process is None or not self.process.alive:
                self.process = ChildProcess.start(pool.app_path)
                emit(logger, logging.INFO, events.CHILD_STARTED, pid=self.process.pid, row=self.row)
            self.process.send(lease)
        except Exception as error:
            logger.exception("child_start_failed")
            self._end(failed(task, lease, error))
            return
        timeout_us = task.policy.timeout_us
        try:
            ending = self.process.receive(None if timeout_us is None else timeout_us / 1e6)
        except TimeoutError:
            ending = None
            self.killed_for = self.killed_for or "timeout"
            self.process.kill()
        if ending is not None:
            self._end(ending)
            return
        if self.killed_for == "timeout":
            # Ended by us, under its token, while the row still lives: an error of the task, no crash.
            emit(logger, logging.ERROR, events.JOB_TIMED_OUT, job_id=lease.job_id, task=lease.task)
            self._end(failed(task, lease, timed_out(task)))
        elif self.killed_for == "drain":
            self._end(released(lease, begun=True))
        else:
            self._report(lease)
        self.process.reap()
        self.process = None

    def _end(self, ending: Ending) -> None:
        # The row takes no other job before: if the child died of that one, this one would be charged.
        self._pool.worker.settler.put_and_wait(ending)

    def _report(self, lease: Lease) -> None:
        """The process died by itself: its row is gone, and what it ran alone is charged a crash."""
        assert self.row is not None and self.process is not None
        row, self.row = self.row, None
        emit(
            logger,
            logging.ERROR,
            events.JOB_CRASHED,
            job_id=lease.job_id,
            task=lease.task,
            exit=self.process.exit_text(),
        )
        while True:
            try:
                self._pool.worker.engine.run(workers.report_dead(row))
                return
            except Exception as error:
                emit(logger, logging.ERROR, events.STORE_LOST, error=str(error))
                if self._pool.closing:
                    return  # the row lapses with its parent's
                time.sleep(PAUSE_S)


class ChildPool:
    """Feeds idle children from one thread."""

    def __init__(self, worker: Worker, isolated: Mapping[str, int]) -> None:
        self.worker = worker
        self.isolated = isolated
        self.app_path = worker.app_path or where_is(worker.app)
        self.closing = False
        count = max(1, min(worker.options.slots, os.cpu_count() or 1)) if isolated else 1
        self._children = [Child(self) for _ in range(count)]
        self._busy: dict[Child, threading.Thread] = {}
        self._suspects = False
        self._asked: list[int] = []
        self._claiming = True
        self._marks = Marks()
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
        with self._changed:
            self._suspects = beat.suspects
            if beat.suspects:
                self._changed.notify()

    @property
    def busy(self) -> bool:
        """Whether a child runs something."""
        return any(child.lease is not None for child in self._children)

    def stop_claiming(self) -> None:
        """Feed no more."""
        with self._changed:
            self._claiming = False
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(10.0)

    def kill_all(self) -> None:
        """End what still runs: its jobs are handed back, uncharged."""
        for child in self._children:
            if child.lease is not None and child.process is not None:
                child.killed_for = "drain"
                child.process.kill()

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
        while True:
            with self._changed:
                if not self._claiming:
                    return
                idle = [child for child in self._children if child not in self._busy]
                wanted = bool(self.isolated) or self._suspects
                if not idle or not wanted or not self.worker.heart.trusted:
                    self._changed.wait(PAUSE_S)
            self._retire_idle()
            if not idle or not wanted:
                continue
            try:
                fed = self._feed(idle[0])
            except Exception as error:
                if isinstance(error, CommitUnknown):
                    # The row may hold a job that nobody runs. No more beats for it: what it holds
                    # lapses, but not before the endings that are on their way are settled.
                    idle[0].row = None
                emit(logger, logging.ERROR, events.STORE_LOST, error=str(error))
                fed = False
            if not fed:
                with self._changed:
                    if self._claiming:
                        self._changed.wait(PAUSE_S)

    def _feed(self, child: Child) -> bool:
        lease = self._claim(child)
        if lease is None:
            return False
        child.lease = lease
        child.used_at = time.monotonic()
        thread = threading.Thread(target=self._one, args=(child, lease), name="dutiful-child", daemon=True)
        self._busy[child] = thread
        thread.start()
        return True

    def _one(self, child: Child, lease: Lease) -> None:
        try:
            child.work(lease)
        except Exception:
            logger.exception("child_failed job_id=%r", lease.job_id)
            self.worker.settler.put(released(lease, begun=True))
        finally:
            child.lease = None
            self._busy.pop(child, None)
            with self._changed:
                self._changed.notify()

    def _claim(self, child: Child) -> Lease | None:
        engine, lanes = self.worker.engine, self.worker.lanes.ordered()
        if not lanes:
            return None
        row = child.ready_row()
        if self._suspects:
            lease = engine.run(claims.claim_suspect(row, lanes, self.worker.app.known()))
            if lease is not None:
                return lease
            self._suspects = False
        if not self.isolated:
            return None
        now = time.monotonic()
        asked = self._marks.lanes(lanes, now)
        reply = engine.run(claims.claim(row, asked, self.isolated, 1, promote=True))
        then = time.monotonic()
        self._marks.claimed(asked, reply.leases, 1, reply.horizon, then, then - now)
        return reply.leases[0] if reply.leases else None

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
