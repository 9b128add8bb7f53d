"""``dutiful doctor``: the store, its settings and the workers, looked over."""

from __future__ import annotations

import click

from ..supervise.doctor import Verdict, examine
from ..supervise.notes import Note
from .exits import BAD, CANNOT_SAY, DONE
from .lazy import SharedCommand
from .reach import reach
from .session import Session, pass_session

SIGNS = {"well": "✓", "note": "·", "bad": "✗", "unknown": "?"}
CODES: dict[Verdict, int] = {"well": DONE, "bad": BAD, "cannot say": CANNOT_SAY}


@click.command("doctor", cls=SharedCommand)
@pass_session
def doctor_command(session: Session) -> int:
    """Check the store, its settings and the workers. Exit 0 well, 1 a person must act, 3 cannot say."""
    printer = session.printer
    with reach(session, makes=True, named=False) as store:
        app = store.name or session.app_name
        found = examine(store.engine, app, known=store.app.known() if store.app is not None else None)
    if printer.json:
        notes = [{"kind": n.kind, "subject": n.subject, "text": n.text, "hint": n.hint} for n in found.notes]
        printer.document("doctor/1", {"verdict": found.verdict, "notes": notes})
        return CODES[found.verdict]
    wide = max(len(note.subject) for note in found.notes)
    for note in found.notes:
        _put(session, note, wide)
    count = {kind: sum(note.kind == kind for note in found.notes) for kind in SIGNS}
    bad = "1 thing needs a person" if count["bad"] == 1 else f"{count['bad']} things need a person"
    cannot = f"{count['unknown']} cannot be said"
    parts = [text for text, number in ((bad, count["bad"]), (cannot, count["unknown"])) if number]
    printer.put()
    printer.put(
        f"{'✗' if count['bad'] else '?'} {', '.join(parts)}."
        if parts
        else "✓ All is well, as far as is checked."
    )
    return CODES[found.verdict]


def _put(session: Session, note: Note, wide: int) -> None:
    printer = session.printer
    blank = " " * (wide + 4)
    printer.prose(note.text, indent=f"{SIGNS[note.kind]} {note.subject:<{wide}}  ", hanging=blank)
    if note.hint:
        printer.prose(printer.complete(note.hint), indent=blank)
