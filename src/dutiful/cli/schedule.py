"""``dutiful schedule``: which schedules there are, what became of their occurrences, and a person's word."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from ..app.app import App
from ..app.scheduling import Schedule
from ..model.durations import microseconds
from ..model.errors import InvalidDuration, InvalidSchedule, ScheduleRefused
from ..model.keys import near
from ..model.spans import ago
from ..operations import health, schedule_verbs, schedules
from ..operations.schedule_verbs import Occurrence
from ..operations.schedules import Stored
from .lazy import SharedGroup
from .printing import Printer
from .reach import Reach, reach
from .schedule_preview import preview
from .session import Session, pass_session
from .tables import Column
from .times import absolute, full, iso, parse_instant

LIMIT = 20
COLUMNS = [
    Column("SCHEDULE"),
    Column("RULE", least=14),
    Column("STATE"),
    Column("NEXT"),
    Column("LAST", spare=1),
    Column("MISSED", spare=2),
    Column("WAITING", right=True, spare=1),
]
LEDGER = [
    Column("OCCURRENCE"),
    Column("STATE"),
    Column("MANY", right=True, spare=1),
    Column("JOB", spare=2),
    Column("WHY", least=20, spare=1),
    Column("BY", spare=1),
]

_reason = click.option("--reason", default="", help="Why, for the audit and the ledger.")
_at = click.option("--at", metavar="INSTANT", help="Which occurrence, as schedule show names it.")


@click.group("schedule", cls=SharedGroup)
def schedule_command() -> None:
    """Look at schedules, preview them, run one now, pause and resume."""


@schedule_command.command("list")
@pass_session
def list_(session: Session) -> None:
    """Every schedule: its rule, whether it is at work, and when it is due next."""
    printer = session.printer
    with reach(session) as store:
        found = store.run(schedules.look(store.name))
        waiting = store.run(schedule_verbs.waiting(store.name))
        last = {one.name: store.run(schedule_verbs.ledger(store.name, one.name, limit=1)) for one in found}
        new = sorted(set(store.app.schedules if store.app else ()) - set(last))
    if printer.json:
        listed = [_document(one, waiting.get(one.name, (0, 0))[0], last[one.name]) for one in found]
        printer.document("schedule.list/1", {"app": store.name, "schedules": listed, "new": new})
        return
    rows = []
    for one in found:
        many = waiting.get(one.name, (0, 0))[0]
        rows.append(
            [
                one.name,
                _words(one),
                state_of(one),
                "" if one.next_at_us is None else ago(one.next_at_us, one.now_us),
                "".join(f"{row.state} {ago(row.upto_us, one.now_us)}" for row in last[one.name]),
                _missed(one),
                f"{many:,}" if many else "",
            ]
        )
    if rows:
        printer.table(COLUMNS, rows)
    for name in new:
        printer.say(f"{name} is declared and begins with the first worker that has this code.")
    if not rows and not new:
        printer.say("No schedules: @app.schedule(…) declares one, and a worker's start brings it here.")
    for name, (many, first) in sorted(waiting.items()):
        some = "occurrence waits" if many == 1 else "occurrences wait"
        printer.say(
            f"{many:,} {some} for a person in {name}, the first of {iso_short(first)}: "
            f"dutiful schedule show {name}"
        )


@schedule_command.command("show")
@click.argument("name", metavar="NAME")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=LIMIT, metavar="N", help="Rows of its ledger."
)
@pass_session
def show(session: Session, name: str, limit: int) -> None:
    """One schedule, and the newest rows of its ledger."""
    printer = session.printer
    with reach(session) as store:
        one = _stored(store, name)
        rows = store.run(schedule_verbs.ledger(store.name, name, limit=limit))
        waiting = store.run(schedule_verbs.waiting(store.name)).get(name, (0, 0))[0]
    if printer.json:
        listed = [_of_row(row) for row in rows]
        printer.document("schedule.show/1", {**_document(one, waiting, rows[:1]), "ledger": listed})
        return
    _put_facts(printer, one)
    if rows:
        printer.put()
        printer.table(LEDGER, [_ledger_row(row) for row in rows])
    else:
        printer.say("Nothing is in its ledger yet.")


@schedule_command.command("run")
@click.argument("name", metavar="NAME")
@_at
@_reason
@pass_session
def run(session: Session, name: str, at: str | None, reason: str) -> None:
    """Make one occurrence now: a new one, or with --at one that waits or was skipped."""
    with reach(session) as store:
        own = _own(store, name)
        when = _instant(at, session) if at else None
        verb = schedule_verbs.run(store.name, name, when, own.job, actor=session.who, reason=reason)
        job_id, there = store.act(session, "run_schedule", verb)
        store.engine.wake(own.task.policy.queue)
    if session.json:
        fields = {"schedule": name, "job": job_id, "duplicate": there, "actor": session.who}
        session.printer.document("schedule.run/1", fields)
        return
    session.printer.put(f"{'It was job' if there else 'Job'} {job_id}{' already' if there else ''}.")


@schedule_command.command("skip")
@click.argument("name", metavar="NAME")
@click.option("--at", metavar="INSTANT", required=True, help="Which occurrence, as schedule show names it.")
@_reason
@pass_session
def skip(session: Session, name: str, at: str, reason: str) -> None:
    """Leave out an occurrence that waits for a person."""
    why = reason.strip() or session.ask("A reason", "--reason TEXT")
    when = _instant(at, session)
    with reach(session) as store:
        verb = schedule_verbs.skip(store.name, name, when, actor=session.who, reason=why)
        store.act(session, "skip_schedule", verb)
    _said(session, "skip", name, f"{iso_short(when)} of {name} is left out.")


@schedule_command.command("pause")
@click.argument("name", metavar="NAME")
@click.option("--until", metavar="WHEN", help="For so long (2h), or until an instant; else until resumed.")
@_reason
@pass_session
def pause(session: Session, name: str, until: str | None, reason: str) -> None:
    """Make no occurrences for a while; each that is due meanwhile is recorded as skipped."""
    why = reason.strip() or session.ask("A reason", "--reason TEXT")
    with reach(session) as store:
        for_us = _until(until, store, session)
        verb = schedule_verbs.pause(store.name, name, actor=session.who, reason=why, for_us=for_us)
        found = store.act(session, "pause_schedule", verb)
    end = found.paused_until_us
    when = "somebody resumes it" if end is None else full(end, found.now_us, utc=session.utc)
    _said(session, "pause", name, f"{name} is paused until {when}.")


@schedule_command.command("resume")
@click.argument("name", metavar="NAME")
@_reason
@pass_session
def resume(session: Session, name: str, reason: str) -> None:
    """Let a paused schedule go on, from now."""
    with reach(session) as store:
        verb = schedule_verbs.resume(store.name, name, actor=session.who, reason=reason)
        store.act(session, "resume_schedule", verb)
    _said(session, "resume", name, f"{name} goes on.")


schedule_command.add_command(preview)


def state_of(one: Stored) -> str:
    """In a word: active, paused, gone, or what is wrong."""
    if one.gone_at_us is not None:
        return "gone"
    if one.paused:
        return "paused"
    if not one.live:
        return "NO WORKER"
    if not one.current:
        return "changing"
    return "OVERDUE" if one.due and one.next_at_us is not None and _late(one) else "active"


def iso_short(at_us: int) -> str:
    """An occurrence as its key has it."""
    from ..model.schedules import instant_text

    return instant_text(at_us)


def _late(one: Stored) -> bool:
    try:
        grace = one.spec.grace_us
    except InvalidSchedule:
        return False
    return one.next_at_us is not None and one.now_us - one.next_at_us > grace


def _words(one: Stored) -> str:
    try:
        return one.spec.words
    except InvalidSchedule as error:
        return f"? {error.message}"


def _missed(one: Stored) -> str:
    try:
        return one.spec.missed
    except InvalidSchedule:
        return "?"


def _document(one: Stored, waiting: int, last: list[Occurrence]) -> dict[str, Any]:
    return {
        "name": one.name,
        "task": one.task,
        "rule": _words(one),
        "missed": _missed(one),
        "state": state_of(one).lower(),
        "next_at": iso(one.next_at_us),
        "covered_at": iso(one.covered_at_us),
        "declared_at": iso(one.declared_at_us),
        "changed_at": iso(one.changed_at_us),
        "gone_at": iso(one.gone_at_us),
        "paused_by": one.paused_by if one.paused else None,
        "paused_until": iso(one.paused_until_us) if one.paused else None,
        "pause_reason": one.pause_reason if one.paused else None,
        "waiting": waiting,
        "last": _of_row(last[0]) if last else None,
    }


def _of_row(row: Occurrence) -> dict[str, Any]:
    return {
        "at": iso_short(row.at_us),
        "upto": iso_short(row.upto_us),
        "occurrences": row.instants,
        "state": row.state,
        "job": row.job_id,
        "why": row.why,
        "by": row.asked_by,
        "made_at": iso(row.made_at_us),
    }


def _put_facts(printer: Printer, one: Stored) -> None:
    printer.put(f"{one.name}  {_words(one)}  {state_of(one)}")
    printer.put(f"task      {one.task}")
    printer.put(f"missed    {_missed(one)}")
    for title, at in (
        ("next", one.next_at_us),
        ("declared", one.declared_at_us),
        ("changed", one.changed_at_us if one.changed_at_us != one.declared_at_us else None),
        ("gone", one.gone_at_us),
    ):
        if at is not None:
            printer.put(f"{title:<9} {full(at, one.now_us, utc=printer.utc)}")
    if one.paused:
        end = one.paused_until_us
        until = "resumed" if end is None else absolute(end, utc=printer.utc)
        printer.put(f"paused    by {one.paused_by} until {until}: {one.pause_reason}")


def _ledger_row(row: Occurrence) -> list[str]:
    span = iso_short(row.at_us)
    if row.upto_us != row.at_us:
        span += f" … {iso_short(row.upto_us)}"
    many = f"{row.instants:,}" if row.instants > 1 else ""
    return [span, row.state, many, row.job_id or "", row.why or "", row.asked_by or ""]


def _stored(store: Reach, name: str) -> Stored:
    found = store.run(schedules.look(store.name))
    for one in found:
        if one.name == name:
            return one
    raise ScheduleRefused(f"There is no schedule {name!r}{near(name, [one.name for one in found])}.")


def _own(store: Reach, name: str) -> Schedule:
    app: App | None = store.app
    if app is None:
        raise click.UsageError("This needs the app's code, for the job's arguments: give --app MODULE:VAR.")
    if name not in app.schedules:
        raise ScheduleRefused(f"The app declares no schedule {name!r}{near(name, app.schedules)}.")
    return app.schedules[name]


def _instant(text: str, session: Session) -> int:
    try:
        return _microseconds(parse_instant(text, utc=session.utc))
    except ValueError as error:
        raise click.UsageError(f"{text!r} is no instant: {error}. As in: 2026-01-15T02:00Z") from None


def _microseconds(at: datetime) -> int:
    return round(at.timestamp()) * 1_000_000


def _until(text: str | None, store: Reach, session: Session) -> int | None:
    if text is None:
        return None
    try:
        return microseconds(text, what="--until", zero_ok=False)
    except InvalidDuration:
        for_us = _instant(text, session) - store.run(health.now())
    if for_us <= 0:
        raise click.UsageError(f"--until {text} is in the past.")
    return for_us


def _said(session: Session, verb: str, name: str, text: str) -> None:
    if session.json:
        session.printer.document(f"schedule.{verb}/1", {"schedule": name, "actor": session.who})
    else:
        session.printer.put(text)
