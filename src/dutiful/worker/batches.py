"""Bodies that are called once for many jobs (``batch=``): they succeed or fail together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..app.running import Run
from ..app.transactions import Transaction
from ..engines.work import WorkTransaction
from ..model.errors import CommitUnknown, WorkRolledBack
from ..model.fates import Fate
from ..model.jobs import Ending, Lease
from ..operations import works
from .run import body, completed, failed
from .work import RERUNS_MAX, PlainWork, Superfluous, pause_before, read_back

if TYPE_CHECKING:
    from ..app.app import App
    from ..app.task import Task

Member = tuple[Lease, Run]


def carry_out_batch(
    app: App, task: Task[..., Any], members: Sequence[Member], begin: Callable[[Lease], bool]
) -> list[Ending]:
    """Call the body once for all members that may begin; the endings of those."""
    began = [(lease, run) for lease, run in members if begin(lease)]
    readable: list[Member] = []
    endings: list[Ending] = []
    for lease, run in began:
        try:
            task.codec.decode(lease.args)
            readable.append((lease, run))
        except Exception as error:  # one that cannot be read must not take the others with it
            endings.append(failed(task, lease, error))
    if not readable:
        return endings
    if task.policy.delivery == "exactly_once":
        return endings + _exactly(app, task, readable)
    try:
        called(app, task, readable, {})
    except BaseException as error:
        return endings + [failed(task, lease, error) for lease, _ in readable]
    return endings + [completed(task, lease, None) for lease, _ in readable]


def called(app: App, task: Task[..., Any], members: Sequence[Member], given: dict[str, Any]) -> None:
    """Call the body with the members' arguments as one list; the run is the first one's."""
    assert task.batched is not None
    items = [task.codec.decode(lease.args)[task.batched] for lease, _ in members]
    lease, run = members[0]
    body(app, task, lease, run, {**given, task.batched: items})


def _exactly(app: App, task: Task[..., Any], members: Sequence[Member]) -> list[Ending]:
    members = sorted(members, key=lambda member: member[0].key or member[0].job_id)
    for rerun in range(RERUNS_MAX + 1):
        try:
            return _transaction(app, task, members)
        except BaseException as error:
            first = PlainWork(app, task, members[0][0])
            if rerun < RERUNS_MAX and first.again(error):
                _wait(rerun)
                continue
            return [failed(task, lease, first.explained(error)) for lease, _ in members]
    raise AssertionError("unreachable")


def _wait(rerun: int) -> None:
    import time

    time.sleep(pause_before(rerun + 1))


def _transaction(app: App, task: Task[..., Any], members: Sequence[Member]) -> list[Ending]:
    elsewhere = task.elsewhere is not None
    work = app.work_for(task)
    work.begin()
    endings: list[Ending] = []
    try:
        free, begun = work.run(works.begin_works(app.name, [lease for lease, _ in members]))
        todo: list[Member] = []
        for lease, run in members:
            if lease.token.replace("-", "") in free:
                todo.append((lease, run))
            else:
                found = Superfluous(work.run(works.find_done(app.name, lease)))
                endings.append(PlainWork(app, task, lease).done_before(found.done))
        if not todo:
            return endings
        return endings + _work(app, task, work, todo, begun, elsewhere)
    finally:
        work.rollback()


def _work(
    app: App,
    task: Task[..., Any],
    work: WorkTransaction,
    todo: Sequence[Member],
    begun: works.Begun | None,
    elsewhere: bool,
) -> list[Ending]:
    transaction = Transaction(work)
    first = _Means(app, task, todo[0][0], transaction)
    todo[0][1]._means = first
    first.opened(work)
    try:
        given = {name: transaction for name, kind in task.codec.injected.items() if kind is Transaction}
        called(app, task, todo, given)
    finally:
        first.closed()
    work.flush()
    kept = work.run(works.finish_works(app.name, [(lease, None) for lease, _ in todo], elsewhere=elsewhere))
    over = [lease for lease, _ in todo if lease.token.replace("-", "") not in kept]
    if over and (elsewhere or work.run(works.look_at_work(app.name, over[0]))[1]):
        raise WorkRolledBack(f"{task.name} took back its own transaction and returned: its work is gone.")
    if over:
        work.rollback()  # their part in the work cannot be told from the others': it runs again without them
        lost = [PlainWork(app, task, lease).over("lost") for lease in over]
        rest = [member for member in todo if member[0] not in over]
        return lost + (_transaction(app, task, rest) if rest else [])
    try:
        work.commit()
    except CommitUnknown:
        return _read_back(app, task, todo, begun)
    for queue in work.queues:
        app.engine.wake(queue)
    return [PlainWork(app, task, lease).after_commit(None) for lease, _ in todo]


def _read_back(
    app: App, task: Task[..., Any], todo: Sequence[Member], begun: works.Begun | None
) -> list[Ending]:
    """One commit, one fate: that of the first member is everybody's."""
    works_of = [PlainWork(app, task, lease) for lease, _ in todo]
    works_of[0].begun = begun
    fate = read_back(works_of[0])
    if fate is Fate.NOT_COMMITTED:
        return _transaction(app, task, todo)
    return [ending for one in works_of if (ending := one.of_fate(fate, None)) is not None]


class _Means(PlainWork):
    """The first member's run stands for all; its transaction is the batch's."""

    def __init__(self, app: App, task: Task[..., Any], lease: Lease, transaction: Transaction) -> None:
        super().__init__(app, task, lease)
        self._given = transaction
