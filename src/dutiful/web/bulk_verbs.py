"""Verbs over all dead jobs that a filter means: what a retry would mean for each is shown before.

What begins here is walked by a thread of this process and, should that die, by any worker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

from ..model.ops_errors import BulkRefused
from ..operations import dead_sets, page_reads
from ..operations.actions import Outcome
from ..operations.bulk import Bulk, Wanted
from ..supervise.bulk_ops import REASON_ABOVE, BulkOps, Preflight
from .asking import Ask
from .dialogs import REASON, REASON_NEEDED, Bucket, Dialog, Field, Verb
from .rendering import plural
from .screens.groups import wanted

WORDS: dict[dead_sets.Bucket, str] = {
    "safe": "safe: no effect was applied, or its key makes repeating harmless",
    "done": "done already: ended as duplicates, not run again",
    "choice": "need a choice: whether they were done is not known",
    "refused": "refused: left as they are",
}
FILTERS = ("task", "queue", "error", "fp", "unseen")
TYPED_ABOVE = 1_000
"""Whoever means more jobs than that types how many they are."""
STEERS: tuple[Literal["pause", "resume", "abort"], ...] = ("pause", "resume", "abort")


def ops_of(ask: Ask) -> BulkOps:
    """The verbs of whoever asks."""
    return BulkOps(ask.site, ask.operator, readonly=ask.site.readonly)


def _action(ask: Ask, verb: str) -> str:
    chosen = wanted(ask).ids
    filters: dict[str, object] = {name: ask.text(name) for name in FILTERS}
    return ask.link(f"/dead/{verb}", **filters, id=chosen or None)


def _demand(ask: Ask, verb: str, meant: Wanted) -> None:
    ops_of(ask).writing("bulk", queue=meant.queue or "*", task=meant.task or "*")
    ops_of(ask).demand(verb, queue=meant.queue or "*", task=meant.task or "*")
    if meant.ids == ():
        raise BulkRefused("No job was chosen.", hint="Tick those that are meant, or take all that match.")


def _typed(many: int, what: str) -> Field:
    return Field("typed", f"To {what} all {many:,}: type that number", hint="one too many is soon done")


def _meant(ask: Ask, meant: Wanted, limit: int | None) -> int | None:
    """How many its person saw, which begins only if as many fit; a large number has to be typed, too.

    Raises BulkRefused.
    """
    expected = _number(ask.said("expected"))
    if expected is None and limit is None:
        expected = ask.run(page_reads.count(ask.site.name, meant))
    if limit is None and expected is not None and expected > TYPED_ABOVE:
        typed = ask.said("typed").replace(",", "").replace(" ", "")[:20]
        if typed != str(expected):
            raise BulkRefused(
                f"{expected:,} jobs are meant, and {typed or 'nothing'!r} was typed.",
                hint=f"Type {expected}, or begin with one job.",
            )
    return expected


def _retry_dialog(ask: Ask) -> Dialog:
    meant = wanted(ask)
    _demand(ask, "retry", meant)
    found = ops_of(ask).preflight(meant)
    total = _exact(ask, found)
    fields = [REASON_NEEDED if total > REASON_ABOVE else REASON]
    if total > 1:
        fields.append(
            Field(
                "limit",
                "Begin with",
                "choice",
                value="1" if total > 10 else "",
                options=(("1", "one job, to see what becomes of it"), ("", f"all {total:,}")),
            )
        )
    if total > TYPED_ABOVE:
        fields.append(_typed(total, "retry"))
    if found.counts["choice"]:
        fields.append(
            Field(
                "choice",
                "Those that need a choice",
                "choice",
                value="leave",
                options=(("leave", "leave them"), ("retry", "run them again: they may be done twice")),
            )
        )
    fields.append(Field("pace", "Pace", hint="jobs per second; empty: as fast as it goes"))
    return Dialog(
        title=f"Retry {plural(total, 'dead job')}?",
        words=(
            f"All{str(meant) or ' there are'}.",
            *_part(found, total),
            "Same jobs, same keys, same locks; nothing is copied. Jobs that die meanwhile are not touched.",
        ),
        button="Retry",
        action=_action(ask, "retry"),
        back=ask.text("back") or ask.link("/dead"),
        fields=tuple(fields),
        buckets=_buckets(found),
        hidden=(("expected", str(total)),),
    )


def _exact(ask: Ask, found: Preflight) -> int:
    """How many fit, also where a pre-flight does not look at all of them, or looks at some that do not."""
    if found.complete and found.wanted.ids is None:
        return found.total
    return ask.run(page_reads.count(ask.site.name, found.wanted))


def _part(found: Preflight, total: int) -> tuple[str, ...]:
    return () if found.complete else (f"Looked at were the latest {found.total:,} of the {total:,}:",)


def _buckets(found: Preflight) -> tuple[Bucket, ...]:
    return tuple(
        Bucket(
            found.counts[name],
            words,
            tuple(f"{many:,} × {why}" for why, many in list(found.whys[name].items())[:5]),
        )
        for name, words in WORDS.items()
        if found.counts[name] or name == "safe"
    )


def _discard_dialog(ask: Ask) -> Dialog:
    meant = wanted(ask)
    _demand(ask, "discard", meant)
    total = ask.run(page_reads.count(ask.site.name, meant))
    typed = (_typed(total, "discard"),) if total > TYPED_ABOVE else ()
    return Dialog(
        title=f"Discard {plural(total, 'dead job')}?",
        words=(
            f"All{str(meant) or ' there are'}.",
            "They are given up, with your reason, and do not run again.",
            "Nothing is deleted; it can be undone.",
        ),
        button="Discard",
        action=_action(ask, "discard"),
        back=ask.text("back") or ask.link("/dead"),
        fields=(REASON_NEEDED, *typed),
        careful=True,
        hidden=(("expected", str(total)),),
    )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and 0 < int(text) < 1 << 31 else None


def _retry(ask: Ask) -> str:
    ops, meant, limit = ops_of(ask), wanted(ask), _number(ask.said("limit"))
    _demand(ask, "retry", meant)
    done = ops.retry_all(
        meant,
        reason=ask.said("reason"),
        choice="retry" if ask.said("choice") == "retry" else "leave",
        pace=_number(ask.said("pace")),
        limit=limit,
        expected=_meant(ask, meant, limit) if limit is None else None,
        action_id=ask.said("action_id"),
    )
    return _begun(ask, ops, done)


def _discard(ask: Ask) -> str:
    ops, meant = ops_of(ask), wanted(ask)
    _demand(ask, "discard", meant)
    done = ops.discard_all(
        meant,
        reason=ask.said("reason"),
        expected=_meant(ask, meant, None),
        action_id=ask.said("action_id"),
    )
    return _begun(ask, ops, done)


def _begun(ask: Ask, ops: BulkOps, done: Outcome[Bulk]) -> str:
    """Walk it here, beside; and go where its progress is seen."""
    bulk_id = done.said.rpartition(" ")[2]
    ask.lands = ask.link(f"/bulk/{bulk_id}")
    if not done.replayed:
        stop = threading.Event()
        threading.Thread(target=ops.walk, args=(bulk_id, stop.wait), daemon=True, name="dutiful-bulk").start()
    return done.said


# ── one bulk operation ──────────────────────────────────────────────────────────────────────


def _steer_dialog(verb: str) -> Callable[[Ask], Dialog]:
    words = {
        "pause": "It stops after the batch under way, and goes on when it is resumed.",
        "resume": "It goes on where it stopped.",
        "abort": "It stops for good; what was done stays done, the rest is left as it is.",
        "undo": "What it discarded is dead again, with keys and history; what changed since is left out.",
    }

    def dialog(ask: Ask) -> Dialog:
        ops_of(ask).writing("bulk", queue="*", task="*")
        found = ops_of(ask).bulk(ask.names["id"])
        return Dialog(
            title=f"{verb.capitalize()} this bulk operation?",
            words=(f"{found.verb} of {found.intended:,} jobs{found.filter}, by {found.actor}", words[verb]),
            button=verb.capitalize(),
            action=ask.link(f"/bulk/{found.id}/{verb}"),
            back=ask.text("back") or ask.link(f"/bulk/{found.id}"),
            fields=(REASON,),
            careful=verb == "abort",
        )

    return dialog


def _steer(verb: Literal["pause", "resume", "abort"]) -> Callable[[Ask], str]:
    def act(ask: Ask) -> str:
        ops = ops_of(ask)
        said = ops.steer(
            ask.names["id"], verb, reason=ask.said("reason"), action_id=ask.said("action_id")
        ).said
        if verb == "resume":
            stop = threading.Event()
            bulk_id = ask.names["id"]
            threading.Thread(target=ops.walk, args=(bulk_id, stop.wait), daemon=True).start()
        return said

    return act


def _undo(ask: Ask) -> str:
    ops = ops_of(ask)
    done = ops.undo_all(ask.names["id"], reason=ask.said("reason"), action_id=ask.said("action_id"))
    return _begun(ask, ops, done)


BULK_VERBS: tuple[Verb, ...] = (
    Verb("retry_all", "/dead/retry", _retry_dialog, _retry, "bulk"),
    Verb("discard_all", "/dead/discard", _discard_dialog, _discard, "bulk"),
    *(Verb(f"{one}_bulk", f"/bulk/{{id}}/{one}", _steer_dialog(one), _steer(one), "bulk") for one in STEERS),
    Verb("undo_bulk", "/bulk/{id}/undo", _steer_dialog("undo"), _undo, "bulk"),
)
