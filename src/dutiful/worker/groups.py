"""Grouped commits: up to fifty jobs of one exactly_once task in one transaction, and one commit for all.

A group runs twice at most. First quickly: one body after the other, alike statements sent together. If
anything goes wrong, all of it is taken back and the group runs again with care: a savepoint each, so that
a job that raises is rolled back alone and ends by itself, while the others go on.
Every job has its ledger row and its fence all the same; if the commit fails, each runs by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..app.running import Run
from ..app.transactions import Transaction
from ..engines.work import WorkTransaction, open_work
from ..model.errors import CommitUnknown, WorkRolledBack
from ..model.jobs import Ending, Lease
from ..operations import works
from .exactly import exactly
from .run import body, failed, result_of
from .work import PlainWork, Superfluous, read_back

if TYPE_CHECKING:
    from ..app.app import App
    from ..app.task import Task

Member = tuple[Lease, Run]

SAVEPOINT = "dutiful_member"


class _Trouble(Exception):
    """Something went wrong in the quick run: again, with care."""


class _Failed(Exception):
    """A body failed, and was rolled back to its savepoint."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending


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
        self._started: dict[str, _Member] = {}
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
        self._started.clear()
        work = self._work = self.app.work_for(self.task)
        work.begin()
        token = open_work.set(work)  # enqueues of the bodies join it
        try:
            return self._in_transaction(work, careful)
        finally:
            open_work.reset(token)
            work.rollback()

    def _in_transaction(self, work: WorkTransaction, careful: bool) -> list[Ending]:
        leases = [lease for lease, _ in self.members]
        free, begun = work.run(works.begin_works(self.app.name, leases))
        given = self._given = Transaction(work)
        injected = {name: given for name, kind in self.task.codec.injected.items() if kind is Transaction}
        done: list[tuple[Lease, bytes | None]] = []
        undone: list[Lease] = []
        # Statements may wait to be sent together; with care, each goes by itself.
        with contextlib.nullcontext() if careful else work.quickly():
            for lease, run in self.members:
                if lease.token.replace("-", "") not in free:
                    self.endings[lease.token] = self._done_before(work, lease)
                elif not self.began(lease):
                    undone.append(lease)
                else:
                    member = self._started[lease.token] = run._means = _Member(self, lease)
                    try:
                        done.append((lease, self._one(work, member, run, injected, careful)))
                    except _Failed as stopped:
                        undone.append(lease)
                        self.endings[lease.token] = stopped.ending
        if undone:
            work.run(works.forget_works(self.app.name, undone))
        self._finish(work, begun, done, careful)
        return list(self.endings.values())

    def _one(
        self, work: WorkTransaction, member: _Member, run: Run, injected: Mapping[str, Any], careful: bool
    ) -> bytes | None:
        """The result of one body; raises _Trouble, or with care _Failed."""
        lease = member.lease
        if careful:
            work.command(f"SAVEPOINT {SAVEPOINT}")
        try:
            result = result_of(self.task, body(self.app, self.task, lease, run, injected))
            if careful:
                work.flush()
                work.command(f"RELEASE SAVEPOINT {SAVEPOINT}")
            return result
        except BaseException as error:
            if not careful:
                raise _Trouble from error
            if member.again(error):
                raise
            work.command(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")
            work.command(f"RELEASE SAVEPOINT {SAVEPOINT}")
            raise _Failed(failed(self.task, lease, member.explained(error))) from error

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
            self.endings[lease.token] = self._started[lease.token].after_commit(result)
        for queue in work.queues:
            self.app.engine.wake(queue)

    def _read_back(self, begun: works.Begun | None, done: list[tuple[Lease, bytes | None]]) -> None:
        for lease, result in done:
            member = self._started[lease.token]
            member.begun = begun
            ending = member.of_fate(read_back(member), result)
            if ending is not None:  # else it was not committed: it runs by itself
                self.endings[lease.token] = ending
        if len(self.endings) < len(self.members):
            raise WorkRolledBack("The group's commit did not come about.")

    def _done_before(self, work: WorkTransaction, lease: Lease) -> Ending:
        found = Superfluous(work.run(works.find_done(self.app.name, lease)))
        return _Member(self, lease).done_before(found.done)
