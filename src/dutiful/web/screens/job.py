"""Everything about one job, under one address, for as long as it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...model.errors import JobNotFound
from ...model.ids import parse_id
from ...model.operators import NEEDS
from ...model.ops_errors import NotAllowed
from ...model.redaction import TOO_LARGE, Shown
from ...model.states import VERBS
from ...operations import audit, effects, inspect
from ...operations.actions import Seen
from ...operations.effects import EffectView
from ...operations.inspect import FailureView, JobView
from ...operations.why import REASONS, shown_state, why
from ..asking import Ask
from .rows import cut, redacted_key

EVENTS_MAX = 200
TRACEBACK_CHARS = 20_000
MESSAGE_CHARS = 2_000

Say = Callable[[str | None], str]

VERBS_OF_PEOPLE: Mapping[str, str] = {
    "retry": "retry",
    "edit": "edit",
    "discard": "waive",
    "undo": "unwaive",
    "cancel": "cancel",
    "confirm": "confirm",
    "resume": "resume",
    "refute": "refute",
}
"""The buttons, and their names in the table of transitions."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the job. ``mark``: "", "good", "bad", "person"."""

    at_us: int
    words: str
    detail: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class FailedRun:
    """What one run died of, masked."""

    run_no: int
    attempt: int
    at_us: int
    worker: int | None
    kind: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class EffectRow:
    """A call to the world outside, and what became of it."""

    name: str
    key: str
    state: str
    run_no: int
    tries: int
    sent_at_us: int
    settled_at_us: int | None
    by: str | None
    error: str | None
    result: str | None


@dataclass(frozen=True, slots=True)
class JobPage:
    """One job. ``why`` answers why it is where it is; ``seen`` is what a verb compares the job with."""

    id: str
    task: str
    known: bool | None
    """Whether this process's app has the task; None where only a store is known."""
    queue: str
    priority: int
    state: str
    shown: str
    because: str
    key: str | None
    epoch: int
    delivery: str
    owner: str
    run_no: int
    attempt: int
    crashes: int
    worker: int | None
    enqueued_at_us: int
    run_at_us: int
    claimed_at_us: int | None
    ended_at_us: int | None
    deadline_us: int | None
    cancel_at_us: int | None
    doubt: str | None
    why: str
    details: tuple[str, ...]
    args: str | None
    args_whole: bool
    args_bytes: int
    args_version: int
    result: str | None
    timeline: list[Event]
    earlier: str | None
    """The address of the events before these, if there are more."""
    failures: list[FailedRun]
    effects: list[EffectRow]
    seen: str
    """What a verb compares the job with: it is refused if the job has moved on since."""
    verbs: tuple[str, ...]
    """What this person may do with it as it is."""
    now_us: int


def find(ask: Ask) -> JobView:
    """The job that the address names; raises JobNotFound."""
    try:
        job_id = parse_id(ask.names["id"])
    except ValueError as error:
        raise JobNotFound(str(error)) from None
    found = ask.run(inspect.job(ask.site.name, job_id))
    if not ask.operator.may("view", queue=found.queue, task=found.task):
        raise NotAllowed(ask.operator.id, "view", f"task {found.task} in queue {found.queue}")
    return found


def job(ask: Ask) -> JobPage:
    """Raises JobNotFound."""
    found = find(ask)
    redactor = ask.site.redactor
    args = redactor.args(found.task, found.args)
    failures = ask.run(inspect.failures(found.id))
    notes = ask.run(audit.of(found.id))
    duty = found.key if found.key is not None else found.id
    called = ask.run(effects.of_duty(ask.site.name, found.task, duty))
    answer = ask.run(why(ask.site.name, found.id))
    sees = ask.may("view_args", found.queue, found.task)
    task = ask.site.tasks.get(found.task)

    def say(text: str | None) -> str:
        return redactor.text(
            text, args.hidden, whole=args.whole or (not args.hidden and args.text != TOO_LARGE)
        )

    events = _timeline(found, failures, notes, called, say)
    before = ask.number("before", len(events), 0, 1 << 30)
    shown = events[max(0, before - EVENTS_MAX) : before]
    because = found.outcome or found.reason or ""
    return JobPage(
        id=found.id,
        task=found.task,
        known=None if ask.site.app is None else task is not None,
        queue=found.queue,
        priority=found.priority,
        state=found.state,
        shown=shown_state(found.state, found.run_at_us, found.attempt, found.now_us),
        because="" if because == "performed" else REASONS.get(because, because),
        key=redacted_key(ask, found.key, args),
        epoch=found.epoch,
        delivery=found.delivery,
        owner="" if task is None else task.policy.owner,
        run_no=found.run_no,
        attempt=found.attempt,
        crashes=found.crashes,
        worker=found.worker,
        enqueued_at_us=found.enqueued_at_us,
        run_at_us=found.run_at_us,
        claimed_at_us=found.claimed_at_us,
        ended_at_us=found.ended_at_us,
        deadline_us=found.deadline_us,
        cancel_at_us=found.cancel_at_us,
        doubt=None if found.doubt is None else say(found.doubt),
        why=say(answer.sentence),
        details=tuple(say(line) for line in answer.details),
        args=args.text if sees else None,
        args_whole=args.whole,
        args_bytes=len(found.args),
        args_version=found.args_version,
        result=_result(ask, found, args) if sees else None,
        timeline=shown,
        earlier=ask.here(before=before - EVENTS_MAX) if before > EVENTS_MAX else None,
        failures=[
            FailedRun(
                one.run_no,
                one.attempt,
                one.failed_at_us,
                one.worker,
                one.kind,
                cut(say(one.message), MESSAGE_CHARS),
                cut(say(one.traceback), TRACEBACK_CHARS),
            )
            for one in reversed(failures[-20:])
        ],
        effects=[_effect(ask, one, say, found.task, sees) for one in called],
        seen=Seen.of(found).rev,
        verbs=_verbs(ask, found),
        now_us=found.now_us,
    )


