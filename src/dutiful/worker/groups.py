"""Grouped commits: up to fifty jobs of one exactly_once task in one transaction, and one commit for all.

A group runs twice at most. First quickly: one body after the other, their statements on their way to the
server together. If anything goes wrong, all of it is taken back and the group runs again with care: a
savepoint each, so that a job that raises is rolled back alone and ends by itself, while the others go on.
Every job has its ledger row and its fence all the same; if the commit fails, each runs by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..app.running import Run
from ..app.transactions import Transaction
from ..engines.work import WorkTransaction
from ..model.errors import CommitUnknown, WorkRolledBack
from ..model.jobs import Ending, Lease
from ..operations import works
from .exactly import exactly
from .run import body, completed, failed
from .work import PlainWork, Superfluous, read_back

if TYPE_CHECKING:
    from ..app.app import App
    from ..app.task import Task

Member = tuple[Lease, Run]

SAVEPOINT = "dutiful_member"


class _Trouble(Exception):
    """Something went wrong in the quick run: again, with care."""


def carry_out_group(
    app: App, task: Task[..., Any], members: Sequence[Member], begin: Callable[[Lease], bool]
) -> list[Ending]:
    """Run a group; the endings of those that began. ``begin`` is asked once, right before each body."""
    group = _Group(app, task, members, begin)
    for careful in (False, True):
        try:
            return group.run(careful)
        except _Trouble:
            continue
        except BaseException as error:
            group.error = error
            break
    # The commit failed, or the store did: each by itself, so that the one that is to blame is found.
    return [
        ending
        for lease, run in members
        if group.began(lease)
        for ending in [group.endings.get(lease.token) or exactly(app, task, lease, run)]
    ]


class _Member(PlainWork):
    """One job's part in the group's transaction: the means of its run."""

    def __init__(self, group: _Group, lease: Lease) -> None:
        super().__init__(group.app, group.task, lease)
        self._group = group

    def transaction(self) -> Transaction:
        """The group's; it is open already."""
        return self._group.given()


class _Group:
    def __init__(
        self, app: App, task: Task[..., Any], members: Sequence[Member], begin: Callable[[Lease], bool]
    ) -> None:
        self.app = app
        self.task = task
        self.elsewhere = task.elsewhere is not None
        self.members = sorted(members, key=lambda member: member[0].key or member[0].job_id)
        self.endings: dict[str, Ending] = {}
        self.error: BaseException | None = None
        self._begin = begin
        self._begun: dict[str, bool] = {}
        self._work: WorkTransaction | None = None
        self._given: Transaction | None = None

    def began(self, lease: Lease) -> bool:
        """Whether this body may run; asked of the worker once."""
        if lease.token not in self._begun:
            self._begun[lease.token] = self._begin(lease)
        return self._begun[lease.token]

    def given(self) -> Transaction:
        """The open transaction."""
        assert self._given is not None
        return self._given

    def run(self, careful: bool) -> list[Ending]:
        self.endings.clear()
        work = self._work = self.app.work_for(self.task)
        work.begin()
        try:
            return self._in_transaction(work, careful)
        finally:
            work.rollback()

    def _in_transaction(self, work: WorkTransaction, careful: bool) -> list[Ending]:
        leases = [lease for lease, _ in self.members]
        free, begun = work.run(works.begin_works(self.app.name, leases))
        self._given = Transaction(work)
        done: list[tuple[Lease, bytes | None]] = []
        undone: list[Lease] = []
        # Statements go to the server without waiting for each other; with care, one by one.
        with contextlib.nullcontext() if careful else work.quickly():
            for lease, run in self.members:
                if lease.token.replace("-", "") not in free:
                    self.endings[lease.token] = self._done_before(work, lease)
                elif not self.began(lease):
                    undone.append(lease)
                else:
                    ending = self._one(work, lease, run, careful)
                    if ending.verb == "complete":
                        done.append((lease, ending.result))
                    else:
                        undone.append(lease)
                        self.endings[lease.token] = ending
        if undone:
            work.run(works.forget_works(self.app.name, undone))
        self._finish(work, begun, done, careful)
        return list(self.endings.values())

    def _one(self, work: WorkTransaction, lease: Lease, run: Run, careful: bool) -> Ending:
        member = _Member(self, lease)
        run._means = member
        if careful:
            work.command(f"SAVEPOINT {SAVEPOINT}")
        member.opened(work)
        try:
            given = {
                name: self.given() for name, kind in self.task.codec.injected.items() if kind is Transaction
            }
            ending = completed(self.task, lease, body(self.app, self.task, lease, run, given))
            if careful:
                work.flush()
                work.command(f"RELEASE SAVEPOINT {SAVEPOINT}")
            return ending
        except BaseException as error:
            if not careful:
                raise _Trouble from error
            if member.again(error):
                raise
            work.command(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")
            work.command(f"RELEASE SAVEPOINT {SAVEPOINT}")
            return failed(self.task, lease, member.explained(error))
        finally:
            member.closed()

    def _finish(
        self,
        work: WorkTransaction,
        begun: works.Begun | None,
        done: list[tuple[Lease, bytes | None]],
        careful: bool,
    ) -> None:
        if not done:
            return
        try:
            work.flush()
            kept = work.run(works.finish_works(self.app.name, done, elsewhere=self.elsewhere))
        except Exception as error:
            if not careful:
                raise _Trouble from error
            raise
        over = [lease for lease, _ in done if lease.token.replace("-", "") not in kept]
        if over:
            # Their work stands among the others' in this transaction: nothing of it may be kept.
            raise WorkRolledBack(f"{len(over)} of {len(done)} runs of {self.task.name} are over.")
        try:
            work.commit()
        except CommitUnknown:
            self._read_back(begun, done)
            return
        for lease, result in done:
            self.endings[lease.token] = _Member(self, lease).after_commit(result)
        for queue in work.queues:
            self.app.engine.wake(queue)

    def _read_back(self, begun: works.Begun | None, done: list[tuple[Lease, bytes | None]]) -> None:
        for lease, result in done:
            member = _Member(self, lease)
            member.begun = begun
            ending = member.of_fate(read_back(member), result)
            if ending is not None:  # else it was not committed: it runs by itself
                self.endings[lease.token] = ending
        if len(self.endings) < len(self.members):
            raise WorkRolledBack("The group's commit did not come about.")

    def _done_before(self, work: WorkTransaction, lease: Lease) -> Ending:
        found = Superfluous(work.run(works.find_done(self.app.name, lease)))
        return _Member(self, lease).done_before(found.done)
