"""Declaring what is expected: ``app.reconcile(send_receipt, expected="SELECT …", done="SELECT …")``.

``missing = expected − in flight − done``: a row is the task's arguments, and both sides are compared by the
key that the task's own ``once`` template makes of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    Protocol,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
    runtime_checkable,
)

from ..engines.evidence import checked
from ..model.durations import Duration, microseconds
from ..model.errors import InvalidReconcile
from ..model.keys import near
from ..model.late import Late
from ..model.reconcile import Rule, Then
from ..model.schedules import checked_name
from .reconcile_rows import Rows
from .task import Task

if TYPE_CHECKING:
    from .app import App

F = TypeVar("F", bound=Callable[..., Any])

Outcome = Literal["done", "enqueued", "waiting"]
"""What a source is told: the duty is done; a job was made for it; a job was there."""


@runtime_checkable
class Source(Protocol):
    """What another system was asked to do, or gave up on: rows, each with a handle to take it out by.

    ``acknowledge`` is called after the commit that made the outcome last; should the process die in between,
    the row comes again, and its key makes that harmless.
    """

    def __iter__(self) -> Any:
        """Pairs of a row and its handle."""
        ...

    def acknowledge(self, handle: Any, outcome: Outcome) -> None:
        """Take the row out: the duty is in good hands."""
        ...


Side = str | Callable[[datetime, datetime], Iterable[Any]]
"""A query with :since and :until, or a function of the two instants."""


@dataclass(frozen=True)
class Reconciler:
    """One reconciliation, as declared."""

    name: str
    task: Task[..., Any]
    rule: Rule
    expected: Side | Source
    done: Side | None
    database: str | None
    done_database: str | None
    acknowledge: Callable[[Any, Outcome], Any] | None

    @property
    def tasks(self) -> list[str]:
        """Every name under which the task's jobs may be."""
        return [self.task.name, *self.task.policy.aliases]

    @property
    def handled(self) -> bool:
        """Whether expected rows come with handles, from another system that is not all there is to expect."""
        return self.acknowledge is not None or isinstance(self.expected, Source)

    @cached_property
    def expected_rows(self) -> Rows:
        """How the expected side is read."""
        return Rows(self.task, f"reconcile {self.name!r}: expected", due_needed=not self.handled)

    @cached_property
    def done_rows(self) -> Rows:
        """How the evidence is read."""
        return Rows(self.task, f"reconcile {self.name!r}: done", due_needed=False)


class Words(TypedDict, total=False):
    """What may be said of a reconciliation beside its expected side, for type checkers: said once."""

    done: Side | None
    every: Duration
    grace: Duration
    window: Duration
    late: Late | Literal["run", "skip", "people"] | None
    database: str | None
    done_database: str | None
    attend: Duration | None
    acknowledge: Callable[[Any, Outcome], Any] | None
    name: str | None


