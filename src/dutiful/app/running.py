"""What a task's body is given of its own run: who it is, and whether it still owns its job."""

from __future__ import annotations

from typing import ClassVar

from ..model.errors import LeaseLost
from ..model.keys import effect_key


class Run:
    """One claim of a job. A parameter annotated with it is filled in by the worker.

    ``def send(order_id: int, *, run: Run) -> None``; write ``run: Run = Run.given`` if your type
    checker should accept ``send.enqueue(42)`` without it.
    """

    given: ClassVar[Run]

    __slots__ = ("_over", "attempt", "duty_key", "job_id", "run_no", "task")

    def __init__(self, *, job_id: str, task: str, run_no: int, attempt: int, duty_key: str | None) -> None:
        self.job_id = job_id
        self.task = task
        self.run_no = run_no
        """Grows with every run of the job: for outside systems that can compare numbers."""
        self.attempt = attempt
        """Which charged try this is; 1 is the first."""
        self.duty_key = duty_key
        """The business key by ``once=``, None where the task declares none."""
        self._over = False

    def key(self, name: str) -> str:
        """An idempotency key for one call to the world outside: the same in every run of this duty.

        32 hexadecimal characters. Send it with the call, so that its receiver can refuse a repeat.
        """
        return effect_key(self.task, self.duty_key if self.duty_key is not None else self.job_id, name)

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


Run.given = Run(job_id="", task="", run_no=0, attempt=0, duty_key=None)
