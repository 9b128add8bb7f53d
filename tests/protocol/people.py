"""What people decide about jobs, each time with their name in the audit, in the same transaction.

People are right here about what happened (§0.7: after a wrong attestation nothing can be promised);
what they cannot see, whether an old run still lives, the protocol must have proven for them.
"""

from __future__ import annotations

from tests.protocol.nouns import (
    BODY,
    CANCELLED,
    DEAD,
    DONE,
    IN_DOUBT,
    OPEN,
    PERFORMED,
    READY,
    RUNNING,
    SKIPPED,
    WAIVED,
    Job,
    Label,
    State,
    Store,
    put,
)  # fmt: skip
from tests.protocol.protocol import Protocol, Step, Steps, with_job


def steps(p: Protocol, s: State) -> Steps:
    if not s.left.people:
        return
    for j, job in enumerate(s.db.jobs):
        if p.locked(s, j):
            continue
        if job.state == READY:
            yield from cancel(p, s, j, job)
        elif job.state == RUNNING and not job.cancel:
            yield _by(p, s, "ask to cancel", j, s.db, job._replace(cancel=1))
        elif job.state == DEAD:
            yield _by(p, s, "waive", j, s.db, _waived(p, job))
            yield from retry(p, s, j, job)
        elif job.state == CANCELLED or (job.state == DONE and job.outcome == SKIPPED):
            yield from retry(p, s, j, job)
        elif job.state == IN_DOUBT:
            yield _by(p, s, "waive", j, s.db, _waived(p, job))
            if job.doubt == BODY:
                yield from body_in_doubt(p, s, j, job)
            else:
                yield from effect_in_doubt(p, s, j, job)
        elif job.state == DONE and job.outcome == WAIVED:
            yield from unwaive(p, s, j, job)


def cancel(p: Protocol, s: State, j: int, job: Job) -> Steps:
    d = p.bounds.duties[j]
    db = s.db._replace(duties=put(s.db.duties, d, p.freed(s.db.duties[d])))
    yield _by(p, s, "cancel", j, db, p.off(job)._replace(state=CANCELLED))


def retry(p: Protocol, s: State, j: int, job: Job) -> Steps:
    """Attempts begin anew; the duty's row is taken again, or the retry is refused."""
    db = _taken(p, s, j)
    if db is None:
        return
    epoch, db = _next_epoch(p, db, j, job, "retry_keeps_epoch")
    if epoch <= p.bounds.epochs:
        again = job._replace(
            state=READY, outcome="", attempt=0, crashes=0, suspect=0, started=0, epoch=epoch, same_as=0
        )
        yield _by(p, s, "retry", j, db, again)


def body_in_doubt(p: Protocol, s: State, j: int, job: Job) -> Steps:
    """Whether it was done is looked up in the world; that the old run is dead must be proven."""
    cell = p.cell(j, job.epoch)
    if s.world.happened[cell] or "confirm_without_evidence" in p.weak:
        yield _by(p, s, "confirm", j, s.db, p.done(job, PERFORMED))
    if not s.world.happened[cell] and (p.proven_dead(s, j) or "refute_without_proof" in p.weak):
        epoch, db = _next_epoch(p, s.db, j, job, "refute_keeps_epoch")
        if epoch <= p.bounds.epochs:
            refuted = s._replace(world=s.world._replace(refuted=put(s.world.refuted, cell, 1)))
            again = _reopened(job)._replace(epoch=epoch)
            yield _by(p, refuted, "refute", j, db, again)


def effect_in_doubt(p: Protocol, s: State, j: int, job: Job) -> Steps:
    again = _reopened(job)
    effect = s.db.effect
    if s.world.applied:
        settled = effect._replace(state="done")
        yield _by(p, s, "resume", j, s.db._replace(effect=settled), again)
    elif p.proven_dead(s, j) or "refute_without_proof" in p.weak:
        settled = effect._replace(state="refused")  # its key stays; the next run asks afresh
        yield _by(p, s, "refute", j, s.db._replace(effect=settled), again)


def _reopened(job: Job) -> Job:
    """The run that left the doubt costs no try."""
    return job._replace(state=READY, doubt="", started=0, attempt=max(job.attempt - 1, 0))


def unwaive(p: Protocol, s: State, j: int, job: Job) -> Steps:
    """The state it was given up in; an open one needs its duty's row."""
    db = _taken(p, s, j)
    if "unwaive_without_the_duty" in p.weak:
        db = s.db
    if db is not None:
        doubt, _, state = job.waived_from.partition(" ")
        restored = job._replace(state=state, outcome="", waived_from="", doubt=doubt)
        yield _by(p, s, "unwaive", j, db, restored)


def _taken(p: Protocol, s: State, j: int) -> Store | None:
    """The store with the duty's row taken by this job; none if another's request has it."""
    d = p.bounds.duties[j]
    duty = s.db.duties[d]
    if duty.holder not in (0, j + 1):
        if "retry_beside_an_open_job" in p.weak and s.db.jobs[duty.holder - 1].state in OPEN:
            return s.db
        return None
    return s.db._replace(duties=put(s.db.duties, d, duty._replace(holder=j + 1)))


def _next_epoch(p: Protocol, db: Store, j: int, job: Job, kept: str) -> tuple[int, Store]:
    """For a body that began at most once, one more life: above all that the duty ever had."""
    d = p.bounds.duties[j]
    if not job.started or kept in p.weak:
        return job.epoch, db
    epoch = max(db.duties[d].epoch, job.epoch) + 1
    return epoch, db._replace(duties=put(db.duties, d, db.duties[d]._replace(epoch=epoch)))


def _waived(p: Protocol, job: Job) -> Job:
    waived = p.done(job, WAIVED)
    return waived._replace(waived_from=f"{job.doubt} {job.state}")


def _by(p: Protocol, s: State, verb: str, j: int, db: Store, job: Job) -> Step:
    audits = 0 if "no_audit" in p.weak else 1
    db = with_job(db, j, job)._replace(audits=s.db.audits + audits)
    left = s.left._replace(people=s.left.people - 1)
    return Label(verb, j, kind="person"), s._replace(db=db, left=left)
