"""A task: a function that stays a function, and can be enqueued."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, get_args

from msgspec import Struct, field
from msgspec.structs import replace

from ..model.durations import Duration, microseconds
from ..model.errors import InvalidOption, InvalidTask
from ..model.gates import Gate, Gates
from ..model.ids import make_id, parse_id
from ..model.jobs import CRASHES_MAX, NewJob, OnDuplicate
from ..model.keys import Template, checked_key
from ..model.late import Late
from ..model.payload import Codec
from ..model.retry import Retry
from ..model.signatures import batched
from . import tracing
from .handle import Handle
from .lateness import check_late, deadline_of
from .lookups import Lookup
from .running import Run
from .transactions import AsyncTransaction, Transaction

if TYPE_CHECKING:
    from .app import App

Arguments = tuple[tuple[Any, ...], Mapping[str, Any]]
"""Those of one call: by position and by name."""

P = ParamSpec("P")
R = TypeVar("R")

Isolation = Literal["thread", "process"]
Delivery = Literal["at_least_once", "exactly_once", "at_most_once"]

NAME = re.compile(r"[A-Za-z0-9_.:<>@/-]{1,200}")
DJANGO = "django"
"""A task's ``database=`` that is Django's connection to the queue's own database."""
PRIORITIES = range(-100, 101)
GROUP_MAX = 50
"""Above 64 subtransactions in one transaction PostgreSQL's cache of them overflows."""
BATCH_MAX = 1000


