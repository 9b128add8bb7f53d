"""A COMMIT without an answer: what the server makes of it, and how the run finds out."""

from __future__ import annotations

from tests.protocol.nouns import RUNNING, Label, Run, State
from tests.protocol.protocol import Protocol, Steps, over, with_run
from tests.protocol.writes import body_begun, completed, return_recorded, started, worked_elsewhere


def steps(p: Protocol, s: State) -> Steps:
    for w, run in enumerate(s.runs):
        if run.alive and run.at and run.at[-1] == "?":
            yield from read_back(p, s, w, run)


def unanswered(s: State, w: int, run: Run, what: str) -> Steps:
    """COMMIT was sent, and the connection broke."""
    if s.left.losses:
        left = s.left._replace(losses=s.left.losses - 1)
        yield (
            Label("lose", run.job, run.token, w, f"no answer to {what}", "fault"),
            s._replace(left=left, runs=with_run(s, w, run._replace(at=what + "?", pending=1))),
        )


def lands(p: Protocol, s: State, w: int, run: Run) -> State:
    """The server carries out a commit whose answer nobody hears."""
    if run.at == "start?":
        begun = started(p, s, run)
        return begun._replace(runs=with_run(s, w, run._replace(pending=0)))
    if run.at == "commit?":
        return completed(p, s, w, run, pending=True)
    if run.at == "complete?":
        return return_recorded(p, s, w, run, pending=True)
    if p.elsewhere:
        return worked_elsewhere(p, s, w, run, run.at)
    intended = s.db.effect._replace(
        state="intended", asked=s.world.clock, token=run.token, request=run.request
    )
    return s._replace(db=s.db._replace(effect=intended), runs=with_run(s, w, run._replace(pending=0)))


def read_back(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """After a lost answer: never guess. While the server has not decided, wait (or end that backend)."""
    if "no_read_back" in p.weak:
        return
    if "guess_committed" in p.weak:
        yield _told(p, s, w, run, True, "guessed: committed")
        return
    if "guess_not_committed" in p.weak and run.at == "work?":
        yield _told(p, s, w, run, False, "guessed: not committed")
        return
    if run.pending and not ("readback_does_not_wait" in p.weak and run.at == "work?"):
        return
    job = s.db.jobs[run.job]
    mine = job.state == RUNNING and job.token == run.token
    if run.at == "work?":
        proof = s.other.ledger[p.cell(run.job, run.epoch)]
        yield _told(p, s, w, run, proof is not None)
    elif run.at == "intend?":
        if mine:
            yield _told(p, s, w, run, s.db.effect.state == "intended" and s.db.effect.token == run.token)
        else:
            yield _over(s, w, run)
    elif mine or (p.was_last(job, run) and run.at == "complete?"):
        yield _told(p, s, w, run, bool(job.started) if run.at == "start?" else False)
    else:
        yield _over(s, w, run)  # it stands, or the run was superseded: over either way


def _told(p: Protocol, s: State, w: int, run: Run, committed: bool, note: str = "") -> tuple[Label, State]:
    """Committed or NotCommitted: where the run goes on."""
    label = Label("read back", run.job, run.token, w, note or ("committed" if committed else "not committed"))
    if run.at == "start?" and committed:
        return label, body_begun(p, s, w, run)
    if run.at in ("commit?", "complete?") and committed:
        return label, s._replace(runs=with_run(s, w, over(run)))
    guessed = bool(p.weak) and run.pending
    where = {
        ("start?", False): "claimed",
        ("commit?", False): "claimed",
        ("complete?", False): "returned",
        ("work?", True): "returned",
        ("work?", False): "raised" if guessed else "claimed",
        ("intend?", True): "decided",
        ("intend?", False): "claimed",
    }[run.at, committed]
    since = s.world.clock if where == "decided" else run.since
    pending = run.pending if guessed else 0
    return label, s._replace(runs=with_run(s, w, run._replace(at=where, since=since, pending=pending)))


def _over(s: State, w: int, run: Run) -> tuple[Label, State]:
    return Label("stop", run.job, run.token, w), s._replace(runs=with_run(s, w, over(run)))
