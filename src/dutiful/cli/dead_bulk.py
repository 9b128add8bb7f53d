"""Bringing many dead jobs back, or giving them up: looked over first, then done as a bulk operation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..model.errors import DutifulError, JobNotFound, OpsError, StateError
from ..model.states import VERBS
from ..operations import doubts, inspect
from ..operations.bulk_values import Bulk, Item, Wanted
from ..operations.dead_sets import Choice
from ..operations.inspect import JobView
from ..supervise.bulk_ops import Preflight
from .bulk_watch import carry_out
from .exits import BAD, DONE, INTERRUPTED, PARTIAL, REFUSED
from .reach import Reach
from .retrying import retry_one
from .session import Session

TRIED_S = 60.0
"""How long the outcome of the one that is tried first is waited for."""
SHOWN_MAX = 1_000
"""So many of those that were left are listed; the rest is in ``bulk show``."""

PAST = {"retry": "retried", "waive": "waived", "discard": "discarded"}
REASON_FROM = {"retry": 100, "waive": 0, "discard": 0}


@dataclass
class Work:
    """What is to be done, to which jobs, and how. ``verb`` is as it was typed."""

    verb: str
    session: Session
    store: Reach
    reason: str
    dry_run: bool
    limit: int | None
    choice: Choice = "leave"
    pace: int | None = None
    start_at_us: int | None = None
    try_one: bool = False
    done: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)

    @property
    def past(self) -> str:
        """As in "3 of 3 retried"."""
        return PAST[self.verb]


# ── by name ─────────────────────────────────────────────────────────────────────────────────


def act_on_these(work: Work, ids: Sequence[str]) -> int:
    """The jobs named. One alone raises its refusal; of several each is listed."""
    ids = list(dict.fromkeys(ids))[: work.limit]
    if work.dry_run:
        return _rehearse(work, Wanted(ids=tuple(ids)))
    _need_reason(work, len(ids))
    if len(ids) == 1:
        job = _one(work, ids[0])
        work.done = 1
        work.session.printer.say(f"{job.id} is {_now(job)}.")
        return _tell(work, 1)
    for job_id in ids:
        try:
            _one(work, job_id)
            work.done += 1
        except (StateError, OpsError) as error:
            work.refused.append(_refusal(job_id, error))
        except DutifulError:
            _tell(work, len(ids))
            raise
    return _tell(work, len(ids))


def _one(work: Work, job_id: str) -> JobView:
    store, session = work.store, work.session
    if work.verb == "retry":
        return retry_one(session, store, job_id, reason=work.reason, choice=work.choice)
    verb = doubts.waive(store.name, job_id, actor=session.who, reason=work.reason)
    return store.act(session, "discard", verb)


# ── by filter ───────────────────────────────────────────────────────────────────────────────


def act_where(work: Work, wanted: Wanted) -> int:
    """All that the filter finds now, after saying how many these are; as a bulk operation."""
    if work.dry_run:
        return _rehearse(work, wanted)
    session, ops = work.session, work.store.ops(work.session)
    count = ops.count(wanted, limit=work.limit)
    if count == 0:
        session.printer.say(f"No dead jobs{wanted}: nothing to do.")
        return _tell(work, 0)
    _need_reason(work, count)
    session.confirm(f"{work.verb.capitalize()} {_jobs(count)}{wanted}?")
    if work.try_one and count > 1 and not _tried(work, wanted):
        return BAD
    if work.verb == "retry":
        begun = ops.retry_all(
            wanted,
            reason=work.reason,
            choice=work.choice,
            pace=work.pace,
            start_at_us=work.start_at_us,
            limit=work.limit,
        )
    else:
        begun = ops.discard_all(wanted, reason=work.reason, limit=work.limit)
    assert begun.value is not None
    over, bulk = carry_out(session, ops, begun.value, work.verb.capitalize())
    left = ops.bulk_items(bulk.id, limit=SHOWN_MAX)
    work.refused = [_left(item) for item in left if item.state != "duplicate"]
    work.done = bulk.done
    return _tell(work, bulk.intended, bulk, over, [item for item in left if item.state == "duplicate"])


def _tried(work: Work, wanted: Wanted) -> bool:
    """Retry the latest one alone, and wait for what becomes of it; whether the others are to follow."""
    session, ops = work.session, work.store.ops(work.session)
    [page] = [ops.first(wanted)]
    job = retry_one(session, work.store, page, reason=work.reason, choice=work.choice)
    work.store.engine.wake(job.queue)
    began, until = time.monotonic(), time.monotonic() + TRIED_S
    while job.state in ("ready", "running") and time.monotonic() < until:
        time.sleep(0.1)
        job = work.store.run(inspect.job(work.store.name, job.id))
    state = f"{job.state} ({job.outcome})" if job.outcome else job.state
    session.printer.say(f"Retry one first…  job {job.id}  {state} in {time.monotonic() - began:.1f} s")
    if job.state == "done":
        return True
    session.printer.put(f"Stopped: the one that was tried is {state}; the others are as they were.")
    return False


def _rehearse(work: Work, wanted: Wanted) -> int:
    """Count, and say what would become of them; changes nothing."""
    printer = work.session.printer
    found = work.store.ops(work.session).preflight(wanted, limit=work.limit)
    counts = found.counts if work.verb == "retry" else _waivable(found)
    would = counts["safe"] + counts["done"] + (counts["choice"] if work.choice == "retry" else 0)
    left = ["refused"] if work.choice == "retry" else ["choice", "refused"]
    for job in (one for bucket in left if work.verb == "retry" for one in found.examples[bucket]):  # type: ignore[index]
        work.refused.append({"id": job.id, "code": code_of(job.why), "message": job.why})
    if work.verb != "retry":
        for job in found.examples["refused"]:
            if not job.task and not VERBS["waive"].allows(job.why.rpartition(" ")[2]):
                work.refused.append({"id": job.id, "code": code_of(job.why), "message": job.why})
    words = "" if wanted.ids is not None else str(wanted)
    if printer.json:
        fields = {"dry_run": True, "matched": found.total, work.past: 0, "left": found.total}
        more = {"refused": work.refused, "stopped": False, "buckets": counts, "complete": found.complete}
        printer.document(f"dead.{work.verb}/1", {**fields, **more})
        return DONE
    refused = found.total - would
    said = f"; {refused:,} would be refused" if refused else ""
    printer.put(f"Would {work.verb} {_jobs(would)}{words}{said}.")
    if (work.verb == "retry" and would != counts["safe"]) or refused:
        whys = {bucket: _most(found, bucket) for bucket in ("choice", "refused")}
        parts = [f"{counts['safe']:,} safe", f"{counts['done']:,} done already"]
        parts += [f"{counts['choice']:,} need a choice{whys['choice']}"]
        parts += [f"{counts['refused']:,} refused{whys['refused']}"]
        printer.put(f"  {' · '.join(parts)}")
    for refusal in work.refused:
        printer.put(f"would refuse {refusal['id']}: {refusal['code']} {refusal['message']}")
    if not found.complete:
        printer.put(f"Only the latest {found.total:,} were looked at; there are more.")
    printer.say("Nothing was changed. Run it again without --dry-run.")
    if work.verb == "retry" and would > 10:
        printer.say("Add --try-one to begin with a single job.")
    return DONE


def _waivable(found: Preflight) -> dict[Any, int]:
    """Whatever is dead can be waived, whoever holds its key."""
    not_dead = sum(1 for job in found.examples["refused"] if not job.task)
    return {"safe": found.total - not_dead, "done": 0, "choice": 0, "refused": not_dead}


def _most(found: Preflight, bucket: Any) -> str:
    whys = sorted(found.whys[bucket].items(), key=lambda pair: -pair[1])
    return f" ({whys[0][0]})" if whys else ""


# ── saying it ───────────────────────────────────────────────────────────────────────────────


def _tell(
    work: Work, count: int, bulk: Bulk | None = None, over: bool = True, twins: Sequence[Item] = ()
) -> int:
    printer = work.session.printer
    refused = len(work.refused) if bulk is None else bulk.skipped + bulk.failed
    left = count - work.done - refused
    stopped = not over
    if printer.json:
        fields: dict[str, Any] = {"dry_run": False, "matched": count, work.past: work.done, "left": left}
        more = {"bulk": bulk.id, "done_already": [item.job_id for item in twins]} if bulk is not None else {}
        schema = f"dead.{work.verb}/1"
        printer.document(schema, {**fields, "refused": work.refused, "stopped": stopped, **more})
    else:
        for item in twins:
            printer.put(f"done already {item.job_id}: {item.why}")
        for refusal in work.refused:
            printer.put(f"refused {refusal['id']}: {refusal['code']} {refusal['message']}")
        if refused > len(work.refused) and bulk is not None:
            printer.put(f"… and {refused - len(work.refused):,} more: dutiful bulk show {bulk.id}")
        if count:
            said = f", {refused:,} refused" if refused else ""
            rest = f", {left:,} left" if left else ""
            put = "Detached: " if stopped else ""
            printer.put(f"{put}{work.done:,} of {_jobs(count)} {work.past}{said}{rest}.")
    if stopped:
        return INTERRUPTED
    if refused:
        return PARTIAL if work.done else REFUSED
    return DONE


def code_of(why: str) -> str:
    """The code of the error that a person who retried this job alone would get."""
    if " holds its key " in why or "another job holds its key" in why:
        return "DE503"
    if "no known outcome" in why or "at_most_once" in why:
        return "DE810"
    return "DE501" if "no such job" in why else "DE502"


def _left(item: Item) -> dict[str, str]:
    return {"id": item.job_id, "code": code_of(item.why or ""), "message": item.why or item.state}


def _refusal(job_id: str, error: DutifulError) -> dict[str, str]:
    if isinstance(error, JobNotFound):
        raise error
    return {"id": job_id, "code": error.code, "message": error.message}


def _need_reason(work: Work, count: int) -> None:
    if count > REASON_FROM[work.verb] and not work.reason.strip():
        question = f"A reason to {work.verb} {_jobs(count)}"
        work.reason = work.session.ask(question, "--reason TEXT")


def _now(job: JobView) -> str:
    return f"{job.state} ({job.outcome})" if job.outcome else f"{job.state} again"


def _jobs(count: int) -> str:
    return f"{count:,} dead {'job' if count == 1 else 'jobs'}"
