"""The one call to a third party: intended first, then made; its key, its age, and the lookup."""

from __future__ import annotations

from tests.protocol.nouns import EFFECT, Effect, Label, Run, State
from tests.protocol.protocol import Protocol, Steps, over, with_job, with_run


def steps(p: Protocol, s: State) -> Steps:
    if p.provider is None:
        return
    yield from arrives_late(p, s)
    yield from tick(p, s)
    for w, run in enumerate(s.runs):
        if not run.alive:
            continue
        if run.at == "claimed":
            yield from enter(p, s, w, run)
        elif run.at == "decided":
            yield from call(p, s, w, run)
        elif run.at in ("answered", "found"):
            yield from record(p, s, w, run)
        elif run.at == "refused":
            yield from record_refusal(p, s, w, run)
        elif run.at == "unsure":
            yield from unsure(p, s, w, run)
        elif run.at == "not found":
            yield from send_after_lookup(p, s, w, run)


# ── what is done on entry, by the effect's row ──────────────────────────────────────────────────


def enter(p: Protocol, s: State, w: int, run: Run) -> Steps:
    effect = s.db.effect
    assert p.provider is not None
    if effect.state == "done":
        yield (
            Label("read", run.job, run.token, w, "the effect is done: its result is used"),
            s._replace(runs=with_run(s, w, run._replace(at="inside"))),
        )
    elif effect.state in ("", "refused"):
        yield from intend(p, s, w, run)
    elif not p.fence("effect", s.db.jobs[run.job], run):
        yield _stop(s, w, run)
    elif effect.request != run.request and "request_not_compared" not in p.weak:
        yield from _changed(p, s, w, run)
    elif p.key_is_young(s, effect) or ("no_expiry" in p.weak and p.provider.remembered):
        yield from send(p, s, w, run, "the key is young")
    elif p.provider.lookup:
        yield from look_up(p, s, w, run)
    elif "resend_blindly" in p.weak:
        yield from send(p, s, w, run, "")
    else:
        yield _doubt(p, s, w, run)


