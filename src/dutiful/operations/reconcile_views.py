"""Reconciliations for people: their passes, and what they found."""

from __future__ import annotations

from msgspec import Struct

from .plan import Call, Steps, query, typed

LATEST = 1 << 62


class Run(Struct, frozen=True):
    """A pass as it is kept. ``ended_us`` is None while it acts, and for one that was cut off."""

    id: int
    name: str
    whole: bool
    by: str
    began_us: int
    ended_us: int | None
    since_us: int
    upto_us: int
    expected: int
    ok: int
    young: int
    waiting: int
    stuck: int
    people: int
    missing: int
    late: int
    surplus: int
    unexpected: int
    enqueued: int
    findings: int
    believed: int
    governor: str
    approved_by: str | None
    approved_us: int | None
    now_us: int


class Finding(Struct, frozen=True):
    """A duty that is not as it should be, since ``first_us``; open while ``closed_us`` is None."""

    name: str
    key: str
    kind: str
    first_us: int
    last_us: int
    closed_us: int | None
    due_us: int | None
    run: int
    job_id: str | None
    made: bool
    why: str
    now_us: int


@query
def runs(
    app: str, name: str | None = None, *, whole: bool = False, before: int = LATEST, limit: int = 20
) -> Steps[list[Run]]:
    """The passes of one reconciliation, or of all, the latest first; ``whole``: those of all the window."""
    params = {"app": app, "name": name, "whole": whole, "before": before, "limit": limit}
    rows = yield Call("list_reconcile_runs", params, alone=True)
    return [typed(Run, row, flags=(2,)) for row in rows]


@query
def findings(
    app: str, name: str | None = None, *, everything: bool = False, limit: int = 50
) -> Steps[list[Finding]]:
    """What is open, the oldest first; with ``everything`` also what is closed."""
    params = {"app": app, "name": name, "everything": everything, "limit": limit}
    rows = yield Call("list_findings", params, alone=True)
    return [typed(Finding, row, flags=(9,)) for row in rows]


class Open(Struct, frozen=True):
    """What is open of one class: how many, since when the oldest, and how many were enqueued again."""

    kind: str
    many: int
    first_us: int
    made: int


@query
def open_counts(app: str) -> Steps[dict[str, dict[str, Open]]]:
    """What is open, by reconciliation and class."""
    found: dict[str, dict[str, Open]] = {}
    for name, kind, many, first, made in (yield Call("count_findings", {"app": app}, alone=True)):
        found.setdefault(name, {})[kind] = Open(kind, int(many), int(first), int(made))
    return found


@query
def page(
    app: str, name: str, kind: str, *, after: tuple[int, str] | None = None, limit: int = 50
) -> Steps[list[Finding]]:
    """A page of what is open of one class, the oldest first, behind the instant and key of the one before."""
    at, key = after if after is not None else (-LATEST, "")
    params = {"app": app, "name": name, "class": kind, "at": at, "key": key, "limit": limit}
    rows = yield Call("page_of_findings", params, alone=True)
    return [typed(Finding, row, flags=(9,)) for row in rows]


@query
def closed(
    app: str, name: str, *, before: tuple[int, str] | None = None, limit: int = 50
) -> Steps[list[Finding]]:
    """A page of what is well again, the latest first, before the instant and key of the one before."""
    at, key = before if before is not None else (LATEST, "")
    params = {"app": app, "name": name, "at": at, "key": key, "limit": limit}
    rows = yield Call("page_of_closed_findings", params, alone=True)
    return [typed(Finding, row, flags=(9,)) for row in rows]
