"""What goes wrong, and the reaper, who finds out: crashes, silences, lapses, and the failover."""

from __future__ import annotations

from tests.protocol.answers import lands
from tests.protocol.nouns import GONE, IDLE, RUNNING, Job, Label, Other, Run, State, Store
from tests.protocol.protocol import IN_QUEUE, Protocol, Steps, over, with_job, with_run


def steps(p: Protocol, s: State) -> Steps:
    yield from processes(p, s)
    yield from reaper(p, s)
    if s.left.failovers:
        yield from failover(p, s)
    if s.left.changes:
        left = s.left._replace(changes=s.left.changes - 1)
        yield Label("deploy", note="the request is another", kind="fault"), s._replace(left=left)


# ── processes and their connections ─────────────────────────────────────────────────────────────


def processes(p: Protocol, s: State) -> Steps:
    for w, run in enumerate(s.runs):
        if run.alive:
            if (s.left.crashes or s.left.silences) and _busy(s, w, run):
                yield from _struck(s, w, run)
        else:
            if run.listed:
                yield Label("mark gone", run.job, run.token, w), _unlisted(s, w, run)
            if run.at == "working":
                yield (
                    Label("roll back", run.job, run.token, w, "its connection is gone"),
                    s._replace(runs=with_run(s, w, over(run))),
                )
        if run.pending:
            yield from decides(p, s, w, run)


def _busy(s: State, w: int, run: Run) -> bool:
    return bool(run.at or [job for job in s.db.jobs if job.worker == w + 1])


def _struck(s: State, w: int, run: Run) -> Steps:
    """The process dies; or it lives, and its silence makes others believe that it died."""
    if s.left.crashes:
        left = s.left._replace(crashes=s.left.crashes - 1)
        open_there = run.at == "working" or run.pending
        dead = run._replace(alive=0)
        yield (
            Label("crash", run.job, run.token, w, kind="fault"),
            s._replace(left=left, runs=with_run(s, w, dead if open_there else over(dead))),
        )
    if s.left.silences and run.listed:
        left = s.left._replace(silences=s.left.silences - 1)
        yield (
            Label("mark gone", run.job, run.token, w, "though it lives", "fault"),
            _unlisted(s, w, run)._replace(left=left),
        )


def decides(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """The server carries out the commit that nobody hears of, or drops it."""
    landed = lands(p, s, w, run)
    dropped = s._replace(runs=with_run(s, w, run._replace(pending=0)))
    for verb, after in (("land", landed), ("drop", dropped)):
        ended = after.runs[w]
        if not ended.alive:
            after = after._replace(runs=with_run(after, w, over(ended)))
        yield Label(verb, run.job, run.token, w, run.at.rstrip("?")), after


def _unlisted(s: State, w: int, run: Run) -> State:
    """The worker's row is marked gone; the rows of jobs that name it stay as they are."""
    run = run._replace(listed=0)
    if not run.at:
        run = IDLE  # registers anew
    behind = s.behind
    if isinstance(behind, Store):
        behind = behind._replace(jobs=_orphaned(behind.jobs, w))
    db = s.db._replace(jobs=_orphaned(s.db.jobs, w))
    return s._replace(db=db, behind=behind, runs=with_run(s, w, run))


def _orphaned(jobs: tuple[Job, ...], w: int) -> tuple[Job, ...]:
    for job in jobs:
        if job.worker == w + 1:
            return tuple([job._replace(worker=GONE) if job.worker == w + 1 else job for job in jobs])
    return jobs


# ── the reaper ──────────────────────────────────────────────────────────────────────────────────


def reaper(p: Protocol, s: State) -> Steps:
    """Takes back what gone workers hold; looks and writes in one statement, and skips locked rows."""
    by_id = "reaper_by_id" in p.weak
    for j, job in enumerate(s.db.jobs):
        if job.state != RUNNING or p.locked(s, j):
            continue
        if by_id and s.read is None and job.worker == GONE:
            yield Label("look", j, job.token), s._replace(read=(j, job.token))
        elif s.read is not None and s.read[0] == j and by_id:
            label, after = _lapse(p, s, j, job)
            yield label, after._replace(read=None)
        elif job.worker == GONE and not by_id:
            yield _lapse(p, s, j, job)
        elif "lapse_without_gone" in p.weak and s.left.silences:
            left = s.left._replace(silences=s.left.silences - 1)
            yield _lapse(p, s._replace(left=left), j, job)
    if by_id and s.read is not None and s.db.jobs[s.read[0]].state != RUNNING:
        yield Label("look away", s.read[0]), s._replace(read=None)


def _lapse(p: Protocol, s: State, j: int, job: Job) -> tuple[Label, State]:
    why = p.why_in_doubt(s, job)
    if why == "body" and "started_lapses_to_ready" in p.weak:
        why = ""
    crashes = job.crashes + job.suspect
    back = p.back(job, charged=False)._replace(crashes=crashes, suspect=1)
    if why:
        if "lapse_in_doubt_missing" in p.weak:
            return Label("stuck", j), s
        verb, lapsed = "lapse_in_doubt", p.doubtful(job, why)
    elif crashes >= p.bounds.crashes_max:
        verb, lapsed = "lapse_last", p.dead(job)._replace(crashes=crashes, attempt=back.attempt)
    else:
        verb, lapsed = "lapse", back
    if "lapse_keeps_the_token" in p.weak:
        lapsed = lapsed._replace(token=job.token)
    return Label(verb, j, job.token), s._replace(db=with_job(s.db, j, lapsed))


# ── an asynchronous failover ────────────────────────────────────────────────────────────────────


def failover(p: Protocol, s: State) -> Steps:
    """The standby falls behind at some commit; later it is promoted, and what came after is lost."""
    queue = p.bounds.failover == "queue"
    if s.behind is None:
        yield (
            Label("fall behind", note="the standby", kind="fault"),
            s._replace(behind=s.db if queue else s.other),
        )
        return
    left = s.left._replace(failovers=s.left.failovers - 1)
    runs = tuple(_cut(p, run, queue) for run in s.runs)
    lost = s._replace(left=left, runs=runs, behind=None)
    if isinstance(s.behind, Other):
        lost = lost._replace(other=s.behind)
    else:
        lost = lost._replace(db=s.behind)
    yield Label("fail over", note="the last commits are lost", kind="fault"), lost


def _cut(p: Protocol, run: Run, queue: bool) -> Run:
    """Transactions that were open there are gone; a living run begins its body anew."""
    there = run.at in IN_QUEUE if queue else run.at == "work?"
    if run.at == "working" and queue != p.elsewhere:
        return run._replace(at="claimed") if run.alive else over(run)
    if run.pending and there:
        return run._replace(pending=0) if run.alive else over(run)
    return run
