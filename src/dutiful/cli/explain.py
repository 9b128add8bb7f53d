"""``dutiful explain``: an error code at length, offline."""

from __future__ import annotations

import difflib
import inspect

import click

from ..model.errors import DutifulError, all_errors
from .examples import EXAMPLES
from .exits import exit_of
from .lazy import SharedCommand
from .session import Session, pass_session
from .tables import Column


@click.command("explain", cls=SharedCommand)
@click.argument("code", required=False)
@pass_session
def explain_command(session: Session, code: str | None) -> None:
    """What an error code (DE203, 203, or KeyReused) means, and what to do; without one, all of them."""
    known = {kind.code: kind for kind in all_errors()}
    if code is None:
        _list(session, known)
        return
    kind = _find(code, known)
    printer = session.printer
    if printer.json:
        printer.document("explain/1", _document(kind))
        return
    printer.put(f"{kind.code} {kind.__name__}   (caught by: {', '.join(_families(kind))})\n")
    printer.prose(_meaning(kind), indent="  ")
    if kind.hint:
        printer.put()
        printer.prose(kind.hint, indent="  ")
    printer.put()
    printer.block(EXAMPLES[kind.code].strip("\n"), indent="    ")


def _list(session: Session, known: dict[str, type[DutifulError]]) -> None:
    printer = session.printer
    if printer.json:
        printer.document("explain.list/1", {"errors": [_document(known[code]) for code in sorted(known)]})
        return
    rows = [[code, known[code].__name__, _meaning(known[code]).splitlines()[0]] for code in sorted(known)]
    printer.table([Column("CODE"), Column("ERROR"), Column("WHAT HAPPENED", least=20)], rows)
    printer.say("One at length: dutiful explain DE203")


def _find(text: str, known: dict[str, type[DutifulError]]) -> type[DutifulError]:
    names = {kind.__name__.casefold(): kind for kind in known.values()}
    wanted = text.strip().rstrip(".:").casefold()
    for key in (wanted.upper(), f"DE{wanted}".upper()):
        if key in known:
            return known[key]
    if wanted in names:
        return names[wanted]
    spoken = {
        **{code.casefold(): code for code in known},
        **{name: kind.__name__ for name, kind in names.items()},
    }
    near = difflib.get_close_matches(wanted, spoken, n=3, cutoff=0.6)
    meant = f"Near it: {', '.join(spoken[one] for one in near)}." if near else "All: dutiful explain"
    raise click.UsageError(f"There is no error code {text!r}. {meant}")


def _document(kind: type[DutifulError]) -> dict[str, object]:
    return {
        "code": kind.code,
        "name": kind.__name__,
        "families": _families(kind),
        "meaning": _meaning(kind),
        "hint": kind.hint,
        "example": EXAMPLES[kind.code].strip("\n"),
        "exit": exit_of(kind.__new__(kind)),
    }


def _families(kind: type[DutifulError]) -> list[str]:
    """What an ``except`` may name to catch it."""
    return [one.__name__ for one in kind.__mro__[1:] if issubclass(one, DutifulError)] or ["Exception"]


def _meaning(kind: type[DutifulError]) -> str:
    return inspect.cleandoc(kind.__doc__ or "").replace("``", '"').replace(":class:`", "").replace("`", "")
