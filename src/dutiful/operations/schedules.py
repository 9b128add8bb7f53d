"""Schedules at work: any worker makes what is due, once, and writes down what it does not make.

A schedule's row is locked while its due occurrences are judged, made and recorded, and its watermark moves
in the same transaction: whoever comes second finds them covered. The rows of the ledger have the instant in
their primary key, and the jobs have it in their duty's: each alone makes an occurrence one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from msgspec import Struct, field
from msgspec.structs import replace

from ..model.errors import InvalidSchedule, StoreBusy
from ..model.jobs import NewJob
from ..model.missed import BATCH, REMOVED, Pause, Verdict, judge
from ..model.schedules import ALL_MAX, Spec, occurrence_key
from . import enqueue
from .plan import Call, Row, Steps, operation, query, typed


class Declared(Struct, frozen=True):
    """A schedule as this program declares it, and the job that it wants for an instant."""

    name: str
    spec: Spec
    make: Callable[[int], NewJob]


class Stored(Struct, frozen=True):
    """A schedule's row. ``current``: a live worker declares it as it is stored; ``live``: one declares it."""

    name: str
    task: str
    spec_text: str
    declared_at_us: int
    changed_at_us: int
    covered_at_us: int
    next_at_us: int | None
    gone_at_us: int | None
    paused_at_us: int | None
    paused_until_us: int | None
    paused_by: str | None
    pause_reason: str | None
    current: bool
    live: bool
    now_us: int

    @classmethod
    def of(cls, row: Row) -> Stored:
        """From a row, in which SQLite has numbers for truth values."""
        return typed(cls, row, flags=(12, 13))

    @property
    def spec(self) -> Spec:
        """By what it fires. Raises InvalidSchedule where this host cannot tell."""
        return Spec.read(self.spec_text)

    @property
    def pause(self) -> Pause | None:
        """Its pause, also one that is over and not settled yet."""
        if self.paused_at_us is None:
            return None
        return Pause(self.paused_at_us, self.paused_until_us, self.paused_by or "", self.pause_reason or "")

    @property
    def paused(self) -> bool:
        """Whether it is paused now."""
        return self.pause is not None and not self.pause.over(self.now_us)

    @property
    def due(self) -> bool:
        """Whether there is something to do about it."""
        return self.gone_at_us is None and self.next_at_us is not None and self.next_at_us <= self.now_us


class Fired(Struct):
    """What one pass came to: jobs made, by queue; occurrences left to people, and skipped; is more left?"""

    made: list[tuple[str, int, str]] = field(default_factory=list)
    """Schedule, instant, job."""
    queues: set[str] = field(default_factory=set)
    waiting: int = 0
    skipped: int = 0
    more: bool = False


@query
def look(app: str) -> Steps[list[Stored]]:
    """All schedules of an app."""
    return [Stored.of(row) for row in (yield Call("look_at_schedules", {"app": app}, alone=True))]


@operation
def declare(app: str, worker: int, declared: Sequence[Declared]) -> Steps[Fired]:
    """A worker says which schedules its code has; a rule that is another one than before holds from now on.

    What fell due under the rule before is made, or recorded, by that rule.
    """
    fired = Fired()
    yield Call("forget_declared")
    for one in sorted(declared, key=lambda one: one.name):
        text = one.spec.text
        named = {"app": app, "name": one.name, "spec": text}
        yield Call("declare_schedule", named | {"worker": worker})
        yield Call("add_schedule", named | {"task": one.spec.task})
        yield from _adopt(app, one, fired)
    return fired


@operation
def adopt(app: str, one: Declared) -> Steps[Fired]:
    """No live worker declares a schedule as it is stored any more (a deploy was taken back): ours holds."""
    fired = Fired()
    yield from _adopt(app, one, fired)
    return fired


@operation
def fire(app: str, one: Declared) -> Steps[Fired]:
    """Make what is due of one schedule, if its rule is still the one declared here."""
    fired = Fired()
    stored = yield from _locked(app, one.name)
    if stored is not None and stored.due and stored.spec_text == one.spec.text:
        yield from _settle(app, stored, one.spec, one.make, fired)
    return fired


@operation
def end(app: str, name: str) -> Steps[bool]:
    """A schedule that no live worker declares is gone; what fell due meanwhile is recorded as skipped."""
    stored = yield from _locked(app, name)
    if stored is None or stored.gone_at_us is not None:
        return False
    try:
        due = list(islice(stored.spec.after(stored.covered_at_us, stored.now_us), BATCH + 1))
    except InvalidSchedule:
        due = []
    if not (yield Call("end_schedule", {"app": app, "name": name})):
        return False
    if due:
        upto = stored.now_us if len(due) > BATCH else due[-1]
        gone = Verdict("skip", due[0], REMOVED, upto, min(len(due), BATCH))
        yield from _skip(app, stored, gone)
    return True


@operation
def prune(app: str, keep_us: int) -> Steps[None]:
    """Forget rows of the ledger that are older, but none that waits for a person."""
    yield Call("prune_occurrences", {"app": app, "keep": keep_us}, alone=True)


