"""``dutiful lock``: who holds the locks by name, who waits, and taking one from a holder that hangs."""

from __future__ import annotations

from typing import Any

import click

from ..model.locks import LockLine
from ..model.spans import ago, span
from ..operations import locks
from .lazy import SharedGroup
from .reach import reach
from .session import Session, pass_session
from .tables import Column
from .times import iso

COLUMNS = [
    Column("LOCK", least=16),
    Column("GRANT", right=True),
    Column("SLOT"),
    Column("WHO", least=20),
    Column("SINCE"),
    Column("LEASE", right=True),
    Column("", spare=1),
]


@click.group("lock", cls=SharedGroup)
def lock_command() -> None:
    """Look at locks by name; take one from a holder that hangs."""


@lock_command.command("list")
@click.argument("name", required=False)
@pass_session
def list_(session: Session, name: str | None) -> None:
    """Who holds each lock and who waits for it, in turn. (Locks kept in Redis are not here.)"""
    printer = session.printer
    with reach(session) as store:
        lines = store.run(locks.listed(store.name or None, name))
    if printer.json:
        printer.document("lock.list/1", {"app": store.name, "locks": [_of(line) for line in lines]})
        return
    if lines:
        printer.table(COLUMNS, [_row(line) for line in lines])
    else:
        what = "No lock" if name is None else f"Lock {name!r}"
        printer.say(f"{what} is held or waited for." if name is None else f"{what} is free.")


@lock_command.command("break")
@click.argument("name")
@click.option(
    "--grant", "grant_no", type=int, metavar="N", help="Only from the holder with this grant number."
)
@click.option("--reason", required=True, help="Why, for the audit.")
@pass_session
def break_(session: Session, name: str, grant_no: int | None, reason: str) -> None:
    """Take a lock from all who hold it; the next one in turn gets it.

    A holder that lives learns it at its next renewal, within a sixth of its lease, and is at work until then,
    beside the next one: what must not be written twice compares grant numbers.
    """
    with reach(session) as store:
        lines = store.run(locks.listed(store.name or None, name))
        apps = {store.name} if store.name else {line.app for line in lines}  # it may have locks and no job
        if len(apps) > 1:
            raise click.UsageError(f"Lock {name!r} is one of several apps: say --app-name.")
        held = [one for one in lines if one.grant_no is not None and grant_no in (None, one.grant_no)]
        alive = [line.who for line in held if not line.lapsed]
        if alive:
            session.confirm(f"Take lock {name!r} from {', '.join(alive)}, which renewed it in time?")
        app = next(iter(apps), "")
        verb = locks.break_lock(app, name, actor=session.who, reason=reason, grant_no=grant_no)
        broken = store.act(session, "break_lock", verb)
    if session.printer.json:
        taken = [{"grant_no": number, "who": who} for number, who in broken]
        session.printer.document("lock.break/1", {"app": app, "name": name, "broken": taken})
        return
    for number, who in broken:
        session.printer.say(f"Lock {name!r} was taken from {who} (grant {number}).")


def _of(line: LockLine) -> dict[str, Any]:
    return {
        "app": line.app,
        "name": line.name,
        "slots": line.slots,
        "last_grant_no": line.last_grant_no,
        "ticket": line.ticket,
        "grant_no": line.grant_no,
        "slot": line.slot,
        "who": line.who,
        "asked_at": iso(line.asked_at_us),
        "granted_at": iso(line.granted_at_us),
        "until": iso(line.until_us),
        "lapsed": line.lapsed,
    }


def _row(line: LockLine) -> list[str]:
    held = line.grant_no is not None
    left = "over" if line.lapsed else span(line.until_us - line.now_us)
    return [
        line.name,
        str(line.grant_no) if held else "",
        f"{line.slot} of {line.slots}" if held else "waits",
        line.who,
        ago(line.granted_at_us if line.granted_at_us is not None else line.asked_at_us, line.now_us),
        left,
        "LAPSED" if line.lapsed else "",
    ]
