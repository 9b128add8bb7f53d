"""How a run ends: complete, duplicate, fail, bury, snooze, release, abort, skip, expire, or a silent stop."""

from __future__ import annotations

from tests.protocol.answers import unanswered
from tests.protocol.nouns import CANCELLED, DUPLICATE, PERFORMED, RUNNING, SKIPPED, Label, Run, State, put
from tests.protocol.protocol import Protocol, Steps, over, with_job, with_run
from tests.protocol.writes import return_recorded


def complete(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """The normal return is recorded, in a transaction of its own."""
    job = s.db.jobs[run.job]
    if not (p.fence("complete", job, run) or p.was_last(job, run)):
        yield stop(s, w, run)
        return
    verb = "report" if p.was_last(job, run) else "complete"
    if p.elsewhere and job.state == RUNNING:
        proof = s.other.ledger[p.cell(run.job, run.epoch)]
        if proof is not None and proof.job != run.job and "duplicate_is_performed" not in p.weak:
            verb = "duplicate"
    yield Label(verb, run.job, run.token, w), return_recorded(p, s, w, run)
    yield from unanswered(s, w, run, "complete")


def duplicate(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """The duty is in the ledger already: this job did nothing, and says so."""
    job, proof = s.db.jobs[run.job], s.db.ledger[p.cell(run.job, run.epoch)]
    assert proof is not None
    if p.fence("duplicate", job, run):
        performed = "duplicate_is_performed" in p.weak
        ended = p.done(job, PERFORMED) if performed else p.done(job, DUPLICATE, proof.job + 1)
        yield (
            Label("complete" if performed else "duplicate", run.job, run.token, w),
            s._replace(db=with_job(s.db, run.job, ended), runs=with_run(s, w, over(run))),
        )
    else:
        yield stop(s, w, run)


def fail(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """The body raised: tried again, or dead. A body that began at most once is never tried again."""
    j, job = run.job, s.db.jobs[run.job]
    last_try = job.attempt >= p.bounds.attempts_max or p.at_most_once
    if "started_may_fail" in p.weak:
        last_try = False
    verb = "bury" if last_try else "fail"
    if p.fence(verb, job, run):
        ended = p.dead(job) if last_try else p.back(job, charged=True)
    elif p.was_last(job, run) and p.at_most_once:
        verb, ended = "report_failed", p.dead(job)
    else:
        yield stop(s, w, run)
        return
    yield (
        Label(verb, j, run.token, w),
        s._replace(db=with_job(s.db, j, ended), runs=with_run(s, w, over(run))),
    )


def hand_back(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """A run that did nothing that stays: shutdown, a limit, a snooze, a lock_timeout, a wish to cancel."""
    j, job = run.job, s.db.jobs[run.job]
    verb = "release" if run.at == "claimed" else "snooze"
    if s.left.handbacks and p.fence(verb, job, run) and not p.why_in_doubt(s, job):
        left = s.left._replace(handbacks=s.left.handbacks - 1)
        db = with_job(s.db, j, p.back(job, charged=False))
        yield (
            Label(verb, j, run.token, w),
            s._replace(db=db, left=left, runs=with_run(s, w, over(run))),
        )
    if job.cancel and p.fence("abort", job, run):
        yield from abort(p, s, w, run)


def abort(p: Protocol, s: State, w: int, run: Run) -> Steps:
    j, job = run.job, s.db.jobs[run.job]
    d = p.bounds.duties[j]
    db = with_job(s.db, j, p.off(job)._replace(state=CANCELLED))
    yield (
        Label("abort", j, run.token, w),
        s._replace(
            db=db._replace(duties=put(db.duties, d, p.freed(db.duties[d]))), runs=with_run(s, w, over(run))
        ),
    )


def too_late(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """Judged after the claim, before anything is begun: handed back and ended in one transaction.

    Skipped, its duty is free; or dead. Either way the claim was no try.
    """
    j, job = run.job, s.db.jobs[run.job]
    if not s.left.lates or p.why_in_doubt(s, job):
        return
    left = s.left._replace(lates=s.left.lates - 1)
    back = p.back(job, charged=False)
    d = p.bounds.duties[j]
    for verb, ended in (("skip", p.done(back, SKIPPED)), ("expire", p.dead(back))):
        if p.fence(verb, job, run):
            db = with_job(s.db, j, ended)
            if verb == "skip":
                db = db._replace(duties=put(db.duties, d, p.freed(db.duties[d])))
            yield Label(verb, j, run.token, w), s._replace(db=db, left=left, runs=with_run(s, w, over(run)))


def stop(s: State, w: int, run: Run, note: str = "") -> tuple[Label, State]:
    """The run is over: a write under its token would match no row."""
    return Label("stop", run.job, run.token, w, note), s._replace(runs=with_run(s, w, over(run)))
