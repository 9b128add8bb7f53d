"""How a worker comes to a job: a claim, or the discovery that the store says it has one."""

from __future__ import annotations

from tests.protocol.nouns import READY, RUNNING, Job, Label, Run, State, put
from tests.protocol.protocol import Protocol, Steps, with_job, with_run


def steps(p: Protocol, s: State) -> Steps:
    yield from claims(p, s)
    for w, run in enumerate(s.runs):
        if run.alive and not run.at:
            yield from found_again(p, s, w)


def claims(p: Protocol, s: State) -> Steps:
    """A free worker takes a ready job. Free workers are alike, unless the store says one holds a job."""
    free = [w for w, run in enumerate(s.runs) if not run.at and run.alive]
    if not free:
        return
    if len(free) > 1 and not [job for job in s.db.jobs if job.worker - 1 in free]:
        free = free[:1]
    for j, job in enumerate(s.db.jobs):
        if job.state == READY:
            for w in free:
                yield from _claim(p, s, w, j, job)
            if "claim_by_id" in p.weak and s.read is None:
                yield Label("look", j), s._replace(read=(j, 0))
        elif s.read == (j, 0) and job.state == RUNNING:
            yield from _claim(p, s._replace(read=None), free[0], j, job)


def _claim(p: Protocol, s: State, w: int, j: int, job: Job) -> Steps:
    number = job.run_no + 1 if "token_is_a_counter" in p.weak else s.world.tokens[j] + 1
    claimed = job._replace(
        state=RUNNING, token=number, worker=w + 1, run_no=job.run_no + 1, attempt=job.attempt + 1
    )
    if "run_no_starts_again" in p.weak and job.attempt == 0:
        claimed = claimed._replace(run_no=1)
    db = with_job(s.db, j, claimed)
    world = s.world._replace(tokens=put(s.world.tokens, j, max(number, s.world.tokens[j])))
    run = Run(j, number, job.epoch, "claimed", request=p.bounds.left.changes - s.left.changes)
    yield (
        Label("claim", j, number, w),
        s._replace(db=db, world=world, runs=with_run(s, w, run)),
    )
    if s.left.losses:
        left = s.left._replace(losses=s.left.losses - 1)
        yield (
            Label("claim", j, number, w, "the answer is lost", "fault"),
            s._replace(db=db, world=world, left=left),
        )


def found_again(p: Protocol, s: State, w: int) -> Steps:
    """A worker asks what its row holds, and hands back what it knows nothing of.

    Needed after a claim without an answer, and after a failover that lost an ending.
    """
    if "lost_claim_forgotten" in p.weak:
        return
    for j, job in enumerate(s.db.jobs):
        if job.state == RUNNING and job.worker == w + 1 and not p.locked(s, j):
            why = p.why_in_doubt(s, job)
            ended = p.doubtful(job, why) if why else p.back(job, charged=False)
            verb = "doubt" if why else "release"
            yield (
                Label(verb, j, job.token, w, "found again: nobody here runs it"),
                s._replace(db=with_job(s.db, j, ended)),
            )
