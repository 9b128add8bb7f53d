"""What people do on the page: for each verb a dialog that asks, and an act that goes through Ops.

A dialog is a page of its own, too, so that it works without a script. Its form carries a one-time id,
so that a second click, a reload or a repeated request does nothing, and how the job was when it was shown,
so that one that moved on since is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..model.durations import microseconds
from ..model.operators import NEEDS
from ..model.ops_errors import NotAllowed, ReasonNeeded
from ..operations.actions import Seen
from ..operations.inspect import JobView
from ..supervise.ops import Ops
from .asking import Ask
from .bulk_verbs import BULK_VERBS
from .checklist_verbs import CHECKLIST_VERBS
from .dialogs import REASON, REASON_NEEDED, Dialog, Field, Verb
from .page_verbs import PAGE_VERBS
from .reconcile_verbs import RECONCILE_VERBS
from .screens import job as job_screen
from .thing_verbs import THING_VERBS

# ── one job ─────────────────────────────────────────────────────────────────────────────────

_JOB: dict[str, tuple[str, str, tuple[str, ...], str, tuple[Field, ...], bool]] = {
    "retry": (
        "Retry",
        "Retry this job?",
        (
            "Same job, same key, same locks; nothing is copied. Its tries are counted anew.",
            "Effects that are known to be done are not repeated.",
        ),
        "Retry",
        (REASON,),
        False,
    ),
    "discard": (
        "Discard",
        "Discard this job?",
        ("It is given up, with your reason, and will not run again. This can be undone.",),
        "Discard",
        (REASON_NEEDED,),
        True,
    ),
    "undo": (
        "Undo discard",
        "Undo the discard?",
        ("The job is again what it was, with its key and its history.",),
        "Undo",
        (REASON,),
        False,
    ),
    "cancel": (
        "Cancel",
        "Cancel this job?",
        ("If nobody has begun it, it is cancelled; if it runs, its run is asked to stop.",),
        "Cancel job",
        (REASON,),
        True,
    ),
    "confirm": (
        "It was done",
        "Was it done?",
        ("You looked, and the body of this job had finished. It is closed as done.",),
        "It was done",
        (REASON_NEEDED,),
        True,
    ),
    "resume": (
        "It was applied",
        "Was the effect applied?",
        ("You looked, and the call had been applied. The job goes on from there.",),
        "It was applied",
        (REASON_NEEDED,),
        True,
    ),
    "refute": (
        "It was not done",
        "Was it surely not done?",
        ("You looked, and it had not happened. The job does it now.",),
        "It was not done",
        (REASON_NEEDED,),
        True,
    ),
}


LABELS: dict[str, str] = {name: parts[0] for name, parts in _JOB.items()} | {"edit": "Edit & retry"}
"""What a job's buttons say."""


def ops_of(ask: Ask) -> Ops:
    """The verbs of whoever asks."""
    return Ops(ask.site, ask.operator, readonly=ask.site.readonly)


def _job_dialog(verb: str) -> Callable[[Ask], Dialog]:
    def dialog(ask: Ask) -> Dialog:
        found = job_screen.find(ask)
        _demand(ask, verb, found)
        _, title, words, button, fields, careful = _JOB[verb]
        about = f"{found.task} in queue {found.queue}"
        return Dialog(
            title=title,
            words=(about, *words, *_more(verb, found)),
            button=button,
            action=ask.link(f"/jobs/{found.id}/{verb}"),
            back=ask.text("back") or ask.link(f"/jobs/{found.id}"),
            fields=fields,
            careful=careful,
            seen=Seen.of(found).rev,
            now_us=found.now_us,
        )

    return dialog


def _more(verb: str, found: JobView) -> Sequence[str]:
    if verb == "retry" and found.delivery == "at_most_once" and found.started_at_us is not None:
        return ("Its body had begun and promises to run at most once: this opens a new life of its duty.",)
    return ()


def _job_act(verb: str) -> Callable[[Ask], str]:
    def act(ask: Ask) -> str:
        ops = ops_of(ask)
        job_id = job_screen.find(ask).id
        given = {"reason": ask.said("reason"), "action_id": ask.said("action_id")}
        seen = _seen(ask)
        return str(getattr(ops, verb)(job_id, seen=seen, **given).said)

    return act


def _seen(ask: Ask) -> Seen | None:
    """How the job was when the form was shown; a form without it is refused: it was made by hand."""
    try:
        return Seen.parse(ask.said("seen"))
    except ValueError:
        raise ReasonNeeded("The form does not say how the job was when it was shown.") from None


def _demand(ask: Ask, verb: str, found: JobView) -> None:
    if not ask.may(NEEDS[verb], found.queue, found.task):
        raise NotAllowed(ask.operator.id, NEEDS[verb], f"task {found.task}" if ask.operator.scoped else "")


