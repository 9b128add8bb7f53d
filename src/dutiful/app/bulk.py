"""Many jobs at once: all in one transaction, or a stream of them in batches, in little memory."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from msgspec import Struct

from ..engines.contract import Engine, Runner
from ..engines.work import AnyWork, open_work
from ..model.errors import CommitUnknown, InvalidOption
from ..model.jobs import Enqueued, NewJob
from ..operations import enqueue
from ..operations.plan import Operation
from . import events
from .handle import Handle
from .task import Task, Using, repeated, rows_of

if TYPE_CHECKING:
    from .app import App

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("dutiful.app")

COPY_FROM = 1000
"""How many jobs a bulk enqueue has to have before COPY is worth its set-up."""
STREAM_BATCH = 5_000
"""So many jobs of a stream are in memory at a time, and are stored by one transaction."""


class Streamed(Struct, frozen=True):
    """What became of a stream of rows: jobs that were stored, and rows whose duty had one already."""

    stored: int
    duplicates: int

    @property
    def rows(self) -> int:
        """How many rows that were."""
        return self.stored + self.duplicates


Told = Callable[[Streamed], None]
"""Is told after each batch what became of all rows so far."""


class Bulks:
    """The bulk enqueues of an app, and by which connection an enqueue goes."""

    name: str
    _engine: Engine | None

    def enqueue_many(
        self,
        task: Task[..., R] | Using[..., R],
        rows: Iterable[Any],
        *,
        connection: object | None = None,
    ) -> list[Handle[R]]:
        """Store many jobs in one transaction, in order: all of them or, if it raises, none.

        A row is a tuple of positional arguments, a dict of keyword arguments, or the one argument. All are
        held in memory; for a million there is :meth:`enqueue_stream`.
        """
        using = named(task)
        jobs = [using.new_job(args, kwargs) for args, kwargs in rows_of(rows)]
        runner = self._runner_for(jobs, connection)
        done = runner.run(batch(self.name, jobs, runner)) if jobs else []
        if runner is self._engine:
            self._wake(jobs)
        return _handles(cast("App", self), using, done)

    async def aenqueue_many(
        self,
        task: Task[..., R] | Using[..., R],
        rows: Iterable[Any],
        *,
        connection: object | None = None,
    ) -> list[Handle[R]]:
        """:meth:`enqueue_many` for an event loop."""
        using = named(task)
        jobs = [using.new_job(args, kwargs) for args, kwargs in rows_of(rows)]
        runner = self._runner_for(jobs, connection)
        done = await runner.arun(batch(self.name, jobs, runner)) if jobs else []
        if runner is self._engine:
            self._wake(jobs)
        return _handles(cast("App", self), using, done)

    def enqueue_stream(
        self,
        task: Task[..., Any] | Using[..., Any],
        rows: Iterable[Any],
        *,
        connection: object | None = None,
        told: Told | None = None,
    ) -> Streamed:
        """Store jobs for as many rows as an iterable gives, in order, in memory that does not grow with them.

        Rows are as for :meth:`enqueue_many`. They are read 5,000 at a time, and each batch is a transaction
        of its own: a slow source holds no lock. In a transaction of the caller's (``connection``, or a
        body's ``tx``) all of them commit with it. ``told`` is called after each batch, with what came of all
        rows so far.

        What it raises, or the rows do, has a note that says how many rows are stored: those of whole batches.
        To go on, skip as many; where the task has a ``once`` template, giving all rows again is right, too.
        """

        def store(jobs: list[NewJob]) -> list[Enqueued]:
            runner = self._runner_for(jobs, connection)
            own = runner is self._engine
            try:
                done = runner.run(batch(self.name, jobs, runner))
            except CommitUnknown:
                if not own:
                    raise
                # The ids are ours: asking once more is the same jobs, whatever became of the first.
                events.emit(logger, logging.WARNING, events.COMMIT_UNKNOWN, job_id=jobs[0].id)
                done = runner.run(enqueue.many(self.name, [repeated(job) for job in jobs]))
            if own:
                self._wake(jobs)
            return done

        own = connection is None and self._joined() is None
        return stream(named(task), rows, store, told, committed=own)

    async def aenqueue_stream(
        self,
        task: Task[..., Any] | Using[..., Any],
        rows: Iterable[Any] | AsyncIterable[Any],
        *,
        connection: object | None = None,
        told: Told | None = None,
    ) -> Streamed:
        """:meth:`enqueue_stream` for an event loop; the rows may come asynchronously."""

        async def store(jobs: list[NewJob]) -> list[Enqueued]:
            runner = self._runner_for(jobs, connection)
            own = runner is self._engine
            try:
                done = await runner.arun(batch(self.name, jobs, runner))
            except CommitUnknown:
                if not own:
                    raise
                events.emit(logger, logging.WARNING, events.COMMIT_UNKNOWN, job_id=jobs[0].id)
                done = await runner.arun(enqueue.many(self.name, [repeated(job) for job in jobs]))
            if own:
                self._wake(jobs)
            return done

        own = connection is None and self._joined() is None
        return await astream(named(task), rows, store, told, committed=own)

    def _joined(self) -> AnyWork | None:
        """The transaction in the queue's own database that the calling body has open: enqueues join it."""
        work = open_work.get()
        return work if work is not None and work.engine is self._engine else None

    def _runner_for(self, jobs: Sequence[NewJob], connection: object | None) -> Runner:
        if connection is not None:
            return cast("App", self).engine.bind(connection)
        if (work := self._joined()) is not None:
            work.queues.update(job.queue for job in jobs)
            return work.joined()
        return cast("App", self).engine

    def _wake(self, jobs: Iterable[NewJob]) -> None:
        for queue in {job.queue for job in jobs if not job.delay_us and job.run_at_us is None}:
            cast("App", self).engine.wake(queue)


