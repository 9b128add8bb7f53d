"""Retries: what follows when a task's body has raised, as a pure function of the error and the try.

A task may have a :class:`Retry` policy, and its body may raise a :class:`TaskSignal` to say itself
what should follow. :func:`judge` turns either into a verdict: run again after a delay, or bury.
Crashes of a worker are not errors of the task; they have a budget of their own and never come here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .durations import Duration, microseconds, text
from .errors import Conflict, EffectChanged, InvalidTask

RETRY_TIMES = 8
RETRY_TIMES_MAX = 10_000
SNOOZE_US_MIN = 100_000
"""A snooze costs no try, so a shorter one could go round as fast as the worker can."""
CONFLICTS_MAX = 10
"""So many uncharged runs an attempt allows a task that meets conflicts; then a conflict is charged."""
CONFLICT_US, CONFLICT_US_MAX = 100_000, 5_000_000
"""The wait after a conflict: at least the first; by chance up to that doubled with each, or the last."""
RETRY_AFTER_US_MAX = 7 * 86_400_000_000
"""An error's ``retry_after`` comes from somebody else's server; a mistake there must not park a job."""

Kinds = type[BaseException] | tuple[type[BaseException], ...]


class TaskSignal(Exception):
    """What a task raises to say what should follow. None of them is an error of dutiful's."""


class RetryIn(TaskSignal):
    """Try again after this delay. Charged as a failed attempt, so it needs a try that is left."""

    def __init__(self, delay: Duration, reason: str = "") -> None:
        self.delay_us = microseconds(delay, what="RetryIn")
        self.reason = reason
        super().__init__(delay, reason)

    def __str__(self) -> str:
        return f"try again in {text(self.delay_us)}" + (f": {self.reason}" if self.reason else "")


class Snooze(TaskSignal):
    """Run later; this run does not count as an attempt. At least 100 ms."""

    def __init__(self, delay: Duration) -> None:
        self.delay_us = max(microseconds(delay, what="Snooze", zero_ok=False), SNOOZE_US_MIN)
        super().__init__(delay)

    def __str__(self) -> str:
        return f"snooze for {text(self.delay_us)}"


