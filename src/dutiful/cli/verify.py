"""``dutiful verify``: do the invariants hold on the live database?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from ..model.errors import StoreReadOnly, StoreUnreachable
from ..operations import verify
from ..operations.verify import Checked, Finding
from .exits import BAD, CANNOT_SAY, DONE
from .lazy import SharedCommand
from .printing import Printer
from .reach import Reach, reach
from .session import Session, pass_session
from .tables import Column
from .times import iso


@dataclass(frozen=True)
class Looked:
    """What this look found, what one of a worker's found before, and what could not be looked at."""

    full: bool
    findings: list[Finding]
    noted: list[Checked]
    unsaid: dict[str, str]
    elsewhere: dict[str, int]

    @property
    def code(self) -> int:
        """The exit code."""
        return BAD if self.findings or self.noted else CANNOT_SAY if self.unsaid else DONE

    @property
    def scope(self) -> str:
        """Which rows were looked at."""
        return "every row" if self.full else f"the newest {verify.WINDOW:,} rows of each table (--full: all)"


@click.command("verify", cls=SharedCommand)
@click.option("--full", is_flag=True, help="Look at every row, not only at the newest of each table.")
@pass_session
def verify_command(session: Session, full: bool) -> int:
    """Check the invariants on the live database; nothing is locked.

    Exit 0 if they hold, 1 if one is broken or a worker found one broken, 3 if a check could not be
    carried out and no other found anything. With --full, what workers found and is not there any more
    is forgotten.
    """
    printer = session.printer
    with reach(session) as store:
        name = store.name
        found = look(store, full)
    if printer.json:
        printer.document("verify/1", {"app": name, **document(found)})
    else:
        _put(printer, found)
    return found.code


def look(store: Reach, full: bool) -> Looked:
    """Carry out every check, each by itself: one that fails leaves the others as they are."""
    elsewhere = store.run(verify.elsewhere(store.name or None, full=full))
    looks: dict[str, Finding | None] = {}
    unsaid: dict[str, str] = {}
    for name, invariant, _ in verify.CHECKS:
        try:
            looks[name] = store.run(verify.look(name, store.name or None, full=full))
        except StoreUnreachable:
            raise
        except Exception as error:  # also the database's own: a time limit, a right that is missing
            unsaid[f"{invariant} ({name})"] = " ".join(str(error).split())
    if full and store.name:
        try:
            store.run(verify.note(store.name, looks, full=True))
        except StoreReadOnly:
            pass  # who may only look forgets nothing
    noted = [
        one
        for one in store.run(verify.noted(store.name))
        if one.finding is not None and looks.get(one.name) is None
    ]
    return Looked(full, [one for one in looks.values() if one is not None], noted, unsaid, elsewhere)


def document(found: Looked) -> dict[str, Any]:
    """The fields of the one JSON document."""
    return {
        "full": found.full,
        "findings": [_fields(one) for one in found.findings],
        "noted": [
            {**_fields(one.finding), "found_at": iso(one.found_at_us)} for one in found.noted if one.finding
        ],
        "unsaid": [{"check": check, "why": why} for check, why in found.unsaid.items()],
        "elsewhere": found.elsewhere,
    }


def _fields(one: Finding) -> dict[str, Any]:
    return {"invariant": one.invariant, "summary": one.summary, "count": one.count, "rows": one.rows}


def _put(printer: Printer, found: Looked) -> None:
    for one in found.findings:
        _put_finding(printer, one, "")
    for noted in found.noted:
        if noted.finding is not None:
            at = printer.when(noted.found_at_us, noted.now_us)
            _put_finding(printer, noted.finding, f", found by a worker {at}")
    for check, why in found.unsaid.items():
        printer.say(f"Not checked: {check}. {why}")
    for database, count in found.elsewhere.items():
        whose = "of 1 job" if count == 1 else f"of {count:,} jobs"
        printer.say(f"Not looked at: whether the work {whose} is in {database!r}, whose ledger is there.")
    broken = len(found.findings) + len(found.noted)
    if broken:
        invariants = "1 invariant is" if broken == 1 else f"{broken} invariants are"
        printer.say(
            f"{invariants} broken, on {found.scope}. That is a bug of dutiful's, or a hand in its tables."
        )
    elif found.unsaid:
        checked = len(verify.CHECKS) - len(found.unsaid)
        printer.put(f"Cannot say: {checked} of {len(verify.CHECKS)} checks could be made, on {found.scope}.")
    else:
        printer.put(f"All invariants hold; {len(verify.CHECKS)} were checked on {found.scope}.")


def _put_finding(printer: Printer, one: Finding, when: str) -> None:
    printer.put(f"{one.invariant}  {one.summary}{when}")
    names = [str(name) for name in one.rows[0]] if one.rows else []
    columns = [Column(name.upper(), least=0 if name == "id" else 12) for name in names]
    printer.table(columns, [["" if row[n] is None else str(row[n]) for n in names] for row in one.rows])
    if one.count > len(one.rows):
        printer.put(f"… and {one.count - len(one.rows):,} more")
    printer.put()