def intend(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """Committed by itself, under the fence, before the call."""
    if "intended_not_committed" in p.weak:
        yield Label("intend", run.job, run.token, w, "not committed"), _decided(s, w, run)
        return
    if not p.fence("effect", s.db.jobs[run.job], run):
        yield _stop(s, w, run)
        return
    intended = Effect("intended", s.world.clock, run.token, run.request)
    yield (
        Label("intend", run.job, run.token, w),
        _decided(s._replace(db=s.db._replace(effect=intended)), w, run),
    )
    if s.left.losses:
        left = s.left._replace(losses=s.left.losses - 1)
        yield (
            Label("lose", run.job, run.token, w, "no answer to intend", "fault"),
            s._replace(left=left, runs=with_run(s, w, run._replace(at="intend?", pending=1))),
        )


def send(p: Protocol, s: State, w: int, run: Run, note: str) -> Steps:
    """Decide to call again, with the same key; the row, as it was seen, names the new caller first."""
    if s.db.effect.state != "intended":
        yield (
            Label("look again", run.job, run.token, w, "the effect was settled meanwhile"),
            s._replace(runs=with_run(s, w, run._replace(at="claimed"))),
        )
        return
    effect = s.db.effect._replace(token=run.token, several=1)
    yield (
        Label("send again", run.job, run.token, w, note),
        _decided(s._replace(db=s.db._replace(effect=effect)), w, run),
    )


def look_up(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """The provider answers what is true now, or that it cannot say.

    "Surely not" counts only if every earlier caller was proven dead, and the quiet time had passed,
    *before* it was asked: else a call may arrive between the answer and ours.
    """
    if s.world.applied:
        yield (
            Label("look up", run.job, run.token, w, "found"),
            s._replace(runs=with_run(s, w, run._replace(at="found"))),
        )
    elif p.proven_dead(s, run.job, but=w) or p.weak & {"lookup_alone", "lookup_before_proof"}:
        yield (
            Label("look up", run.job, run.token, w, "surely not"),
            s._replace(runs=with_run(s, w, run._replace(at="not found"))),
        )
    else:
        yield _doubt(p, s, w, run)
    if s.left.raises:
        left = s.left._replace(raises=s.left.raises - 1)
        label, doubted = _doubt(p, s, w, run)
        yield label._replace(note="the lookup is unsure"), doubted._replace(left=left)


def send_after_lookup(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """Surely not: sent, if this run still has the job."""
    if not p.fence("effect", s.db.jobs[run.job], run):
        yield _stop(s, w, run)
    elif "lookup_before_proof" in p.weak and not p.proven_dead(s, run.job, but=w):
        yield _doubt(p, s, w, run)
    else:
        yield from send(p, s, w, run, "the earlier callers are proven dead")


# ── the call ────────────────────────────────────────────────────────────────────────────────────


def call(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """The provider applies it, or knows the key and says what it said; or refuses; or nobody hears."""
    yield (
        Label("call", run.job, run.token, w, "answered"),
        applied(p, s, run)._replace(runs=with_run(s, w, run._replace(at="answered"))),
    )
    if s.left.raises and not s.world.applied:
        left = s.left._replace(raises=s.left.raises - 1)
        yield (
            Label("call", run.job, run.token, w, "refused"),
            s._replace(left=left, runs=with_run(s, w, run._replace(at="refused"))),
        )
    if s.left.losses:
        left = s.left._replace(losses=s.left.losses - 1)
        lost = s._replace(left=left, runs=with_run(s, w, run._replace(at="unsure")))
        yield (
            Label("call", run.job, run.token, w, "applied, no answer", "fault"),
            applied(p, lost, run),
        )
        yield Label("call", run.job, run.token, w, "lost on the way", "fault"), lost
        if not s.world.air:
            air = lost.world._replace(air=run.since + 1, known_for=_key(p, run))
            yield Label("call", run.job, run.token, w, "still under way", "fault"), lost._replace(world=air)


def applied(p: Protocol, s: State, run: Run) -> State:
    return s._replace(world=_applied(p, s, _key(p, run)))


def _applied(p: Protocol, s: State, key: int):  # type: ignore[no-untyped-def]
    """What the provider does with a call that arrives now."""
    provider, world = p.provider, s.world
    assert provider is not None
    fresh = world.clock < world.known_since + provider.remembered
    if provider.remembered and world.applied and fresh and world.known_for == key:
        return world._replace(air=world.air)
    return world._replace(applied=world.applied + 1, known_since=world.clock, known_for=key)


def _key(p: Protocol, run: Run) -> int:
    """The same for every run, job and epoch."""
    return run.token if "key_with_run_no" in p.weak else 0


def arrives_late(p: Protocol, s: State) -> Steps:
    """A call that its caller no longer waits for arrives, or never does."""
    if s.world.air:
        key = s.world.known_for if "key_with_run_no" in p.weak else 0
        yield Label("arrive", note="late"), s._replace(world=_applied(p, s, key)._replace(air=0))
        yield Label("arrive", note="never"), s._replace(world=s.world._replace(air=0))


def tick(p: Protocol, s: State) -> Steps:
    """Time passes; but nobody pauses between deciding and calling for longer than the margin."""
    provider, now = p.provider, s.world.clock + 1
    assert provider is not None
    if now > provider.clock_max:
        return
    if s.world.air and now > s.world.air - 1 + provider.margin:
        return
    for run in s.runs:
        if run.at == "decided" and run.alive and now > run.since + provider.margin:
            return
    yield Label("tick", kind="outside"), s._replace(world=s.world._replace(clock=now))


# ── what came of it ─────────────────────────────────────────────────────────────────────────────


def record(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """Success: stored by the run that called last, or that looked it up and has the job; then unchanged.

    A run that lost its job meanwhile may still store what its own call came to.
    """
    job, effect = s.db.jobs[run.job], s.db.effect
    has_job = p.fence("effect", job, run) or p.was_last(job, run)
    if not (has_job or (run.at == "answered" and effect.token == run.token and effect.state == "intended")):
        if "result_overwritten" in p.weak and effect.state == "done":
            stored = effect._replace(token=run.token)
            yield (
                Label("record", run.job, run.token, w, "over the result that is there"),
                s._replace(db=s.db._replace(effect=stored), runs=with_run(s, w, over(run))),
            )
        yield _stop(s, w, run)
        return
    if effect.state == "done":
        stored = effect
    elif effect.state == "":
        stored = Effect("done", s.world.clock, run.token, run.request)
    else:
        stored = effect._replace(state="done")
    yield (
        Label("record", run.job, run.token, w),
        s._replace(
            db=s.db._replace(effect=stored),
            runs=with_run(s, w, run._replace(at="inside", since=0) if has_job else over(run)),
        ),
    )


def record_refusal(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """A definite no is a normal error, and the next try asks afresh.

    But it speaks for its own call alone: if another run may have called too, the row stays intended,
    with its age.
    """
    if p.fence("effect", s.db.jobs[run.job], run) and s.db.effect.state == "intended":
        alone = not s.db.effect.several or "refusal_is_final" in p.weak
        stored = s.db.effect._replace(state="refused") if alone else s.db.effect
        yield (
            Label("record", run.job, run.token, w, "refused"),
            s._replace(
                db=s.db._replace(effect=stored), runs=with_run(s, w, run._replace(at="raised", since=0))
            ),
        )
    else:
        yield _stop(s, w, run)


def unsure(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """Timeout, reset, 5xx: the row stays intended. The next run finds out; else people do."""
    if not p.fence("doubt", s.db.jobs[run.job], run):
        yield _stop(s, w, run)
    elif p.recoverable(s, s.db.effect):
        yield (
            Label("raise", run.job, run.token, w, "not known"),
            s._replace(runs=with_run(s, w, run._replace(at="raised", since=0))),
        )
    else:
        yield _doubt(p, s, w, run)


def _changed(p: Protocol, s: State, w: int, run: Run) -> Steps:
    """The code or the data changed under an open call: dead, and people look."""
    db = with_job(s.db, run.job, p.dead(s.db.jobs[run.job]))
    yield (
        Label("bury", run.job, run.token, w, "the request changed under an open call"),
        s._replace(db=db, runs=with_run(s, w, over(run))),
    )


def _doubt(p: Protocol, s: State, w: int, run: Run):  # type: ignore[no-untyped-def]
    job = s.db.jobs[run.job]
    if not p.fence("doubt", job, run):
        return _stop(s, w, run)
    db = with_job(s.db, run.job, p.doubtful(job, EFFECT))
    return (
        Label("doubt", run.job, run.token, w, "the call's outcome is unknown"),
        s._replace(db=db, runs=with_run(s, w, over(run))),
    )


def _decided(s: State, w: int, run: Run) -> State:
    return s._replace(runs=with_run(s, w, run._replace(at="decided", since=s.world.clock)))


def _stop(s: State, w: int, run: Run) -> tuple[Label, State]:
    return Label("stop", run.job, run.token, w), s._replace(runs=with_run(s, w, over(run)))
