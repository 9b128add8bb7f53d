"""The app: a name, a database, and the tasks declared on it."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from ..engines.contract import Clock, Engine
from ..engines.urls import open_engine
from ..engines.work import WorkTransaction
from ..model.alerts import Alerts
from ..model.durations import Duration, microseconds
from ..model.errors import CommitUnknown, InvalidTask, UnknownTask
from ..model.gates import Gates, Lock, Order, Rate
from ..model.ids import make_id
from ..model.jobs import CRASHES_MAX, REMEMBER_US, Enqueued, NewJob
from ..model.keys import near
from ..model.late import Late
from ..model.retry import RETRY_TIMES, Retry
from ..operations import enqueue
from . import events
from .bulk import Bulks
from .handle import Handle
from .hooks import Hooks
from .lock_stores import LockStore
from .locks import Locks
from .reconciling import Reconcilers, waived
from .scheduling import Schedules
from .sources import place, same_source
from .task import DJANGO, Delivery, Isolation, Policy, Task, checked_queue, repeated

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("dutiful.app")

KEEP = "7d"


class App(Bulks, Schedules, Reconcilers, Hooks, Locks):
    """Jobs of one application in one database. Several apps may share a database, told apart by name.

    ``url``: ``"sqlite:///jobs.db"`` or ``"postgresql://user@host/database"``; no connection is made
    before it is needed. ``databases`` are others in which exactly_once tasks may do their work, by
    name: their ledger is there (dutiful migrate --ledger URL). ``keep`` is how long finished jobs stay
    in the history; ``release`` names the deployed version, for people; ``locks`` keeps those of :meth:`lock`;
    ``alerts``: who is told of what needs one. Raises InvalidTask, InvalidUrl, DriverMissing.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        databases: Mapping[str, str] | None = None,
        keep: Duration = KEEP,
        release: str = "",
        locks: LockStore | None = None,
        alerts: Alerts | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not isinstance(name, str) or not name or len(name) > 100 or not name.isprintable():
            raise InvalidTask(f"{name!r} is no name for an app: printable text of 1 to 100 characters.")
        self.name, self.url, self.release, self.alerts = name, url, release, alerts
        self.keep_us = microseconds(keep, what="keep", zero_ok=False)
        self.tasks: dict[str, Task[..., Any]] = {}
        """Every declared task by its own name."""
        self.queues: dict[str, int | None] = {}
        """Declared queues and their targets, in microseconds."""
        self.limits: dict[str, int | None] = {}
        """How many of a declared queue's jobs may run at a time on all workers; None: no limit."""
        self.code_of: Callable[[Callable[..., Any]], str] | None = None
        """Gives a hash of a function's code, where the command line has set it; a worker tells its tasks'."""
        self._by_any_name: dict[str, Task[..., Any]] = {}
        self._clock = clock
        self._lock_store = locks
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self.databases = dict(databases or {})
        """Other databases to work in, by name."""
        for one in (url, *self.databases.values()):
            open_engine(one, clock=clock)  # says at once what is wrong with the URL
        self._others: dict[str, Engine] = {}

    @property
    def engine(self) -> Engine:
        """What runs operations on this app's database."""
        if self._engine is None:
            with self._lock:
                if self._engine is None:
                    self._engine = open_engine(self.url, clock=self._clock)
        return self._engine

    def engine_of(self, database: str | None) -> Engine:
        """The engine of one of ``databases``; None is the queue's own."""
        if database is None:
            return self.engine
        with self._lock:
            if database not in self._others:
                self._others[database] = open_engine(self.databases[database], clock=self._clock)
            return self._others[database]

    def work_for(self, task: Task[..., Any]) -> WorkTransaction:
        """A transaction for one run of an exactly_once task that is a plain function, not begun yet."""
        if task.django is not None:
            from ..engines.work_django import DjangoWork

            return DjangoWork(self.engine, task.django)
        return self.engine_of(task.elsewhere).work(elsewhere=task.elsewhere is not None)

    # ── declaring ───────────────────────────────────────────────────────────────────────────

    def task(
        self,
        *,
        name: str | None = None,
        once: str | None = None,
        queue: str = "default",
        priority: int = 0,
        retry: int | Retry | None = None,
        crashes: int = CRASHES_MAX,
        timeout: Duration | None = None,
        remember: Duration | None = None,
        result: bool = False,
        version: int = 1,
        isolation: Isolation = "thread",
        delivery: Delivery = "at_least_once",
        database: str | None = None,
        lookup: Callable[..., Any] | None = None,
        group: int | None = None,
        batch: int | None = None,
        order: str | Order | None = None,
        lock: str | Lock | None = None,
        rate: Rate | None = None,
        fair: str | None = None,
        aliases: Iterable[str] = (),
        owner: str = "",
        tags: Iterable[str] = (),
        late: Late | None = None,
        fingerprint: Callable[[BaseException], str] | None = None,
        reconcile: Any | None = ...,
        because: str = "",
    ) -> Callable[[Callable[P, R]], Task[P, R]]:
        """Declare a function as a task; it stays callable.

        ``once`` names the duty by a template over the arguments, as ``"receipt:{order_id}"``: while a
        job of it is open, and for ``remember`` (default 7 days) after it is done, a second enqueue
        returns that job. ``priority`` is from -100 to 100, higher is sooner. ``retry`` is the number of
        retries after an error (0: none; left away: 8, and 0 for at_most_once) or a :class:`Retry`;
        ``crashes`` is the budget for runs that kill their worker, apart from that. ``timeout`` bounds one
        attempt. ``version`` is that of the arguments: an older worker leaves newer jobs alone.
        ``isolation="process"`` runs the body in a child process, which can be killed. ``aliases`` are
        names that waiting jobs may still carry. ``delivery`` is what is promised of the body's work (see
        the guide on deliveries); ``database`` names the one of ``App(databases=…)`` in which an
        exactly_once task works, if not the queue's own.
        ``group`` lets up to 50 exactly_once jobs share one commit; with ``batch`` the body is called once
        for up to so many jobs, whose one argument it takes as a list: they succeed or fail together.
        ``order``, ``lock``, ``rate`` and ``fair`` say in what turn, how many at once and how often jobs of
        one key start (see the guide on limits): templates over the arguments, or an :class:`Order`, a
        :class:`Lock`, a :class:`Rate`.
        ``lookup`` is asked what became of an at_most_once body that was cut off: with those of the task's
        arguments that it names, it returns what it found, None if it was surely not done, or raises
        :class:`dutiful.Unsure`. ``late``: what becomes of a job that is claimed too long after it was due.
        ``fingerprint`` names the cause by which dead jobs are grouped. ``reconcile=None`` with ``because``
        says that nothing is to be compared with the business data, and why. Raises a DeclarationError.
        """
        policy_fields: dict[str, Any] = {
            "queue": queue,
            "priority": priority,
            "retry": Retry.of((0 if delivery == "at_most_once" else RETRY_TIMES) if retry is None else retry),
            "crashes": crashes,
            "timeout_us": None if timeout is None else microseconds(timeout, what="timeout", zero_ok=False),
            "remember_us": REMEMBER_US if remember is None else microseconds(remember, what="remember"),
            "result": result,
            "version": version,
            "isolation": isolation,
            "delivery": delivery,
            "database": self._known_database(database),
            "group": group,
            "batch": batch,
            "aliases": tuple(aliases),
            "owner": owner,
            "tags": tuple(tags),
            "late": late,
            "fingerprint": fingerprint,
            "because": waived(reconcile, because),
        }
        names = sys._getframe(1).f_locals  # annotations may name what is local to the caller

        def declare(function: Callable[P, R]) -> Task[P, R]:
            own = name if name is not None else f"{function.__module__}.{function.__qualname__}"
            task = Task(self, function, Policy(name=own, **policy_fields), once, names, lookup)
            task.gates = Gates.parse(own, task.codec.parameters, order, lock, rate, fair)
            self._add(task)
            return self.claim_schedules(function, task)

        return declare

    @property
    def gated(self) -> bool:
        """Whether any of its tasks has an order, a lock, a rate or a share."""
        return any(task.gates is not None for task in self.tasks.values())

    def _known_database(self, name: str | None) -> str | None:
        if name is not None and name.partition(":")[0] == DJANGO:
            return name
        if name is not None and name not in self.databases:
            raise InvalidTask(
                f"App {self.name!r} has no database {name!r}{near(name, self.databases)}.",
                hint=f'Name it: App(…, databases={{"{name}": "postgresql://…"}}).',
            )
        return name

    def _add(self, task: Task[..., Any]) -> None:
        for known in (task.name, *task.policy.aliases):
            other = self._by_any_name.get(known)
            if other is not None and not same_source(other, task):
                raise InvalidTask(
                    f"Two tasks of app {self.name!r} are called {known!r}: {place(other)} and {place(task)}.",
                    hint="Give one of them another name=.",
                )
        self.tasks[task.name] = task
        for known in (task.name, *task.policy.aliases):
            self._by_any_name[known] = task

    def queue(self, name: str, *, target: Duration | None = None, limit: int | None = None) -> None:
        """Declare a queue; ``target`` is how late its oldest due job may be before that is noted.

        ``limit`` is how many of its jobs may run at a time on all workers together, at least 1. Raises
        InvalidTask.
        """
        checked_queue(name, InvalidTask)
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise InvalidTask(f"queue {name!r}: limit={limit!r} is no whole number from 1 on.")
        self.limits[name] = limit
        self.queues[name] = None if target is None else microseconds(target, what="target", zero_ok=False)

    # ── enqueuing ───────────────────────────────────────────────────────────────────────────

    def find_task(self, name: str) -> Task[..., Any]:
        """The task of that name or alias; raises UnknownTask with the nearest name."""
        task = self._by_any_name.get(name)
        if task is None:
            raise UnknownTask(f"App {self.name!r} has no task {name!r}{near(name, self.tasks)}.")
        return task

    def known(self) -> dict[str, int]:
        """Every name that jobs of this app may carry, with the newest version of its arguments."""
        return {name: task.policy.version for name, task in self._by_any_name.items()}

    def new_id(self) -> str:
        """A job id (UUIDv7) for ``.using(id=…)``: an enqueue repeated with it is one job."""
        return make_id()

    def _store(self, job: NewJob, connection: object | None) -> Enqueued:
        if connection is None and (work := self._joined()) is not None:
            work.queues.add(job.queue)
            return work.joined().run(enqueue.one(self.name, job))
        if connection is not None:
            return self.engine.bind(connection).run(enqueue.one(self.name, job))
        try:
            done = self.engine.run(enqueue.one(self.name, job))
        except CommitUnknown:
            # The id is ours: asking once more is one job, whatever became of the first.
            events.emit(logger, logging.WARNING, events.COMMIT_UNKNOWN, job_id=job.id)
            done = self.engine.run(enqueue.one(self.name, repeated(job)))
        self._wake(job)
        return done

    async def _astore(self, job: NewJob, connection: object | None) -> Enqueued:
        if connection is None and (work := self._joined()) is not None:
            work.queues.add(job.queue)
            return await work.joined().arun(enqueue.one(self.name, job))
        if connection is not None:
            return await self.engine.bind(connection).arun(enqueue.one(self.name, job))
        try:
            done = await self.engine.arun(enqueue.one(self.name, job))
        except CommitUnknown:
            events.emit(logger, logging.WARNING, events.COMMIT_UNKNOWN, job_id=job.id)
            done = await self.engine.arun(enqueue.one(self.name, repeated(job)))
        self._wake(job)
        return done

    # ── the rest ────────────────────────────────────────────────────────────────────────────

    def handle(self, id: str) -> Handle[Any]:
        """A handle to a job known by its id."""
        return Handle(self, id, returns=Any)

    def migrate(self) -> list[str]:
        """Bring the tables to this version; returns what was done. (A new SQLite file does it itself.)"""
        return self.engine.migrate()

    async def leave_loop(self) -> None:
        """Close the connections of the running event loop, which is about to end."""
        for engine in filter(None, (self._engine, *self._others.values())):
            await engine.leave_loop()

    def close(self) -> None:
        """Close the connections; the app opens new ones if it is used again."""
        self.close_locks()
        for engine in filter(None, (self._engine, *self._others.values())):
            engine.close()

    def __repr__(self) -> str:
        return f"<App {self.name!r}, {len(self.tasks)} tasks>"