def _verbs(ask: Ask, found: JobView) -> tuple[str, ...]:
    """From the one table of transitions, and this person's permissions."""
    named = [
        one
        for one, verb in VERBS_OF_PEOPLE.items()
        if (found.state == "dead" if one == "edit" else VERBS[verb].allows(found.state, found.outcome))
    ]
    if ask.site.app is None or found.task not in ask.site.tasks:
        named = [one for one in named if one != "edit"]  # nobody here could check the arguments
    if found.state == "running" and found.cancel_at_us is None:
        named.append("cancel")
    # Of a body one says that it was done, of an effect that it was applied.
    other = "resume" if found.started_at_us is not None else "confirm"
    return tuple(one for one in named if one != other and ask.may(NEEDS[one], found.queue, found.task))


def _result(ask: Ask, found: JobView, args: Shown) -> str | None:
    if found.result is None:
        return None
    shown = ask.site.redactor.args(found.task, found.result)
    return ask.site.redactor.text(shown.text, args.hidden, whole=args.whole)


def _effect(ask: Ask, one: EffectView, say: Say, task: str, sees: bool) -> EffectRow:
    result = None
    if one.result is not None and sees:
        result = say(ask.site.redactor.args(task, one.result, indent=None).text)
    return EffectRow(
        name=one.name,
        key=say(one.key),
        state="in doubt" if one.state == "intended" else one.state,
        run_no=one.run_no,
        tries=one.tries,
        sent_at_us=one.sent_at_us,
        settled_at_us=one.settled_at_us,
        by=one.settled_by,
        error=None if one.error is None else cut(say(one.error), MESSAGE_CHARS),
        result=None if result is None else cut(result, MESSAGE_CHARS),
    )


def _timeline(
    job: JobView,
    failures: Sequence[FailureView],
    notes: Sequence[Mapping[str, object]],
    called: Sequence[EffectView],
    say: Say,
) -> list[Event]:
    """All that is recorded, in order of time."""
    events = [Event(job.enqueued_at_us, "accepted", f"queue {job.queue}")]
    if job.claimed_at_us is not None:
        by = "" if job.worker is None else f"worker {job.worker}"
        events.append(Event(job.claimed_at_us, f"run {job.run_no} began", by))
    for one in failures:
        who = "" if one.worker is None else f" on worker {one.worker}"
        said = f"{one.kind}: {say(one.message)}" if one.message else one.kind
        events.append(Event(one.failed_at_us, f"run {one.run_no} failed{who}", cut(said, 200), "bad"))
    for call in called:
        events.append(Event(call.sent_at_us, f"effect {call.name} sent", f"key {say(call.key)}"))
        if call.settled_at_us is not None:
            mark = "good" if call.state == "done" else "bad"
            events.append(Event(call.settled_at_us, f"effect {call.name} {call.state}", "", mark))
    for note in notes:
        reason = f"“{note['reason']}”" if note["reason"] else ""
        did = f"{note['actor']} did {note['verb']}: {note['before']} → {note['after']}"
        events.append(Event(int(str(note["at"])), say(did), say(reason), "person"))
    if job.doubt_at_us is not None:
        events.append(Event(job.doubt_at_us, "in doubt", say(job.doubt), "bad"))
    if job.ended_at_us is not None:
        word = {"dead": "died", "done": "done", "cancelled": "cancelled"}.get(job.state, job.state)
        because = REASONS.get(job.reason or "", job.outcome or "")
        mark = "good" if job.state == "done" else "bad"
        events.append(Event(job.ended_at_us, word, "" if because == "performed" else because, mark))
    return sorted(events, key=lambda event: event.at_us)
