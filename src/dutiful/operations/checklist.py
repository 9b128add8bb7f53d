"""The facts of the checklist: what the store knows of each task, read in one look, each part bounded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ..model.answers import Drilled, Facts, Reconciled, Waived
from .drills import Drill
from .groups import GROUPS_MAX
from .metrics import DAY, GRAINS
from .plan import Call, Row, Steps, query
from .registry import TASKS_MAX
from .waivers import Waiver
from .why_facts import worker_fact

WINDOW: Final = 5_000
"""So many of the latest endings are looked at,"""
SPAN_US: Final = 7 * DAY
"""and none from before that."""
FRESH_MAX: Final = 1_000


@dataclass
class _Seen:
    """What the records show of one task."""

    evidence: Row = ("", False, None, False, False)
    endings: Row = ("", 0, 0, 0, 0, 0)
    tries: Row = ("", 0, 0)
    dead: int = 0
    stale: int = 0
    unseen: int = 0
    workers: int = 0
    reconciled: dict[str, Reconciled] = field(default_factory=dict)
    drill: Drill | None = None
    waivers: dict[str, Waived] = field(default_factory=dict)


@query
def facts(
    app: str, task: str | None = None, *, codes: Mapping[str, str] | None = None, running: bool = False
) -> Steps[list[Facts]]:
    """What is known of each task that a worker declared, by name, or of one.

    ``codes`` are the hashes of the tasks' code as the caller has it: by them it is known whether a drill is
    of this code. ``running``: what the newest release's worker said of its own wins. Without either that is
    not known.
    """
    return (yield from read(app, task, codes or {}, running))


def read(app: str, task: str | None, codes: Mapping[str, str], running: bool) -> Steps[list[Facts]]:
    """The steps of :func:`facts`, for operations that go on from there."""
    named: dict[str, Any] = {"app": app, "task": task}
    rows = yield Call("list_tasks", {"app": app, "limit": TASKS_MAX})
    newest: dict[str, Row] = {}
    for row in rows:
        if task in (None, row[0]):
            newest.setdefault(row[0], row)
    if not newest:
        return []
    seen: defaultdict[str, _Seen] = defaultdict(_Seen)
    for row in (yield Call("checklist_evidence", named)):
        seen[row[0]].evidence = row
    for row in (yield Call("checklist_endings", {**named, "window": WINDOW, "span": SPAN_US})):
        seen[row[0]].endings = row
    for row in (yield Call("checklist_tries", {**named, "grain": GRAINS["1h"], "span": SPAN_US})):
        seen[row[0]].tries = row
    yield from _deaths(app, task, seen)
    for row in (yield Call("live_workers", {})):
        if row[1] == app:
            worker = worker_fact(row)
            if not (worker.silent or worker.gone or worker.alone):
                for name in worker.tasks:
                    seen[name].workers += 1
    for row in (yield Call("reconcile_numbers", {"app": app})):
        _reconciled(seen[row[1]].reconciled, row)
    for row in (yield Call("latest_drills", named)):
        seen[row[1]].drill = Drill.of(row)
    for row in (yield Call("list_waivers", named)):
        one = Waiver(*row)
        seen[one.task].waivers[one.line] = Waived(one.owner, one.by, one.reason, one.until_us, one.made_us)
    queues = {row[0]: row for row in (yield Call("watched_queues", {"app": app}))}
    found = []
    for name, row in newest.items():
        declared = {**msgspec.json.decode(row[7]), "priority": row[4]}
        own = declared.get("code") if running else None
        found.append(_facts(row, declared, seen[name], queues.get(row[3]), own or codes.get(name)))
    return found


def _deaths(app: str, task: str | None, seen: Mapping[str, _Seen]) -> Steps[None]:
    wanted: dict[str, object] = {"app": app, "fingerprint": None, "task": task, "gone": False}
    for row in (yield Call("list_groups", {**wanted, "limit": GROUPS_MAX})):
        seen[row[1]].dead += int(row[10])
        seen[row[1]].stale += int(row[10]) if row[2] == "stale" else 0
    for row in (yield Call("unseen_groups", {"app": app, "limit": GROUPS_MAX, "fresh": FRESH_MAX})):
        seen[row[1]].unseen += 1
    for row in (yield Call("fresh_deaths", {"app": app, "limit": FRESH_MAX})):
        seen[row[1]].unseen += 1


def _reconciled(found: dict[str, Reconciled], row: Row) -> None:
    name, looked, error, stopped, count = row[0], row[5], row[7], row[9], int(row[11])
    trouble = f"it could not check ({error})" if error else "the governor stopped it" if stopped else ""
    before = found[name].open if name in found else 0
    found[name] = Reconciled(name, looked, before + count, trouble)


def _facts(row: Row, declared: dict[str, Any], seen: _Seen, queue: Row | None, code: str | None) -> Facts:
    drill = seen.drill
    return Facts(
        task=row[0],
        delivery=row[6],
        queue=row[3],
        owner=row[5],
        declared=declared,
        now_us=row[10],
        scheduled=bool(seen.evidence[4]),
        duties=bool(seen.evidence[1]),
        ledger=seen.evidence[2],
        effects=bool(seen.evidence[3]),
        duplicates=int(seen.endings[3]),
        skipped=int(seen.endings[4]),
        gated=int(seen.endings[5]),
        done=max(int(seen.endings[2]), int(seen.tries[1])),
        failed=int(seen.tries[2]),
        dead=seen.dead,
        unseen=seen.unseen,
        stale=seen.stale,
        workers=seen.workers,
        target_us=queue[1] if queue is not None else None,
        sampled_us=queue[6] if queue is not None else None,
        reconciled=tuple(seen.reconciled.values()),
        drill=None if drill is None else _drilled(drill, code),
        waivers=seen.waivers,
    )


def _drilled(drill: Drill, code: str | None) -> Drilled:
    calls = drill.mode.get("calls")
    return Drilled(
        drill.outcome,
        drill.at_us,
        drill.changed(code),
        drill.played,
        len(drill.findings),
        drill.why,
        calls if isinstance(calls, int) else None,
    )
