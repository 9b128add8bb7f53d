"""What people do with schedules: look, run one, leave one out, pause, resume; each with an audit row."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from ..model.errors import ScheduleRefused
from ..model.jobs import NewJob
from ..model.keys import near
from ..model.schedules import instant_text, occurrence_key
from . import enqueue
from .audit import note
from .plan import Call, Row, Steps, operation, query, typed
from .schedules import Stored

FAR = 1 << 62


class Occurrence(Struct, frozen=True):
    """A row of the ledger: one occurrence (its job, or none while it waits), or skips in a row."""

    at_us: int
    upto_us: int
    instants: int
    skipped: bool
    made_at_us: int
    key: str
    job_id: str | None
    why: str | None
    asked_by: str | None

    @classmethod
    def of(cls, row: Row) -> Occurrence:
        """From a row, in which SQLite has a number for a truth value."""
        return typed(cls, row, flags=(3,))

    @property
    def state(self) -> str:
        """In a word, for people."""
        return "skipped" if self.skipped else "waiting" if self.job_id is None else "enqueued"


@query
def ledger(app: str, name: str, *, before: int = FAR, limit: int = 48) -> Steps[list[Occurrence]]:
    """The newest rows of one schedule's ledger."""
    params = {"app": app, "schedule": name, "before": before, "limit": limit}
    return [Occurrence.of(row) for row in (yield Call("list_occurrences", params))]


@query
def waiting(app: str) -> Steps[Mapping[str, tuple[int, int]]]:
    """How many occurrences wait for a person, by schedule, and the first of them."""
    rows = yield Call("count_waiting_occurrences", {"app": app})
    return {row[0]: (row[1], row[2]) for row in rows}


@operation
def run(
    app: str,
    name: str,
    at_us: int | None,
    make: Callable[[int], NewJob],
    *,
    actor: str,
    reason: str = "",
) -> Steps[tuple[str, bool]]:
    """Make one occurrence at a person's word: (job id, whether it was there already).

    ``at_us`` is one that waits or was skipped; None is now, to the second, beside the schedule's own.
    Raises ScheduleRefused where the ledger does not have the instant.
    """
    stored = yield from _known(app, name)
    at = at_us if at_us is not None else stored.now_us // 1_000_000 * 1_000_000
    key = occurrence_key(name, at)
    found = yield from _found(app, name, at)
    if found is not None and found.job_id is not None:
        return found.job_id, True
    if at_us is not None and found is None:
        raise ScheduleRefused(f"Schedule {name} has no occurrence at {instant_text(at)} in its ledger.")
    job = make(at)
    fresh = found is None or found.skipped
    if fresh:
        row = {"app": app, "schedule": name, "at": at, "task": job.task, "key": key, "job": job.id}
        taken = yield Call("add_occurrence", row | {"why": reason or None, "by": actor})
    else:
        row = {"app": app, "schedule": name, "at": at, "job": job.id, "by": actor}
        taken = yield Call("give_occurrence_a_job", row)
    if not taken:
        raise ScheduleRefused(f"The occurrence {key} changed while you looked at it.")
    [done] = yield from enqueue.many(app, [job]).begin()
    if done.id != job.id:
        named = {"app": app, "schedule": name, "at": at, "job": done.id}
        yield Call("name_job_of_occurrence", named)
    before = "none" if found is None else found.state
    yield note("run", app, actor, name, before, f"{instant_text(at)} is job {done.id}", reason)
    return done.id, done.duplicate


@operation
def skip(app: str, name: str, at_us: int, *, actor: str, reason: str) -> Steps[None]:
    """Leave out an occurrence that waits for a person. Raises ScheduleRefused where none does."""
    yield from _known(app, name)
    row = {"app": app, "schedule": name, "at": at_us, "why": f"left out: {reason}", "by": actor}
    if not (yield Call("skip_occurrence", row)):
        raise ScheduleRefused(f"Schedule {name} has no occurrence at {instant_text(at_us)} that waits.")
    yield note("skip", app, actor, name, "waiting", f"{instant_text(at_us)} skipped", reason)


@operation
def pause(app: str, name: str, *, actor: str, reason: str, for_us: int | None = None) -> Steps[Stored]:
    """Pause a schedule, for so long or until it is resumed: what is due meanwhile is recorded as skipped."""
    stored = yield from _known(app, name)
    until = None if for_us is None else stored.now_us + for_us
    row: dict[str, object] = {"app": app, "name": name, "by": actor, "reason": reason}
    since = stored.paused_at_us if stored.paused_at_us is not None else stored.now_us
    yield Call("pause_schedule", row | {"at": since, "until": until, "next": until})
    before = "paused" if stored.paused else "active"
    yield note("pause", app, actor, name, before, "paused" if until is None else "paused until", reason)
    return (yield from _known(app, name))


@operation
def resume(app: str, name: str, *, actor: str, reason: str = "") -> Steps[Stored]:
    """Let a paused schedule go on. Raises ScheduleRefused where it is not paused."""
    stored = yield from _known(app, name)
    if not stored.paused:
        raise ScheduleRefused(f"Schedule {name} is not paused.")
    # The pause ends now; the next worker that looks records what fell into it, and goes on.
    row: dict[str, object] = {"app": app, "name": name, "at": stored.paused_at_us, "by": stored.paused_by}
    more = {"reason": stored.pause_reason, "until": stored.now_us, "next": stored.now_us}
    yield Call("pause_schedule", row | more)
    yield note("resume", app, actor, name, "paused", "active", reason)
    return (yield from _known(app, name))


def _known(app: str, name: str) -> Steps[Stored]:
    rows = yield Call("lock_schedule", {"app": app, "name": name})
    if not rows:
        known = [row[0] for row in (yield Call("look_at_schedules", {"app": app}))]
        raise ScheduleRefused(f"There is no schedule {name!r}{near(name, known)}.")
    return Stored.of(rows[0])


def _found(app: str, name: str, at: int) -> Steps[Occurrence | None]:
    rows = yield Call("find_occurrence", {"app": app, "schedule": name, "at": at})
    return Occurrence.of(rows[0]) if rows else None
