"""Exactly-once runs: the body in its transaction, the one commit, and what became of it.

The ledger's row comes first, so that a second run of the duty waits for this one; then the body; last
the completion under the token, and the commit. A serialization failure, a deadlock and "locked" run the
whole body again; a commit without an answer is read back by token, never guessed.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from typing import TYPE_CHECKING, Any, cast

from ..app import events
from ..app.events import emit
from ..app.transactions import AsyncTransaction, Transaction
from ..engines.blockers import note as name_blocker
from ..engines.work import (
    LOCKED_STATES,
    RERUN_STATES,
    SQLITE_AUTH,
    SQLITE_BUSY,
    UNFINISHED_STATE,
    AsyncWorkTransaction,
    WorkTransaction,
    open_work,
    sqlstates,
)
from ..model.errors import (
    CommitUnknown,
    DutifulError,
    StoreBusy,
    StoreUnreachable,
    WorkNotFinished,
    WorkRolledBack,
)
from ..model.fates import Fate
from ..model.jobs import Ending, Lease
from ..operations import settle, works

if TYPE_CHECKING:
    from ..app.app import App
    from ..app.task import Task

logger = logging.getLogger("dutiful.worker")

RERUNS_MAX = 8
"""How often a body runs again, in the same run, after a serialization failure, "locked" or a broken line."""
RERUN_PAUSE_S = 0.01
BUSY_US = 1_000_000
"""How long a job waits whose duty is being done by another run right now."""
ASK_S = 30.0
"""How long a commit without an answer is asked for; then the run is left to the reaper."""
END_AFTER_S = 2.0
"""When the server still calls the transaction under way, its session is ended."""


class Superfluous(BaseException):
    """Thrown out of a body's opening of its transaction: the duty is done. No error of anybody's."""

    def __init__(self, done: works.Done | None) -> None:
        self.done = done
        super().__init__("this duty is done already")


class Work:
    """The work of one try of a run, whatever the kind of its body: what is known, and how it ends."""

    def __init__(self, app: App, task: Task[..., Any], lease: Lease) -> None:
        self.app = app
        self.task = task
        self.lease = lease
        self.elsewhere = task.elsewhere is not None
        self.engine = app.engine_of(task.elsewhere)
        self.begun: works.Begun | None = None
        self.superfluous: Superfluous | None = None
        self.broken = False
        """Whether the connection broke under the body: nothing of it was kept, and it is not to blame."""
        self._token: contextvars.Token[Any] | None = None

    # ── endings ─────────────────────────────────────────────────────────────────────────────

    def over(self, verb: Any, **fields: Any) -> Ending:
        """An ending of this run."""
        lease = self.lease
        return Ending(verb, lease.job_id, lease.token, lease.run_no, **fields)

    def done_before(self, done: works.Done | None) -> Ending:
        """How a run ends whose duty was in the ledger already."""
        lease = self.lease
        if done is None:  # it was taken back in the same moment
            return self.over("snooze", delay_us=0, charged=False)
        if done.token == lease.token and not self.elsewhere:
            return self.over("committed")
        if self.elsewhere and done.job_id == lease.job_id:
            # Our own work, or that of an earlier run of this job, which did not come to say so here.
            return self.over("complete", result=done.result, reason=f"in {self.task.policy.database}")
        where = f"in {self.task.policy.database}" if self.elsewhere else ""
        return self.over("duplicate", same_as=done.job_id, reason=where)

    def after_commit(self, result: bytes | None) -> Ending:
        """The work is kept; in another database the job is still to be completed in the queue's."""
        if self.elsewhere:
            return self.over("complete", result=result, reason=f"in {self.task.policy.database}")
        return self.over("committed")

    def wake(self, work: WorkTransaction | AsyncWorkTransaction) -> None:
        """Tell who waits for what the body enqueued."""
        for queue in work.queues:
            self.engine.wake(queue)

    def missing(self, kept: bool, mine: bool) -> Ending:
        """Why the completion matched no row; raises WorkRolledBack where the body is the reason."""
        if not kept:
            raise WorkRolledBack(
                f"{self.task.name} took back its own transaction and returned: its work is gone."
            )
        assert not mine
        return self.over("lost")

    def of_fate(self, fate: Fate, result: bytes | None) -> Ending | None:
        """How the run ends after a commit without an answer; None: the body runs again."""
        emit(
            logger,
            logging.WARNING,
            events.COMMIT_UNKNOWN,
            job_id=self.lease.job_id,
            run_no=self.lease.run_no,
            fate=fate.value,
        )
        if fate is Fate.COMMITTED:
            return self.after_commit(result)
        return None if fate is Fate.NOT_COMMITTED else self.over("lost")

    # ── errors ──────────────────────────────────────────────────────────────────────────────

    def again(self, error: BaseException) -> bool:
        """Whether the whole body should simply run again."""
        return self.broken or bool(sqlstates(error) & (RERUN_STATES | {SQLITE_BUSY}))

    def busy(self, error: BaseException) -> Ending | None:
        """The ending of a run that could not begin its work: the duty's row, or the file, is held."""
        nothing_yet = isinstance(error, (StoreBusy, StoreUnreachable)) or sqlstates(error) & LOCKED_STATES
        if self.begun is None and nothing_yet:
            return self.over("snooze", delay_us=BUSY_US, charged=False)
        return None

    def explained(self, error: BaseException) -> BaseException:
        """The error that people should see."""
        if sqlstates(error) & {UNFINISHED_STATE, SQLITE_AUTH} and not isinstance(error, WorkNotFinished):
            named = WorkNotFinished(
                f"{self.task.name} made the database check, or end, its transaction before it returned."
            )
            named.__cause__ = error
            return named
        if self.engine.name == "postgres" and sqlstates(error) & LOCKED_STATES:
            name_blocker(error, cast(Any, self.engine).conninfo)
        return error

    # ── who may join ────────────────────────────────────────────────────────────────────────

    def opened(self, work: WorkTransaction | AsyncWorkTransaction) -> None:
        """From now on enqueues of this body join the transaction."""
        self._token = open_work.set(work)

    def closed(self) -> None:
        """No more."""
        if self._token is not None:
            token, self._token = self._token, None
            try:
                open_work.reset(token)
            except ValueError:  # an async body opened it in a context of its own
                open_work.set(None)


