"""Store jobs: each duty once, by a row that is taken in the same transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..model.errors import KeyReused, StoreBusy
from ..model.ids import LaterIds
from ..model.jobs import Enqueued, NewJob
from . import traces
from .audit import note
from .gates import FRESH_US
from .gates import known as known_gates
from .plan import Call, Load, Steps, as_json, operation

ROUNDS_MAX = 50
"""How often a duty that changes hands under our eyes is looked at again."""

BATCH = 1000
COPY_COLUMNS = (
    "id",
    "lane",
    "run_at",
    "enqueued_at",
    "delivery",
    "crashes_max",
    "task",
    "args_version",
    "args",
)


@operation
def one(app: str, job: NewJob) -> Steps[Enqueued]:
    """Store one job, or name the job that satisfies the request already.

    Raises KeyReused (nothing stored) where the duty is known with other arguments.
    """
    params = _single(app, job)
    name = "enqueue_job" if job.key is None else "enqueue_keyed_job"
    if job.gates:
        name = "enqueue_gated_job"
        gates = as_json([gate.row for gate in job.gates])
        params |= {"gates": gates, "fresh": FRESH_US, "key": job.key}
        params |= {"args_hash": job.args_hash, "remember": job.remember_us}
    bounded = _bounded([job])
    if (yield Call(name, params, alone=not (job.repeated or bounded or job.trace))):
        yield from _deadlines(bounded)
        yield from traces.keep([job])
        if job.repeated and (yield from _ended_before([job.id])):
            yield Call("take_back", {"ids": as_json([job.id])})
            return Enqueued(job.id, True)
        return Enqueued(job.id, False)
    yield Call("add_lanes", {"app": app, "rows": as_json([{"queue": job.queue, "priority": job.priority}])})
    [done] = yield from _many(app, [job])
    return done


@operation
def many(app: str, jobs: Sequence[NewJob]) -> Steps[list[Enqueued]]:
    """Store many jobs in one transaction, in the order given; all or, if it raises, none."""
    return (yield from store_many(app, jobs))


def store_many(app: str, jobs: Sequence[NewJob]) -> Steps[list[Enqueued]]:
    """The steps of :func:`many`, for operations that do more."""
    lanes = sorted({(job.queue, job.priority) for job in jobs})
    yield Call("add_lanes", {"app": app, "rows": as_json([{"queue": q, "priority": p} for q, p in lanes])})
    done: list[Enqueued] = []
    for start in range(0, len(jobs), BATCH):
        done += yield from _many(app, jobs[start : start + BATCH])
    return done


@operation
def by_person(app: str, job: NewJob, *, actor: str, reason: str = "") -> Steps[Enqueued]:
    """Store one job at a person's word: as :func:`one`, and audited in the same transaction."""
    yield Call("add_lanes", {"app": app, "rows": as_json([{"queue": job.queue, "priority": job.priority}])})
    [done] = yield from _many(app, [job])
    after = f"the job that was there, {done.id}" if done.duplicate else f"enqueued in {job.queue}"
    duty = "none" if job.key is None else f"duty {job.key}"
    yield note("enqueue", app, actor, done.id, duty, after, reason)
    return done


@operation
def batch(app: str, jobs: Sequence[NewJob], *, actor: str = "", reason: str = "") -> Steps[list[Enqueued]]:
    """As :func:`many`; with an ``actor`` it is audited in the same transaction, as one act."""
    done = yield from store_many(app, jobs)
    yield from _noted(app, done, jobs[0].task, actor, reason)
    return done


@operation
def load(
    app: str,
    like: NewJob,
    ids: Sequence[str] | LaterIds,
    args: Sequence[bytes],
    *,
    actor: str = "",
    reason: str = "",
) -> Steps[list[Enqueued]]:
    """Store as many jobs by COPY (PostgreSQL only), with these ids and arguments and in all else ``like``.

    That one is :attr:`~dutiful.model.jobs.NewJob.plain`, and the ids are new: COPY knows no duplicates.
    """
    yield Call("add_lanes", {"app": app, "rows": as_json([{"queue": like.queue, "priority": like.priority}])})
    [(lane, now)] = yield Call("place_of_lane", {"app": app, "queue": like.queue, "priority": like.priority})
    alike = (lane, now, now, like.delivery, like.crashes_max, like.task, like.args_version)
    rows = ((id, *alike, one) for id, one in zip(ids, args, strict=True))
    yield Load("copy_jobs", "job", COPY_COLUMNS, rows)
    accepted = _accepted({(like.queue, like.priority, like.task): len(ids)})
    yield Call("count_accepted", {"app": app, "accepted": accepted})
    done = [Enqueued(id, False) for id in ids]
    yield from _noted(app, done, like.task, actor, reason)
    return done