# ── queues, schedules, locks ────────────────────────────────────────────────────────────────

UNTIL = Field("until", "For how long", hint='"30m", "2h"; empty: until it is resumed')


def _span(ask: Ask) -> int | None:
    text = ask.said("until").strip()
    return microseconds(text, what="For how long", zero_ok=False) if text else None


def _simple(
    noun: str, verb: str, title: str, words: tuple[str, ...], button: str, fields: tuple[Field, ...]
) -> Callable[[Ask], Dialog]:
    def dialog(ask: Ask) -> Dialog:
        if not ask.may(NEEDS[verb], ask.names["name"] if noun == "queues" else "*"):
            raise NotAllowed(ask.operator.id, NEEDS[verb])
        name = ask.names["name"]
        home = {"queues": "/queues", "schedule": "/schedule", "locks": "/locks"}[noun]
        return Dialog(
            title=title.format(name=name),
            words=words,
            button=button,
            action=ask.here(back=None),
            back=ask.text("back") or ask.link(home),
            fields=fields,
            careful=verb in ("break_lock", "pause_queue"),
        )

    return dialog


def _pause_queue(ask: Ask) -> str:
    return (
        ops_of(ask)
        .pause_queue(
            ask.names["name"], reason=ask.said("reason"), span_us=_span(ask), action_id=ask.said("action_id")
        )
        .said
    )


def _resume_queue(ask: Ask) -> str:
    return (
        ops_of(ask)
        .resume_queue(ask.names["name"], reason=ask.said("reason"), action_id=ask.said("action_id"))
        .said
    )


def _pause_schedule(ask: Ask) -> str:
    return (
        ops_of(ask)
        .pause_schedule(
            ask.names["name"], reason=ask.said("reason"), for_us=_span(ask), action_id=ask.said("action_id")
        )
        .said
    )


def _resume_schedule(ask: Ask) -> str:
    return (
        ops_of(ask)
        .resume_schedule(ask.names["name"], reason=ask.said("reason"), action_id=ask.said("action_id"))
        .said
    )


def _break_lock(ask: Ask) -> str:
    grant = ask.said("grant_no") or (ask.text("grant_no") or "")
    return (
        ops_of(ask)
        .break_lock(
            ask.names["name"],
            reason=ask.said("reason"),
            grant_no=int(grant) if grant.isdecimal() else None,
            action_id=ask.said("action_id"),
        )
        .said
    )


VERBS: tuple[Verb, ...] = (
    *BULK_VERBS,
    *THING_VERBS,
    *CHECKLIST_VERBS,
    *PAGE_VERBS,
    *RECONCILE_VERBS,
    *(Verb(one, f"/jobs/{{id}}/{one}", _job_dialog(one), _job_act(one), NEEDS[one]) for one in _JOB),
    Verb(
        "pause_queue",
        "/queues/{name}/pause",
        _simple(
            "queues",
            "pause_queue",
            "Pause queue {name}?",
            (
                "No worker claims from it from now on; what runs goes on.",
                "A paused queue with due jobs counts as late.",
            ),
            "Pause",
            (REASON_NEEDED, UNTIL),
        ),
        _pause_queue,
        NEEDS["pause_queue"],
    ),
    Verb(
        "resume_queue",
        "/queues/{name}/resume",
        _simple(
            "queues",
            "resume_queue",
            "Resume queue {name}?",
            ("Workers claim from it again at once.",),
            "Resume",
            (REASON,),
        ),
        _resume_queue,
        NEEDS["resume_queue"],
    ),
    Verb(
        "pause_schedule",
        "/schedule/{name}/pause",
        _simple(
            "schedule",
            "pause_schedule",
            "Pause schedule {name}?",
            ("What is due meanwhile is recorded as skipped, and not caught up.",),
            "Pause",
            (REASON_NEEDED, UNTIL),
        ),
        _pause_schedule,
        NEEDS["pause_schedule"],
    ),
    Verb(
        "resume_schedule",
        "/schedule/{name}/resume",
        _simple(
            "schedule",
            "resume_schedule",
            "Resume schedule {name}?",
            ("It goes on with its next occurrence.",),
            "Resume",
            (REASON,),
        ),
        _resume_schedule,
        NEEDS["resume_schedule"],
    ),
    Verb(
        "break_lock",
        "/locks/{name:path}/break",
        _simple(
            "locks",
            "break_lock",
            "Break lock {name}?",
            (
                "Whoever holds it loses it, and learns that when it renews; it may be at work until then.",
                "What compares grant numbers refuses the old holder's writes.",
            ),
            "Break",
            (REASON_NEEDED,),
        ),
        _break_lock,
        NEEDS["break_lock"],
    ),
)
"""All that can be done here; nothing else is a POST, but signing in and out."""