class PlainWork(Work):
    """For bodies in threads. It is the ``means`` of the run's transaction."""

    _work: WorkTransaction | None = None
    _given: Transaction | None = None

    def transaction(self) -> Transaction:
        """Open it, ledger first; the same one from then on. Raises Superfluous if the duty is done."""
        if self._given is None:
            self._open()
        assert self._given is not None
        return self._given

    async def atransaction(self) -> AsyncTransaction:
        """Refuses: see :meth:`~dutiful.app.running.Run.transaction`."""
        raise TypeError(f"{self.task.name} is a plain function: write `with run.transaction() as tx:`")

    def _open(self) -> None:
        work = self.app.work_for(self.task)
        work.begin()
        try:
            begun = work.run(works.begin_work(self.app.name, self.lease))
            if begun is None:
                self.superfluous = Superfluous(work.run(works.find_done(self.app.name, self.lease)))
                raise self.superfluous
        except BaseException:
            work.rollback()
            raise
        self.begun, self._work, self._given = begun, work, Transaction(work)
        self.opened(work)

    def finish(self, ending: Ending) -> Ending | None:
        """Complete and commit; None: it was not committed, and the body is to run again."""
        self.transaction()
        work = self._work
        assert work is not None
        work.flush()
        finishing = works.finish_work(self.app.name, self.lease, ending.result, elsewhere=self.elsewhere)
        if not work.run(finishing):
            if self.elsewhere:
                return self.missing(False, True)
            return self.missing(*work.run(works.look_at_work(self.app.name, self.lease)))
        try:
            work.commit()
        except CommitUnknown:
            return self.of_fate(read_back(self), ending.result)
        self.wake(work)
        return self.after_commit(ending.result)

    def rollback(self) -> None:
        """Take back what is not committed."""
        self.closed()
        work, self._work = self._work, None
        if work is not None:
            self.broken = bool(getattr(work.raw, "broken", False))
            work.rollback()


