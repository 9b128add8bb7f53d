"""``dutiful explain``: an error code or a rule of the checklist at length, offline."""

from __future__ import annotations

import difflib
import inspect

import click

from ..check.catalogue import SEVERITIES, Rule, all_rules
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
    """What an error code (DE203, 203, or KeyReused) or a rule of the checklist (DU004) means, and what to do.

    Without one, all errors; DU lists all rules.
    """
    if code is not None and code.strip().upper().startswith("DU"):
        _rules(session, code.strip().rstrip(".:").upper())
        return
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


def _rules(session: Session, code: str) -> None:
    printer, rules = session.printer, all_rules()
    if code == "DU":
        if printer.json:
            printer.document("explain.rules/1", {"rules": [_rule(one) for one in rules.values()]})
            return
        rows = [[one.id, SEVERITIES[one.severity], one.title] for one in rules.values()]
        printer.table([Column("RULE"), Column("SEVERITY"), Column("WHAT IT FINDS", least=20)], rows)
        printer.say("One at length: dutiful explain DU004")
        return
    if code not in rules:
        raise click.UsageError(f"There is no rule {code!r}. All: dutiful explain DU")
    rule = rules[code]
    if printer.json:
        printer.document("explain.rule/1", _rule(rule))
        return
    printer.put(f"{rule.id} {rule.title}   ({SEVERITIES[rule.severity]})\n")
    printer.prose(rule.why, indent="  ")
    printer.put()
    printer.block(rule.bad, indent="    ")
    printer.put()
    printer.prose(f"Fix: {rule.fix}", indent="  ")
    if rule.elsewhere and rule.elsewhere != rule.fix:
        printer.prose(f"In other job systems: {rule.elsewhere}", indent="  ")
    for system, fix in rule.words.items():
        printer.prose(f"{system}: {fix}", indent="    ")
    printer.prose(f"Silence: # dutiful: ok {rule.id} — why it is right here", indent="  ")


def _rule(rule: Rule) -> dict[str, object]:
    return {
        "rule": rule.id,
        "severity": SEVERITIES[rule.severity],
        "title": rule.title,
        "why": rule.why,
        "example": rule.bad,
        "fix": rule.fix,
        "elsewhere": rule.elsewhere,
        "words": rule.words,
        "needs": rule.needs,
    }


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
