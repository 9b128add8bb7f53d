"""Verbs on reconciliations: let through what the governor stopped, a pass now, pause, resume."""

from __future__ import annotations

from ..model.durations import microseconds
from ..model.errors import ReconcileRefused
from ..model.operators import NEEDS
from ..supervise.reconcile_ops import ReconcileOps
from .asking import Ask
from .dialogs import REASON, REASON_NEEDED, Dialog, Field, Verb
from .screens import reconcile as screen

UNTIL = Field("until", "For how long", hint='"30m", "2h"; empty: until it is resumed')
REACH = Field(
    "reach", "Look at", "choice", value="quick",
    options=(("quick", "what is new since it was last in order"), ("whole", "all of its window")),
)  # fmt: skip


def ops_of(ask: Ask) -> ReconcileOps:
    """The verbs of whoever asks."""
    return ReconcileOps(ask.site, ask.operator, readonly=ask.site.readonly)


def _place(ask: Ask) -> str:
    return ask.text("back") or ask.link(f"/reconcile/{ask.names['name']}")


def _approve_dialog(ask: Ask) -> Dialog:
    ops_of(ask).writing("approve_reconcile", queue="*", task="*")
    one = screen.find(ask)
    held = screen.stopped_pass(ask, one)
    if held is None:
        raise ReconcileRefused(f"No pass of {one.name} waits to be approved.")
    left = held.missing - held.enqueued
    return Dialog(
        title=f"Let {one.name} enqueue {left:,} duties?",
        words=(
            f"Pass {held.id} of {one.name}, task {one.task}",
            f"It expected {held.expected:,} and found {held.missing:,} missing; more than {held.believed:,}"
            " were not believed, so that the governor stopped it. A wrong query looks the same.",
            f"If it is right, the next pass enqueues them, each once: up to {held.missing:,}, and some that"
            " have come since.",
        ),
        button=f"Let {left:,} through",
        action=ask.here(back=None),
        back=_place(ask),
        fields=(REASON_NEEDED,),
        careful=True,
        hidden=(("run", str(held.id)),),
    )


def _approve(ask: Ask) -> str:
    ops = ops_of(ask)
    ops.writing("approve_reconcile", queue="*", task="*")
    given = ask.said("run")
    if not given.isdecimal() or len(given) > 18:
        raise ReconcileRefused("The form does not say which pass was looked at.", hint="Open it anew.")
    done = ops.approve_reconcile(int(given), reason=ask.said("reason"), action_id=ask.said("action_id"))
    return done.said


def _run_dialog(ask: Ask) -> Dialog:
    ops_of(ask).writing("run_reconcile", queue="*", task="*")
    one = screen.find(ask)
    return Dialog(
        title=f"Reconcile {one.name} now?",
        words=(
            f"Task {one.task}",
            "A worker that has its code makes a pass, within about 15 s. What is missing is enqueued under"
            " its own key, so that nothing is done twice.",
        ),
        button="Reconcile now",
        action=ask.here(back=None),
        back=_place(ask),
        fields=(REACH, REASON),
    )


def _run(ask: Ask) -> str:
    whole = ask.said("reach") == "whole"
    given = {"reason": ask.said("reason"), "action_id": ask.said("action_id")}
    return ops_of(ask).run_reconcile(ask.names["name"], whole=whole, **given).said


def _pause_dialog(ask: Ask) -> Dialog:
    ops_of(ask).writing("pause_reconcile", queue="*", task="*")
    one = screen.find(ask)
    return Dialog(
        title=f"Pause reconciliation {one.name}?",
        words=(
            "No worker makes a pass meanwhile: nothing missing is found, and nothing is enqueued again.",
            "Once it has not looked at all of its window for twice its period (two days, or longer if it is"
            " made more seldom), LOST and DOUBLED are unknown.",
        ),
        button="Pause",
        action=ask.here(back=None),
        back=_place(ask),
        fields=(REASON_NEEDED, UNTIL),
        careful=True,
    )


def _pause(ask: Ask) -> str:
    text = ask.said("until").strip()
    span = microseconds(text, what="For how long", zero_ok=False) if text else None
    given = {"reason": ask.said("reason"), "action_id": ask.said("action_id")}
    return ops_of(ask).pause_reconcile(ask.names["name"], for_us=span, **given).said


def _resume_dialog(ask: Ask) -> Dialog:
    ops_of(ask).writing("resume_reconcile", queue="*", task="*")
    one = screen.find(ask)
    return Dialog(
        title=f"Resume reconciliation {one.name}?",
        words=("The next worker that looks makes a pass.",),
        button="Resume",
        action=ask.here(back=None),
        back=_place(ask),
        fields=(REASON,),
    )


def _resume(ask: Ask) -> str:
    given = {"reason": ask.said("reason"), "action_id": ask.said("action_id")}
    return ops_of(ask).resume_reconcile(ask.names["name"], **given).said


RECONCILE_VERBS: tuple[Verb, ...] = tuple(
    Verb(f"{verb}_reconcile", f"/reconcile/{{name}}/{verb}", dialog, act, NEEDS[f"{verb}_reconcile"])
    for verb, dialog, act in (
        ("approve", _approve_dialog, _approve),
        ("run", _run_dialog, _run),
        ("pause", _pause_dialog, _pause),
        ("resume", _resume_dialog, _resume),
    )
)