class Policy(Struct, frozen=True):
    """What was declared about a task, checked."""

    name: str
    queue: str = "default"
    priority: int = 0
    retry: Retry = field(default_factory=Retry)
    crashes: int = CRASHES_MAX
    timeout_us: int | None = None
    remember_us: int = 0
    result: bool = False
    version: int = 1
    isolation: Isolation = "thread"
    delivery: Delivery = "at_least_once"
    database: str | None = None
    group: int | None = None
    batch: int | None = None
    aliases: tuple[str, ...] = ()
    owner: str = ""
    tags: tuple[str, ...] = ()
    late: Late | None = None
    fingerprint: Callable[[BaseException], str] | None = None
    because: str = ""
    """Why nothing reconciles it; "" where that is not said."""

    def __post_init__(self) -> None:
        for name in (self.name, *self.aliases):
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise InvalidTask(
                    f"{name!r} is no name of a task: letters, digits and _.:<>@/- only, at most 200."
                )
        checked_queue(self.queue, InvalidTask)
        checked_priority(self.priority, InvalidTask)
        for what, value, least in (("crashes", self.crashes, 0), ("version", self.version, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 10_000:
                raise InvalidTask(f"{self.name}: {what}={value!r} is no whole number from {least} on.")
        if self.isolation not in ("thread", "process"):
            raise InvalidTask(f"{self.name}: isolation is thread or process, not {self.isolation!r}.")
        if self.delivery not in get_args(Delivery):
            raise InvalidTask(
                f"{self.name}: delivery is at_least_once, exactly_once or at_most_once, "
                f"not {self.delivery!r}."
            )
        self._check_together()
        if self.delivery == "at_most_once" and self.retry.times:
            raise InvalidTask(
                f"{self.name}: an at_most_once task is never run again, so retry= has to be 0.",
                hint="Leave retry= away; what raised, or was cut off, waits for a person or for lookup=.",
            )
        if self.database is not None and self.delivery != "exactly_once":
            raise InvalidTask(f"{self.name}: database= is where an exactly_once task works; {self.delivery}.")

    def _check_together(self) -> None:
        for what, most in (("group", GROUP_MAX), ("batch", BATCH_MAX)):
            size = getattr(self, what)
            if size is None:
                continue
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= most:
                raise InvalidTask(f"{self.name}: {what}={size!r} is no whole number from 1 to {most}.")
            if self.isolation == "process":
                raise InvalidTask(f"{self.name}: {what}= and isolation='process' do not go together.")
        if self.group is not None and self.delivery != "exactly_once":
            raise InvalidTask(
                f"{self.name}: group= is how many exactly_once jobs share a commit; {self.delivery} has none."
            )
        if self.batch is not None and self.group is not None:
            raise InvalidTask(f"{self.name}: batch= is one transaction already; leave group= away.")
        if self.batch is not None and (self.delivery == "at_most_once" or self.result):
            raise InvalidTask(f"{self.name}: batch= has neither result=True nor delivery='at_most_once'.")


class Task(Generic[P, R]):
    """A declared task. Call it, and it is the plain function; :meth:`enqueue` it, and it is a job."""

    def __init__(
        self,
        app: App,
        function: Callable[P, R],
        policy: Policy,
        once: str | None,
        names: Mapping[str, Any],
        lookup: Callable[..., Any] | None = None,
    ) -> None:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidTask(f"{policy.name} is a generator; a task is a function or an async function.")
        self.app = app
        self.function = function
        self.policy = policy
        self.name = policy.name
        self.is_async = inspect.iscoroutinefunction(function)
        one: Callable[..., Any] = function
        self.batched: str | None = None
        """The parameter that a body with ``batch=`` takes as a list; None for all others."""
        if policy.batch is not None:
            self.batched, one = batched(function, policy.name, names)
        self.codec = Codec.of(one, policy.name, (Run, Transaction, AsyncTransaction), names=names)
        self.once = None if once is None else Template.parse(once, self.codec.parameters)
        self.lookup = (
            None if lookup is None else Lookup.of(lookup, policy.name, policy.delivery, self.codec.parameters)
        )
        self.gates: Gates | None = None
        functools.update_wrapper(self, function)
        database, _, alias = (policy.database or "").partition(":")
        self.django = (alias or "default") if database == DJANGO else None
        """The alias of Django's connection that its work is done on, if it is."""
        self.elsewhere = policy.database if self.django is None else None
        """The database of its work, where that is not the queue's own."""
        self._check_transaction()
        if policy.late is not None:
            check_late(self, policy.late)
        if self.django is not None and self.is_async:
            raise InvalidTask(f"{policy.name}: Django's connections are for plain functions, not async ones.")
        if self.is_async and (policy.group or policy.batch):
            raise InvalidTask(f"{policy.name}: group= and batch= are for plain functions, not async ones.")
        if policy.isolation == "process" and self.is_async:
            raise InvalidTask(f"{policy.name}: isolation='process' is for plain functions, not async ones.")

    def _check_transaction(self) -> None:
        wanted = AsyncTransaction if self.is_async else Transaction
        for name, kind in self.codec.injected.items():
            if kind is Run:
                continue
            if self.policy.delivery != "exactly_once":
                raise InvalidTask(
                    f"{self.name}: {name} is a {kind.__name__}, which only exactly_once tasks are given.",
                    hint='Declare it: @app.task(delivery="exactly_once").',
                )
            if kind is not wanted:
                raise InvalidTask(
                    f"{self.name} is {'an async' if self.is_async else 'a plain'} function, so its"
                    f" {name} is a {wanted.__name__}, not a {kind.__name__}."
                )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Store a job that will call this function with these arguments.

        Returns at once, with a handle; its ``duplicate`` says that the duty was known already.
        Raises an :class:`~dutiful.model.errors.EnqueueError` or ``StoreError``; nothing was stored then.
        """
        return Using(self).enqueue(*args, **kwargs)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """:meth:`enqueue` for an event loop."""
        return await Using(self).aenqueue(*args, **kwargs)

    def using(
        self,
        *,
        once: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        run_in: Duration | None = None,
        run_at: datetime | None = None,
        deadline: datetime | Duration | None = None,
        remember: Duration | None = None,
        on_duplicate: OnDuplicate = "raise",
        again: str | None = None,
        id: str | None = None,
        actor: str | None = None,
        connection: object | None = None,
    ) -> Using[P, R]:
        """The same task with options for one enqueue.

        ``once`` is the duty's key itself (no template). ``run_in``/``run_at`` say when it becomes due
        (an aware datetime). After ``deadline`` (an instant, or so long after it is due) it is too late:
        what is done then says the task's ``late=``, or it is dead, with the reason stale. ``connection``
        is a connection or session with an open transaction: the
        job commits and rolls back with it. ``on_duplicate`` says what to do if the duty is known with
        other arguments: "raise" KeyReused, "keep" the first, "replace" those of a job that is still
        ready. ``again`` is the reason for doing a duty once more that is done already (audited). ``id``
        is a job id made by the caller (``app.new_id()``): enqueued twice, it is one job. Raises
        InvalidOption.
        """
        if run_in is not None and run_at is not None:
            raise InvalidOption(
                "run_in= and run_at= say the same thing in two ways.", hint="Give one of them."
            )
        delay_us = 0 if run_in is None else microseconds(run_in, what="run_in")
        run_at_us = None if run_at is None else _instant(run_at)
        if queue is not None:
            checked_queue(queue, InvalidOption)
        if priority is not None:
            checked_priority(priority, InvalidOption)
        if on_duplicate not in ("raise", "keep", "replace"):
            raise InvalidOption(f"on_duplicate is raise, keep or replace, not {on_duplicate!r}.")
        if again is not None and not again.strip():
            raise InvalidOption("again= is the reason why the duty is to be done once more; it is empty.")
        if id is not None:
            try:
                id = parse_id(id)
            except ValueError as error:
                raise InvalidOption(f"id={id!r} is no UUID.", hint="Make one with app.new_id().") from error
        policy = self.policy
        return Using(
            self,
            once=None if once is None else checked_key(once),
            queue=queue if queue is not None else policy.queue,
            priority=priority if priority is not None else policy.priority,
            delay_us=delay_us,
            run_at_us=run_at_us,
            **deadline_of(deadline),
            remember_us=policy.remember_us if remember is None else microseconds(remember, what="remember"),
            on_duplicate=on_duplicate,
            again=again,
            job_id=id,
            actor=actor or "",
            connection=connection,
        )

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


class Using(Generic[P, R]):
    """A task with options for one enqueue; made by :meth:`Task.using`."""

    __slots__ = ("_options", "connection", "job_id", "once", "task")

    def __init__(
        self,
        task: Task[P, R],
        *,
        once: str | None = None,
        job_id: str | None = None,
        connection: object | None = None,
        **options: Any,
    ) -> None:
        self.task = task
        self.once = once
        self.job_id = job_id
        self.connection = connection
        policy = task.policy
        self._options = options or {
            "queue": policy.queue,
            "priority": policy.priority,
            "remember_us": policy.remember_us,
        }

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """See :meth:`Task.enqueue`."""
        job = self.new_job(args, kwargs)
        done = self.task.app._store(job, self.connection)
        return Handle(self.task.app, done.id, duplicate=done.duplicate, returns=self.task.codec.returns)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """See :meth:`Task.aenqueue`."""
        job = self.new_job(args, kwargs)
        done = await self.task.app._astore(job, self.connection)
        return Handle(self.task.app, done.id, duplicate=done.duplicate, returns=self.task.codec.returns)

    @property
    def queue(self) -> str:
        """Where its jobs go."""
        return str(self._options["queue"])

    def alike(self) -> NewJob | None:
        """What all its jobs are but for ids and arguments; None where those say more, or it is not plain."""
        if self.task.once is not None or self.task.gates is not None:
            return None
        like = self._job("", b"")
        return like if like.plain else None

    def new_job(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NewJob:
        """The job that would be stored for these arguments, which are checked here."""
        task, codec = self.task, self.task.codec
        bound = codec.bind(args, kwargs)
        data = codec.pack(bound)
        key = self.once
        if key is None and task.once is not None:
            key = task.once.render(codec.with_defaults(bound))
        gates = () if task.gates is None else task.gates.of(codec.with_defaults(bound))
        args_hash = "" if key is None else codec.args_hash(data)
        return self._job(self.job_id or make_id(), data, key, args_hash, gates)

    def _job(
        self, id: str, args: bytes, key: str | None = None, args_hash: str = "", gates: tuple[Gate, ...] = ()
    ) -> NewJob:
        policy = self.task.policy
        return NewJob(
            id=id,
            task=self.task.name,
            args=args,
            args_version=policy.version,
            key=key,
            args_hash=args_hash,
            crashes_max=policy.crashes,
            delivery=policy.delivery,
            repeated=self.job_id is not None,
            gates=gates,
            trace=tracing.current(),
            **self._options,
        )


def repeated(job: NewJob) -> NewJob:
    """The same job, to be stored once more because the first answer was lost."""
    return replace(job, repeated=True)


def rows_of(rows: Iterable[Any]) -> Iterable[Arguments]:
    """What a bulk enqueue is given: a dict is keyword arguments, a tuple positional, else one argument."""
    for row in rows:
        if isinstance(row, dict):
            yield (), row
        elif type(row) is tuple:
            yield row, {}
        else:
            yield (row,), {}


def checked_queue(name: object, error: type[InvalidTask] | type[InvalidOption]) -> str:
    """A queue's name; raises ``error`` for what the command line could not take."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
        raise error(f"{name!r} is no name of a queue: letters, digits, _ . and - only, at most 100.")
    return name


def checked_priority(priority: object, error: type[InvalidTask] | type[InvalidOption]) -> int:
    """A priority, from -100 to 100, higher is sooner; raises ``error``."""
    if isinstance(priority, bool) or not isinstance(priority, int) or priority not in PRIORITIES:
        raise error(f"priority={priority!r} is no whole number from -100 to 100 (higher is sooner).")
    return priority


def _instant(value: datetime) -> int:
    if not isinstance(value, datetime):
        raise InvalidOption(f"run_at is a datetime, not {type(value).__name__}.", hint='Or: run_in="5m".')
    if value.utcoffset() is None:
        raise InvalidOption("run_at is a datetime without time zone.", hint="Give it one: tzinfo=UTC.")
    return round(value.timestamp() * 1_000_000)
