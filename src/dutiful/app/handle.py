"""What an enqueue gives back: the job that will do the work, and a way to its result."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from ..model.durations import Duration, microseconds
from ..model.errors import JobFailed, JobNotFound, ResultNotReady
from ..model.payload import decode_result
from ..operations import inspect, people
from ..operations.inspect import FailureView, JobView

if TYPE_CHECKING:
    from .app import App

R = TypeVar("R")

POLL_FIRST_S = 0.01
POLL_LONGEST_S = 0.5


class Handle(Generic[R]):
    """The job that satisfies a request. ``duplicate``: it, or a done one, was there already."""

    __slots__ = ("_app", "_returns", "duplicate", "id")

    def __init__(self, app: App, id: str, *, duplicate: bool = False, returns: object = None) -> None:
        self._app = app
        self._returns = returns
        self.id = id
        self.duplicate = duplicate

    def job(self) -> JobView:
        """The job as it is now. Raises JobNotFound (also before the caller's transaction committed)."""
        return self._app.engine.run(inspect.job(self._app.name, self.id))

    def result(self, timeout: Duration = "30s") -> R:
        """Wait until the job has ended, and return what its task returned.

        None unless the task is declared with ``result=True``. Raises ResultNotReady after
        ``timeout``; JobFailed if the job is dead, cancelled, or ended without a run.
        """
        until = time.monotonic() + microseconds(timeout, what="timeout") / 1e6
        pause = POLL_FIRST_S
        while True:
            try:
                job: JobView | None = self.job()
            except JobNotFound:
                job = None
            if job is not None and job.state in ("done", "dead", "cancelled"):
                failures = [] if job.state != "dead" else self._app.engine.run(inspect.failures(self.id))
                return self._ended(job, failures)
            if time.monotonic() + pause > until:
                raise self._not_ready(job, timeout)
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_LONGEST_S)

    async def aresult(self, timeout: Duration = "30s") -> R:
        """:meth:`result` for an event loop."""
        until = time.monotonic() + microseconds(timeout, what="timeout") / 1e6
        pause = POLL_FIRST_S
        while True:
            try:
                job: JobView | None = await self._app.engine.arun(inspect.job(self._app.name, self.id))
            except JobNotFound:
                job = None
            if job is not None and job.state in ("done", "dead", "cancelled"):
                dead = job.state == "dead"
                return self._ended(
                    job, await self._app.engine.arun(inspect.failures(self.id)) if dead else []
                )
            if time.monotonic() + pause > until:
                raise self._not_ready(job, timeout)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_LONGEST_S)

    def cancel(self, reason: str = "", *, actor: str = "") -> JobView:
        """Cancel the job: at once if nobody has begun it, else its run is asked to stop (``run.cancelled``).

        Audited. Returns the job as it is then. Raises JobNotFound, WrongState (it is over).
        """
        return self._app.engine.run(people.call_off(self._app.name, self.id, actor=actor, reason=reason))

    async def acancel(self, reason: str = "", *, actor: str = "") -> JobView:
        """:meth:`cancel` for an event loop."""
        asking = people.call_off(self._app.name, self.id, actor=actor, reason=reason)
        return await self._app.engine.arun(asking)

    def _ended(self, job: JobView, failures: list[FailureView]) -> R:
        if job.state == "done" and job.outcome == "performed":
            if job.result is None or (job.doubt is not None and not self._gives_results(job)):
                return None  # type: ignore[return-value]
            return decode_result(bytes(job.result), self._returns)  # type: ignore[no-any-return]
        why = f": {failures[-1].kind}: {failures[-1].message}" if failures else ""
        how = f"{job.state} ({job.outcome or job.reason})" if job.outcome or job.reason else job.state
        raise JobFailed(
            f"Job {self.id} ({job.task}) is {how}{why}.", hint=f"Look at it: dutiful job show {self.id}"
        )

    def _gives_results(self, job: JobView) -> bool:
        """A job that was in doubt may have evidence where others have a result, or nothing."""
        task = self._app.tasks.get(job.task)
        return task is None or task.policy.result

    def _not_ready(self, job: JobView | None, timeout: Duration) -> ResultNotReady:
        state = "not stored (yet)" if job is None else job.state
        return ResultNotReady(
            f"Job {self.id} is {state} after waiting for {timeout}.",
            hint=f"Is a worker running? dutiful job why {self.id}",
        )

    def __repr__(self) -> str:
        return f"<Handle {self.id}{' duplicate' if self.duplicate else ''}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)
