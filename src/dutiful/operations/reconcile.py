"""Reconciliations at work: who declares which, what is in flight and done, what a pass found and did.

A pass reads what is in flight before what is done, each in a statement of its own: a job that ends in between
is seen done, and no false alarm is raised. What it finds is written down in the transaction that enqueues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from ..model.errors import ReconcileRefused
from ..model.jobs import NewJob
from ..model.reconcile import TRAIL, Class, Governed, Rule
from .audit import note as audited
from .enqueue import store_many
from .plan import Call, Row, Steps, as_json, operation, query, typed

KEEP_US = 90 * 86_400_000_000
"""How long passes and closed findings are kept."""


class Stored(Struct, frozen=True):
    """Its row. ``current``: a live worker declares it as it is stored; ``live``: one declares it."""

    name: str
    task: str
    spec: str
    every_us: int
    reach_us: int
    memory_us: int | None
    whole_us: int
    declared_at_us: int
    changed_at_us: int
    next_at_us: int
    wants: str
    place: str
    watermark_us: int | None
    looked_at_us: int | None
    whole_at_us: int | None
    stopped: int | None
    approved: int | None
    error: str | None
    error_at_us: int | None
    walker: str | None
    walked_until_us: int | None
    gone_at_us: int | None
    attend_us: int | None
    paused_at_us: int | None
    paused_by: str | None
    paused_until_us: int | None
    pause_reason: str | None
    current: bool
    live: bool
    now_us: int

    @property
    def due(self) -> bool:
        """Whether a pass is to be made. A clock that was set back does not put it off."""
        if self.paused:
            return False
        return self.next_at_us <= self.now_us or self.next_at_us > self.now_us + 2 * self.every_us

    @property
    def paused(self) -> bool:
        """Whether a person has put it off, and that has not ended by itself."""
        until = self.paused_until_us
        return self.paused_at_us is not None and (until is None or self.now_us < until)

    @property
    def state(self) -> str:
        """In a word or two, the worst first."""
        if self.gone_at_us is not None:
            return "gone"
        if self.paused:
            return "paused"
        if self.error is not None:
            return "cannot check"
        if self.stopped is not None:
            return "stopped"
        if not self.live:
            return "no worker"
        return "active" if self.looked_at_us is not None else "never run"

    def whole_due(self, place: str) -> str:
        """Why the whole window is to be looked at, and not only what is new; "" if it is not."""
        if self.wants:
            return self.wants
        if self.place and place != self.place:
            return "restored"
        at = self.whole_at_us
        return "" if at is not None and at <= self.now_us < at + self.whole_us else "nightly"


class Holder(Struct, frozen=True):
    """The job that holds a duty: its state if it is open, and the reason if it is dead."""

    job_id: str
    state: str | None
    opened_us: int
    deadline_us: int | None
    reason: str | None


class End(Struct, frozen=True):
    """How a job ended, and when (None: it was forgotten meanwhile)."""

    job_id: str
    outcome: str
    at_us: int | None


class Counts(Struct, frozen=True):
    """What a pass found in its window, by class. ``unexpected`` are those of ``surplus`` nobody expected."""

    expected: int = 0
    ok: int = 0
    young: int = 0
    waiting: int = 0
    stuck: int = 0
    people: int = 0
    missing: int = 0
    late: int = 0
    surplus: int = 0
    unexpected: int = 0


class Pass(Struct, frozen=True):
    """A pass, before it does anything: what it looked at, what it found, and what the governor says."""

    name: str
    whole: bool
    by: str
    began_us: int
    since_us: int
    upto_us: int
    counts: Counts
    believed: int
    governed: Governed


class Found(Struct, frozen=True):
    """A duty that is not as it should be; with ``job``, it is enqueued, too."""

    key: str
    kind: Class
    due_us: int | None
    why: str = ""
    job_id: str | None = None
    job: NewJob | None = None


@query
def look(app: str) -> Steps[list[Stored]]:
    """All reconciliations of an app."""
    rows = yield Call("look_at_reconciles", {"app": app}, alone=True)
    return [typed(Stored, row, flags=(27, 28)) for row in rows]


@operation
def declare(app: str, worker: int, rules: Sequence[Rule]) -> Steps[list[str]]:
    """A worker says which reconciliations its code has; those that are new, or other than before."""
    yield Call("forget_declared")
    changed = []
    for rule in sorted(rules, key=lambda one: one.name):
        named = {"app": app, "name": rule.name, "spec": rule.text}
        yield Call("declare_reconcile", named | {"worker": worker})
        if (yield _adopt(app, rule)):
            changed.append(rule.name)
    return changed


@operation
def adopt(app: str, rule: Rule) -> Steps[bool]:
    """It is declared so from now on; whether that is another rule than before."""
    return bool((yield _adopt(app, rule)))


def _adopt(app: str, rule: Rule) -> Call:
    facts: dict[str, object] = {"app": app, "name": rule.name, "task": rule.task, "spec": rule.text}
    facts |= {
        "every": rule.every_us,
        "reach": rule.window_us,
        "memory": rule.memory_us,
        "whole": rule.whole_us,
        "attend": rule.attend_us,
    }
    return Call("adopt_reconcile", facts)


@operation
def end(app: str, name: str) -> Steps[bool]:
    """No live worker declares it any more."""
    return bool((yield Call("end_reconcile", {"app": app, "name": name}, alone=True)))


@operation
def take(app: str, rule: Rule, walker: str, lease_us: int) -> Steps[bool]:
    """Whether this one walks it from now on, for so long, and nobody else."""
    named = {"app": app, "name": rule.name, "spec": rule.text}
    return bool((yield Call("take_reconcile", named | {"walker": walker, "lease": lease_us}, alone=True)))


@query
def holders(app: str, tasks: Sequence[str], keys: Sequence[str]) -> Steps[dict[str, Holder]]:
    """What is in flight of these keys."""
    return (yield from _holders(app, tasks, keys))


@query
def worked(app: str, tasks: Sequence[str], keys: Sequence[str]) -> Steps[tuple[dict[str, Holder], set[str]]]:
    """What is in flight of these keys, and then which of them are in the ledger."""
    found = yield from _holders(app, tasks, keys)
    rows = yield Call("reconcile_ledger", _keys(app, tasks, keys))
    return found, {row[0] for row in rows}


@query
def ended(
    app: str, tasks: Sequence[str], keys: Sequence[str]
) -> Steps[tuple[dict[str, Holder], dict[str, End]]]:
    """What is in flight of these keys, and then how the job that holds each duty ended."""
    found = yield from _holders(app, tasks, keys)
    rows = yield Call("reconcile_ended", _keys(app, tasks, keys))
    return found, {key: End(job_id, outcome, at) for key, job_id, outcome, at in rows if outcome}


@query
def before(app: str, name: str) -> Steps[tuple[list[int], int | None]]:
    """How many were missing in the passes before, without those that were stopped; and since when the oldest
    duty is due of those that were found missing and still are.
    """
    rows = yield Call("missing_before", {"app": app, "name": name, "limit": TRAIL})
    [(oldest,)] = yield Call("oldest_missing", {"app": app, "name": name})
    return [int(row[0]) for row in rows], oldest


@operation
def act(app: str, made: Pass, run: int | None, found: Sequence[Found]) -> Steps[tuple[int, dict[str, str]]]:
    """A piece of what a pass found, written down and enqueued in one transaction; the first with the pass.

    Returns the pass's number, and the jobs that hold duties which were to be enqueued and had one already.
    """
    if run is None:
        run = yield from _begin(app, made)
    jobs = [one.job for one in found if one.job is not None]
    done = (yield from store_many(app, jobs)) if jobs else []
    stored = {job.key: new for job, new in zip(jobs, done, strict=True)}
    rows: list[dict[str, Any]] = []
    for one in found:
        new = stored.get(one.key) if one.job is not None else None
        why = one.why
        if new is not None and new.duplicate:
            why = f"{why}; " if why else ""
            why += f"job {new.id} holds the duty"
        row = {"key": one.key, "class": one.kind, "due": one.due_us, "why": why}
        row["job_id"] = one.job_id if new is None else new.id
        rows.append(row | {"made": new is not None and not new.duplicate})
    named = {"app": app, "name": made.name, "rows": as_json(rows)}
    if rows:
        yield Call("close_changed_findings", named)
        yield Call("note_findings", named | {"run": run})
    made_now = sum(row["made"] for row in rows)
    yield Call("count_reconcile_run", {"run": run, "enqueued": made_now, "findings": len(rows)})
    return run, {key: new.id for key, new in stored.items() if key is not None and new.duplicate}


@query
def open_keys(app: str, name: str, after: str, limit: int) -> Steps[list[tuple[str, str, int | None]]]:
    """A piece of the open findings, by key, each with its class and when it was due."""
    params = {"app": app, "name": name, "after": after, "limit": limit}
    return [(key, kind, due) for key, kind, due in (yield Call("open_findings", params, alone=True))]


@operation
def close(app: str, name: str, run: int, keys: Sequence[str]) -> Steps[None]:
    """These keys are well now, or not expected any more."""
    yield Call("close_findings", {"app": app, "name": name, "run": run, "keys": as_json(keys)}, alone=True)


@operation
def finish(app: str, made: Pass, run: int, watermark_us: int, place: str, pause_us: int) -> Steps[None]:
    """The pass is through."""
    yield Call("end_reconcile_run", {"run": run})
    params: dict[str, object] = {"app": app, "name": made.name, "run": run, "whole": made.whole}
    params |= {"watermark": watermark_us, "place": place, "pause": pause_us, "governor": made.governed.said}
    yield Call("finish_reconcile", params)
    yield Call("forget_findings", {"keep": KEEP_US})
    yield Call("forget_reconcile_runs", {"keep": KEEP_US})


@operation
def fail(app: str, name: str, error: str, pause_us: int) -> Steps[None]:
    """A pass could not be made, and why."""
    params = {"app": app, "name": name, "error": error, "pause": pause_us}
    yield Call("fail_reconcile", params, alone=True)


@operation
def approve(app: str, run: int, *, actor: str, reason: str = "") -> Steps[tuple[str, int]]:
    """A person says that a stopped pass is right: the next one enqueues as many as it found missing.

    Returns the reconciliation's name and that number. Raises ReconcileRefused.
    """
    rows = yield Call("approve_run", {"app": app, "run": run, "by": actor})
    if not rows:
        raise ReconcileRefused(
            f"Pass {run} is not one that the governor stopped, and that is still to approve."
        )
    [(name, missing, enqueued)] = rows
    yield Call("approve_reconcile", {"app": app, "name": name, "missing": missing})
    before = f"{missing} missing, {enqueued} enqueued"
    yield audited("approve_reconcile", app, actor, f"reconcile {name} pass {run}", before, "approved", reason)
    return name, missing


def _begin(app: str, made: Pass) -> Steps[int]:
    counts = made.counts
    params: dict[str, object] = {name: getattr(counts, name) for name in Counts.__struct_fields__}
    params |= {"app": app, "name": made.name, "whole": made.whole, "by": made.by, "began": made.began_us}
    params |= {"since": made.since_us, "upto": made.upto_us, "believed": made.believed}
    [row] = yield Call("add_reconcile_run", params | {"governor": made.governed.said})
    return int(row[0])


def _holders(app: str, tasks: Sequence[str], keys: Sequence[str]) -> Steps[dict[str, Holder]]:
    rows = yield Call("reconcile_jobs", _keys(app, tasks, keys))
    found: dict[str, Holder] = {}
    for row in rows:
        holder = _holder(row)
        known = found.get(row[0])  # under an older name of the task: the one that is open counts
        if known is None or (known.state is None and known.reason is None):
            found[row[0]] = holder
    return found


def _holder(row: Row) -> Holder:
    return Holder(row[1], row[2], row[3] or 0, row[4], row[5])


def _keys(app: str, tasks: Sequence[str], keys: Sequence[str]) -> Mapping[str, object]:
    return {"app": app, "tasks": as_json(tasks), "keys": as_json(keys)}
