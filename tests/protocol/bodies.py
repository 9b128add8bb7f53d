"""What the three deliveries do between the claim and the ending."""

from __future__ import annotations

from tests.protocol.answers import unanswered
from tests.protocol.endings import abort, complete, duplicate, fail, hand_back, stop, too_late
from tests.protocol.nouns import Label, Run, State, put
from tests.protocol.protocol import Protocol, Steps, over, with_job, with_run
from tests.protocol.writes import body_begun, completed, counted, started, with_work, worked_elsewhere


def steps(p: Protocol, s: State) -> Steps:
    for w, run in enumerate(s.runs):
        if run.alive and run.at:
            yield from onward(p, s, w, run)


def onward(p: Protocol, s: State, w: int, run: Run) -> Steps:
    at = run.at
    if at == "claimed":
        yield from too_late(p, s, w, run)
    if at == "returned":
        yield from complete(p, s, w, run)
    elif at == "raised":
        yield from fail(p, s, w, run)
    elif at == ("claimed" if p.provider is None else "inside"):
        if p.at_most_once:
            yield from start(p, s, w, run)
        elif p.delivery == "at_least_once":
            yield from body(p, s, w, run)
        else:
            yield from begin(p, s, w, run)
        yield from hand_back(p, s, w, run)
    elif at == "working":
        yield from work(p, s, w, run)
        yield from hand_back(p, s, w, run)
    elif at in ("body", "acted"):
        yield from begun_body(p, s, w, run)


def body(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """at_least_once: the claim is the start."""
    yield returns(s, w, run)
    yield from raises(s, w, run)


def begun_body(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """at_most_once, begun: it does what it is for, and returns; it raises; or it is cut off."""
    job = s.db.jobs[run.job]
    if run.at == "body":
        happened = counted(s.world.happened, p.cell(run.job, run.epoch))
        yield (
            Label("act", run.job, run.token, w),
            s._replace(
                world=s.world._replace(happened=happened), runs=with_run(s, w, run._replace(at="acted"))
            ),
        )
    else:
        yield returns(s, w, run)
    yield from raises(s, w, run)
    if s.left.handbacks:
        left = s.left._replace(handbacks=s.left.handbacks - 1)
        if p.fence("doubt", job, run):
            db = with_job(s.db, run.job, p.doubtful(job, "body"))
            cut = s._replace(db=db, left=left)
            yield (
                Label("doubt", run.job, run.token, w, "cut off"),
                cut._replace(runs=with_run(s, w, over(run))),
            )
            yield (
                Label("doubt", run.job, run.token, w, "out of time, its thread goes on"),
                cut,
            )
        if "started_may_be_released" in p.weak and p.fence("release", job, run):
            db = with_job(s.db, run.job, p.back(job, charged=False))
            yield (
                Label("release", run.job, run.token, w),
                s._replace(db=db, left=left, runs=with_run(s, w, over(run))),
            )
    if job.cancel and p.fence("abort", job, run):
        yield from abort(p, s, w, run)


def start(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """at_most_once: the nonce is committed, and known to be, before the body's first line."""
    j, job = run.job, s.db.jobs[run.job]
    if "start_not_committed" in p.weak:
        yield Label("begin", j, run.token, w), body_begun(p, s, w, run)
        return
    cell = p.cell(j, run.epoch)
    if not p.fence("start", job, run):
        yield stop(s, w, run)
    elif s.db.ledger[cell] is not None:
        yield from duplicate(p, s, w, run)
    elif not p.key_taken(s, w, cell):
        yield (
            Label("start", j, run.token, w),
            body_begun(p, started(p, s, run), w, run),
        )
        yield from unanswered(s, w, run, "start")


def begin(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """exactly_once: the ledger row is inserted first; who finds it there skips the body."""
    cell = p.cell(run.job, run.epoch)
    row = (s.other if p.elsewhere else s.db).ledger[cell]
    if "ledger_by_job" in p.weak and row is not None and row.job != run.job:
        row = None
    if "ledger_last" in p.weak:
        row = None
    elif p.key_taken(s, w, cell) and "ledger_by_job" not in p.weak:
        return  # waits; or lock_timeout, which is a release
    if row is None:
        yield (
            Label("begin", run.job, run.token, w),
            s._replace(runs=with_run(s, w, run._replace(at="working"))),
        )
    elif p.elsewhere:
        yield (
            Label("read", run.job, run.token, w, "the work is in the ledger"),
            s._replace(runs=with_run(s, w, run._replace(at="returned"))),
        )
    else:
        yield from duplicate(p, s, w, run)


def work(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """The transaction is open, its writes are made: it commits, or the body raises."""
    yield from raises(s, w, run)
    if p.elsewhere:
        yield Label("commit", run.job, run.token, w), worked_elsewhere(p, s, w, run, "returned")
        yield from unanswered(s, w, run, "work")
        return
    job = s.db.jobs[run.job]
    if p.fence("complete", job, run) or p.was_last(job, run):
        verb = "report" if p.was_last(job, run) else "complete"
        yield (
            Label(verb, run.job, run.token, w, "with its work and the ledger row"),
            completed(p, s, w, run),
        )
        yield from unanswered(s, w, run, "commit")
    else:
        yield stop(s, w, run, "nothing is kept")
    if "no_trigger" in p.weak and job.token == run.token:
        kept = with_work(p, s, run)
        yield (
            Label("commit", run.job, run.token, w, "the body's own, stray"),
            kept._replace(runs=with_run(s, w, run._replace(at="raised"))),
        )


# ── small things ────────────────────────────────────────────────────────────────────────────────


def returns(s: State, w: int, run: Run) -> tuple[Label, State]:
    returned = put(s.world.returned, run.job, s.world.returned[run.job] | 1 << run.token)
    return (
        Label("return", run.job, run.token, w),
        s._replace(
            world=s.world._replace(returned=returned), runs=with_run(s, w, run._replace(at="returned"))
        ),
    )


def raises(s: State, w: int, run: Run) -> Steps:
    if s.left.raises:
        left = s.left._replace(raises=s.left.raises - 1)
        yield (
            Label("raise", run.job, run.token, w),
            s._replace(left=left, runs=with_run(s, w, run._replace(at="raised"))),
        )
