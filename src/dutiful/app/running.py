"""What a task's body is given of its own run: who it is, what it may do, and whether it owns its job."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..model.durations import Duration
from ..model.effects import EffectStop
from ..model.errors import EffectChanged, JobCancelled, LeaseLost, WrongDelivery
from ..model.keys import effect_key
from .effects import Asked, EffectMeans, acarry, carry, checked, flow_of

if TYPE_CHECKING:
    from .transactions import AsyncTransaction, Transaction


class Means(Protocol):
    """What a worker gives a run beyond its names; a run made for a test has none."""

    def transaction(self) -> Transaction:
        """The run's transaction, opened now unless it is open."""
        ...

    async def atransaction(self) -> AsyncTransaction:
        """The same for an async body."""
        ...


class Run:
    """One claim of a job. A parameter annotated with it is filled in by the worker.

    ``def send(order_id: int, *, run: Run) -> None``; write ``run: Run = Run.given`` if your type
    checker should accept ``send.enqueue(42)`` without it.
    """

    given: ClassVar[Run]

    __slots__ = (
        "_cancelled",
        "_effects",
        "_means",
        "_over",
        "_stop",
        "attempt",
        "duty_key",
        "job_id",
        "run_no",
        "task",
    )

    def __init__(
        self,
        *,
        job_id: str,
        task: str,
        run_no: int,
        attempt: int,
        duty_key: str | None,
        means: Means | None = None,
        effects: EffectMeans | None = None,
    ) -> None:
        self.job_id = job_id
        self.task = task
        self.run_no = run_no
        """Grows with every run of the job: for outside systems that can compare numbers."""
        self.attempt = attempt
        """Which charged try this is; 1 is the first."""
        self.duty_key = duty_key
        """The business key by ``once=``, None where the task declares none."""
        self._over = False
        self._cancelled = False
        self._means = means
        self._effects = effects
        self._stop: EffectStop | EffectChanged | None = None
        """Why this run cannot go on, if an effect said so: it ends so, whatever the body makes of it."""

    def key(self, name: str) -> str:
        """An idempotency key for one call to the world outside: the same in every run of this duty.

        32 hexadecimal characters. Send it with the call, so that its receiver can refuse a repeat.
        """
        return effect_key(self.task, self.duty, name)

    def effect(
        self,
        name: str,
        *,
        do: Callable[[str], Any],
        request: Any = None,
        remembered: Duration | None = None,
        lookup: Callable[[str], Any] | None = None,
        margin: Duration | None = None,
        quiet: Duration | None = None,
    ) -> Any:
        """Call the world outside, once for this duty: ``do(key)``, its result kept and given again.

        The call is written down before it is made, so that a crash in between is never unnoticed; a later
        run that finds it done is given the stored result and calls nobody. A call whose outcome is unknown
        is sent again, under the same key, only while the other side remembers it: for ``remembered`` less
        ``margin`` (default: a tenth, at least 5 minutes) from the first call. After that ``lookup(key)``
        says what became of it: the result, None (surely not applied), or it raises :class:`dutiful.Unsure`.
        Surely not applied, it is sent again when the earlier caller is proven dead and ``quiet`` (default
        5 minutes) has passed; until then the job waits, uncharged. Where nothing tells, the job is in doubt.

        ``request`` is what the call is about, as plain data: an open call that is made again with another
        request means that code or data changed, and buries the job. ``do`` raises
        :class:`dutiful.EffectRefused` for a refusal that is sure; whatever else it raises leaves the outcome
        unknown. The result comes back as JSON has it, at most 64 KiB.

        Raises what ``do`` raises, InvalidEffect and InsideTransaction (nothing was begun), LeaseLost
        (another run owns the job), ResultNotKept (done, but what it returned could not be stored).
        """
        asked = self._asked(name, do, request, remembered, lookup, margin, quiet)
        try:
            return carry(flow_of(asked, self._effects), self._effects)
        except (EffectStop, EffectChanged) as stop:
            self._stop = stop
            raise

    async def aeffect(
        self,
        name: str,
        *,
        do: Callable[[str], Any],
        request: Any = None,
        remembered: Duration | None = None,
        lookup: Callable[[str], Any] | None = None,
        margin: Duration | None = None,
        quiet: Duration | None = None,
    ) -> Any:
        """:meth:`effect` for an async body. ``do`` and ``lookup`` may be async; plain ones block the loop."""
        asked = self._asked(name, do, request, remembered, lookup, margin, quiet)
        try:
            return await acarry(flow_of(asked, self._effects), self._effects)
        except (EffectStop, EffectChanged) as stop:
            self._stop = stop
            raise

    def _asked(
        self,
        name: str,
        do: Callable[[str], Any],
        request: Any,
        remembered: Duration | None,
        lookup: Callable[[str], Any] | None,
        margin: Duration | None,
        quiet: Duration | None,
    ) -> Asked:
        if self._over:  # a call that undoes something is made even when the job is to stop
            raise LeaseLost(job_id=self.job_id, run_no=self.run_no)
        terms = checked(self._effects, name, do, request, remembered, lookup, margin, quiet)
        return Asked(
            task=self.task,
            duty=self.duty,
            job_id=self.job_id,
            run_no=self.run_no,
            name=name,
            key=self.key(name),
            terms=terms,
            do=do,
            lookup=lookup,
        )

    @property
    def duty(self) -> str:
        """What names the duty: the business key, or where none is declared the job's id."""
        return self.duty_key if self.duty_key is not None else self.job_id

    def transaction(self) -> RunTransaction:
        """Open the transaction of an exactly_once run late: ``with run.transaction() as tx:``.

        (``async with`` in an async body.) Leaving the block commits nothing: the body's return does,
        with the ledger and the job's completion; what it raises takes all back. A second call gives
        the same transaction. Raises WrongDelivery for other deliveries.
        """
        if self._means is None:
            raise WrongDelivery(
                f"{self.task}: this run has no transaction.",
                hint='Declare delivery="exactly_once", and let a worker (or testing.run_all) run it.',
            )
        return RunTransaction(self._means)

    @property
    def over(self) -> bool:
        """Whether this run has lost its job (time-out, lapse): what it still does is for nothing."""
        return self._over

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked the job to stop: raise, and it is cancelled; return, and it is done.

        Learnt with the heartbeat. (In a child process it stays false: that is killed after the grace.)
        """
        return self._cancelled

    def check(self) -> None:
        """For long loops: raise LeaseLost if the run is over, JobCancelled if it was asked to stop."""
        if self._over:
            raise LeaseLost(job_id=self.job_id, run_no=self.run_no)
        if self._cancelled:
            raise JobCancelled(job_id=self.job_id, run_no=self.run_no)

    def __repr__(self) -> str:
        return f"<Run {self.run_no} of job {self.job_id} ({self.task}), attempt {self.attempt}>"


class RunTransaction(
    AbstractContextManager["Transaction", None], AbstractAsyncContextManager["AsyncTransaction", None]
):
    """The block of :meth:`Run.transaction`; what it raises goes on, and takes the run's work back."""

    __slots__ = ("_means",)

    def __init__(self, means: Means) -> None:
        self._means = means

    def __enter__(self) -> Transaction:
        return self._means.transaction()

    def __exit__(self, *raised: Any) -> None:
        return None

    async def __aenter__(self) -> AsyncTransaction:
        return await self._means.atransaction()

    async def __aexit__(self, *raised: Any) -> None:
        return None


Run.given = Run(job_id="", task="", run_no=0, attempt=0, duty_key=None)
