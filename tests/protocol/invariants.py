"""The invariants of SEMANTICS §2.8, as far as they speak of what is modelled: looked at in every state.

Those that speak of a change (who wrote it, what stays as it was) are looked at in every step. I10
and I14 need calendars, I11 counters, I13 locks and orders: they are tested on the code.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol.nouns import (
    ABSENT,
    DEAD,
    DONE,
    DUPLICATE,
    GONE,
    IN_DOUBT,
    OPEN,
    PERFORMED,
    PRUNED,
    READY,
    RUNNING,
    Job,
    Label,
    Proof,
    State,
)  # fmt: skip
from tests.protocol.producers import past_horizon
from tests.protocol.protocol import Protocol

LAPSES = ("lapse", "lapse_last", "lapse_in_doubt")


def wrong_in(p: Protocol, s: State) -> list[str]:
    """What is wrong in a state, each line beginning with the invariant."""
    found = list(_sums(s))
    for j, job in enumerate(s.db.jobs):
        if job.state not in (ABSENT, PRUNED):
            found += _job(p, s, j, job)
    if p.delivery == "exactly_once":
        found += _ledger(s)
    return _kept(p, found)


def _kept(p: Protocol, found: list[str]) -> list[str]:
    """Without what this configuration waives."""
    if not found:
        return found
    return [line for line in found if line.partition(":")[0] not in p.bounds.waived]


def _sums(s: State) -> Iterator[str]:
    world = s.world
    if max(s.db.works) > 1 or max(s.other.works) > 1:
        yield "I1: the work of one duty and epoch was committed twice"
    if max(world.begun) > 1:
        yield "I2: the body began twice in one epoch"
    if 1 in world.refuted:
        for happened, refuted in zip(world.happened, world.refuted, strict=True):
            if happened and refuted:
                yield "I2: a body went on after a person's “surely not done” opened the next epoch"
    if s.world.applied > 1:
        yield "I3: the third party applied one effect twice"


def _job(p: Protocol, s: State, j: int, job: Job) -> Iterator[str]:
    cell = p.cell(j, job.epoch)
    if job.state == DONE:
        if job.outcome == PERFORMED and not _evidence(p, s, j, job, cell):
            yield "I4: done(performed), but no work and no return of the run that held the token"
        elif job.outcome == DUPLICATE and (job.same_as in (0, j + 1) or job.again):
            yield "I4: a duplicate of itself, or of what again= was asked to repeat"
        if job.outcome == PERFORMED and p.delivery == "exactly_once":
            proof = s.db.ledger[cell]
            if proof is None or proof.job != j:
                yield "I6: done(performed), but its ledger row is not there"
    if job.attempt > job.run_no:
        yield "I7: more attempts than runs"
    if job.state in OPEN and s.db.duties[p.bounds.duties[j]].holder != j + 1:
        yield "I8: open, but another job has the row of its duty"
    running = job.state == RUNNING
    if running != (job.token > 0) or running != (job.worker > 0):
        yield "I9: running, token and worker do not go together"
    if not running and job.run_no and not job.last:
        yield "I9: the last run's token was not kept"


def _evidence(p: Protocol, s: State, j: int, job: Job, cell: int) -> bool:
    """That the run which ended the job returned, or what it worked for is there."""
    if p.delivery == "exactly_once":
        return s.db.works[cell] > 0
    if p.elsewhere:
        proof = s.other.ledger[cell]
        return s.other.works[cell] > 0 and proof is not None and proof.job == j
    returned = bool(s.world.returned[j] >> job.last & 1)
    return returned or (p.at_most_once and s.world.happened[cell] > 0)


def _ledger(s: State) -> Iterator[str]:
    for proof in s.db.ledger:
        if proof is not None:
            job = s.db.jobs[proof.job]
            if job.state != PRUNED and (job.state, job.outcome) != (DONE, PERFORMED):
                yield f"I6: its work is in the ledger, but the job is {job.state}"


# ── steps ───────────────────────────────────────────────────────────────────────────────────────


def wrong_step(p: Protocol, s: State, label: Label, t: State) -> list[str]:
    """What is wrong with a change, however good the states before and after it are."""
    if label.verb == "fail over":
        return []  # what it takes back is not a change by anybody
    found: list[str] = []
    if t.db is not s.db:
        if t.db.jobs is not s.db.jobs:
            for j, (a, b) in enumerate(zip(s.db.jobs, t.db.jobs, strict=True)):
                if a is not b:
                    found += _changed(p, s, label, t, j, a, b)
        if t.db.effect is not s.db.effect:
            a_effect, b_effect = s.db.effect, t.db.effect
            if a_effect.state == "done" and a_effect != b_effect:
                found.append("I15: the result of a done effect was changed")
            elif b_effect.state == "done" and not a_effect.state:
                found.append("I15: an effect is done that was never intended")
        if t.db.ledger is not s.db.ledger:
            found += _rows(p, s, label, s.db.ledger, t.db.ledger)
    if t.other is not s.other and t.other.ledger is not s.other.ledger:
        found += _rows(p, s, label, s.other.ledger, t.other.ledger)
    if label.verb == "call":
        found += _call(s, label)
    return _kept(p, found)


def _changed(p: Protocol, s: State, label: Label, t: State, j: int, a: Job, b: Job) -> Iterator[str]:
    by_run = a.token == label.token
    if a.state == RUNNING and a != b and label.verb != "mark gone" and label.kind != "person":
        if label.verb in LAPSES:
            if a.worker != GONE:
                yield "I5: a job lapsed though its worker's row is not marked gone"
        elif b.state == RUNNING and b.token != a.token:
            yield "I5: a running job was claimed again"
        elif (not by_run and a.worker != label.slot + 1) or (not by_run and b.last != a.token):
            yield f"I5: {label.verb} by a run that does not hold the job's token"
    if a.state == IN_DOUBT and label.kind != "person" and a.last != label.token:
        yield f"I5: {label.verb} by a run that was not the last"
    if b.token and b.token != a.token:
        if b.token <= s.world.tokens[j]:
            yield "I7: a token was handed out twice"
        if b.run_no != a.run_no + 1:
            yield "I7: run_no does not grow"
    if a.state in (DEAD, IN_DOUBT) and b.state != a.state:
        signed = label.kind == "person" and t.db.audits == s.db.audits + 1
        if not signed and not (a.state == IN_DOUBT and a.last == label.token):
            yield f"I12: left {a.state} without who, when and why, and without evidence"
    if b.outcome == DUPLICATE and a.outcome != DUPLICATE and p.at_most_once and b.same_as:
        if s.db.jobs[b.same_as - 1].state == DEAD:
            yield "I4: a duplicate of a job that is dead"
        if s.world.refuted[p.cell(j, a.epoch)]:
            yield "I4: a duplicate of what a person found not done"
    if label.verb in ("fail", "bury") and p.elsewhere and a.state == RUNNING:
        proof = s.other.ledger[p.cell(j, a.epoch)]
        if proof == Proof(j, label.token):
            yield f"I6: {label.verb} by the run whose work is committed"


def _rows(
    p: Protocol, s: State, label: Label, before: tuple[Proof | None, ...], after: tuple[Proof | None, ...]
) -> Iterator[str]:
    for cell, (a, b) in enumerate(zip(before, after, strict=True)):
        if a is not None and a != b:
            if b is not None:
                yield "I16: a ledger row was changed"
            elif not past_horizon(p, s, cell):
                yield "I16: a ledger row was deleted before its duty's horizon"


def _call(s: State, label: Label) -> Iterator[str]:
    effect = s.db.effect
    if not effect.state:
        yield "I15: a call was made that nobody had committed as intended"
    elif effect.request != s.runs[label.slot].request:
        yield "I15: a call was made with another request than the one committed under its key"


__all__ = ["READY", "wrong_in", "wrong_step"]
