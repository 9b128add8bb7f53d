"""``dutiful audit``: who did what, and whether anybody changed that afterwards."""

from __future__ import annotations

import click

from ..model.spans import ago
from ..operations.audit import AuditRow
from .exits import BAD
from .lazy import SharedGroup
from .reach import reach
from .session import Session, pass_session
from .tables import Column
from .times import iso

COLUMNS = [
    Column("WHEN"),
    Column("WHO", least=8),
    Column("DID"),
    Column("TO", least=20),
    Column("BEFORE", least=8, spare=3),
    Column("AFTER", least=8, spare=2),
    Column("REASON", least=12),
    Column("HOW", spare=4),
]


@click.group("audit", cls=SharedGroup)
def audit_command() -> None:
    """Who did what, and whether anybody changed that afterwards."""


@audit_command.command("list")
@click.option("--actor", metavar="NAME", help="Only what this one did.")
@click.option("--verb", metavar="VERB", help="Only this: retry, waive, pause…")
@click.option("--subject", metavar="WHAT", help="Only what was done to this job, queue:NAME, bulk:ID…")
@click.option("--before", type=int, metavar="N", help="The page after this one, as the page before it said.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@pass_session
def list_(
    session: Session, actor: str | None, verb: str | None, subject: str | None, before: int | None, limit: int
) -> None:
    """What people did, the latest first."""
    printer = session.printer
    with reach(session) as store:
        ops = store.ops(session)
        rows = ops.audit(actor=actor, verb=verb, subject=subject, before=before, limit=limit)
        now_us = ops.now()
    following = rows[-1].id if len(rows) == limit else None
    if printer.json:
        printer.document(
            "audit.list/1", {"app": store.name, "rows": [_of(row) for row in rows], "next": following}
        )
        return
    if rows:
        printer.table(COLUMNS, [_row(row, now_us) for row in rows])
    else:
        printer.say("Nobody did anything that is audited.")
    if following is not None:
        printer.say(f"There are more; the next page: --before {following}")


@audit_command.command("verify")
@click.option(
    "--noted",
    metavar="N:HASH",
    help="What an earlier verify said, kept elsewhere: so that a chain made anew is found, too.",
)
@pass_session
def verify(session: Session, noted: str | None) -> int | None:
    """Look over the chain of all rows, of all apps in the store; exit 1 names what was changed or removed."""
    printer = session.printer
    number, hash_ = _noted(noted)
    with reach(session, named=False) as store:
        found = store.ops(session).audit_check(known_no=number, known_hash=hash_)
    if printer.json:
        broken = [{"chain_no": one.chain_no, "id": one.id, "problem": one.problem} for one in found.broken]
        fields = {"rows": found.rows, "head": found.head, "broken": broken, "waiting": found.waiting}
        printer.document("audit.verify/1", fields)
    else:
        for one in found.broken:
            row = "" if one.id is None else f" (audit row {one.id})"
            printer.put(f"place {one.chain_no}{row}: {one.problem}")
        if not found.broken:
            rows = "1 row" if found.rows == 1 else f"{found.rows:,} rows"
            printer.put(f"{rows}, none changed or removed.")
            printer.put(f"To be noted elsewhere, for --noted: {found.rows}:{found.head}")
        if found.waiting and found.waiting_since_us is not None:
            since = ago(found.waiting_since_us, found.now_us)
            printer.say(f"{found.waiting:,} rows are not in the chain yet, the first from {since}.")
    return BAD if found.broken else None


def _noted(text: str | None) -> tuple[int | None, str]:
    if text is None:
        return None, ""
    number, _, hash_ = text.partition(":")
    if not number.isdecimal() or not hash_:
        raise click.UsageError(f"--noted {text!r} is nothing that audit verify has said.")
    return int(number), hash_


def _row(row: AuditRow, now_us: int) -> list[str]:
    count = "" if row.intended is None else f" ({row.done or 0:,} of {row.intended:,})"
    how = " ".join(part for part in (row.how, row.address) if part)
    after = f"{row.after}{count}"
    return [ago(row.at_us, now_us), row.actor, row.verb, row.subject, row.before, after, row.reason, how]


def _of(row: AuditRow) -> dict[str, object]:
    return {
        "id": row.id,
        "at": iso(row.at_us),
        "actor": row.actor,
        "verb": row.verb,
        "subject": row.subject,
        "before": row.before,
        "after": row.after,
        "reason": row.reason,
        "how": row.how,
        "address": row.address,
        "action_id": row.action_id,
        "filter": row.filter,
        "intended": row.intended,
        "done": row.done,
        "skipped": row.skipped,
        "chain_no": row.chain_no,
    }
