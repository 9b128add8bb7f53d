"""``dutiful queue``: what stands in each queue, how late it is, who serves it; pause, resume and limit."""

from __future__ import annotations

from collections import Counter

import click

from ..model.durations import microseconds
from ..model.errors import InvalidDuration
from ..model.spans import span
from ..operations import health, inspect, queues
from ..operations.inspect import QueueView
from ..operations.queues import QueueState
from .documents import is_late, of_queue
from .lazy import SharedGroup
from .reach import Reach, reach
from .session import Session, pass_session
from .tables import Column
from .times import iso, parse_instant

LIMIT_MAX = 1_000_000

COLUMNS = [
    Column("QUEUE"),
    Column("DUE", right=True),
    Column("LATER", right=True),
    Column("RUNNING", right=True),
    Column("IN DOUBT", right=True, spare=2),
    Column("DEAD", right=True),
    Column("OLDEST DUE", right=True),
    Column("TARGET", right=True, spare=1),
    Column("LIMIT", right=True, spare=1),
    Column("WORKERS", right=True),
    Column("", spare=1),
]


@click.group("queue", cls=SharedGroup)
def queue_command() -> None:
    """Look at queues; pause, resume and limit them."""


@queue_command.command("list")
@pass_session
def list_(session: Session) -> None:
    """Every queue: jobs due and later, the oldest that is due, and the workers that take it."""
    printer = session.printer
    with reach(session) as store:
        listing = store.run(inspect.queues(store.name))
        workers = _workers(store)
    if printer.json:
        listed = [of_queue(one, workers[one.name]) for one in listing]
        printer.document("queue.list/1", {"app": store.name, "queues": listed})
        return
    if not listing:
        app = f'App "{store.name}"' if store.name else "This database"
        printer.say(f"{app} has no queues yet: the first enqueue, or the first worker, makes them.")
        return
    printer.table(COLUMNS, [_row(one, workers[one.name]) for one in listing])
    for one in listing:
        if one.paused_at_us is not None:
            until = "" if one.paused_until_us is None else f" until {printer.clock(one.paused_until_us)}"
            printer.say(f"{one.name} is paused{until} by {one.paused_by}: {one.pause_reason}")
        if one.limited_at_us is not None:
            instead = "no limit" if one.declared is None else f"{one.declared}"
            printer.say(
                f"{one.name} is limited to {one.limit_slots} (declared: {instead}) by {one.limited_by},"
                f" since {printer.clock(one.limited_at_us)}: {one.limit_reason}"
            )
        if one.due and not workers[one.name]:
            jobs = "job is" if one.due == 1 else "jobs are"
            printer.say(
                f"{one.due:,} {jobs} due in {one.name}, and no live worker takes that queue: "
                f"dutiful worker -q {one.name}"
            )


@queue_command.command("pause")
@click.argument("name", metavar="NAME")
@click.option("--reason", required=True, help="Why; everybody who asks is told.")
@click.option("--until", metavar="WHEN", help='A span ("2h") or an instant. Default: until it is resumed.')
@pass_session
def pause(session: Session, name: str, reason: str, until: str | None) -> None:
    """Let no worker claim from a queue; what runs goes on. It lapses by the database's clock."""
    when: dict[str, int] = {}
    if until is not None:
        try:
            when["span_us"] = microseconds(until, what="--until", zero_ok=False)
        except InvalidDuration:
            try:
                instant = parse_instant(until, utc=session.printer.utc)
            except ValueError:
                raise click.UsageError(
                    f"--until {until!r} is neither a span (2h) nor an instant (2026-11-24T18:00)."
                ) from None
            when["until_us"] = round(instant.timestamp() * 1e6)
    with reach(session) as store:
        verb = queues.pause(store.name, name, actor=session.who, reason=reason, **when)
        said = store.act(session, "pause_queue", verb)
    _say(session, "pause", said)


@queue_command.command("resume")
@click.argument("name", metavar="NAME")
@click.option("--reason", default="", help="Why, for the audit.")
@pass_session
def resume(session: Session, name: str, reason: str) -> None:
    """End a pause."""
    with reach(session) as store:
        verb = queues.resume(store.name, name, actor=session.who, reason=reason)
        said = store.act(session, "resume_queue", verb)
    _say(session, "resume", said)