def _noted(app: str, done: Sequence[Enqueued], task: str, actor: str, reason: str) -> Steps[None]:
    if actor:
        again = sum(one.duplicate for one in done)
        after = f"{len(done) - again:,} enqueued, {again:,} there already"
        yield note("enqueue", app, actor, f"task {task}", f"{len(done):,} rows", after, reason)


def _many(app: str, jobs: Sequence[NewJob]) -> Steps[list[Enqueued]]:
    """The general case, whose lanes are there: take duties, look at those that were taken, insert."""
    found: dict[str, Enqueued] = {}
    fresh: dict[str, int] = {}  # job id -> epoch of its duty
    wanted: dict[tuple[str, str | None], NewJob] = {}  # the first request for each duty
    later: list[NewJob] = []
    for job in jobs:
        first = wanted.setdefault(_duty(job), job)
        if job.key is None:
            fresh[job.id] = 1
        elif first.args_hash != job.args_hash and job.on_duplicate != "keep":
            if job.on_duplicate == "raise":
                raise KeyReused(job.task, job.key, first.id)
            later.append(job)
    keyed = [job for job in wanted.values() if job.key is not None]
    if keyed:
        rows = [
            {"id": j.id, "task": j.task, "key": j.key, "remember": j.remember_us, "args_hash": j.args_hash}
            for j in keyed
        ]
        taken = yield Call("take_duties", {"app": app, "rows": as_json(rows)})
        free = {row[0] for row in taken}
        fresh |= {job.id: 1 for job in keyed if job.id in free}
        left = [job for job in keyed if job.id not in free]
        for _round in range(ROUNDS_MAX):
            if not left:
                break
            left = yield from _settle_claims(app, left, found, fresh)
        else:
            raise StoreBusy(f"The duty {left[0].key!r} of {left[0].task} keeps changing hands.")
    yield from _insert(app, [job for job in wanted.values() if job.id in fresh], fresh, found)
    if later:  # what rewrites a job of this very batch comes to the same answer
        yield from _many(app, later)
    done = []
    for job in jobs:
        first = wanted[_duty(job)]
        done.append(found[first.id])
        found[first.id] = Enqueued(found[first.id].id, True)
    return done


def _duty(job: NewJob) -> tuple[str, str | None]:
    """What there is one job for: the duty, or for a job without a declared key its id."""
    return (job.id, None) if job.key is None else (job.task, job.key)


def _insert(app: str, jobs: list[NewJob], epochs: dict[str, int], found: dict[str, Enqueued]) -> Steps[None]:
    if not jobs:
        return
    gates = {gate for job in jobs for gate in job.gates}
    ids = (yield from known_gates(app, gates)) if gates else {}
    rows = [_document(job, epochs[job.id]) for job in jobs]
    for job, row in zip(jobs, rows, strict=True):
        if job.gates:
            row["gates"] = [ids[gate.kind, gate.key] for gate in job.gates]
    accepted = Counter((job.queue, job.priority, job.task) for job in jobs)
    params = {"app": app, "rows": as_json(rows), "accepted": _accepted(accepted)}
    inserted = {row[0] for row in (yield Call("enqueue_jobs", params))}
    if len(inserted) < len(jobs):  # not all were stored, so not all are accepted
        left = set(inserted)
        for job in jobs:
            if job.id in left:
                left.remove(job.id)
                accepted[job.queue, job.priority, job.task] -= 1
        missed = {place: -n for place, n in accepted.items() if n}
        yield Call("count_accepted", {"app": app, "accepted": _accepted(missed)})
    stored = [job for job in jobs if job.id in inserted]
    yield from _deadlines(_bounded(stored))
    yield from traces.keep(stored)
    repeated = [job.id for job in jobs if job.repeated and job.id in inserted]
    ended: set[str] = set()
    if repeated and (ended := (yield from _ended_before(repeated))):
        yield Call("take_back", {"ids": as_json(sorted(ended))})
    for job in jobs:
        found[job.id] = Enqueued(job.id, job.id not in inserted or job.id in ended)


def _accepted(counts: Mapping[tuple[str, int, str], int]) -> str:
    """How many jobs of which queue, priority and task, for their deltas."""
    return as_json(
        [
            {"queue": queue, "priority": p, "task": task, "n": n}
            for (queue, p, task), n in sorted(counts.items())
        ]
    )


def _bounded(jobs: Sequence[NewJob]) -> list[dict[str, Any]]:
    return [
        {"id": job.id, "deadline": job.deadline_us, "within": job.deadline_in_us}
        for job in jobs
        if job.deadline_us is not None or job.deadline_in_us is not None
    ]


def _deadlines(bounded: list[dict[str, Any]]) -> Steps[None]:
    """A statement of their own, so that jobs without one pay nothing."""
    if bounded:
        yield Call("set_deadlines", {"rows": as_json(bounded)})


