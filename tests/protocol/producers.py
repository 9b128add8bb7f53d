"""What producers and time do: enqueue, again=, forgetting a duty, pruning."""

from __future__ import annotations

from tests.protocol.nouns import (
    ABSENT,
    CANCELLED,
    DEAD,
    DONE,
    OPEN,
    PRUNED,
    READY,
    Job,
    Label,
    State,
    put,
)  # fmt: skip
from tests.protocol.protocol import Protocol, Steps, with_job


def steps(p: Protocol, s: State) -> Steps:
    yield from enqueue(p, s)
    yield from forget(p, s)
    if p.bounds.prune:
        yield from prune(p, s)


def enqueue(p: Protocol, s: State) -> Steps:
    """The duty's row is taken, or nothing is stored and the caller is told who has it."""
    j = next((j for j, job in enumerate(s.db.jobs) if job.state == ABSENT), None)
    if j is None:
        return
    d = p.bounds.duties[j]
    duty = s.db.duties[d]
    holder = s.db.jobs[duty.holder - 1] if duty.holder else None
    dead_end = holder is not None and holder.state == DEAD
    may_take_over = not p.at_most_once or "takeover_at_most_once" in p.weak
    if holder is None or (dead_end and may_take_over) or "no_duty_row" in p.weak:
        yield Label("enqueue", j, kind="outside"), _stored(s, d, j, duty.epoch or 1, again=0)
    if s.left.agains and j and (holder is None or holder.state not in OPEN):
        epoch = duty.epoch + (0 if "again_keeps_epoch" in p.weak else 1)
        if epoch <= p.bounds.epochs:
            left = s.left._replace(agains=s.left.agains - 1)
            stored = _stored(s, d, j, epoch, again=1)._replace(left=left)
            yield Label("enqueue", j, note="again=", kind="outside"), stored


def _stored(s: State, d: int, j: int, epoch: int, again: int) -> State:
    db = with_job(s.db, j, Job(state=READY, epoch=epoch, again=again))
    duty = db.duties[d]._replace(holder=j + 1, epoch=epoch)
    return s._replace(db=db._replace(duties=put(db.duties, d, duty)))


def forget(p: Protocol, s: State) -> Steps:
    """remember= has passed since the duty was done: the same key is a new request."""
    if not s.left.forgets:
        return
    for d, duty in enumerate(s.db.duties):
        if duty.holder and s.db.jobs[duty.holder - 1].state == DONE:
            left = s.left._replace(forgets=s.left.forgets - 1)
            db = s.db._replace(duties=put(s.db.duties, d, p.freed(duty)))
            yield Label("forget", duty.holder - 1, kind="outside"), s._replace(db=db, left=left)


def prune(p: Protocol, s: State) -> Steps:
    """Closed jobs go first; a ledger row goes when nobody can ask for its duty any more."""
    for j, job in enumerate(s.db.jobs):
        if job.state in (DONE, CANCELLED) and s.db.duties[p.bounds.duties[j]].holder != j + 1:
            yield Label("prune", j, kind="outside"), s._replace(db=with_job(s.db, j, Job(state=PRUNED)))
    for name, rows in (("db", s.db.ledger), ("other", s.other.ledger)):
        for cell, row in enumerate(rows):
            if row is not None and (past_horizon(p, s, cell) or "ledger_pruned_early" in p.weak):
                pruned = getattr(s, name)._replace(ledger=put(rows, cell, None))
                yield (
                    Label("prune the ledger", row.job, row.token, kind="outside"),
                    s._replace(**{name: pruned}),
                )


def past_horizon(p: Protocol, s: State, cell: int) -> bool:
    """No job of the duty is kept, and none can come."""
    d = cell // p.bounds.epochs
    return all(job.state == PRUNED for j, job in enumerate(s.db.jobs) if p.bounds.duties[j] == d)
