"""One place for a child process: a row in the store, at most one process, one job at a time."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from ..app import events
from ..app.events import emit
from ..model.jobs import Ending, Lease
from ..operations import workers
from .child_process import ChildProcess, nowhere, out_of_reach
from .run import STOPPING, cut_off, failed, out_of_time, released
from .unwanted import ASKED, as_cancelled

if TYPE_CHECKING:
    from .children import ChildPool

logger = logging.getLogger("dutiful.worker")

PAUSE_S = 1.0


class Child:
    """What the pool feeds. The process is started first, and claimed for when it is ready."""

    def __init__(self, pool: ChildPool) -> None:
        self._pool = pool
        self.row: int | None = None
        self.process: ChildProcess | None = None
        self.starting: ChildProcess | None = None
        self.lease: Lease | None = None
        self.stale = False
        """Whether the row was marked gone: nothing may be claimed for it any more."""
        self.used_at = 0.0
        self.killed_for = ""
        """Why we killed the process: "timeout", "drain", "cancel", or "" if we did not."""

    @property
    def ready(self) -> bool:
        """Whether a process waits for a job."""
        return self.process is not None and self.process.alive

    def start(self) -> bool:
        """Start the process, and wait until it is ready. Nothing is claimed for it yet."""
        self._let_go()
        started = self.starting = ChildProcess.start(self._pool.app_path)
        if not self._pool.claiming:
            started.kill()
        ready = started.ready()
        self.starting = None
        if ready:
            self.process, self.used_at = started, time.monotonic()
            emit(logger, logging.INFO, events.CHILD_STARTED, pid=started.pid)
            return True
        started.kill()
        started.reap()
        if self._pool.claiming:
            emit(logger, logging.ERROR, events.CHILD_START_FAILED, pid=started.pid, exit=started.exit_text())
        return False

    def ready_row(self) -> int:
        """The row to claim for; registered when there is none."""
        if self.row is None or self.stale:
            self.row = self._pool.register()
            self.stale = False
        return self.row

    def take(self, lease: Lease) -> None:
        """It was claimed for this child: run it next."""
        self.killed_for = ""
        self.used_at = time.monotonic()
        self.lease = lease

    def work(self, lease: Lease) -> None:
        """Run one claimed job in the process, and end it. Called in a thread of this job's own."""
        worker = self._pool.worker
        task = worker.app.find_task(lease.task)
        if self.process is None:
            self._end(failed(task, lease, nowhere()))
            return
        if task.policy.delivery != "at_least_once" and getattr(worker.engine, "memory", False):
            self._end(failed(task, lease, out_of_reach(task.name)))
            return
        try:
            self.process.send(lease)
        except OSError:  # it died, or was killed, before it had the job
            self._let_go()
            self._end(released(lease, begun=False))
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
            self._let_go()
            emit(logger, logging.ERROR, events.JOB_TIMED_OUT, job_id=lease.job_id, task=lease.task)
            self._end(out_of_time(task, lease, "Killed"))
        elif self.killed_for == "drain":
            self._let_go()
            self._end(cut_off(task, lease, STOPPING, "Killed"))
        elif self.killed_for == "cancel":
            self._let_go()
            self._end(as_cancelled(task, lease, cut_off(task, lease, ASKED, "Killed")))
        else:
            self._report(lease)
        self._let_go()

    def _let_go(self) -> None:
        """Collect a process that ended or is to end."""
        if self.process is not None:
            self.process.kill()
            self.process.reap()
            self.process = None

    def _end(self, ending: Ending) -> None:
        # The row takes no other job before: if the child died of that one, this one would be charged.
        self._pool.worker.settler.put_and_wait(ending)

    def _report(self, lease: Lease) -> None:
        """The process died by itself: its row is gone, and what it ran alone is charged a crash."""
        assert self.process is not None
        row, self.row = self.row, None
        emit(
            logger,
            logging.ERROR,
            events.JOB_CRASHED,
            job_id=lease.job_id,
            task=lease.task,
            exit=self.process.exit_text(),
        )
        if row is None:
            return  # it was marked gone before the claim for it was answered: the job has lapsed
        while True:
            try:
                self._pool.worker.engine.run(workers.report_dead(row))
                self._pool.worker.shares.ended([lease.token])
                return
            except Exception as error:
                emit(logger, logging.ERROR, events.STORE_LOST, error=str(error))
                if self._pool.closing:
                    return  # the row lapses with its parent's
                time.sleep(PAUSE_S)