@queue_command.command("limit")
@click.argument("name", metavar="NAME")
@click.argument("limit", metavar="N|none")
@click.option("--reason", required=True, help="Why; everybody who asks is told.")
@pass_session
def limit(session: Session, name: str, limit: str, reason: str) -> None:
    """Run at most N jobs of a queue at a time, on all workers together, whatever the program declares.

    It holds until it is changed, or taken back by none: then what the program declares holds again.
    Workers learn of it by their next beat; what runs goes on.
    """
    if limit != "none" and (not limit.isdecimal() or not 1 <= int(limit) <= LIMIT_MAX):
        raise click.UsageError(
            f"{limit!r} is no limit: a number from 1 to {LIMIT_MAX:,}, or none for what the program declares."
            f" To let nothing run: dutiful queue pause {name} --reason …"
        )
    with reach(session) as store:
        done = store.ops(session).limit_queue(name, None if limit == "none" else int(limit), reason=reason)
    queue = done.value
    assert queue is not None  # without an action id it is never a replay
    if session.json:
        fields = {"name": queue.name, "limit": queue.slots, "limit_declared": queue.declared}
        session.printer.document(
            "queue.limit/1", fields | {"limited": queue.limit_slots is not None, "actor": session.who}
        )
    else:
        session.printer.put(f"{done.said[:1].upper()}{done.said[1:]}.")


@queue_command.command("late")
@click.option("--since", metavar="SPAN", default="1d", help="Of what ended so lately (default 1d).")
@pass_session
def late(session: Session, since: str) -> None:
    """What was too late: skipped, dead as stale, or begun later than its queue's target."""
    printer = session.printer
    span_us = microseconds(since, what="--since", zero_ok=False)
    with reach(session) as store:
        counts = store.run(queues.late_counts(store.name, span_us))
    if printer.json:
        rows = [
            {"name": one.queue, "skipped": one.skipped, "stale": one.stale, "over_target": one.over_target}
            for one in counts
        ]
        printer.document("queue.late/1", {"app": store.name, "since_s": span_us / 1e6, "queues": rows})
        return
    columns = [Column("QUEUE"), *(Column(name, right=True) for name in ("SKIPPED", "STALE", "OVER TARGET"))]
    table = [[one.queue, f"{one.skipped:,}", f"{one.stale:,}", f"{one.over_target:,}"] for one in counts]
    printer.table(columns, table)


def _say(session: Session, verb: str, queue: QueueState) -> None:
    if session.json:
        fields = {"name": queue.name, "paused": queue.paused_at_us is not None, "actor": session.who}
        session.printer.document(f"queue.{verb}/1", fields | {"until": iso(queue.paused_until_us)})
    elif queue.paused_at_us is None:
        session.printer.put(f"{queue.name} is open.")
    else:
        until = (
            "it is resumed" if queue.paused_until_us is None else session.printer.clock(queue.paused_until_us)
        )
        session.printer.put(f"{queue.name} is paused until {until}.")


def _pause(queue: QueueView) -> str:
    return "" if queue.paused_at_us is None else "PAUSED"


def _workers(store: Reach) -> Counter[str]:
    """How many live workers take each queue."""
    workers, _now = store.run(health.workforce(store.name))
    live = [worker for worker in workers if not (worker.silent or worker.alone)]
    return Counter(queue for worker in live for queue in worker.queues)


def _row(queue: QueueView, workers: int) -> list[str]:
    return [
        queue.name,
        f"{queue.due:,}",
        f"{queue.later:,}",
        f"{queue.running:,}",
        f"{queue.in_doubt:,}" if queue.in_doubt else "",
        f"{queue.dead:,}",
        "" if queue.oldest_us is None else span(queue.now_us - queue.oldest_us),
        "" if queue.target_us is None else span(queue.target_us),
        "" if queue.slots is None else str(queue.slots),
        str(workers),
        " ".join(filter(None, ("LATE" if is_late(queue) else "", _pause(queue)))),
    ]
