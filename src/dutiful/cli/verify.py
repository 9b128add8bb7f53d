"""``dutiful verify``: do the invariants hold on the live database?"""

from __future__ import annotations

import click

from ..operations import verify
from .exits import BAD, DONE
from .lazy import SharedCommand
from .reach import reach
from .session import Session, pass_session
from .tables import Column


@click.command("verify", cls=SharedCommand)
@click.option("--full", is_flag=True, help="Look at every row, not only at the newest of each table.")
@pass_session
def verify_command(session: Session, full: bool) -> int:
    """Check the invariants on the live database; nothing is locked. Exit 1 if one is broken."""
    printer = session.printer
    with reach(session) as store:
        found = store.run(verify.check(store.name or None, full=full))
    scope = "every row" if full else f"the newest {verify.WINDOW:,} rows of each table (--full: all)"
    if printer.json:
        findings = [
            {"invariant": one.invariant, "summary": one.summary, "count": one.count, "rows": one.rows}
            for one in found
        ]
        printer.document("verify/1", {"app": store.name, "full": full, "findings": findings})
        return BAD if found else DONE
    if not found:
        printer.put(f"All invariants hold; {len(verify.CHECKS)} were checked on {scope}.")
        return DONE
    for one in found:
        printer.put(f"{one.invariant}  {one.summary}")
        names = [str(name) for name in one.rows[0]] if one.rows else []
        columns = [Column(name.upper(), least=0 if name == "id" else 12) for name in names]
        printer.table(columns, [["" if row[n] is None else str(row[n]) for n in names] for row in one.rows])
        if one.count > len(one.rows):
            printer.put(f"… and {one.count - len(one.rows):,} more")
        printer.put()
    broken = "1 invariant is" if len(found) == 1 else f"{len(found)} invariants are"
    printer.say(f"{broken} broken, on {scope}. That is a bug of dutiful's, or a hand in its tables.")
    return BAD