class AsyncWork(Work):
    """For bodies on an event loop."""

    _work: AsyncWorkTransaction | None = None
    _given: AsyncTransaction | None = None

    def transaction(self) -> Transaction:
        """Refuses: see :meth:`~dutiful.app.running.Run.transaction`."""
        raise TypeError(f"{self.task.name} is an async function: write `async with run.transaction() as tx:`")

    async def atransaction(self) -> AsyncTransaction:
        """See :meth:`PlainWork.transaction`."""
        if self._given is None:
            await self._open()
        assert self._given is not None
        return self._given

    async def _open(self) -> None:
        work = self.engine.awork(elsewhere=self.elsewhere)
        await work.begin()
        try:
            begun = await work.run(works.begin_work(self.app.name, self.lease))
            if begun is None:
                self.superfluous = Superfluous(await work.run(works.find_done(self.app.name, self.lease)))
                raise self.superfluous
        except BaseException:
            await asyncio.shield(work.rollback())
            raise
        self.begun, self._work, self._given = begun, work, AsyncTransaction(work)
        self.opened(work)

    async def finish(self, ending: Ending) -> Ending | None:
        """See :meth:`PlainWork.finish`. Once begun, it is carried to its end: a cancel waits."""
        await self.atransaction()
        finishing = asyncio.ensure_future(self._finish(ending))
        while True:
            try:
                return await asyncio.shield(finishing)
            except asyncio.CancelledError:
                if finishing.cancelled():
                    raise

    async def _finish(self, ending: Ending) -> Ending | None:
        work = self._work
        assert work is not None
        await work.flush()
        finishing = works.finish_work(self.app.name, self.lease, ending.result, elsewhere=self.elsewhere)
        if not await work.run(finishing):
            if self.elsewhere:
                return self.missing(False, True)
            return self.missing(*await work.run(works.look_at_work(self.app.name, self.lease)))
        try:
            await work.commit()
        except CommitUnknown:
            return self.of_fate(await asyncio.to_thread(read_back, self), ending.result)
        self.wake(work)
        return self.after_commit(ending.result)

    async def rollback(self) -> None:
        """See :meth:`PlainWork.rollback`."""
        self.closed()
        work, self._work = self._work, None
        if work is not None:
            self.broken = bool(getattr(work.raw, "broken", False))
            await asyncio.shield(work.rollback())


def read_back(work: Work, patience_s: float = ASK_S) -> Fate:
    """What became of a commit without an answer: asked on other connections until it is certain.

    First whether the server is through with the transaction (if it goes on for long, its session is
    ended), then the ledger or the job, by token.
    """
    until = time.monotonic() + patience_s
    began = time.monotonic()
    pause = 0.02
    ended = False
    while True:
        try:
            if work.begun is not None and work.begun.xid:
                status = work.engine.run(works.fate_of(work.begun))
                if status == "in progress":
                    if not ended and time.monotonic() - began > END_AFTER_S:
                        ended = True
                        work.engine.run(works.end_backend(work.begun))
                    raise StoreBusy("the transaction is still under way")
            return _by_token(work)
        except DutifulError:
            if time.monotonic() + pause > until:
                return Fate.UNKNOWN
            time.sleep(random.uniform(0.5, 1.0) * pause)
            pause = min(pause * 2, 1.0)


def _by_token(work: Work) -> Fate:
    lease = work.lease
    if work.elsewhere:
        done = work.engine.run(works.find_done(work.app.name, lease))
        if done is None:
            return Fate.NOT_COMMITTED
        return Fate.COMMITTED if done.token == lease.token else Fate.SUPERSEDED
    asked = Ending("complete", lease.job_id, lease.token, lease.run_no)
    found = work.engine.run(settle.who_holds([asked]))[lease.job_id]
    return {"committed": Fate.COMMITTED, "running": Fate.NOT_COMMITTED}.get(found, Fate.SUPERSEDED)


def pause_before(rerun: int) -> float:
    """Seconds to wait before a body runs again, more each time, all left to chance."""
    return random.uniform(0, RERUN_PAUSE_S * 2 ** min(rerun, 6))