def named(task: Task[P, R] | Using[P, R]) -> Using[P, R]:
    """What many jobs are made by. Raises InvalidOption for what names one job."""
    using = Using(task) if isinstance(task, Task) else task
    if using.job_id is not None or using.once is not None:
        raise InvalidOption("id= and once= name one job; they cannot be given to many.")
    if using.connection is not None:
        raise InvalidOption(
            "Give the connection to the bulk enqueue itself: app.enqueue_many(…, connection=…)."
        )
    return using


def batch(app: str, jobs: Sequence[NewJob], runner: Runner, **person: str) -> Operation[list[Enqueued]]:
    """What stores these jobs by the engine's fastest means; ``person`` is who wants it, for the audit."""
    plain = all(job.plain and not job.repeated for job in jobs)
    copies = len(jobs) >= COPY_FROM and runner.can_copy and plain
    return enqueue.batch(app, jobs, copies=copies, **person)


def stream(
    using: Using[..., Any],
    rows: Iterable[Any],
    store: Callable[[list[NewJob]], Sequence[Enqueued]],
    told: Told | None,
    *,
    committed: bool = True,
) -> Streamed:
    """Store what rows give, batch by batch; see :meth:`Bulks.enqueue_stream`."""
    so_far = Streamed(0, 0)
    made = (using.new_job(args, kwargs) for args, kwargs in rows_of(rows))
    try:
        while jobs := list(islice(made, STREAM_BATCH)):
            so_far = _counted(so_far, store(jobs), told)
    except BaseException as error:
        _noted(error, so_far, committed)
        raise
    return so_far


async def astream(
    using: Using[..., Any],
    rows: Iterable[Any] | AsyncIterable[Any],
    store: Callable[[list[NewJob]], Awaitable[Sequence[Enqueued]]],
    told: Told | None,
    *,
    committed: bool = True,
) -> Streamed:
    """:func:`stream` for an event loop."""
    so_far = Streamed(0, 0)
    jobs: list[NewJob] = []
    try:
        if isinstance(rows, AsyncIterable):
            async for row in rows:
                jobs += (using.new_job(args, kwargs) for args, kwargs in rows_of((row,)))
                if len(jobs) == STREAM_BATCH:
                    so_far, jobs = _counted(so_far, await store(jobs), told), []
        else:
            made: Iterator[NewJob] = (using.new_job(args, kwargs) for args, kwargs in rows_of(rows))
            while len(jobs := list(islice(made, STREAM_BATCH))) == STREAM_BATCH:
                so_far = _counted(so_far, await store(jobs), told)
        if jobs:
            so_far = _counted(so_far, await store(jobs), told)
    except BaseException as error:
        _noted(error, so_far, committed)
        raise
    return so_far


def _counted(so_far: Streamed, done: Sequence[Enqueued], told: Told | None) -> Streamed:
    again = sum(one.duplicate for one in done)
    now = Streamed(so_far.stored + len(done) - again, so_far.duplicates + again)
    if told is not None:
        told(now)
    return now


def _noted(error: BaseException, so_far: Streamed, committed: bool) -> None:
    if committed:
        error.add_note(f"The first {so_far.rows:,} rows are stored; to go on, skip as many.")


def _handles(app: App, using: Using[..., R], done: Sequence[Enqueued]) -> list[Handle[R]]:
    returns = using.task.codec.returns
    return [Handle(app, one.id, duplicate=one.duplicate, returns=returns) for one in done]
