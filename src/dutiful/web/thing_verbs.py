"""Verbs on things that need a person (seen, mine), and on one dead job: edit and retry."""

from __future__ import annotations

import json

from ..model.durations import microseconds
from ..model.errors import EditRefused
from ..model.operators import NEEDS
from ..operations.acks import GROUP
from ..operations.actions import Seen
from ..supervise.dead_ops import DeadOps
from .asking import Ask
from .dialogs import REASON, Dialog, Field, Verb
from .screens import groups
from .screens import job as job_screen


def ops_of(ask: Ask) -> DeadOps:
    """The verbs of whoever asks."""
    return DeadOps(ask.site, ask.operator, readonly=ask.site.readonly)


def _named(ask: Ask) -> str:
    return (ask.text("thing") or "")[:300]


def _what(ask: Ask) -> str:
    """The thing in words."""
    name = _named(ask)
    if name.startswith(GROUP):
        found = groups.find(ask, name.removeprefix(GROUP))
        if found is not None:
            kind = found.kind.rpartition(".")[2] or found.reason
            return f"{kind} in {found.task}: {found.jobs:,} dead"
    return next((one.sentence for one in ask.site.verdict().things if one.key == name), name)


def _ack_dialog(ask: Ask) -> Dialog:
    ops_of(ask).writing("ack", queue="*", task="*")
    return Dialog(
        title="Acknowledge it?",
        words=(
            _what(ask),
            "It stays, counted as seen. That lapses by itself, and at once if it doubles or comes again in a"
            " newer release.",
        ),
        button="Acknowledge",
        action=ask.link("/attention/ack", thing=_named(ask)),
        back=ask.text("back") or ask.link("/attention"),
        fields=(
            Field("note", "What is known of it", needed=True, hint="everybody who looks is told"),
            Field("until", "For how long", value="24h", hint="at most 90d"),
        ),
    )


def _ack(ask: Ask) -> str:
    span_us = microseconds(ask.said("until").strip() or "24h", what="For how long", zero_ok=False)
    size = next((one.size for one in ask.site.verdict().things if one.key == _named(ask)), 0)
    done = ops_of(ask).acknowledge(
        _named(ask), note=ask.said("note"), span_us=span_us, count=size, action_id=ask.said("action_id")
    )
    return done.said


def _take_dialog(ask: Ask) -> Dialog:
    ops_of(ask).writing("take", queue="*", task="*")
    return Dialog(
        title="Take it?",
        words=(_what(ask), "It is yours to see to, and shows your name."),
        button="Take",
        action=ask.link("/attention/take", thing=_named(ask)),
        back=ask.text("back") or ask.link("/attention"),
    )


def _take(ask: Ask) -> str:
    return ops_of(ask).take(_named(ask), action_id=ask.said("action_id")).said


def _edit_dialog(ask: Ask) -> Dialog:
    found = job_screen.find(ask)
    ops_of(ask).writing("edit", queue=found.queue, task=found.task)
    shown = ask.site.redactor.args(found.task, found.args)
    if not shown.whole:
        raise EditRefused(f"The arguments of job {found.id} cannot be shown: {shown.text}.")
    return Dialog(
        title="Edit and retry?",
        words=(
            f"{found.task} in queue {found.queue}",
            "The same job with other arguments; its key must stay. What is masked stays as it is stored.",
        ),
        button="Edit and retry",
        action=ask.link(f"/jobs/{found.id}/edit"),
        back=ask.text("back") or ask.link(f"/jobs/{found.id}"),
        fields=(Field("args", "Arguments", "long", needed=True, value=shown.text, hint="JSON"), REASON),
        careful=True,
        seen=Seen.of(found).rev,
        now_us=found.now_us,
    )


def _edit(ask: Ask) -> str:
    try:
        given = json.loads(ask.said("args"))
    except ValueError as error:
        raise EditRefused(f"The arguments are no JSON: {error}.") from None
    if not isinstance(given, dict):
        raise EditRefused("The arguments are no JSON object.")
    found = job_screen.find(ask)
    done = ops_of(ask).edit(
        found.id,
        given,
        reason=ask.said("reason"),
        seen=Seen.parse(ask.said("seen")) if ask.said("seen").count(".") == 2 else None,
        action_id=ask.said("action_id"),
        redactor=ask.site.redactor,
    )
    return done.said


THING_VERBS: tuple[Verb, ...] = (
    Verb("ack", "/attention/ack", _ack_dialog, _ack, NEEDS["ack"]),
    Verb("take", "/attention/take", _take_dialog, _take, NEEDS["take"]),
    Verb("edit", "/jobs/{id}/edit", _edit_dialog, _edit, NEEDS["edit"]),
)
