"""Bringing many dead jobs back, or giving them up: looked over first, then one transaction a job."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from types import FrameType
from typing import Any

from ..model.errors import DutifulError, DutyTaken, StateError, WrongState
from ..model.states import VERBS
from ..operations import dead, doubts, inspect
from ..operations.inspect import JobLine, JobView
from . import selection
from .exits import DONE, INTERRUPTED, PARTIAL, REFUSED
from .reach import Reach
from .retrying import retry_one
from .selection import Filter
from .session import Session

BATCH = 100


@dataclass(frozen=True)
class Verb:
    """What is done to each: ``act`` is given the store, the id, by whom, and why."""

    name: str
    past: str
    reason_from: int
    """Above so many jobs a reason is needed."""
    act: Callable[[Reach, str, str, str], JobView]


def _retry(store: Reach, job_id: str, actor: str, reason: str) -> JobView:
    return retry_one(store, job_id, actor=actor, reason=reason)


def _waive(store: Reach, job_id: str, actor: str, reason: str) -> JobView:
    return store.run(doubts.waive(store.name, job_id, actor=actor, reason=reason))


RETRY = Verb("retry", "retried", 100, _retry)
WAIVE = Verb("waive", "waived", 0, _waive)


@dataclass
class Bulk:
    """What is to be done, and what became of it so far."""

    verb: Verb
    session: Session
    store: Reach
    reason: str
    dry_run: bool
    limit: int | None
    done: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)
    stopped: bool = False


def act_on_these(bulk: Bulk, ids: Sequence[str]) -> int:
    """The jobs named. One alone raises its refusal; of several each is listed."""
    ids = list(dict.fromkeys(ids))[: bulk.limit]
    if bulk.dry_run:
        return _rehearse(bulk, (_line(bulk.store, job_id) for job_id in ids), "")
    _need_reason(bulk, len(ids))
    if len(ids) == 1:
        job = bulk.verb.act(bulk.store, ids[0], bulk.session.who, bulk.reason)
        bulk.done = 1
        bulk.session.printer.say(f"{job.id} is {_now(job)}.")
        return _tell(bulk, 1)
    return _act(bulk, ids, len(ids))


def act_where(bulk: Bulk, wanted: Filter) -> int:
    """All that the filter finds now, after saying how many these are."""
    begin = selection.start(bulk.store, wanted)

    def meant() -> Iterator[JobLine]:
        return islice(selection.Walk(bulk.store, wanted, begin), bulk.limit)

    if bulk.dry_run:
        return _rehearse(bulk, meant(), str(wanted))
    count = sum(1 for _ in meant())
    if count == 0:
        bulk.session.printer.say(f"No dead jobs{wanted}: nothing to do.")
        return _tell(bulk, 0)
    _need_reason(bulk, count)
    bulk.session.confirm(f"{bulk.verb.name.capitalize()} {_jobs(count)}{wanted}?")
    return _act(bulk, (job.id for job in meant()), count)


def _act(bulk: Bulk, ids: Iterable[str], count: int) -> int:
    with _stop_on_interrupt(bulk), _progress(bulk, count) as advance:
        for job_id in ids:
            if bulk.stopped:
                break
            try:
                bulk.verb.act(bulk.store, job_id, bulk.session.who, bulk.reason)
                bulk.done += 1
            except StateError as error:
                bulk.refused.append({"id": job_id, "code": error.code, "message": error.message})
            except DutifulError:
                _tell(bulk, count)
                raise
            advance()
    return _tell(bulk, count)


def _tell(bulk: Bulk, count: int) -> int:
    printer = bulk.session.printer
    left = count - bulk.done - len(bulk.refused)
    if printer.json:
        fields: dict[str, Any] = {"dry_run": False, "matched": count, bulk.verb.past: bulk.done, "left": left}
        schema = f"dead.{bulk.verb.name}/1"
        printer.document(schema, {**fields, "refused": bulk.refused, "stopped": bulk.stopped})
    else:
        for refusal in bulk.refused:
            printer.put(f"refused {refusal['id']}: {refusal['code']} {refusal['message']}")
        if count:
            refused = f", {len(bulk.refused):,} refused" if bulk.refused else ""
            rest = f", {left:,} left as they were" if left else ""
            stopped = "Stopped: " if bulk.stopped else ""
            printer.put(f"{stopped}{bulk.done:,} of {_jobs(count)} {bulk.verb.past}{refused}{rest}.")
    if bulk.stopped:
        return INTERRUPTED
    if bulk.refused:
        return PARTIAL if bulk.done else REFUSED
    return DONE


def _rehearse(bulk: Bulk, jobs: Iterable[JobLine], words: str) -> int:
    """Count, and say which would be refused; changes nothing."""
    printer = bulk.session.printer
    count = 0
    name, jobs = bulk.verb.name, iter(jobs)
    while batch := list(islice(jobs, BATCH)):
        count += len(batch)
        held = bulk.store.run(dead.held(bulk.store.name, batch)) if bulk.verb is RETRY else {}
        for job in batch:
            error: StateError | None = None
            if not VERBS[name].allows(job.state, job.outcome):
                error = WrongState(name, job.id, job.state, " or ".join(VERBS[name].sources))
            elif job.id in held:
                error = DutyTaken(name, job.id, held[job.id])
            if error is not None:
                bulk.refused.append({"id": job.id, "code": error.code, "message": error.message})
    if printer.json:
        fields = {"dry_run": True, "matched": count, bulk.verb.past: 0, "left": count}
        printer.document(f"dead.{name}/1", {**fields, "refused": bulk.refused, "stopped": False})
        return DONE
    refused = f"; {len(bulk.refused):,} would be refused" if bulk.refused else ""
    printer.put(f"Would {name} {_jobs(count - len(bulk.refused))}{words}{refused}.")
    for refusal in bulk.refused:
        printer.put(f"would refuse {refusal['id']}: {refusal['code']} {refusal['message']}")
    printer.say("Nothing was changed. Run it again without --dry-run.")
    return DONE


def _need_reason(bulk: Bulk, count: int) -> None:
    if count > bulk.verb.reason_from and not bulk.reason.strip():
        question = f"A reason to {bulk.verb.name} {_jobs(count)}"
        bulk.reason = bulk.session.ask(question, "--reason TEXT")


def _line(store: Reach, job_id: str) -> JobLine:
    """A named job as the rehearsal wants it; raises JobNotFound."""
    job = store.run(inspect.job(store.name, job_id))
    return JobLine(
        job.id,
        job.state,
        job.reason or job.outcome,
        job.task,
        job.queue,
        job.priority,
        job.key,
        job.attempt,
        job.enqueued_at_us,
        job.run_at_us,
        job.claimed_at_us,
        job.ended_at_us,
        "",
        job.now_us,
    )


def _now(job: JobView) -> str:
    return f"{job.state} ({job.outcome})" if job.outcome else f"{job.state} again"


def _jobs(count: int) -> str:
    return f"{count:,} dead {'job' if count == 1 else 'jobs'}"


@contextmanager
def _stop_on_interrupt(bulk: Bulk) -> Iterator[None]:
    """The first Ctrl-C lets the job at hand finish; a second one is an interrupt like any other."""

    def stop(number: int, frame: FrameType | None) -> None:
        if bulk.stopped:
            raise KeyboardInterrupt
        bulk.stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress(bulk: Bulk, count: int) -> Iterator[Callable[[], None]]:
    """A bar where a person looks at a terminal; else nothing."""
    if not bulk.session.printer.rich or bulk.session.quiet or count <= 1:
        yield lambda: None
        return
    try:
        from .rich_tables import progress
    except ImportError:
        yield lambda: None
        return
    with progress(bulk.verb.name.capitalize(), count) as bar:
        only = bar.task_ids[0]

        def advance() -> None:
            refused = f"refused {len(bulk.refused):,}" if bulk.refused else ""
            bar.update(only, advance=1, refused=refused)

        yield advance
