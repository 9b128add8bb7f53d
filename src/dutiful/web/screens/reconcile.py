"""Reconciliations: what was expected and what is done, when that was looked at, and what was not in order."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from ...model.errors import ReconcileRefused
from ...model.reconcile import FINDINGS
from ...model.redaction import MASK
from ...operations import health, reconcile, reconcile_views, registry
from ...operations.reconcile import Stored
from ...operations.reconcile_views import Finding, Open, Run
from ..asking import Ask
from ..cursors import of_group, to_group
from ..guard import Refused

PAGE = 50
LISTED = 20
PASSES = 20
LOOKED_MAX = 5
"""So many of the latest passes are looked at for one that is through: it was not cut off, or is under way."""
CLOSED = "closed"
WORDS = {
    "missing": "expected, and neither in flight nor done",
    "late": "missing, and too old for the policy",
    "surplus": "done twice, or done and not expected",
    "stuck": "its job is open for too long",
    "people": "its job is dead or in doubt",
}


class Pass(Run, frozen=True):
    """One pass. ``coverage``: how many in a hundred of what was expected could be judged, None of nothing."""

    coverage: float | None = None

    @classmethod
    def of(cls, run: Run) -> Pass:
        """From a kept one."""
        judged = _percent(run.expected - run.young, run.expected) if run.expected else None
        return cls(**asdict(run), coverage=judged)


class Reconciled(Struct, frozen=True):
    """A reconciliation, as it is at work. ``last`` is the latest pass that is through, ``whole`` the latest
    of those over all of the window; ``stopped`` the one that waits for a person's word. ``open`` is by class.
    """

    name: str
    task: str
    state: str
    every_us: int
    reach_us: int
    attend_us: int | None
    next_us: int
    wants: str
    walker: str | None
    looked_us: int | None
    whole_us: int | None
    error: str | None
    error_us: int | None
    paused_by: str | None
    paused_until_us: int | None
    pause_reason: str | None
    last: Pass | None
    whole: Pass | None
    stopped: Pass | None
    approved: int | None
    open: dict[str, Open]


class ReconcileList(Struct, frozen=True):
    """A page of them by name. ``new``: declared by this code, and begun by the first worker that has it."""

    rows: list[Reconciled]
    new: list[str]
    tasks: int
    covered: int
    by_choice: int
    next: str | None
    first: str | None
    now_us: int


class Found(Struct, frozen=True):
    """A finding, as it may be shown."""

    key: str
    kind: str
    first_us: int
    last_us: int
    closed_us: int | None
    due_us: int | None
    job_id: str | None
    made: bool
    why: str


class OneReconcile(Struct, frozen=True):
    """One of them: the findings of a class (or those that are closed), and its passes."""

    row: Reconciled
    shown: str
    words: str
    classes: list[str]
    findings: list[Found]
    passes: list[Pass]
    next: str | None
    first: str | None
    older: str | None
    now_us: int


def reconcile_list(ask: Ask) -> ReconcileList:
    """All of them, a page at a time."""
    app, after = ask.site.name, ask.text("after") or ""
    stored = ask.run(reconcile.look(app))
    listed = [one for one in stored if one.name > after]
    counts = ask.run(reconcile_views.open_counts(app))
    rows = [_row(ask, one, counts.get(one.name, {})) for one in listed[:LISTED]]
    tasks = {one.name for one in ask.run(registry.tasks(app))}
    covered = tasks & {one.task for one in stored if one.gone_at_us is None}
    declared = ask.site.app.reconcilers if ask.site.app is not None else {}
    return ReconcileList(
        rows=rows,
        new=sorted(set(declared) - {one.name for one in stored}) if not after else [],
        tasks=len(tasks),
        covered=len(covered),
        by_choice=ask.site.verdict().facts.get("tasks_unreconciled_by_choice") or 0,
        next=ask.here(after=rows[-1].name) if len(listed) > LISTED else None,
        first=ask.link(ask.path) if after else None,
        now_us=stored[0].now_us if stored else ask.run(health.now()),
    )


def one_reconcile(ask: Ask) -> OneReconcile:
    """One, with what it found. Raises Refused where there is none of that name."""
    one = find(ask)
    app = ask.site.name
    row = _row(ask, one, ask.run(reconcile_views.open_counts(app)).get(one.name, {}))
    classes = [kind for kind in FINDINGS if kind in row.open]
    shown = ask.text("class") or (classes[0] if classes else FINDINGS[0])
    if shown not in FINDINGS:
        shown = CLOSED
    cursor = to_group(ask.text("after"))
    if shown == CLOSED:
        found = ask.run(reconcile_views.closed(app, one.name, before=cursor, limit=PAGE + 1))
    else:
        found = ask.run(reconcile_views.page(app, one.name, shown, after=cursor, limit=PAGE + 1))
    more = None
    if len(found) > PAGE:
        edge = found[PAGE - 1]
        at = edge.closed_us if edge.closed_us is not None else edge.first_us
        more = ask.here(**{"class": shown, "after": of_group(at, edge.key)})
    before = ask.number("before", 0, 0, reconcile_views.LATEST) or reconcile_views.LATEST
    runs = ask.run(reconcile_views.runs(app, one.name, before=before, limit=PASSES + 1))
    masked = _hides_keys(ask, one.task)
    return OneReconcile(
        row=row,
        shown=shown,
        words=WORDS.get(shown, ""),
        classes=list(FINDINGS),
        findings=[_found(ask, finding, masked) for finding in found[:PAGE]],
        passes=[Pass.of(run) for run in runs[:PASSES]],
        next=more,
        first=ask.link(ask.path, **{"class": shown}) if cursor is not None else None,
        older=ask.here(before=runs[PASSES - 1].id) if len(runs) > PASSES else None,
        now_us=one.now_us,
    )


def find(ask: Ask) -> Stored:
    """The one that the address names. Raises Refused where there is none."""
    name = ask.names["name"]
    found = [one for one in ask.run(reconcile.look(ask.site.name)) if one.name == name]
    if not found:
        raise Refused(404, "Not found", f"There is no reconciliation {name[:200]!r}.", ReconcileRefused.hint)
    return found[0]


def stopped_pass(ask: Ask, one: Stored) -> Run | None:
    """The latest pass that the governor stopped and nobody has approved: its count is what is approved."""
    if one.stopped is None:
        return None
    runs = ask.run(reconcile_views.runs(ask.site.name, one.name, limit=LOOKED_MAX))
    held = [run for run in runs if run.governor in ("stopped", "waiting") and run.id >= one.stopped]
    return next((run for run in held if run.approved_by is None), None)


def _row(ask: Ask, one: Stored, counts: dict[str, Open]) -> Reconciled:
    app = ask.site.name
    latest = ask.run(reconcile_views.runs(app, one.name, limit=LOOKED_MAX))
    last = next((run for run in latest if run.ended_us is not None), None)
    whole = last
    if last is not None and not last.whole:
        wholes = ask.run(reconcile_views.runs(app, one.name, whole=True, limit=LOOKED_MAX))
        whole = next((run for run in wholes if run.ended_us is not None), None)
    stopped = stopped_pass(ask, one)
    at_work = one.walker if one.walked_until_us is not None and one.walked_until_us > one.now_us else None
    return Reconciled(
        name=one.name,
        task=one.task,
        state=one.state,
        every_us=one.every_us,
        reach_us=one.reach_us,
        attend_us=one.attend_us,
        next_us=one.next_at_us,
        wants=one.wants,
        walker=at_work,
        looked_us=one.looked_at_us,
        whole_us=one.whole_at_us,
        error=None if one.error is None else ask.site.redactor.text(one.error),
        error_us=one.error_at_us,
        paused_by=one.paused_by if one.paused else None,
        paused_until_us=one.paused_until_us if one.paused else None,
        pause_reason=one.pause_reason if one.paused else None,
        last=None if last is None else Pass.of(last),
        whole=None if whole is None else Pass.of(whole),
        stopped=None if stopped is None else Pass.of(stopped),
        approved=one.approved,
        open=counts,
    )


def _hides_keys(ask: Ask, task: str) -> bool:
    """Whether the keys of its duties are made of an argument that is not shown."""
    known = ask.site.tasks.get(task)
    if known is None or known.once is None:
        return False
    for one in known.once.placeholders:
        probe: Any = "a value to be hidden"
        for name, _ in reversed(one.steps):
            probe = {name: probe}
        shown = ask.site.redactor.document(known.name, msgspec.json.encode({one.parameter: probe}))
        if shown.hidden or not shown.whole:
            return True
    return False


def _found(ask: Ask, one: Finding, masked: bool) -> Found:
    return Found(
        key=MASK if masked else ask.site.redactor.text(one.key),
        kind=one.kind,
        first_us=one.first_us,
        last_us=one.last_us,
        closed_us=one.closed_us,
        due_us=one.due_us,
        job_id=one.job_id,
        made=one.made,
        why=ask.site.redactor.text(one.why),
    )


def _percent(part: int, of: int) -> float:
    """Never 100 where something is left out."""
    share = 100 * part / of
    return share if part == of else min(round(share, 1), 99.9)