class Reconcilers:
    """The part of an App that knows what is expected of it."""

    @cached_property
    def reconcilers(self) -> dict[str, Reconciler]:
        """Every declared reconciliation by its name."""
        return {}

    @overload
    def reconcile(
        self, task: Task[..., Any], *, expected: Side | Source, **words: Unpack[Words]
    ) -> Reconciler: ...

    @overload
    def reconcile(
        self, task: Task[..., Any], *, expected: None = None, **words: Unpack[Words]
    ) -> Callable[[F], F]: ...

    def reconcile(
        self,
        task: Task[..., Any],
        *,
        expected: Side | Source | None = None,
        done: Side | None = None,
        every: Duration = "1h",
        grace: Duration = "15m",
        window: Duration = "7d",
        late: Late | Literal["run", "skip", "people"] | None = None,
        database: str | None = None,
        done_database: str | None = None,
        attend: Duration | None = None,
        acknowledge: Callable[[Any, Outcome], Any] | None = None,
        name: str | None = None,
    ) -> Any:
        """Compare what is expected of a task with what is done, ``every`` so often; enqueue what is missing.

        ``expected`` yields the task's arguments and ``due``: a query with ``:since`` and ``:until``, a
        function of these two instants, or (left away) the function that this decorates. ``done`` is evidence
        in the business data: rows with what the ``once`` template names, or keys; left away, it is our own
        records. Either may be in one of ``App(databases=…)`` (``database``, ``done_database``: left away, it
        is the same). Duties due for less than ``grace`` are too young to miss; ``window`` is how far back all
        of it is looked at, once a day. ``late``: what becomes of a missing one that is found too long after
        it was due: ``Late("1d", then="skip")``, or then "run" or "dead" (it waits for a person); a word
        alone, "skip", "run" or "people", means later than the second pass after the grace. ``attend``: a duty
        that waits for a person for longer than this (its job is dead or in doubt) is told as late.
        With ``acknowledge`` (or a :class:`Source`) the expected rows come in pairs with handles from another
        system, which is told what became of each. ``name`` is the task's unless there are several. Raises
        InvalidReconcile, InvalidDuration.
        """
        app = cast("App", self)
        if not isinstance(task, Task) or task.app is not app:
            raise InvalidReconcile(f"reconcile() is for a task of this app, not for {task!r}.")
        own = checked_name(name if name is not None else task.name)
        if task.once is None:
            raise InvalidReconcile(
                f"reconcile {own!r}: {task.name} has no once=, so its jobs have no key to compare by.",
                hint='Declare it: @app.task(once="receipt:{order_id}").',
            )
        for what, given in (("database", database), ("done_database", done_database)):
            if given is not None and given not in app.databases:
                raise InvalidReconcile(
                    f"reconcile {own!r}: {what}={given!r} is none of App(databases=…)"
                    f"{near(given, app.databases)}."
                )
        if done_database is not None and not isinstance(done, str):
            raise InvalidReconcile(f"reconcile {own!r}: done_database= is for a query as done=.")
        fields: dict[str, Any] = {
            "every_us": microseconds(every, what="every", zero_ok=False),
            "grace_us": microseconds(grace, what="grace"),
            "window_us": microseconds(window, what="window", zero_ok=False),
            "memory_us": _memory(task) if done is None else None,
            "attend_us": None if attend is None else microseconds(attend, what="attend", zero_ok=False),
        }
        fields |= _late(own, late, fields["every_us"], fields["grace_us"])
        _check_side(own, "done", done)

        def declare(side: Side | Source) -> Reconciler:
            _check_side(own, "expected", side)
            marks = [
                _mark(side),
                _mark(done),
                str(database),
                str(done_database),
                str(acknowledge is not None),
            ]
            rule = Rule(own, task.name, sources=" ".join(marks), **fields)
            there = self.reconcilers.get(own)
            # A module that is imported anew declares its tasks, and all that is theirs, again: no conflict.
            if there is not None and (there.task is task or there.task.name != task.name):
                raise InvalidReconcile(
                    f"Two reconciliations are called {own!r}, of {there.task.name} and of {task.name}.",
                    hint="Give each a name of its own: name=…",
                )
            found = Reconciler(own, task, rule, side, done, database, done_database, acknowledge)
            self.reconcilers[own] = found
            return found

        if expected is not None:
            return declare(expected)

        def decorate(function: F) -> F:
            declare(function)
            return function

        return decorate


def waived(reconcile: object, because: str) -> str:
    """Why a task is not to be reconciled, by ``reconcile=None, because="…"``; raises InvalidReconcile."""
    if reconcile is ... and not because:
        return ""
    if reconcile is not None:
        raise InvalidReconcile(
            "A task is told reconcile=None with because=, and nothing else.",
            hint="What is expected of it is declared beside it: app.reconcile(task, expected=…).",
        )
    if not isinstance(because, str) or not because.strip():
        raise InvalidReconcile(
            "reconcile=None needs a reason.",
            hint='As in: reconcile=None, because="a cache, rebuilt nightly".',
        )
    return because.strip()


def _check_side(name: str, what: str, side: object) -> None:
    if side is None or isinstance(side, Source):
        return
    if isinstance(side, str):
        checked(side, f"reconcile {name!r}: {what}")
    elif not callable(side):
        raise InvalidReconcile(
            f"reconcile {name!r}: {what} is a {type(side).__name__}; it is a query, or a function of "
            "two instants."
        )


def _memory(task: Task[..., Any]) -> int | None:
    """For how long our own records know that a duty was done; the ledger's rows of work stay for ever."""
    return None if task.policy.delivery == "exactly_once" else task.policy.remember_us


def _late(name: str, late: object, every_us: int, grace_us: int) -> dict[str, Any]:
    if late is None:
        return {}
    if isinstance(late, Late):
        if late.then not in ("run", "skip", "dead"):
            raise InvalidReconcile(f"reconcile {name!r}: late={late!r}: then is run, skip or dead here.")
        then: Then = "people" if late.then == "dead" else late.then
        return {"late_us": late.after_us, "then": then}
    if late in ("run", "skip", "people"):
        return {"late_us": grace_us + 2 * every_us, "then": late}
    raise InvalidReconcile(
        f"reconcile {name!r}: late={late!r} is no policy.", hint='As in: late=Late("1d", then="skip").'
    )


def _mark(side: object) -> str:
    """What a side says, shortly: a deploy that changes it has the whole window looked at."""
    if side is None or isinstance(side, str):
        return hashlib.sha256(repr(side).encode()).hexdigest()[:16]
    code = getattr(side, "__code__", None)
    if code is None:
        return f"{type(side).__module__}.{type(side).__qualname__}"
    return hashlib.sha256(code.co_code + repr((code.co_names, _plain(code.co_consts))).encode()).hexdigest()[
        :16
    ]


def _plain(constants: Iterable[object]) -> list[object]:
    """Without what has an address in its text."""
    return [one for one in constants if one is None or isinstance(one, str | bytes | int | float | tuple)]
