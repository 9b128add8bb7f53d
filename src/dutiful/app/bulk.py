"""Many jobs at once: all in one transaction, or a stream of them in batches, in little memory."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from ..engines.contract import Engine, Runner
from ..engines.work import AnyWork, open_work
from ..model.errors import CommitUnknown, InvalidOption
from ..model.ids import LaterIds
from ..model.jobs import Enqueued, NewJob
from ..operations import enqueue
from ..operations.plan import Operation
from . import events
from .handle import Handle
from .task import Arguments, Task, Using, repeated, rows_of

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


class Made:
    """Jobs made of rows, each of which was checked.

    Where rows say nothing but arguments, all are one, ``like``, with ``ids`` and ``args``: so COPY wants it.
    """

    def __init__(self, using: Using[..., Any], rows: Iterable[Arguments] = ()) -> None:
        self.like = using.alike()
        self._encode, self._new_job = using.task.codec.encode, using.new_job
        self.args: list[bytes] = []
        self._each: list[NewJob] = []
        if self.like is None:
            self._each = [using.new_job(args, kwargs) for args, kwargs in rows]
        else:
            self.args = [self._encode(args, kwargs) for args, kwargs in rows]

    def add(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """One more; before any of them is stored."""
        if self.like is None:
            self._each.append(self._new_job(args, kwargs))
        else:
            self.args.append(self._encode(args, kwargs))

    @cached_property
    def ids(self) -> LaterIds:
        """Those of ``args``."""
        return LaterIds(len(self.args))

    @cached_property
    def jobs(self) -> list[NewJob]:
        """Each of them by itself."""
        if self.like is None:
            return self._each
        return [replace(self.like, id=id, args=args) for id, args in zip(self.ids, self.args, strict=True)]

    @property
    def first(self) -> NewJob:
        """One of them, perhaps without id and arguments: queue and time are those of all."""
        return self.like or self.jobs[0]

    def __len__(self) -> int:
        return len(self.args) + len(self._each)

    def store(self, app: str, runner: Runner, **person: str) -> Operation[list[Enqueued]]:
        """What stores them by the engine's fastest means; ``person`` is who wants it, for the audit."""
        if self.like is not None and len(self) >= COPY_FROM and runner.can_copy:
            return enqueue.load(app, self.like, self.ids, self.args, **person)
        return enqueue.batch(app, self.jobs, **person)

    def store_again(self, app: str, **person: str) -> Operation[list[Enqueued]]:
        """The same after a commit without an answer: their ids are ours, so that it is the same jobs."""
        return enqueue.batch(app, [repeated(job) for job in self.jobs], **person)


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
        made = Made(using, rows_of(rows))
        if not made:
            return []
        runner = self._runner_for(made.first, connection)
        done = runner.run(made.store(self.name, runner))
        if runner is self._engine:
            self._wake(made.first)
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
        made = Made(using, rows_of(rows))
        if not made:
            return []
        runner = self._runner_for(made.first, connection)
        done = await runner.arun(made.store(self.name, runner))
        if runner is self._engine:
            self._wake(made.first)
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

        def store(made: Made) -> list[Enqueued]:
            runner = self._runner_for(made.first, connection)
            own = runner is self._engine
            try:
                done = runner.run(made.store(self.name, runner))
            except CommitUnknown:
                if not own:
                    raise
                events.emit(logger, logging.WARNING, events.COMMIT_UNKNOWN, job_id=made.jobs[0].id)
                done = runner.run(made.store_again(self.name))
            if own:
                self._wake(made.first)
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

        async def store(made: Made) -> list[Enqueued]:
            runner = self._runner_for(made.first, connection)
            own = runner is self._engine
            try:
                done = await runner.arun(made.store(self.name, runner))
            except CommitUnknown:
                if not own:
                    raise
                events.emit(logger, logging.WARNING, events.COMMIT_UNKNOWN, job_id=made.jobs[0].id)
                done = await runner.arun(made.store_again(self.name))
            if own:
                self._wake(made.first)
            return done

        own = connection is None and self._joined() is None
        return await astream(named(task), rows, store, told, committed=own)

    def _joined(self) -> AnyWork | None:
        """The transaction in the queue's own database that the calling body has open: enqueues join it."""
        work = open_work.get()
        return work if work is not None and work.engine is self._engine else None

    def _runner_for(self, job: NewJob, connection: object | None) -> Runner:
        if connection is not None:
            return cast("App", self).engine.bind(connection)
        if (work := self._joined()) is not None:
            work.queues.add(job.queue)
            return work.joined()
        return cast("App", self).engine

    def _wake(self, job: NewJob) -> None:
        if not job.delay_us and job.run_at_us is None:
            cast("App", self).engine.wake(job.queue)


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


def stream(
    using: Using[..., Any],
    rows: Iterable[Any],
    store: Callable[[Made], Sequence[Enqueued]],
    told: Told | None,
    *,
    committed: bool = True,
) -> Streamed:
    """Store what rows give, batch by batch; see :meth:`Bulks.enqueue_stream`."""
    so_far = Streamed(0, 0)
    left = iter(rows_of(rows))
    try:
        while made := Made(using, islice(left, STREAM_BATCH)):
            so_far = _counted(so_far, store(made), told)
    except BaseException as error:
        _noted(error, so_far, committed)
        raise
    return so_far


async def astream(
    using: Using[..., Any],
    rows: Iterable[Any] | AsyncIterable[Any],
    store: Callable[[Made], Awaitable[Sequence[Enqueued]]],
    told: Told | None,
    *,
    committed: bool = True,
) -> Streamed:
    """:func:`stream` for an event loop."""
    so_far = Streamed(0, 0)
    try:
        if isinstance(rows, AsyncIterable):
            made = Made(using)
            async for row in rows:
                for args, kwargs in rows_of((row,)):
                    made.add(args, kwargs)
                if len(made) == STREAM_BATCH:
                    so_far, made = _counted(so_far, await store(made), told), Made(using)
            if made:
                so_far = _counted(so_far, await store(made), told)
        else:
            left = iter(rows_of(rows))
            while made := Made(using, islice(left, STREAM_BATCH)):
                so_far = _counted(so_far, await store(made), told)
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