def _locked(app: str, name: str) -> Steps[Stored | None]:
    rows = yield Call("lock_schedule", {"app": app, "name": name})
    return Stored.of(rows[0]) if rows else None


def _adopt(app: str, one: Declared, fired: Fired) -> Steps[None]:
    stored = yield from _locked(app, one.name)
    assert stored is not None
    text = one.spec.text
    if stored.spec_text == text and stored.gone_at_us is None:
        if stored.next_at_us is None and stored.pause is None:
            yield from _move(app, stored, stored.covered_at_us, one.spec)
        return
    if stored.gone_at_us is None:
        stored = yield from _closed(app, stored, one.make, fired)
    start = max(stored.now_us, stored.covered_at_us)
    after = _next(stored.pause, one.spec, start, stored.now_us)
    params: dict[str, object] = {"app": app, "name": one.name, "task": one.spec.task, "spec": text}
    params |= {"seen": stored.covered_at_us, "from": start, "next": after}
    if not (yield Call("change_schedule", params)):
        raise StoreBusy(f"Schedule {one.name} changed under our hands.")


def _closed(app: str, stored: Stored, make: Callable[[int], NewJob], fired: Fired) -> Steps[Stored]:
    """Settle all that is due by the rule as it was, before another one comes."""
    try:
        spec = stored.spec
    except InvalidSchedule:  # a zone that this host does not know: nobody here can tell what was due
        return stored
    while True:
        seen = stored.covered_at_us
        stored = yield from _settle(app, stored, spec, make, fired, closing=True)
        if stored.covered_at_us == seen:
            return stored


def _settle(
    app: str,
    stored: Stored,
    spec: Spec,
    make: Callable[[int], NewJob],
    fired: Fired,
    *,
    closing: bool = False,
) -> Steps[Stored]:
    """One batch of what is due: verdicts, jobs, rows, and the watermark after them."""
    pause, now = stored.pause, stored.now_us
    if pause is not None and not pause.over(now) and not closing:
        return stored
    due = list(islice(spec.after(stored.covered_at_us, now), BATCH + ALL_MAX))
    more = len(due) == BATCH + ALL_MAX
    if more:
        due = due[:BATCH]
    jobs: list[tuple[int, NewJob]] = []
    for verdict in judge(spec, due, now, pause, more=more):
        if verdict.what == "skip":
            yield from _skip(app, stored, verdict)
            fired.skipped += verdict.instants
            continue
        job = make(verdict.at_us) if verdict.what == "make" else None
        if not (yield _occurrence(app, stored, verdict, job)):
            continue  # a person was first
        if job is None:
            fired.waiting += 1
        else:
            jobs.append((verdict.at_us, job))
    if jobs:
        done = yield from enqueue.many(app, [job for _, job in jobs]).begin()
        for (at, job), one in zip(jobs, done, strict=True):
            if one.id != job.id:  # somebody stored a job of this duty by hand
                row = {"app": app, "schedule": stored.name, "at": at, "job": one.id}
                yield Call("name_job_of_occurrence", row)
            fired.made.append((stored.name, at, one.id))
            fired.queues.add(job.queue)
    fired.more = fired.more or more
    if pause is not None and pause.over(now) and not more:
        none = dict.fromkeys(("at", "until", "by", "reason", "next"))
        yield Call("pause_schedule", {"app": app, "name": stored.name} | none)
        stored = replace(stored, paused_at_us=None)
    return (yield from _move(app, stored, due[-1] if due else stored.covered_at_us, spec))


def _move(app: str, stored: Stored, covered: int, spec: Spec) -> Steps[Stored]:
    params: dict[str, object] = {"app": app, "name": stored.name, "covered": covered}
    params |= {
        "seen": stored.covered_at_us,
        "spec": stored.spec_text,
        "next": _next(stored.pause, spec, covered, stored.now_us),
    }
    if not (yield Call("move_schedule", params)):
        raise StoreBusy(f"Schedule {stored.name} changed under our hands.")
    return replace(stored, covered_at_us=covered)


def _next(pause: Pause | None, spec: Spec, covered: int, now: int) -> int | None:
    """When somebody has to look at it again."""
    if pause is not None and not pause.over(now):
        return pause.until_us
    return spec.next(covered)


def _occurrence(app: str, stored: Stored, verdict: Verdict, job: NewJob | None) -> Call:
    return Call(
        "add_occurrence",
        {
            "app": app,
            "schedule": stored.name,
            "at": verdict.at_us,
            "task": job.task if job is not None else stored.task,
            "key": occurrence_key(stored.name, verdict.at_us),
            "job": None if job is None else job.id,
            "why": verdict.why or None,
            "by": None,
        },
    )


def _skip(app: str, stored: Stored, verdict: Verdict) -> Steps[None]:
    params = {
        "app": app,
        "schedule": stored.name,
        "at": verdict.at_us,
        "upto": verdict.upto_us,
        "instants": verdict.instants,
        "why": verdict.why,
    }
    if (yield Call("extend_skip", params)):
        return
    more = {"task": stored.task, "key": occurrence_key(stored.name, verdict.at_us), "by": None}
    yield Call("add_skip", params | more)
