"""What a task's body is given of its own run: who it is, what it may do, and whether it owns its job."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..model.errors import LeaseLost, WrongDelivery
from ..model.keys import effect_key

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

    __slots__ = ("_means", "_over", "attempt", "duty_key", "job_id", "run_no", "task")

    def __init__(
        self,
        *,
        job_id: str,
        task: str,
        run_no: int,
        attempt: int,
        duty_key: str | None,
        means: Means | None = None,
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
        self._means = means

    def key(self, name: str) -> str:
        """An idempotency key for one call to the world outside: the same in every run of this duty.

        32 hexadecimal characters. Send it with the call, so that its receiver can refuse a repeat.
        """
        return effect_key(self.task, self.duty, name)

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

    def check(self) -> None:
        """Raise LeaseLost if the run is over; for long loops, between two steps."""
        if self._over:
            raise LeaseLost(job_id=self.job_id, run_no=self.run_no)

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
