"""One worker process at work: start, work, drain, stop.

It holds the parts together and has no loop of its own: the fetcher claims, pools run bodies, the
settler ends runs, the heart beats, chores look after what is everybody's.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from ..app import events
from ..app.events import emit
from ..engines.contract import Engine
from ..engines.urls import open_engine
from ..model.errors import DutifulError
from ..model.jobs import Beat, Ending, Lease, NewWorker, WorkerRow
from ..model.marks import Marks, starting_marks
from ..model.queues import parse_queues
from ..operations import claims, inspect, lanes, settle, workers
from .cancels import Cancels
from .children import ChildPool
from .chores import Chores
from .declared import all_queues, is_isolated, lanes_of
from .fetcher import Fetcher, Lanes
from .heart import Heart, read_marks, steady_now
from .held import Held
from .holdings import Holdings
from .liveness import WorkerFile
from .looked import WithBeats
from .lookups import Lookups
from .options import CANCEL_BEFORE_S, WorkerOptions
from .places import record_folder, worker_token
from .pools import LoopPool, ThreadPool
from .reconciling import Reconciling
from .run import STOPPING, completed, cut_off, out_of_time
from .scheduling import Scheduling
from .settler import Settler
from .shares import Shares
from .timeouts import Timeouts
from .unwanted import as_cancelled, sorted_out

if TYPE_CHECKING:
    from ..app.app import App

logger = logging.getLogger("dutiful.worker")

EMPTY_CHECK_S = 0.2
SETTLE_S = 5.0
SIGNAL_S = 0.5


class Worker:
    """Runs the tasks of an app. :meth:`run` works until :meth:`drain` or :meth:`halt` is called."""

    def __init__(
        self, app: App, options: WorkerOptions | None = None, *, app_path: str | None = None
    ) -> None:
        self.app = app
        self.options = options or WorkerOptions()
        self.app_path = app_path
        self.id = 0
        self.heart: Heart
        self.engine: Engine = app.engine
        self.order = parse_queues(self.options.queues or all_queues(app))
        self.queues = frozenset(self.order.names)
        self._draining = threading.Event()
        self._halted = threading.Event()
        self._file: WorkerFile | None = None

    # ── life ────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        """Start, work until told to stop (or until empty), drain, and leave."""
        self.start()
        try:
            if self.options.until_empty:
                self._until_empty()
            else:
                # Not without a time: a signal that another thread receives (as after SIGSTOP and
                # SIGCONT) does not wake the main thread, which alone runs its handler.
                while not self._draining.wait(SIGNAL_S):
                    pass
        finally:
            self.stop()

    def start(self) -> None:
        """Register and begin to work. Raises StoreError, and what a start hook raises."""
        app, options = self.app, self.options
        self.engine.run(lanes.declare(app.name, lanes_of(app), app.queues.items(), app.limits))
        memory = getattr(self.engine, "memory", False)
        # The heart has an engine of its own: nothing that is busy here can hold it up.
        self._heart_engine = self.engine if memory else open_engine(app.url, clock=self.engine.clock)
        sync_tasks = [t for t in app.tasks.values() if not t.is_async and t.policy.isolation == "thread"]
        async_tasks = [t for t in app.tasks.values() if t.is_async]
        isolated = {name: v for name, v in app.known().items() if is_isolated(app, name)}
        known = {name: v for name, v in app.known().items() if name not in isolated}
        self._file = WorkerFile.create(record_folder(self.engine), worker_token())
        self.looks = WithBeats(self.engine)
        marks = Marks(starting_marks(read_marks(row.marks for row in self._living())))
        self.settler = Settler(self.engine, lambda: self.id, self._settled)
        self.holdings = Holdings(self.settler, self._file, options.slots)
        self.threads = ThreadPool(
            app,
            options.slots if sync_tasks else 0,
            self._begin,
            self._ended,
            self._ended_together,
        )
        hooks = [*app.starters, *app.stoppers]
        self.loop = LoopPool(app, options.slots if async_tasks else 0, self._begin, self._ended)
        self._uses_loop = bool(async_tasks) or bool(hooks) or Lookups.on_loop(app)
        self.timeouts = Timeouts(self._timed_out)
        self.heart = Heart(
            self._heart_engine,
            lease_s=options.lease_s,
            beat_s=options.beat_s,
            ids=lambda: [self.id, *self.children.rows()],
            own=lambda: self.id,
            marks=lambda: self.fetcher.marks.values,
            on_beat=self._beat,
            on_expelled=self._expelled,
            looks=self.looks,
        )
        self.lanes = Lanes(self.engine, app.name, self.order)
        self.shares = Shares(self.engine, app.name, lambda: self.id, 2 * options.slots, options.lease_s)
        self.cancels = Cancels(self)
        self.fetcher = Fetcher(
            self.engine,
            self.lanes,
            queues=self.queues,
            marks=marks,
            known=known,
            worker=lambda: self.id,
            room=self.holdings.room,
            may_start=lambda: self.heart.trusted,
            put=self._put,
            poll_s=options.poll_s,
            on_lost_claim=self._hand_back_lost,
            shares=self.shares,
        )
        self.children = ChildPool(self, isolated)
        self.chores = Chores(self)
        self.lookups = Lookups(self)
        self.duties = (Scheduling(self, self.looks.looked), Reconciling(self))
        if self._uses_loop:
            self.loop.start()
        asked_at = steady_now()
        self._register()
        try:
            for hook in app.starters:
                self.loop.call(hook)
        except BaseException:
            self.engine.run(workers.leave(self.id))
            raise
        self.heart.start(asked_at)
        emit(
            logger,
            logging.INFO,
            events.WORKER_STARTED,
            id=self.id,
            pid=os.getpid(),
            queues=",".join(self.order.names),
            concurrency=options.slots,
        )
        self.settler.start()
        self.fetcher.start()
        self.children.start()
        for part in (self.chores, self.lookups, *self.duties):
            part.start()

    def drain(self) -> None:
        """Stop claiming, finish what runs, leave: what SIGTERM does. Returns at once."""
        self._draining.set()

    def halt(self) -> None:
        """Stop at once: what a second SIGTERM does. Running jobs are handed back, uncharged."""
        self._halted.set()
        self._draining.set()

    def health(self) -> dict[str, object]:
        """What a supervisor of processes asks for."""
        trusted = (started := bool(self.id)) and self.heart.trusted
        return {
            "worker": self.id,
            "trusted": trusted,
            "claiming": trusted and not self._draining.is_set(),
            "beat_age_s": round(self.heart.age_s, 3) if started else None,
            "running": len(self.holdings.running()),
            "waiting": self.holdings.waiting,
            "done": self.holdings.done,
        }

    def stop(self) -> None:
        """Drain within the budget, end the leases, and close."""
        budget_ends = time.monotonic() + self.options.drain_s
        emit(logger, logging.INFO, events.WORKER_DRAINING, id=self.id, running=len(self.holdings.running()))
        self.fetcher.stop()
        for part in (self.lookups, *self.duties):
            part.stop()
        self.children.stop_claiming()
        self.holdings.hand_back_waiting()
        cancel_at = budget_ends - min(CANCEL_BEFORE_S, self.options.drain_s / 5)
        self._wait_for_bodies(cancel_at)
        for held in self.holdings.running():
            self.loop.cancel(held)
        self.children.kill_all()
        self._wait_for_bodies(budget_ends)
        for held in self.holdings.running():  # threads that cannot be stopped: their runs end here
            held.run._over = True
            self.holdings.end(held, cut_off(held.task, held.lease, STOPPING))
            emit(logger, logging.WARNING, events.JOB_RELEASED, job_id=held.lease.job_id, task=held.lease.task)
        for hook in self.app.stoppers:
            try:
                self.loop.call(hook)
            except Exception:
                logger.exception("stop_hook_failed")
        self.timeouts.stop()
        self.threads.stop()
        self.loop.stop(1.0)
        self._wait_for_endings(time.monotonic() + SETTLE_S)
        self.settler.stop(SETTLE_S)
        self.chores.stop()
        self.children.close()
        self.heart.stop()
        try:
            self.shares.give_back(all_idle=True)
            self.engine.run(workers.leave(self.id))
        except DutifulError as error:
            emit(logger, logging.ERROR, events.STORE_LOST, error=str(error))
        if self._file is not None:
            self._file.close()
        if self._heart_engine is not self.engine:
            self._heart_engine.close()
        emit(logger, logging.INFO, events.WORKER_STOPPED, id=self.id, done=self.holdings.done)

    def _register(self) -> None:
        options = self.options
        assert self._file is not None
        self.id = self.engine.run(
            workers.register(
                NewWorker(
                    app=self.app.name,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    lease_us=round(options.lease_s * 1e6),
                    concurrency=options.slots,
                    queues=msgspec.json.encode(list(self.order.names)).decode(),
                    tasks=msgspec.json.encode(self.app.known()).decode(),
                    release=self.app.release,
                    file=str(self._file.path),
                )
            )
        )

    @property
    def file_path(self) -> str | None:
        """The file whose lock says that this process lives."""
        return None if self._file is None else str(self._file.path)

    def _living(self) -> list[WorkerRow]:
        return [row for row in self.engine.run(workers.live()) if row.app == self.app.name and not row.alone]

    # ── jobs on their way ───────────────────────────────────────────────────────────────────

    def _put(self, leases: Sequence[Lease]) -> None:
        leases, endings = sorted_out(self.app, leases)
        for ending in endings:
            self.settler.put(ending)
        plain: list[Held] = []
        loop: list[Held] = []
        for held in self.holdings.add(leases, self.app, self.id):
            (loop if held.task.is_async else plain).append(held)
        if plain:
            self.threads.put(plain)
        if loop:
            self.loop.put(loop)
        if self._draining.is_set():
            self.holdings.hand_back_waiting()

    def _begin(self, held: Held) -> bool:
        """Whether this body may begin now; from then on it is running."""
        if not self.heart.trusted:
            self.holdings.hand_back(held)
            return False
        if not self.holdings.begin(held):
            return False
        if not held.task.is_async:
            self.timeouts.watch(held)
        if self.holdings.low:
            self.fetcher.nudge()
        return True

    def _ended(self, held: Held, ending: Ending) -> None:
        if held.run.cancelled:
            ending = as_cancelled(held.task, held.lease, ending)
        self.holdings.ended(held, ending)

    def _ended_together(self, endings: Sequence[tuple[Held, Ending]]) -> None:
        self.holdings.ended_together(
            [(h, as_cancelled(h.task, h.lease, end) if h.run.cancelled else end) for h, end in endings]
        )

    def _settled(self, batch: list[Ending], lost: list[Ending]) -> None:
        self.holdings.settled(batch, lost)
        self.shares.ended(ending.token for ending in batch)
        self.fetcher.nudge()
        if self.app.gated and len(lost) < len(batch):
            for queue in self.queues:  # whoever waited for these may be let through now
                self.engine.wake(queue)

    def _timed_out(self, held: Held) -> None:
        """A plain body is out of time: end its run, and let another thread take the slot."""
        emit(
            logger,
            logging.ERROR,
            events.JOB_TIMED_OUT,
            job_id=held.lease.job_id,
            task=held.lease.task,
            run_no=held.lease.run_no,
            note="its thread goes on, but owns the job no more",
        )
        held.run._over = True
        self.holdings.end(held, out_of_time(held.task, held.lease, "TimedOut"))
        self.threads.replace(held)

    # ── handing back ────────────────────────────────────────────────────────────────────────

    def _hand_back_lost(self) -> None:
        """After a claim whose answer was lost: what the store says is ours and we do not hold."""
        rows = self.engine.run(claims.held_by(self.id))
        endings = [
            Ending("release", job_id, token, run_no, begun=False, charged=False)
            for job_id, token, run_no in rows
            if token not in self.holdings
        ]
        if endings:
            self.engine.run(settle.settle(endings, self.id))

    def _wait_for_bodies(self, until: float) -> None:
        while self.holdings.running() or self.children.busy:
            if self._halted.is_set() or time.monotonic() >= until:
                return
            time.sleep(0.01)

    def _wait_for_endings(self, until: float) -> None:
        """An ending that is on its way to the settler is no body any more, and not settled yet."""
        while len(self.holdings) and time.monotonic() < until:
            time.sleep(0.01)

    # ── what the heart says ─────────────────────────────────────────────────────────────────

    def _beat(self, beat: Beat) -> None:
        if beat.lanes != self.lanes.count:
            self.fetcher.relook()
        self.children.beaten(beat)
        if beat.cancels:
            self.cancels.look()

    def _expelled(self) -> None:
        """The cluster holds this worker for dead: begin anew under another id.

        What has not begun is dropped. What runs may complete all the same, if nobody took it over;
        what somebody did take over is cancelled.
        """
        emit(logger, logging.ERROR, events.WORKER_EXPELLED, id=self.id, silent_s=round(self.heart.age_s, 1))
        self.holdings.drop_waiting()
        self.shares.forget()
        asked_at = steady_now()
        self._register()
        self.heart.trust_from(asked_at)
        running = self.holdings.running()
        ends = [completed(h.task, h.lease, None) for h in running]
        if ends:
            fate = self.engine.run(settle.who_holds(ends))
            for held in running:
                if fate[held.lease.job_id] == "superseded":
                    held.run._over = True
                    self.loop.cancel(held)

    # ── until empty ─────────────────────────────────────────────────────────────────────────

    def _until_empty(self) -> None:
        """Until no job of a task known here is due or running in our queues (by anybody)."""
        while not self._draining.wait(EMPTY_CHECK_S):
            if len(self.holdings) or self.children.busy or self.settler.pending:
                continue
            left = self.engine.run(inspect.unfinished(self.app.name, list(self.queues), self.app.known()))
            due = left.ready and left.next_run_at_us is not None and left.next_run_at_us <= left.now_us
            if not due and not left.running:
                if left.ready:
                    emit(logger, logging.INFO, events.WORKER_DRAINING, due_later=left.ready)
                return
