"""``dutiful reconcile``: compare what is expected with what is done; what was found; a person's word."""

from __future__ import annotations

import time
from typing import Any

import click

from ..app.app import App
from ..app.reconcile_pass import Result, Sweep
from ..app.reconciling import Reconciler
from ..model.durations import microseconds
from ..model.errors import DutifulError, InvalidDuration, ReconcileRefused
from ..model.keys import near
from ..model.spans import ago
from ..operations import health, reconcile, reconcile_views
from ..operations.reconcile import Found, Stored
from ..operations.reconcile_views import Finding, Run
from .exits import BAD, CANNOT_SAY, DONE
from .lazy import SharedCommand
from .printing import Printer
from .reach import Reach, reach
from .session import Session, pass_session
from .tables import Column
from .times import iso, parse_instant

COUNTS = ("ok", "young", "waiting", "stuck", "people", "missing", "late", "surplus")
BAD_ONES = ("missing", "late", "surplus", "stuck", "people")
LISTED_MAX = 50
FOUND = [Column("CLASS"), Column("KEY", least=16), Column("DUE"), Column("WHY", least=20, spare=1)]
STORED = [
    Column("RECONCILE"),
    Column("TASK", spare=3),
    Column("STATE"),
    Column("LAST"),
    Column("WHOLE", spare=1),
    Column("EXPECTED", right=True),
    Column("OPEN", right=True),
    Column("PASS", right=True, spare=2),
]


