"""The machinery: queues, workers, schedules, locks and the gates of tasks."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct, field

from ...model.errors import InvalidSchedule, QueueNotFound, ScheduleRefused
from ...operations import gate_views, health, inspect, locks, schedule_verbs, schedules
from ...operations.gate_views import GateView
from ...operations.health import Due
from ...operations.inspect import QueueView
from ...operations.schedules import Stored
from ...operations.why_facts import WorkerFact
from ..asking import Ask
from ..guard import Refused

LISTED_MAX = 500
STRIP, STRIP_IN_LIST = 48, 12
SCHEDULES = 30
WORKERS = HOLDS = GATES = 50
"""Rows of a page."""


class QueueRow(Struct, frozen=True):
    """A queue. ``late`` if its oldest due job waits for longer than the target, or waits in a pause."""

    name: str
    due: int
    later: int
    running: int
    in_doubt: int
    dead: int
    oldest_us: int | None
    target_us: int | None
    late: bool
    limit: int | None
    taken: int
    workers: int
    paused: bool
    paused_until_us: int | None
    paused_by: str | None
    pause_reason: str | None


class Queues(Struct, frozen=True):
    """All queues of the app."""

    rows: list[QueueRow]
    now_us: int
    due: list[Due] = field(default_factory=list)
    """Of one queue: what stands due in it, by task."""


def queues(ask: Ask) -> Queues:
    """Every queue, by name."""
    listing = ask.run(inspect.queues(ask.site.name))
    workforce, now = ask.run(health.workforce(ask.site.name))
    serving = Counter(name for worker in workforce if not worker.silent for name in worker.queues)
    mine = [
        one
        for one in listing
        if ask.operator.may("view", queue=one.name, task="*") or not ask.operator.scoped
    ]
    return Queues([_queue(one, serving[one.name]) for one in mine], now)


def queue(ask: Ask) -> Queues:
    """One queue, and what stands due in it. Raises QueueNotFound."""
    name = ask.names["name"]
    found = queues(ask)
    rows = [one for one in found.rows if one.name == name]
    if not rows:
        raise QueueNotFound(f"There is no queue {name!r} in app {ask.site.name!r}.")
    due = [one for one in ask.run(health.due(ask.site.name)) if one.queue == name]
    return Queues(rows, found.now_us, due[:LISTED_MAX])


def _queue(one: QueueView, workers: int) -> QueueRow:
    paused = one.paused_at_us is not None
    waited = one.oldest_us is not None and one.target_us is not None
    over = waited and one.now_us - (one.oldest_us or 0) > (one.target_us or 0)
    return QueueRow(
        name=one.name,
        due=one.due,
        later=one.later,
        running=one.running,
        in_doubt=one.in_doubt,
        dead=one.dead,
        oldest_us=one.oldest_us,
        target_us=one.target_us,
        late=bool(over or (paused and one.due)),
        limit=one.slots,
        taken=one.taken,
        workers=workers,
        paused=paused,
        paused_until_us=one.paused_until_us,
        paused_by=one.paused_by if paused else None,
        pause_reason=one.pause_reason if paused else None,
    )


class WorkerRow(Struct, frozen=True):
    """A worker process that is not marked gone; ``silent`` if its lease ran out."""

    id: int
    host: str
    pid: int
    release: str
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    slots: int
    beat_at_us: int
    lease_us: int
    alone: bool
    silent: bool


class Workers(Struct, frozen=True):
    """A page of the workforce; ``unserved`` is what stands due and nobody can run."""

    rows: list[WorkerRow]
    releases: list[str]
    unserved: list[Due]
    now_us: int
    alive: int
    silent: int
    next: str | None = None
    first: str = ""
    deep: bool = False


def workers(ask: Ask) -> Workers:
    """Every worker not yet gone: the silent ones first, then by number."""
    found, now = ask.run(health.workforce(ask.site.name))
    due = ask.run(health.due(ask.site.name))
    silent = ask.text("silent") is not None
    place = (not silent, ask.number("after", -1, -1, 2**62))
    listed = sorted(found, key=lambda one: (not one.silent, one.id))
    behind = [one for one in listed if (not one.silent, one.id) > place or place == (True, -1)]
    shown = behind[:WORKERS]
    more = None
    if len(behind) > WORKERS:
        more = ask.here(after=shown[-1].id, silent=shown[-1].silent or None)
    rows = [
        WorkerRow(
            id=one.id,
            host=one.host,
            pid=one.pid,
            release=one.release,
            queues=one.queues,
            tasks=tuple(sorted(one.tasks)),
            slots=one.slots,
            beat_at_us=now - one.beat_age_us,
            lease_us=one.lease_us,
            alone=one.alone,
            silent=one.silent,
        )
        for one in shown
    ]
    releases = sorted({one.release for one in found if one.release and not one.silent})
    unserved = [one for one in due if not _served(one, found)][:LISTED_MAX]
    quiet = sum(one.silent for one in found)
    return Workers(
        rows,
        releases,
        unserved,
        now,
        alive=len(found) - quiet,
        silent=quiet,
        next=more,
        first=ask.link(ask.path),
        deep=place != (True, -1),
    )


def _served(due: Due, workforce: list[WorkerFact]) -> bool:
    return any(
        not one.silent and due.queue in one.queues and one.tasks.get(due.task, 0) >= due.args_version
        for one in workforce
    )


class OccurrenceRow(Struct, frozen=True):
    """One occurrence, or skips in a row. ``mark``: "ran", "waits", "skipped"."""

    at_us: int
    many: int
    mark: str
    job_id: str | None
    why: str | None
    by: str | None


class ScheduleRow(Struct, frozen=True):
    """A schedule, its rule in words, and its newest occurrences, oldest first."""

    name: str
    task: str
    rule: str
    missed: str
    state: str
    next_at_us: int | None
    paused_by: str | None
    paused_until_us: int | None
    pause_reason: str | None
    waiting: int
    strip: list[OccurrenceRow]


class ScheduleList(Struct, frozen=True):
    """A page of schedules; ``new`` are declared by this code and begin with the next worker."""

    rows: list[ScheduleRow]
    new: list[str]
    now_us: int
    strip: int = STRIP
    """How many of the newest occurrences of each are shown."""
    next: str | None = None
    first: str = ""
    deep: bool = False


def schedule_list(ask: Ask) -> ScheduleList:
    """Schedules by name."""
    app, after = ask.site.name, ask.text("after") or ""
    found = ask.run(schedules.look(app))
    listed = sorted((one for one in found if one.name > after), key=lambda one: one.name)
    waiting = ask.run(schedule_verbs.waiting(app))
    shown = listed[:SCHEDULES]
    rows = [_schedule(ask, one, waiting.get(one.name, (0, 0))[0], STRIP_IN_LIST) for one in shown]
    known = {one.name for one in found}
    declared = ask.site.app.schedules if ask.site.app is not None else {}
    now = found[0].now_us if found else ask.run(health.now())
    more = ask.here(after=shown[-1].name) if len(listed) > SCHEDULES else None
    new = sorted(set(declared) - known) if not after else []
    return ScheduleList(rows, new, now, STRIP_IN_LIST, more, ask.link(ask.path), bool(after))


def one_schedule(ask: Ask) -> ScheduleList:
    """One schedule. Raises Refused where there is none of that name."""
    name = ask.names["name"]
    found = [one for one in ask.run(schedules.look(ask.site.name)) if one.name == name]
    if not found:
        raise Refused(404, "Not found", f"There is no schedule {name[:200]!r}.", ScheduleRefused.hint)
    waiting = ask.run(schedule_verbs.waiting(ask.site.name)).get(name, (0, 0))[0]
    return ScheduleList([_schedule(ask, found[0], waiting, STRIP)], [], found[0].now_us)


def _schedule(ask: Ask, one: Stored, waiting: int, strip_max: int) -> ScheduleRow:
    try:
        rule, missed = one.spec.words, str(one.spec.missed)
    except InvalidSchedule as error:
        rule, missed = f"? {error.message}", "?"
    ledger = ask.run(schedule_verbs.ledger(ask.site.name, one.name, limit=strip_max))
    marks = {"enqueued": "ran", "waiting": "waits", "skipped": "skipped"}
    strip = [
        OccurrenceRow(row.at_us, row.instants, marks[row.state], row.job_id, row.why, row.asked_by)
        for row in reversed(ledger)
    ]
    return ScheduleRow(
        name=one.name,
        task=one.task,
        rule=rule,
        missed=missed,
        state=_state(one),
        next_at_us=one.next_at_us,
        paused_by=one.paused_by if one.paused else None,
        paused_until_us=one.paused_until_us if one.paused else None,
        pause_reason=one.pause_reason if one.paused else None,
        waiting=waiting,
        strip=strip,
    )


def _state(one: Stored) -> str:
    if one.gone_at_us is not None:
        return "gone"
    if one.paused:
        return "paused"
    if not one.live:
        return "no worker"
    return "active" if one.current else "changing"


class HoldRow(Struct, frozen=True):
    """A holder of a lock, or one who waits (``grant_no`` is None)."""

    name: str
    slots: int
    grant_no: int | None
    who: str
    since_us: int
    until_us: int
    lapsed: bool


class Limits(Struct, frozen=True):
    """Locks by name, and the gates of tasks at which jobs stand."""

    holds: list[HoldRow]
    gates: list[GateView]
    now_us: int
    more_holds: str | None = None
    more_gates: str | None = None
    first: str = ""
    deep: bool = False


def limits(ask: Ask) -> Limits:
    """Who holds what, and who waits; a page of either."""
    name, ticket = ask.text("lock"), ask.number("ticket", 0, 0, 2**62)
    gate = ask.number("gate", 0, 0, 2**62)
    found = ask.run(locks.listed(ask.site.name, limit=HOLDS + 1, after=(name, ticket)))
    lines = found[:HOLDS]
    holds = [
        HoldRow(
            one.name,
            one.slots,
            one.grant_no,
            one.who,
            one.asked_at_us if one.granted_at_us is None else one.granted_at_us,
            one.until_us,
            one.lapsed,
        )
        for one in lines
    ]
    gates = ask.run(gate_views.listed(ask.site.name, gate, GATES + 1))
    more_holds = more_gates = None
    if len(found) > HOLDS:
        more_holds = ask.here(lock=lines[-1].name, ticket=lines[-1].ticket)
    if len(gates) > GATES:
        more_gates = ask.here(gate=gates[GATES - 1].id)
    return Limits(
        holds,
        gates[:GATES],
        ask.run(health.now()),
        more_holds,
        more_gates,
        ask.link(ask.path),
        deep=name is not None or gate > 0,
    )
