"""``dutiful bulk``: operations over many jobs: look at them, watch one, stop one."""

from __future__ import annotations

from typing import Any, Literal

import click

from ..model.spans import ago
from ..operations.bulk_values import Bulk
from .bulk_watch import watch as look_on
from .exits import INTERRUPTED, PARTIAL
from .lazy import SharedGroup
from .reach import reach
from .session import Session, pass_session
from .tables import Column
from .times import iso

COLUMNS = [
    Column("ID"),
    Column("BEGAN"),
    Column("VERB"),
    Column("STATE"),
    Column("DONE", right=True),
    Column("LEFT OUT", right=True),
    Column("OF", right=True),
    Column("BY", least=8, spare=2),
    Column("WHICH", least=20),
    Column("REASON", least=12, spare=3),
]
ITEMS_MAX = 10_000


@click.group("bulk", cls=SharedGroup)
def bulk_command() -> None:
    """Look at operations over many jobs, watch one, stop one."""


@bulk_command.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@pass_session
def list_(session: Session, limit: int) -> None:
    """Bulk operations, the latest first; kept for 90 days."""
    printer = session.printer
    with reach(session) as store:
        found = store.ops(session).bulks(limit=limit)
    if printer.json:
        printer.document("bulk.list/1", {"app": store.name, "bulks": [_of(one) for one in found]})
    elif found:
        printer.table(COLUMNS, [_row(one) for one in found])
    else:
        printer.say("No bulk operations.")


@bulk_command.command("show")
@click.argument("bulk_id", metavar="ID")
@click.option("--limit", type=click.IntRange(1, ITEMS_MAX), default=100, show_default=True)
@pass_session
def show(session: Session, bulk_id: str, limit: int) -> None:
    """One of them, and each job that was not simply done, with the reason."""
    printer = session.printer
    with reach(session) as store:
        ops = store.ops(session)
        one, items = ops.bulk(bulk_id), ops.bulk_items(bulk_id, limit=limit)
    if printer.json:
        listed = [{"id": item.job_id, "state": item.state, "why": item.why} for item in items]
        printer.document("bulk.show/1", {"bulk": _of(one), "items": listed})
        return
    _say(session, one)
    for item in items:
        printer.put(f"{item.state} {item.job_id}: {item.why}")


@bulk_command.command("watch")
@click.argument("bulk_id", metavar="ID")
@pass_session
def watch(session: Session, bulk_id: str) -> int | None:
    """Look on until it is over; where nobody walks it, this does. Ctrl-C leaves it to the workers."""
    with reach(session) as store:
        ops = store.ops(session)
        over, found = look_on(session, ops, ops.bulk(bulk_id))
    if session.json:
        session.printer.document("bulk.watch/1", {"bulk": _of(found), "over": over})
    else:
        _say(session, found)
    if not over:
        return INTERRUPTED
    return PARTIAL if found.skipped or found.failed or found.left else None


@bulk_command.command("pause")
@click.argument("bulk_id", metavar="ID")
@click.option("--reason", default="", help="Why, for the audit.")
@pass_session
def pause(session: Session, bulk_id: str, reason: str) -> None:
    """Stop it for now; when this returns nothing more is done."""
    _steer(session, bulk_id, "pause", reason)


@bulk_command.command("resume")
@click.argument("bulk_id", metavar="ID")
@click.option("--reason", default="", help="Why, for the audit.")
@pass_session
def resume(session: Session, bulk_id: str, reason: str) -> None:
    """Let a paused one go on: a worker walks it, or: dutiful bulk watch ID"""
    _steer(session, bulk_id, "resume", reason)


@bulk_command.command("abort")
@click.argument("bulk_id", metavar="ID")
@click.option("--reason", default="", help="Why, for the audit.")
@pass_session
def abort(session: Session, bulk_id: str, reason: str) -> None:
    """End it where it is. What was done stays done: a discard is taken back by dutiful dead undo --bulk ID"""
    _steer(session, bulk_id, "abort", reason)


def _steer(session: Session, bulk_id: str, verb: Literal["pause", "resume", "abort"], reason: str) -> None:
    with reach(session) as store:
        found = store.ops(session).steer(bulk_id, verb, reason=reason).value
        assert found is not None
    if session.json:
        session.printer.document(f"bulk.{verb}/1", {"bulk": _of(found), "actor": session.who})
    else:
        _say(session, found)


def _say(session: Session, one: Bulk) -> None:
    parts = [f"{one.done:,} done"]
    parts += [f"{one.skipped:,} skipped"] if one.skipped else []
    parts += [f"{one.failed:,} failed"] if one.failed else []
    parts += [f"{one.left:,} left"] if one.left else []
    session.printer.put(f"Bulk {one.verb} of {one.intended:,} {one.filter}: {one.state}; {', '.join(parts)}.")


def _row(one: Bulk) -> list[str]:
    left = f"{one.skipped + one.failed:,}"
    which = [one.actor, one.filter, one.reason]
    return [
        one.id,
        ago(one.began_at_us, one.now_us),
        one.verb,
        one.state,
        f"{one.done:,}",
        left,
        f"{one.intended:,}",
        *which,
    ]


def _of(one: Bulk) -> dict[str, Any]:
    return {
        "id": one.id,
        "verb": one.verb,
        "state": one.state,
        "actor": one.actor,
        "reason": one.reason,
        "filter": one.filter,
        "bound": iso(one.bound_us),
        "began_at": iso(one.began_at_us),
        "start_at": iso(one.start_at_us),
        "ended_at": iso(one.ended_at_us),
        "pace": one.pace,
        "intended": one.intended,
        "done": one.done,
        "skipped": one.skipped,
        "failed": one.failed,
        "left": one.left,
        "undoes": one.undoes,
    }
