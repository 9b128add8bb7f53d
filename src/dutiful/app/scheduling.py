"""Declaring schedules: ``@app.schedule("0 8 * * *", tz="Europe/Vienna")`` above or below ``@app.task``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from ..model.durations import Duration, microseconds
from ..model.errors import EnqueueError, InvalidSchedule
from ..model.jobs import NewJob
from ..model.schedules import GRACE_US, Missed, Spec, checked_name, expand, occurrence_key
from ..operations.schedules import Declared
from .task import Task

if TYPE_CHECKING:
    from .app import App

T = TypeVar("T", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")

WAITING = "__dutiful_schedules__"
"""Schedules of a plain function that ``@app.task`` has not seen yet."""
REMEMBERED = "30d"
"""How long the duty of an occurrence is remembered after it was done, beside the ledger's row."""


class Schedule(Struct, frozen=True):
    """A rule that makes jobs of one task, as declared."""

    name: str
    task: Task[..., Any]
    spec: Spec
    args: Mapping[str, Any]
    at: str | None

    def job(self, at_us: int) -> NewJob:
        """The job of the occurrence at that instant; its arguments are checked here."""
        given = dict(self.args)
        if self.at is not None:
            given[self.at] = self._moment(at_us)
        using = self.task.using(
            once=occurrence_key(self.name, at_us),
            run_at=datetime.fromtimestamp(at_us / 1e6, UTC),
            remember=REMEMBERED,
            on_duplicate="keep",
        )
        return using.new_job((), given)

    def _moment(self, at_us: int) -> datetime | date:
        when = datetime.fromtimestamp(at_us / 1e6, self.spec.zone)
        assert self.at is not None
        return when.date() if self.task.codec.parameters[self.at] is date else when

    @property
    def declared(self) -> Declared:
        """For operations."""
        return Declared(self.name, self.spec, self.job)


class Schedules:
    """The part of an App that knows its schedules."""

    @cached_property
    def schedules(self) -> dict[str, Schedule]:
        """Every declared schedule by its name."""
        return {}

    @cached_property
    def _unclaimed(self) -> list[Callable[..., Any]]:
        return []

    def schedule(
        self,
        expression: str | None = None,
        *,
        every: Duration | None = None,
        tz: str = "UTC",
        missed: Missed = "run_last",
        grace: Duration | None = None,
        name: str | None = None,
        args: Mapping[str, Any] | None = None,
        at: str | None = None,
    ) -> Callable[[T], T]:
        """Make a job of a task at each instant of a cron ``expression`` in a zone, or ``every`` so often.

        Stands above or below ``@app.task``, also several times; or is called with a task. ``missed`` says
        what becomes of occurrences that are more than ``grace`` (default 1 minute) late, because no worker
        was there: ``run_last`` makes the last one, ``run_all`` all of them (the latest 100), ``skip`` none,
        ``people`` leaves each to a person (``dutiful schedule run``). ``name`` is the task's unless there
        are several; ``args`` are the task's arguments by name; ``at`` is the argument that is given the
        occurrence's instant, a datetime in ``tz`` (or, if it is annotated so, a date). ``every`` is whole
        seconds in real time, counted from 1970-01-01T00:00Z. Raises InvalidSchedule, InvalidDuration.
        """
        fields: dict[str, Any] = {
            "cron": None if expression is None else expand(expression),
            "every_us": None if every is None else microseconds(every, what="every", zero_ok=False),
            "tz": tz,
            "missed": missed,
            "grace_us": GRACE_US if grace is None else microseconds(grace, what="grace"),
        }
        Spec(task="", **fields)  # says at once what is wrong with it
        given = dict(args or {})

        def declare(target: T) -> T:
            if isinstance(target, Task):
                self._schedule(target, name, fields, given, at)
            elif callable(target):
                waiting = target.__dict__.setdefault(WAITING, [])
                waiting.append((self, lambda task: self._schedule(task, name, fields, given, at)))
                self._unclaimed.append(target)
            else:
                raise InvalidSchedule(f"schedule() is for a task, not for {target!r}.")
            return target

        return declare

    def _schedule(
        self,
        task: Task[..., Any],
        name: str | None,
        fields: dict[str, Any],
        args: dict[str, Any],
        at: str | None,
    ) -> None:
        own = checked_name(name if name is not None else task.name)
        if task.app is not cast("App", self):
            raise InvalidSchedule(f"Schedule {own!r}: {task.name} is a task of another app.")
        if at is not None and at not in task.codec.parameters:
            raise InvalidSchedule(f"Schedule {own!r}: {task.name} has no argument {at!r} for at=.")
        known = self.schedules.get(own)
        # A module that is imported anew declares its tasks, and their schedules, again: no conflict.
        if known is not None and (known.task is task or known.task.name != task.name):
            raise InvalidSchedule(
                f"Two schedules are called {own!r}, one of {known.task.name}, one of {task.name}.",
                hint="Give each a name of its own: name=…",
            )
        plain = Schedule(own, task, Spec(task=task.name, **fields), args, at)
        try:
            packed = plain.job(0).args
        except EnqueueError as error:
            raise InvalidSchedule(f"Schedule {own!r}: {error.message}", hint="Arguments: args={…}") from error
        mark = hashlib.sha256(packed + str(at).encode()).hexdigest()[:16]
        self.schedules[own] = replace(plain, spec=replace(plain.spec, args=mark))

    def claim_schedules(self, function: Callable[..., Any], task: Task[P, R]) -> Task[P, R]:
        """The function, which may have schedules, has become this task."""
        task.__dict__.pop(WAITING, None)  # copied with the rest of the function's
        for app, declare in reversed(getattr(function, "__dict__", {}).pop(WAITING, [])):
            app._unclaimed.remove(function)
            declare(task)
        return task

    def declared_schedules(self) -> list[Declared]:
        """For workers. Raises InvalidSchedule where a function with a schedule never became a task."""
        if self._unclaimed:
            names = ", ".join(sorted({one.__qualname__ for one in self._unclaimed}))
            raise InvalidSchedule(
                f"{names} has a schedule, and is no task.", hint="Put @app.task() above @app.schedule(…)."
            )
        return [one.declared for one in self.schedules.values()]
