"""Many dead jobs at once: what would become of each if it was retried, and the verbs over those judged so.

A judgement is made in the transaction that acts, over rows that are locked: so a retry never runs what was
done already, and never what nobody can know, unless somebody chose that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from ..model.errors import ChoiceNeeded
from ..model.jobs import REMEMBER_US
from . import people
from .audit import note
from .inspect import JobView, find
from .plan import Call, Row, Steps, as_json, operation, query

Bucket = Literal["safe", "done", "choice", "refused"]
BUCKETS: Final[tuple[Bucket, ...]] = ("safe", "done", "choice", "refused")

Choice = Literal["leave", "retry"]
"""What is done with those of which nobody knows whether running them again is harmless."""


class Judged(Struct, frozen=True):
    """One dead job, and what a retry would mean.

    **safe**: no effect was applied, or repeating it is harmless by its key. **done**: another job did its
    duty, ``same_as``; it is ended as a duplicate. **choice**: an effect has no known outcome, or an
    at_most_once body had begun. **refused**: another job holds its key, or it is not dead (any more).
    ``why`` says it in words.
    """

    id: str
    bucket: Bucket
    why: str = ""
    same_as: str | None = None
    run_no: int = 0
    task: str = ""
    queue: str = ""
    key: str | None = None
    epoch: int = 1
    reason: str = ""


def judged(row: Row) -> Judged:
    """The judgement of one row."""
    job_id, run_no, task, queue, key, delivery, begun, epoch, reason = row[:9]
    holder, holds, in_ledger, effect = row[11:15]
    facts = (run_no, task, queue, key, epoch + 1 if begun else epoch, reason)
    if in_ledger is not None and in_ledger != job_id:
        return Judged(job_id, "done", f"job {in_ledger} did its work", in_ledger, *facts)
    if holder is not None and holds in ("performed", "duplicate"):
        return Judged(job_id, "done", f"job {holder} did its duty {key!r}", holder, *facts)
    if holder is not None:
        state = holds or "gone"
        return Judged(job_id, "refused", f"job {holder}, {state}, holds its key {key!r}", None, *facts)
    if effect is not None:
        return Judged(job_id, "choice", f"effect {effect!r} has no known outcome", None, *facts)
    if delivery == "at_most_once" and begun:
        return Judged(job_id, "choice", "it is at_most_once, and its body had begun", None, *facts)
    return Judged(job_id, "safe", "", None, *facts)


@query
def look(app: str, ids: Sequence[str]) -> Steps[list[Judged]]:
    """What would become of these jobs, in their order; those that are not dead are refused, and say so."""
    return (yield from judge(app, ids, locked=False))


def judge(app: str, ids: Sequence[str], *, locked: bool = True) -> Steps[list[Judged]]:
    """The same; ``locked``: the rows stay as they are until the transaction ends."""
    params = {"app": app, "ids": as_json(list(ids))}
    rows = (yield Call("judge_dead", params)) if locked else (yield Call("look_at_dead", params))
    found = {row[0]: judged(row) for row in rows}
    gone = [job_id for job_id in ids if job_id not in found]
    if gone:
        places: dict[str, str] = dict((yield Call("places_of", {"ids": as_json(gone)})))
        found |= {one: Judged(one, "refused", _not_dead(places.get(one))) for one in gone}
    return [found[job_id] for job_id in ids]


def retry(app: str, jobs: Iterable[Judged]) -> Steps[set[str]]:
    """Bring these back, which were judged in this transaction; returns those that came back.

    Left out are those whose key somebody else took in this moment.
    """
    wanted = list(jobs)
    keyed: dict[tuple[str, str], Judged] = {}
    for job in wanted:
        if job.key is not None:
            keyed.setdefault((job.task, job.key), job)  # of two with one key only one comes back
    free = {job.id for job in wanted if job.key is None}
    if keyed:
        free |= yield from regain(app, keyed.values())
    if not free:
        return free
    back = yield Call("revive_dead_set", {"ids": as_json([job.id for job in wanted if job.id in free])})
    return {row[0] for row in back}


def regain(app: str, jobs: Iterable[Judged]) -> Steps[set[str]]:
    """Jobs that come back to life take their duties again; returns those whose duty was theirs to take."""
    rows = [{"id": one.id, "task": one.task, "key": one.key, "epoch": one.epoch} for one in jobs]
    held = yield Call("regain_duties", {"app": app, "remember": REMEMBER_US, "rows": as_json(rows)})
    return {row[0] for row in held}


@operation
def retry_one(
    app: str, job_id: str, *, actor: str, reason: str = "", args_hash: str = "", choice: Choice = "leave"
) -> Steps[JobView]:
    """Bring one job back, as :func:`dutiful.operations.people.retry` does; a dead one is judged first.

    One whose duty another job did is ended as its duplicate. Raises ChoiceNeeded where nobody can know
    whether running it again is harmless and ``choice`` leaves it, and what that does.
    """
    [job] = yield from judge(app, [job_id])
    if job.bucket == "choice" and choice == "leave":
        raise ChoiceNeeded(job_id, job.why)
    if job.bucket != "done":
        return (yield from people.retry(app, job_id, actor=actor, reason=reason, args_hash=args_hash).begin())
    yield from close([job], "duplicate")
    yield note("retry", app, actor, job_id, f"dead({job.reason})", "done(duplicate)", reason or job.why)
    return (yield from find(app, job_id))


def close(jobs: Iterable[Judged], outcome: str) -> Steps[set[str]]:
    """End these: ``waived``, or ``duplicate`` of the job that did their duty."""
    rows = [{"id": one.id, "same_as": one.same_as if outcome == "duplicate" else None} for one in jobs]
    if not rows:
        return set()
    gone = yield Call("close_dead_set", {"rows": as_json(rows), "outcome": outcome})
    return {row[0] for row in gone}


def unwaive(app: str, ids: Sequence[str], runs: dict[str, int]) -> Steps[dict[str, str]]:
    """Make discarded jobs dead again that ended after these runs; returns why each of the others stays."""
    rows = yield Call("judge_waived", {"app": app, "ids": as_json(list(ids))})
    found = {row[0]: row for row in rows if row[1] == runs[row[0]]}
    jobs = [
        Judged(one, "safe", run_no=row[1], task=row[2], queue=row[3], key=row[4], epoch=row[5])
        for one, row in found.items()
    ]
    free = {job.id for job in jobs if job.key is None}
    free |= yield from regain(app, [job for job in jobs if job.key is not None])
    back: set[str] = set()
    if free:
        rows = [(one, found[one][6]) for one in free]
        params = {"rows": as_json([{"id": one, "ended_at": at} for one, at in rows])}
        back = {row[0] for row in (yield Call("unwaive_dead_set", params))}
    return {
        one: "another job holds its key" if one in found else "it is not as it was discarded"
        for one in ids
        if one not in back
    }


def _not_dead(state: str | None) -> str:
    if state is None:
        return "there is no such job (any more)"
    if state == "running":
        return "it is running: a worker has its lease"
    return f"it is not dead: it is {state}"
