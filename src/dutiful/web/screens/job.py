"""Everything about one job, under one address, for as long as it is kept."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from ...model.errors import JobNotFound
from ...model.ids import parse_id
from ...model.operators import NEEDS
from ...model.ops_errors import NotAllowed
from ...model.redaction import TOO_LARGE, Shown
from ...model.states import VERBS
from ...operations import effects, inspect, page_reads
from ...operations.actions import Seen
from ...operations.effects import EffectView
from ...operations.inspect import FailureView, JobView
from ...operations.why import REASONS, shown_state, why
from ..asking import Ask
from .rows import cut, redacted_key
from .story import Event, Say, story

ARGS_CHARS = 16_000
"""Longer arguments are cut on the page; whoever may see them downloads them whole."""
FAILURES_MAX = 10
TRACEBACK_CHARS = 6_000
EARLIER_CHARS = 2_000
"""Of the tracebacks before the last one."""
MESSAGE_CHARS = 1_000
EFFECTS_MAX = 50

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


class FailedRun(Struct, frozen=True):
    """What one run died of, masked."""

    run_no: int
    attempt: int
    at_us: int
    worker: int | None
    kind: str
    message: str
    traceback: str


class EffectRow(Struct, frozen=True):
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


class JobPage(Struct, frozen=True):
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
    hides: bool
    """Whether something of its arguments or its result is masked that this person may have shown."""
    args_bytes: int
    args_version: int
    result: str | None
    timeline: list[Event]
    earlier: str | None
    """The address of the events before these, if there are more."""
    latest: str | None
    """That of the newest, where these are older ones."""
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
    failures = ask.run(page_reads.last_failures(found.id, FAILURES_MAX))
    duty = found.key if found.key is not None else found.id
    called = ask.run(effects.of_duty(ask.site.name, found.task, duty))
    answer = ask.run(why(ask.site.name, found.id))
    sees = ask.may("view_args", found.queue, found.task)
    task = ask.site.tasks.get(found.task)

    def say(text: str | None) -> str:
        return redactor.text(
            text, args.hidden, whole=args.whole or (not args.hidden and args.text != TOO_LARGE)
        )

    told = story(ask, found, say)
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
        args=cut(args.text, ARGS_CHARS) if sees else None,
        args_whole=args.whole,
        hides=bool(args.hidden or not args.whole)
        and not ask.site.readonly
        and ask.may("reveal_secrets", found.queue, found.task),
        args_bytes=len(found.args),
        args_version=found.args_version,
        result=_result(ask, found, args) if sees else None,
        timeline=told.events,
        earlier=told.earlier,
        latest=told.latest,
        failures=[
            _failed(one, say, TRACEBACK_CHARS if one is failures[0] else EARLIER_CHARS) for one in failures
        ],
        effects=[_effect(ask, one, say, found.task, sees) for one in called[-EFFECTS_MAX:]],
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


def _failed(one: FailureView, say: Say, chars: int) -> FailedRun:
    """A traceback that is too long keeps its end: the error is there."""
    traced = say(one.traceback)
    traced = traced if len(traced) <= chars else f"…{traced[1 - chars :]}"
    said = cut(say(one.message), MESSAGE_CHARS)
    return FailedRun(one.run_no, one.attempt, one.failed_at_us, one.worker, one.kind, said, traced)


def _result(ask: Ask, found: JobView, args: Shown) -> str | None:
    if found.result is None:
        return None
    shown = ask.site.redactor.args(found.task, found.result)
    return cut(ask.site.redactor.text(shown.text, args.hidden, whole=args.whole), ARGS_CHARS)


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