def _ended_before(ids: list[str]) -> Steps[set[str]]:
    """A second statement, so that it sees what ended while the insert waited."""
    rows = yield Call("find_ended", {"ids": as_json(ids)})
    return {row[0] for row in rows}


def _settle_claims(
    app: str, jobs: list[NewJob], found: dict[str, Enqueued], fresh: dict[str, int]
) -> Steps[list[NewJob]]:
    """Look at duties that others hold; returns the jobs for which the look came too late."""
    rows = [{"task": job.task, "key": job.key} for job in jobs]
    seen = yield Call("look_at_duties", {"app": app, "rows": as_json(rows)})
    holders = {(row[0], row[1]): row for row in seen}
    left: list[NewJob] = []
    for job in sorted(jobs, key=lambda job: (job.task, job.key or "")):
        holder = holders.get((job.task, job.key))
        if holder is None:  # freed meanwhile: take it like a new one
            row: dict[str, Any] = {"id": job.id, "task": job.task, "key": job.key}
            row |= {"remember": job.remember_us, "args_hash": job.args_hash}
            if (yield Call("take_duties", {"app": app, "rows": as_json([row])})):
                fresh[job.id] = 1
            else:
                left.append(job)
            continue
        _, _, holder_id, _epoch, turn, args_hash, remember, done_at, state, reason, outcome, ended_at, now = (
            holder
        )
        if ended_at is not None and outcome in (None, "skipped"):
            remembered = False  # cancelled or skipped: not done
        else:
            finished = ended_at if ended_at is not None else done_at  # pruned meanwhile
            remembered = finished is not None and finished + remember > now
        if holder_id == job.id:
            # The same id once more: the same job, whatever became of it.
            found[job.id] = Enqueued(job.id, True)
            continue
        if state is not None or (reason is None and remembered and job.again is None):
            done = yield from _duplicate(app, job, holder_id, state, args_hash)
            if done:
                found[job.id] = Enqueued(holder_id, True)
            else:
                left.append(job)
            continue
        if reason is not None and job.delivery == "at_most_once":
            found[job.id] = Enqueued(holder_id, True)
            continue
        epochs = 1 if job.again is not None else 0
        took = yield Call(
            "take_over_duty",
            {
                "app": app,
                "task": job.task,
                "key": job.key,
                "id": job.id,
                "turn": turn,
                "epochs": epochs,
                "remember": job.remember_us,
                "args_hash": job.args_hash,
            },
        )
        if not took:
            left.append(job)
            continue
        fresh[job.id] = took[0][0]
        if job.again is not None:
            before = reason or outcome or "done"
            yield note("again", app, job.actor, job.id, before, f"epoch {took[0][0]}", job.again)
    return left


def _duplicate(app: str, job: NewJob, holder_id: str, state: str | None, args_hash: str) -> Steps[bool]:
    """The duty is in good hands. False: what was seen changed, look again."""
    if args_hash == job.args_hash or job.on_duplicate == "keep":
        return True
    if job.on_duplicate == "raise" or state != "ready":
        raise KeyReused(job.task, job.key or "", holder_id)
    params = {"id": holder_id, "args": job.args, "args_version": job.args_version}
    if not (yield Call("replace_args", params)):
        return False
    ids = (yield from known_gates(app, job.gates)) if job.gates else {}
    gates = [ids[gate.kind, gate.key] for gate in job.gates]
    yield Call("change_gates", {"id": holder_id, "gates": as_json(gates)})
    touch: dict[str, Any] = {"app": app, "task": job.task, "key": job.key, "id": holder_id}
    return bool((yield Call("touch_duty", touch | {"args_hash": job.args_hash})))


def _single(app: str, job: NewJob) -> dict[str, Any]:
    params = {
        "app": app,
        "id": job.id,
        "task": job.task,
        "queue": job.queue,
        "priority": job.priority,
        "args": job.args,
        "args_version": job.args_version,
        "delay": job.delay_us,
        "run_at": job.run_at_us,
        "delivery": job.delivery,
        "crashes_max": job.crashes_max,
    }
    if job.key is not None:
        params |= {"key": job.key, "args_hash": job.args_hash, "remember": job.remember_us}
    return params


def _document(job: NewJob, epoch: int) -> dict[str, Any]:
    return {
        "id": job.id,
        "queue": job.queue,
        "priority": job.priority,
        "run_at": job.run_at_us,
        "delay": job.delay_us,
        "delivery": job.delivery,
        "crashes_max": job.crashes_max,
        "task": job.task,
        "args_version": job.args_version,
        "args": job.args.decode(),
        "key": job.key,
        "epoch": epoch,
    }
