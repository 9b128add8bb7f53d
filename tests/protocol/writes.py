"""What the commits of a run leave in the databases, whoever hears of them."""

from __future__ import annotations

from tests.protocol.nouns import DUPLICATE, PERFORMED, Proof, Run, State, put
from tests.protocol.protocol import Protocol, over, with_job, with_run


def started(p: Protocol, s: State, run: Run) -> State:
    db = with_job(s.db, run.job, s.db.jobs[run.job]._replace(started=1))
    if "no_nonce" not in p.weak:
        cell = p.cell(run.job, run.epoch)
        db = db._replace(ledger=put(db.ledger, cell, Proof(run.job, run.token)))
    return s._replace(db=db)


def body_begun(p: Protocol, s: State, w: int, run: Run) -> State:
    begun = counted(s.world.begun, p.cell(run.job, run.epoch))
    return s._replace(
        world=s.world._replace(begun=begun), runs=with_run(s, w, run._replace(at="body", pending=0))
    )


def with_work(p: Protocol, s: State, run: Run) -> State:
    """The queue's database keeps the work, and the ledger row beside it."""
    cell = p.cell(run.job, run.epoch)
    db = s.db._replace(works=counted(s.db.works, cell))
    if db.ledger[cell] is None and "no_ledger" not in p.weak:
        db = db._replace(ledger=put(db.ledger, cell, Proof(run.job, run.token)))
    return s._replace(db=db)


def completed(p: Protocol, s: State, w: int, run: Run, pending: bool = False) -> State:
    """exactly_once in the queue's database: work, ledger and completion, in one commit."""
    job = s.db.jobs[run.job]
    before = s.db.ledger[p.cell(run.job, run.epoch)]
    after = run._replace(pending=0) if pending else over(run)
    if "ledger_second" in p.weak:
        cell = p.cell(run.job, run.epoch)
        worked = s._replace(db=s.db._replace(works=counted(s.db.works, cell)))
        return worked._replace(runs=with_run(s, w, run._replace(at="returned", pending=0)))
    kept = with_work(p, s, run)
    if "ledger_last" in p.weak and before is not None:
        ended = p.done(job, DUPLICATE, before.job + 1)
    else:
        ended = p.done(job, PERFORMED)
    return kept._replace(db=with_job(kept.db, run.job, ended), runs=with_run(s, w, after))


def worked_elsewhere(p: Protocol, s: State, w: int, run: Run, at: str) -> State:
    """The other database keeps work and ledger row. It cannot see the fence: the key is the guarantee."""
    cell = p.cell(run.job, run.epoch)
    other = s.other._replace(works=counted(s.other.works, cell))
    if other.ledger[cell] is None:
        other = other._replace(ledger=put(other.ledger, cell, Proof(run.job, run.token)))
    return s._replace(other=other, runs=with_run(s, w, run._replace(at=at, pending=0)))


def return_recorded(p: Protocol, s: State, w: int, run: Run, pending: bool = False) -> State:
    job = s.db.jobs[run.job]
    ended = p.done(job, PERFORMED)
    db = s.db
    if p.elsewhere:
        proof = s.other.ledger[p.cell(run.job, run.epoch)]
        if proof is not None and proof.job != run.job and "duplicate_is_performed" not in p.weak:
            ended = p.done(job, DUPLICATE, proof.job + 1)
    elif p.delivery == "exactly_once":  # the ledger in a second transaction
        cell = p.cell(run.job, run.epoch)
        db = db._replace(ledger=put(db.ledger, cell, db.ledger[cell] or Proof(run.job, run.token)))
    after = run._replace(pending=0) if pending else over(run)
    return s._replace(db=with_job(db, run.job, ended), runs=with_run(s, w, after))


def counted(cells: tuple[int, ...], at: int) -> tuple[int, ...]:
    counted: tuple[int, ...] = put(cells, at, cells[at] + 1)
    return counted
