"""``dutiful doctor``: the store, its settings, the tasks and the workers, looked over."""

from __future__ import annotations

import click

from ..model.durations import microseconds
from ..supervise.doctor import Patient, Verdict, examine
from ..supervise.notes import Note
from .exits import BAD, CANNOT_SAY, DONE
from .lazy import SharedCommand
from .reach import reach
from .session import Session, pass_session

SIGNS = {"well": "✓", "note": "·", "bad": "✗", "unknown": "?", "skipped": "–"}
CODES: dict[Verdict, int] = {"well": DONE, "bad": BAD, "cannot say": CANNOT_SAY}


@click.command("doctor", cls=SharedCommand)
@click.option(
    "--drain-timeout", metavar="SPAN", help="What your workers are given to finish in (default 25s)."
)
@pass_session
def doctor_command(session: Session, drain_timeout: str | None) -> int:
    """Check the store, its settings, the tasks and the workers. Exit 0 well, 1 a person must act, 3 cannot
    say."""
    printer = session.printer
    drain_us = None if drain_timeout is None else microseconds(drain_timeout, what="--drain-timeout")
    with reach(session, makes=True, named=False) as store:
        found = examine(Patient(store.engine, store.name or session.app_name, store.app, drain_us))
    if printer.json:
        notes = [
            {"kind": n.kind, "subject": n.subject, "text": n.text, "why": n.why, "hint": n.hint}
            for n in found.notes
        ]
        printer.document("doctor/1", {"verdict": found.verdict, "notes": notes})
        return CODES[found.verdict]
    wide = max(len(note.subject) for note in found.notes)
    for note in found.notes:
        _put(session, note, wide)
    count = {kind: sum(note.kind == kind for note in found.notes) for kind in SIGNS}
    bad = "1 thing needs a person" if count["bad"] == 1 else f"{count['bad']} things need a person"
    cannot = f"{count['unknown']} cannot be said"
    left = f"{count['skipped']} not looked at"
    parts = [text for text, number in ((bad, count["bad"]), (cannot, count["unknown"])) if number]
    printer.put()
    if parts:
        more = [left] if count["skipped"] else []
        printer.put(f"{'✗' if count['bad'] else '?'} {', '.join(parts + more)}.")
    else:
        printer.put(f"✓ All is well, as far as is checked{f'; {left}' if count['skipped'] else ''}.")
    return CODES[found.verdict]


def _put(session: Session, note: Note, wide: int) -> None:
    printer = session.printer
    blank = " " * (wide + 4)
    printer.prose(note.text, indent=f"{SIGNS[note.kind]} {note.subject:<{wide}}  ", hanging=blank)
    if note.kind in ("bad", "unknown") and note.why:
        printer.prose(note.why, indent=blank)
    if note.hint:
        printer.prose(printer.complete(note.hint), indent=blank)