class GiveUp(TaskSignal):
    """Never try this again: the job is dead at once, and waits for a person."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and after how long, a task is tried again when its body has raised.

    ``Retry(8)`` is at most nine attempts. The wait doubles from ``first`` to ``longest``; ``jitter``
    is the part of it that is left to chance: 1 for all of it ("full jitter", so that jobs that failed
    together do not come back together), 0 for none. ``on`` are the errors that are worth another try,
    ``never`` those that are not, although ``on`` includes them. A group that holds a single error
    (as a ``TaskGroup`` raises it) is judged as that error. Raises :class:`InvalidTask` or
    :class:`InvalidDuration` when it is made.
    """

    times: int = RETRY_TIMES
    first: Duration = field(default="15s", compare=False)
    longest: Duration = field(default="6h", compare=False)
    jitter: float = 1.0
    on: Kinds = (Exception,)
    never: Kinds = ()
    first_us: int = field(init=False, repr=False)
    longest_us: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.times, bool) or not isinstance(self.times, int):
            raise InvalidTask(f"Retry(times={self.times!r}): times is a whole number, 0 for no retries.")
        if not 0 <= self.times <= RETRY_TIMES_MAX:
            raise InvalidTask(f"Retry(times={self.times!r}): times is between 0 and {RETRY_TIMES_MAX:,}.")
        if isinstance(self.jitter, bool) or not isinstance(self.jitter, int | float):
            raise InvalidTask(f"Retry(jitter={self.jitter!r}): jitter is a number between 0 and 1.")
        if not 0 <= self.jitter <= 1:
            raise InvalidTask(f"Retry(jitter={self.jitter!r}): jitter is between 0 (none) and 1 (all).")
        assign = object.__setattr__
        assign(self, "first_us", microseconds(self.first, what="Retry(first=…)"))
        assign(self, "longest_us", microseconds(self.longest, what="Retry(longest=…)"))
        if self.longest_us < self.first_us:
            raise InvalidTask(
                f"Retry: longest={text(self.longest_us)} is shorter than first={text(self.first_us)}."
            )
        assign(self, "on", _kinds("on", self.on))
        assign(self, "never", _kinds("never", self.never))

    @classmethod
    def of(cls, value: int | Retry) -> Retry:
        """What ``retry=`` of a task means: ``0`` never, ``8`` is ``Retry(8)``, or a Retry itself."""
        if isinstance(value, Retry):
            return value
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidTask(f"retry={value!r} is neither a number of retries nor a Retry(…).")
        return cls(value)

    def wants(self, error: BaseException) -> bool:
        """Whether the policy holds this error worth another try."""
        return isinstance(error, self.on) and not isinstance(error, self.never)

    def delay_us(self, attempt: int, chance: float) -> int:
        """The wait after the failure of ``attempt`` (1 is the first); ``chance`` is in [0, 1].

        The cap is ``first`` doubled ``attempt - 1`` times, at most ``longest``. The wait is uniform
        between ``(1 - jitter) * cap`` and ``cap``, but never below a tenth of ``first``: with nothing
        below it, full jitter would now and then send a job straight back into what it failed on.
        """
        assert attempt >= 1 and 0 <= chance <= 1
        cap = min(self.first_us << min(attempt - 1, 64), self.longest_us)
        least = cap - round(cap * self.jitter)
        if self.jitter:
            least = max(least, self.first_us // 10)
        return least + round((cap - least) * chance)


@dataclass(frozen=True, slots=True)
class Again:
    """Run it again after ``delay_us``; ``charged`` says whether the run counts as an attempt.

    ``error`` is what is recorded for this attempt, None if nothing went wrong (a snooze).
    """

    delay_us: int
    charged: bool
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Bury:
    """The job is dead; ``reason`` is one of :data:`dutiful.model.states.REASONS`."""

    reason: str
    error: BaseException


Verdict = Again | Bury


def judge(error: BaseException, *, attempt: int, retry: Retry, chance: float, run_no: int = 0) -> Verdict:
    """What follows when the body of ``attempt`` (1 is the first), in run ``run_no``, raised ``error``.

    ====================================  =======================================================
    raised                                verdict
    ====================================  =======================================================
    ``Snooze(delay)``                     again after delay, uncharged, however many tries are left
    ``GiveUp(reason)``                    bury: ``gave_up``
    ``EffectChanged``                     bury: ``changed``
    ``Conflict``, few uncharged runs yet  again soon, uncharged: :data:`CONFLICTS_MAX` runs of the job
                                          for each charged attempt, whatever they were not charged for
    an error the policy does not retry    bury: ``error`` (``retry=0``, not in ``on``, in ``never``)
    ``RetryIn(delay)``, tries are left    again after delay
    any other error, tries are left       again after the backoff, or the error's ``retry_after``,
                                          whichever is longer
    an error, no try is left              bury: ``exhausted``
    ====================================  =======================================================
    """
    cause = _single(error)
    if isinstance(cause, Snooze):
        return Again(cause.delay_us, False, None)
    if isinstance(cause, GiveUp):
        return Bury("gave_up", error)
    if isinstance(cause, EffectChanged):
        return Bury("changed", error)
    if isinstance(cause, Conflict) and not isinstance(cause, retry.never):
        free = max(0, run_no - attempt)
        if free < attempt * CONFLICTS_MAX:
            longest = min(CONFLICT_US << min(free % CONFLICTS_MAX, 6), CONFLICT_US_MAX)
            return Again(CONFLICT_US + round((longest - CONFLICT_US) * chance), False, None)
    if retry.times == 0 or not (isinstance(cause, RetryIn) or retry.wants(cause)):
        return Bury("error", error)
    if attempt > retry.times:
        return Bury("exhausted", error)
    if isinstance(cause, RetryIn):
        return Again(cause.delay_us, True, error)
    return Again(max(retry.delay_us(attempt, chance), retry_after_us(cause)), True, error)


def retry_after_us(error: BaseException) -> int:
    """The wait that an error asks for by its attribute ``retry_after``; 0 if it asks for none.

    It may be seconds, a timedelta, "5m", or the text of an HTTP header in seconds ("120"). Anything
    else is as if it were not there: the verdict must not fail on somebody else's mistake.
    """
    try:
        asked: Any = getattr(error, "retry_after", None)
        if isinstance(asked, str) and asked.strip().isdecimal():
            asked = int(asked)
        return min(microseconds(asked), RETRY_AFTER_US_MAX)
    except Exception:  # no duration, or a property of theirs that raises
        return 0


def _single(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _kinds(what: str, kinds: Any) -> tuple[type[BaseException], ...]:
    listed = kinds if isinstance(kinds, tuple) else (kinds,)
    for kind in listed:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise InvalidTask(
                f"Retry({what}={kinds!r}): {kind!r} is no exception class.",
                hint=f"Write classes: {what}=(TimeoutError, ConnectionError).",
            )
    return listed
