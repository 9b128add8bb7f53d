"""Do the invariants hold? ``check`` asks the tables, and names the jobs that say otherwise.

Each invariant is one statement, so that it sees one state of the database: a job that moves
meanwhile is never missing or double. Nothing is locked. A finding is always a bug of ours or a hand
in our tables, never a matter of timing.

Work in another database has its ledger there: whether it is there is not asked, and
:func:`elsewhere` says of how many jobs.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from . import books
from .plan import Call, Rows, Steps, as_json, operation, query, together
from .windows import judged

ROWS_MAX = 20
WINDOW = 2_000
EVERYTHING = 1 << 62
NEWEST = "ffffffff-ffff-ffff-ffff-ffffffffffff"
"""An id above all: a look below it is at the newest rows."""

CHECKS: tuple[tuple[str, str, str], ...] = (
    ("verify_works", "I1", "did a duty's work a second time"),
    ("verify_starts", "I2", "began, and the ledger disagrees on how often"),
    ("verify_proof", "I4", "ended well with no run to show for it"),
    ("verify_strangers", "I5", "took a change from a run that did not hold it"),
    ("verify_kept", "I6", "parted from the work in the ledger"),
    ("verify_tokens", "I7", "shared a token that should name one run"),
    ("verify_numbers", "I7", "miscounted runs or tries"),
    ("verify_duties", "I8", "stood open beside the duty's row"),
    ("verify_runs", "I9", "lost the link between run, token and worker"),
    ("verify_books", "I11", "disappeared, or was never accepted"),
    ("verify_revived", "I12", "came back without an audit row"),
    ("verify_decided", "I12", "left death or doubt without an audit row"),
    ("verify_gates", "I13", "ran out of turn, or beside more than its lock allows"),
    ("verify_locks", "I13", "had more holders than slots, or another number than was granted"),
    ("verify_shares", "I13", "had more slots taken than its limit allows"),
    ("verify_occurrences", "I14", "had not one job of its own"),
    ("verify_windows", "I14", "lacked in a schedule's ledger, or was too many"),
    ("verify_effects", "I15", "called the world outside in a way that was not written down"),
    ("verify_unchanged", "I16", "differed from the row that its run wrote into the ledger"),
    ("verify_horizon", "I10", "reached beyond what is remembered"),
    ("verify_reconciled", "L2", "lost count of what was expected"),
    ("verify_places", "place", "stood in two places at once"),
    ("verify_endings", "place", "ended again after being done"),
    ("verify_lanes", "lane", "stood in a lane that is not there"),
    ("verify_ready", "ready", "became ready where no worker would find it"),
)
"""Statement, invariant (``I``: of the model's list), and what the jobs found did."""

NOUNS = {
    "verify_locks": "lock",
    "verify_shares": "queue",
    "verify_occurrences": "occurrence",
    "verify_windows": "occurrence",
    "verify_horizon": "reconciliation",
    "verify_reconciled": "reconciliation",
}
"""What is found, where it is no job."""


class Finding(Struct, frozen=True):
    """One broken invariant. ``rows`` are the first jobs of ``count``: id, place, problem, seen."""

    invariant: str
    summary: str
    rows: list[dict[str, object]]
    count: int


class Checked(Struct, frozen=True):
    """What the looks at one invariant came to: the last at ``at_us``, and the last that found something."""

    name: str
    at_us: int
    found_at_us: int | None
    finding: Finding | None
    now_us: int


@query
def check(app: str | None, *, full: bool = False) -> Steps[list[Finding]]:
    """The invariants that are broken, for one app or (None) for all; an empty list is good news.

    Looks at the newest ``WINDOW`` rows of each table, or with ``full`` at all of them (what that costs
    stands in ``docs/design/verify.md``). Jobs without a lane belong to no app, and are named for every
    app.
    """
    found = []
    for name, _, _ in CHECKS:
        finding = yield from _looked(name, app, full, NEWEST, alone=name == CHECKS[0][0])
        if finding is not None:
            found.append(finding)
    return found


@query
def look(name: str, app: str | None, *, full: bool = False, before: str = NEWEST) -> Steps[Finding | None]:
    """One of ``CHECKS``, by its statement, at ``WINDOW`` rows below the id ``before``, or at all of them."""
    return (yield from _looked(name, app, full, before, alone=True))


@query
def looks(app: str | None, *, before: str = NEWEST) -> Steps[dict[str, Finding | None]]:
    """The same with all of ``CHECKS``, by their statements, in one look where the engine can."""
    names = [name for name, _, _ in CHECKS if name != "verify_books" or before == NEWEST]
    params = _params(app, False, before)
    rows = yield from together(*(Call(name, params) for name in names), alone=True)
    found: dict[str, Finding | None] = {name: None for name, _, _ in CHECKS}
    for name, one in zip(names, rows, strict=True):
        found[name] = _judged(name, books.told(one, ROWS_MAX) if name == "verify_books" else one)
    return found


@query
def elsewhere(app: str | None, *, full: bool = False) -> Steps[dict[str, int]]:
    """How many jobs of those that are looked at did their work in another database, by its name."""
    rows = yield Call("verify_elsewhere", _params(app, full, NEWEST), alone=True)
    return {reason.removeprefix("in "): count for reason, count in rows}


@query
def spans() -> Steps[list[tuple[str, str]]]:
    """Between which ids lie the rows that a look at the newest does not see, for each table that has some."""
    [row] = yield Call("verify_ids", {"window": WINDOW}, alone=True)
    return [(low, high) for low, high in zip(row[::2], row[1::2], strict=True) if high is not None]


@operation
def note(app: str, looks: Mapping[str, Finding | None], *, full: bool = False) -> Steps[None]:
    """Keep what looks found, by statement; a ``full`` one that found nothing takes back what was kept."""
    rows = [
        {
            "name": name,
            "invariant": _of(name)[0],
            "count": finding.count if finding else 0,
            "jobs": as_json(finding.rows) if finding else None,
        }
        for name, finding in looks.items()
    ]
    yield Call("note_checked", {"app": app, "rows": as_json(rows), "full": full}, alone=True)


@query
def noted(app: str) -> Steps[list[Checked]]:
    """What is kept of the looks at an app's invariants, by their statements."""
    rows = yield Call("list_checked", {"app": app}, alone=True)
    known = {name for name, _, _ in CHECKS}
    return [
        Checked(name, at, found_at, _finding(name, count, msgspec.json.decode(jobs)) if count else None, now)
        for name, _, at, found_at, count, jobs, now in rows
        if name in known  # else it is another version's
    ]


def _looked(
    name: str, app: str | None, full: bool, before: str, *, alone: bool = False
) -> Steps[Finding | None]:
    if name == "verify_books":  # all or nothing: as last counted, or with full counted now
        rows: Rows = (yield from books.broken(app, full=full, rows_max=ROWS_MAX)) if before == NEWEST else []
    else:
        rows = yield Call(name, _params(app, full, before), alone=alone)
    return _judged(name, rows)


def _judged(name: str, rows: Rows) -> Finding | None:
    if name == "verify_windows":
        rows = judged(rows, ROWS_MAX)
    if not rows:
        return None
    jobs = [dict(zip(("id", "place", "problem", "seen"), row[1:], strict=True)) for row in rows]
    return _finding(name, rows[0][0], jobs)


def _finding(name: str, count: int, jobs: list[dict[str, object]]) -> Finding:
    invariant, did = _of(name)
    noun = NOUNS.get(name, "job")
    return Finding(invariant, f"{count} {noun}{'' if count == 1 else 's'} {did}", jobs, count)


def _of(name: str) -> tuple[str, str]:
    [found] = [(invariant, did) for statement, invariant, did in CHECKS if statement == name]
    return found


def _params(app: str | None, full: bool, before: str) -> dict[str, object]:
    return {"app": app, "window": EVERYTHING if full else WINDOW, "rows": ROWS_MAX, "before": before}
