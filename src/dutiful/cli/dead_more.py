"""More of ``dutiful dead``: causes, acknowledgements, edit and retry, and taking a discard back."""

from __future__ import annotations

import click

from ..model.durations import microseconds
from ..model.spans import ago, span
from ..operations import acks
from ..operations import groups as causes
from ..operations.acks import GROUP, SPAN_US, Ack
from ..operations.dead_sets import Choice
from ..operations.groups import Group
from .arguments import from_json, from_pairs
from .bulk_watch import carry_out
from .dead import dead_command
from .exits import INTERRUPTED, PARTIAL
from .job import JobId
from .reach import reach
from .retrying import choice_option
from .session import Session, pass_session
from .tables import Column
from .times import iso

__all__ = ["dead_command"]

GROUPS = [
    Column("FP"),
    Column("JOBS", right=True),
    Column("LAST"),
    Column("FIRST", spare=4),
    Column("TASK", least=20),
    Column("ERROR", least=40),
    Column("OWNER", spare=2),
    Column("SEEN"),
]
FP_CHARS = 8
ACKS_MAX = 10_000


@dead_command.command("groups")
@click.option("--task", metavar="NAME", help="Only causes in this task.")
@click.option("--unseen", is_flag=True, help="Only those that nobody has acknowledged.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, metavar="N", show_default=True)
@pass_session
def groups(session: Session, task: str | None, unseen: bool, limit: int) -> None:
    """What jobs are dead of, by cause: one line a cause, however many jobs."""
    printer = session.printer
    with reach(session) as store:
        name = store.name
        found = store.run(causes.groups(name, task=task))
        known = {one.thing: one for one in store.run(acks.listed(store.name, limit=ACKS_MAX))}
    shown = [(one, known.get(GROUP + one.fingerprint)) for one in found]
    if unseen:
        shown = [(one, said) for one, said in shown if not _seen(one, said)]
    shown = shown[:limit]
    if printer.json:
        printer.document("dead.groups/1", {"app": name, "groups": [_of(*one) for one in shown]})
    elif shown:
        printer.table(GROUPS, [_row(*one) for one in shown])
    else:
        printer.say("Every cause has been seen." if found else "Nobody is dead of anything.")


@dead_command.command("ack")
@click.argument("fp", metavar="FP")
@click.option("--note", default="", metavar="TEXT", help="What is known of it; always needed.")
@click.option("--until", metavar="SPAN", help="For so long (default 24h, at most 90d): 7d.")
@click.option("--take", is_flag=True, help="It is yours to see to, too.")
@click.option("--withdraw", is_flag=True, help="It is unseen again.")
@pass_session
def ack(session: Session, fp: str, note: str, until: str | None, take: bool, withdraw: bool) -> None:
    """Say that a cause of death has been seen, by the beginning of its fingerprint.

    It is unseen again after that time, when twice as many are dead of it, or when another release sees it.
    """
    span_us = SPAN_US if until is None else microseconds(until, what="--until", zero_ok=False)
    with reach(session) as store:
        ops = store.ops(session)
        group = ops.group(fp)
        thing = GROUP + group.fingerprint
        if withdraw:
            ops.withdraw(thing, reason=note)
        else:
            text = note.strip() or session.ask("A note", "--note TEXT")
            if take:
                ops.take(thing)
            ops.acknowledge(thing, note=text, span_us=span_us)
    if session.json:
        fields = {"fp": group.fingerprint, "seen": not withdraw, "actor": session.who}
        session.printer.document("dead.ack/1", fields)
    elif withdraw:
        session.printer.put(f"{group.fingerprint} is unseen again.")
    else:
        what = group.kind or group.reason
        session.printer.put(f"{what} in {group.task} is seen for {span(span_us)} ({group.n:,} jobs).")


@dead_command.command("edit")
@click.argument("job_id", metavar="ID", type=JobId())
@click.argument("pairs", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--args", "json", metavar="JSON", help="All arguments anew, as one object.")
@click.option("--reason", default="", help="Why, for the audit.")
@choice_option
@pass_session
def edit(
    session: Session, job_id: str, pairs: tuple[str, ...], json: str | None, reason: str, choice: Choice
) -> None:
    """Change a dead job's arguments, and bring it back.

    KEY=VALUE changes these and leaves the others. What does not fit the task's annotations is refused, and
    so is what would make it another duty. A secret stays as it is unless it is given.
    """
    import msgspec

    if bool(pairs) == (json is not None):
        raise click.UsageError("Give KEY=VALUE, or --args JSON.")
    with reach(session) as store:
        ops = store.ops(session)
        job = ops.job(job_id)
        if store.app is not None:
            task = store.app.find_task(job.task)
            given = (from_json(task, json) if json is not None else from_pairs(task, pairs))[1]
        else:
            given = {}
        stored = {} if json is not None else msgspec.json.decode(job.args)
        changed = {**stored, **msgspec.json.decode(msgspec.json.encode(given))}
        done = ops.edit(job.id, changed, reason=reason, choice=choice).value
        assert done is not None
        store.engine.wake(done.queue)
    if session.json:
        session.printer.document("dead.edit/1", {"id": done.id, "state": done.state, "actor": session.who})
    else:
        session.printer.put(f"{done.id} has new arguments, and is {done.state}.")


@dead_command.command("undo")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=JobId())
@click.option("--bulk", "bulk_id", metavar="ID", help="All that this bulk operation discarded.")
@click.option("--reason", default="", help="Why, for the audit.")
@pass_session
def undo(session: Session, ids: tuple[str, ...], bulk_id: str | None, reason: str) -> int | None:
    """Take a discard back: the job is again what it was, with its key."""
    if bool(ids) == (bulk_id is not None):
        raise click.UsageError("Give ids, or --bulk ID.")
    printer = session.printer
    with reach(session) as store:
        ops = store.ops(session)
        if bulk_id is None:
            jobs = [ops.undo(job_id, reason=reason).value for job_id in ids]
            if printer.json:
                back = [{"id": job.id, "state": job.state} for job in jobs if job is not None]
                printer.document("dead.undo/1", {"jobs": back, "actor": session.who})
                return None
            for job in jobs:
                if job is not None:
                    printer.put(f"{job.id} is {job.state.replace('_', ' ')}.")
            return None
        begun = ops.undo_all(bulk_id, reason=reason).value
        assert begun is not None
        over, found = carry_out(session, ops, begun, "Undo")
    if printer.json:
        fields = {"bulk": found.id, "matched": found.intended, "undone": found.done, "left": found.left}
        printer.document("dead.undo/1", {**fields, "skipped": found.skipped, "actor": session.who})
    else:
        left = f", {found.skipped:,} left: dutiful bulk show {found.id}" if found.skipped else ""
        printer.put(f"{found.done:,} of {found.intended:,} are dead again{left}.")
    return INTERRUPTED if not over else PARTIAL if found.skipped else None


def _seen(one: Group, said: Ack | None) -> bool:
    return said is not None and said.holds(one.n, one.last_release, one.last_at_us)


def _row(one: Group, said: Ack | None) -> list[str]:
    error = f"{one.kind}: {one.title}" if one.title else (one.kind or one.reason)
    seen = "no"
    if said is not None and _seen(one, said) and said.until_us is not None:
        seen = f"by {said.acked_by}, for {span(said.until_us - said.now_us)}"
    elif said is not None and said.acked_at_us is not None:
        seen = "no: lapsed"
    last, first = ago(one.last_at_us, one.now_us), ago(one.first_at_us, one.now_us)
    owner = (said.owner if said is not None else None) or ""
    return [one.fingerprint[:FP_CHARS], f"{one.n:,}", last, first, one.task, error, owner, seen]


def _of(one: Group, said: Ack | None) -> dict[str, object]:
    return {
        "fp": one.fingerprint,
        "task": one.task,
        "reason": one.reason,
        "kind": one.kind,
        "title": one.title,
        "jobs": one.n,
        "deaths": one.deaths,
        "first_at": iso(one.first_at_us),
        "last_at": iso(one.last_at_us),
        "first_release": one.first_release,
        "last_release": one.last_release,
        "owner": said.owner if said is not None else None,
        "seen": _seen(one, said),
        "acked_by": said.acked_by if said is not None else None,
        "note": said.note if said is not None else None,
        "until": iso(said.until_us) if said is not None else None,
    }