@click.command("reconcile", cls=SharedCommand)
@click.argument("name", required=False, metavar="[NAME]")
@click.option(
    "--since", metavar="WHEN", help="Look back to an instant, or for so long (30d), not the window."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be found and enqueued; write nothing.")
@click.option("--approve", type=int, metavar="ID", help="A pass that the governor stopped is right: go on.")
@click.option("--list", "listing", is_flag=True, help="Which there are, their last passes, what is open.")
@click.option("--pause", "pausing", is_flag=True, help="No worker makes a pass of NAME. Needs --reason.")
@click.option("--for", "span", metavar="SPAN", help="How long --pause lasts (2h); else until --resume.")
@click.option("--resume", "resuming", is_flag=True, help="Workers make passes of NAME again.")
@click.option("--reason", default="", help="Why, for the audit of --approve, --pause and --resume.")
@pass_session
def reconcile_command(
    session: Session,
    name: str | None,
    since: str | None,
    dry_run: bool,
    approve: int | None,
    listing: bool,
    pausing: bool,
    span: str | None,
    resuming: bool,
    reason: str,
) -> int:
    """Compare what is expected with what is done, over the whole window, and enqueue what is missing.

    Exit 0: all is in order. 1: something is not. 3: something could not be checked.
    """
    others = [listing, approve is not None, pausing, resuming]
    if any(others):
        if since is not None or dry_run:
            raise click.UsageError(
                "--since and --dry-run are for a pass: not with --list, --approve, --pause or --resume."
            )
        if sum(others) > 1:
            raise click.UsageError("Give one of --list, --approve, --pause and --resume.")
    if span is not None and not pausing:
        raise click.UsageError("--for says how long --pause lasts.")
    with reach(session) as store:
        if listing:
            return _list(session.printer, store, name)
        if pausing or resuming:
            return _hold(session, store, name, span, reason, resuming)
        if approve is not None:
            verb = reconcile.approve(store.name, approve, actor=session.who, reason=reason)
            name, many = store.act(session, "approve_reconcile", verb)
            session.printer.say(f"Pass {approve} of {name} is approved: up to {many:,} missing are enqueued.")
            if store.app is None or name not in store.app.reconcilers:
                session.printer.say("A worker that has this code does so within a minute.")
                return DONE
        if store.app is None:
            raise click.UsageError("This needs the app's code: give --app MODULE:VAR, or --list to look.")
        chosen = _chosen(store.app, name)
        since_us = _since(session, store, since)
        results = [_one(store, one, session.who, since_us, dry_run) for one in chosen]
    return _told(session.printer, store.app, results, dry_run)


def _hold(
    session: Session, store: Reach, name: str | None, span: str | None, reason: str, resuming: bool
) -> int:
    """Pause one, or let it go on."""
    from ..model.operators import Operator
    from ..supervise.reconcile_ops import ReconcileOps

    if name is None:
        raise click.UsageError("--pause and --resume need the NAME of a reconciliation: see --list.")
    ops = ReconcileOps(store, Operator(session.who, perms="admin", how="cli"))
    if resuming:
        said = ops.resume_reconcile(name, reason=reason).said
    else:
        for_us = None if span is None else microseconds(span, what="--for", zero_ok=False)
        said = ops.pause_reconcile(name, reason=reason, for_us=for_us).said
    session.printer.say(f"{said[0].upper()}{said[1:]}.")
    return DONE


def _chosen(app: App, name: str | None) -> list[Reconciler]:
    if name is None:
        if not app.reconcilers:
            raise ReconcileRefused(
                "The app declares no reconciliation, so nothing was compared.",
                hint="app.reconcile(task, expected=…, done=…) declares one.",
            )
        return [one for _, one in sorted(app.reconcilers.items())]
    if name not in app.reconcilers:
        raise ReconcileRefused(f"The app declares no reconciliation {name!r}{near(name, app.reconcilers)}.")
    return [app.reconcilers[name]]


def _since(session: Session, store: Reach, text: str | None) -> int | None:
    if text is None:
        return None
    now = store.run(health.now())
    try:
        return now - microseconds(text, what="--since", zero_ok=False)
    except InvalidDuration:
        try:
            at = round(parse_instant(text, utc=session.utc).timestamp() * 1_000_000)
        except ValueError as error:
            raise click.UsageError(
                f"--since {text!r} is neither a span as 30d, nor an instant: {error}."
            ) from None
    if at >= now:
        raise click.UsageError(f"--since {text} is in the future.")
    return at


Told = tuple[Reconciler, Result | str, float]


def _one(store: Reach, one: Reconciler, who: str, since_us: int | None, dry: bool) -> Told:
    """A pass, or why there was none."""
    assert store.app is not None
    began = time.monotonic()
    try:
        if not dry and one.name not in {row.name for row in store.run(reconcile.look(store.name))}:
            store.run(reconcile.adopt(store.name, one.rule))
        result = Sweep(store.app, one, by=who, since_us=since_us, dry=dry, whole=True).run()
    except DutifulError as error:
        return one, f"{error}", 0.0
    except Exception as error:  # whatever the declared sides raise: it is told, and the others are looked at
        return one, f"{type(error).__name__}: {error}", 0.0
    for queue in result.queues:
        store.engine.wake(queue)
    return one, result, time.monotonic() - began


def _told(printer: Printer, app: App, results: list[Told], dry: bool) -> int:
    failed = [told for told in results if isinstance(told[1], str)]
    bad = any(_bad(result) for _, result, _ in results if isinstance(result, Result))
    covered = {one.task.name for one in app.reconcilers.values()}
    chosen = [name for name, task in app.tasks.items() if task.policy.because]
    if printer.json:
        fields = {
            "app": app.name,
            "dry_run": dry,
            "tasks": len(app.tasks),
            "tasks_reconciled": len(covered),
            "tasks_by_choice_not": sorted(chosen),
            "reconcilers": [_document(*told) for told in results],
        }
        printer.document("reconcile/1", fields)
    else:
        for one, result, seconds in results:
            if isinstance(result, str):
                printer.put(f"? {one.name}: could not check. {result}")
            else:
                _put(printer, one, result, seconds, dry)
        share = 100 * len(covered) // max(1, len(app.tasks))
        rest = f", {len(chosen)} not by choice" if chosen else ""
        printer.say(f"{len(covered)} of {len(app.tasks)} tasks are reconciled ({share} %){rest}.")
    return BAD if bad else CANNOT_SAY if failed else DONE


def _bad(result: Result) -> bool:
    counts = result.made.counts
    return any(getattr(counts, kind) for kind in BAD_ONES)


def _put(printer: Printer, one: Reconciler, result: Result, seconds: float, dry: bool) -> None:
    made, counts = result.made, result.made.counts
    parts = [f"{counts.expected:,} expected"]
    parts += [f"{getattr(counts, kind):,} {kind}" for kind in COUNTS if getattr(counts, kind) or kind == "ok"]
    acted = f" · {result.enqueued:,} enqueued" if result.enqueued else ""
    sign = "✗" if _bad(result) else "✓"
    printer.put(
        f"{sign} {one.name}: {' · '.join(parts)}{acted}   coverage {_coverage(result)}   {seconds:.1f} s"
    )
    if made.governed.said in ("stopped", "waiting") and not dry:
        printer.put(
            f"  The governor stopped: more than {made.believed:,} missing is not believed. "
            f"If it is right: dutiful reconcile --approve {result.run}"
        )
    if result.shown:
        now = made.began_us
        rows = [
            [row.kind, row.key, "" if row.due_us is None else ago(row.due_us, now), row.why]
            for row in result.shown
        ]
        printer.table(FOUND, rows)


def _coverage(result: Result) -> str:
    """How many of the expected duties could be judged: those that are too young could not."""
    counts = result.made.counts
    if not counts.expected:
        return "– (nothing is expected)"
    return f"{100 * (counts.expected - counts.young) / counts.expected:.4g} %"


def _document(one: Reconciler, result: Result | str, seconds: float) -> dict[str, Any]:
    if isinstance(result, str):
        return {"name": one.name, "task": one.task.name, "error": result}
    made, counts = result.made, result.made.counts
    judged = None if not counts.expected else round((counts.expected - counts.young) / counts.expected, 6)
    return {
        "name": one.name,
        "task": one.task.name,
        "error": None,
        "run": result.run,
        "since": iso(made.since_us),
        "until": iso(made.upto_us),
        "expected": counts.expected,
        **{kind: getattr(counts, kind) for kind in COUNTS},
        "unexpected": counts.unexpected,
        "enqueued": result.enqueued,
        "governor": made.governed.said or None,
        "believed": made.believed,
        "coverage": judged,
        "seconds": round(seconds, 3),
        "findings": [_of_found(row) for row in result.shown],
    }


def _of_found(row: Found) -> dict[str, Any]:
    return {
        "key": row.key,
        "class": row.kind,
        "due": iso(row.due_us),
        "job": row.job_id,
        "why": row.why or None,
    }


# ── looking ─────────────────────────────────────────────────────────────────────────────────


def _list(printer: Printer, store: Reach, name: str | None) -> int:
    stored = [one for one in store.run(reconcile.look(store.name)) if name in (None, one.name)]
    if name is not None and not stored:
        raise ReconcileRefused(f"There is no reconciliation {name!r} in the store.")
    last = {one.name: store.run(reconcile_views.runs(store.name, one.name, limit=1)) for one in stored}
    found = store.run(reconcile_views.findings(store.name, name, limit=LISTED_MAX))
    if printer.json:
        fields = {
            "app": store.name,
            "reconcilers": [_of_stored(one, last[one.name]) for one in stored],
            "findings": [_of_finding(row) for row in found],
        }
        printer.document("reconcile.list/1", fields)
    elif not stored:
        printer.say("No reconciliation: app.reconcile(…) declares one, and a worker's start brings it here.")
    else:
        rows = [_row(one, last[one.name], found) for one in stored]
        printer.table(STORED, rows)
        for one in stored:
            if one.error is not None:
                printer.say(f"{one.name} could not check: {one.error}")
        if found:
            printer.put()
            printer.table(
                [
                    Column("RECONCILE"),
                    Column("CLASS"),
                    Column("KEY", least=16),
                    Column("SINCE"),
                    Column("WHY", spare=1),
                ],
                [[row.name, row.kind, row.key, ago(row.first_us, row.now_us), row.why] for row in found],
            )
    failed = any(one.error is not None for one in stored)
    return BAD if found else CANNOT_SAY if failed else DONE


def state_of(one: Stored) -> str:
    """In a word or two; loud where something is not as it should be."""
    return one.state if one.state in ("active", "gone", "never run") else one.state.upper()


def _row(one: Stored, last: list[Run], found: list[Finding]) -> list[str]:
    never = "never"
    return [
        one.name,
        one.task,
        state_of(one),
        never if one.looked_at_us is None else ago(one.looked_at_us, one.now_us),
        never if one.whole_at_us is None else ago(one.whole_at_us, one.now_us),
        f"{last[0].expected:,}" if last else "",
        f"{sum(row.name == one.name for row in found):,}",
        str(last[0].id) if last else "",
    ]


def _of_stored(one: Stored, last: list[Run]) -> dict[str, Any]:
    return {
        "name": one.name,
        "task": one.task,
        "state": state_of(one).lower(),
        "looked_at": iso(one.looked_at_us),
        "whole_at": iso(one.whole_at_us),
        "watermark": iso(one.watermark_us),
        "stopped_pass": one.stopped,
        "error": one.error,
        "last": _of_run(last[0]) if last else None,
    }


def _of_run(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "whole": run.whole,
        "by": run.by,
        "began_at": iso(run.began_us),
        "ended_at": iso(run.ended_us),
        "since": iso(run.since_us),
        "until": iso(run.upto_us),
        "expected": run.expected,
        **{kind: getattr(run, kind) for kind in COUNTS},
        "unexpected": run.unexpected,
        "enqueued": run.enqueued,
        "governor": run.governor or None,
        "believed": run.believed,
    }


def _of_finding(row: Finding) -> dict[str, Any]:
    return {
        "name": row.name,
        "key": row.key,
        "class": row.kind,
        "since": iso(row.first_us),
        "due": iso(row.due_us),
        "job": row.job_id,
        "enqueued": row.made,
        "why": row.why or None,
    }
