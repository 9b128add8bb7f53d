"""Do the invariants hold? ``check`` asks the tables, and names the jobs that say otherwise.

Each invariant is one statement, so that it sees one state of the database: a job that moves
meanwhile is never missing or double. Nothing is locked. A finding is always a bug of ours or a hand
in our tables, never a matter of timing.
"""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Call, Steps, query

ROWS_MAX = 20
WINDOW = 2_000
EVERYTHING = 1 << 62

CHECKS: tuple[tuple[str, str, str], ...] = (
    ("verify_proof", "I4", "ended well with no run to show for it"),
    ("verify_tokens", "I7", "shared a token that should name one run"),
    ("verify_numbers", "I7", "miscounted runs or tries"),
    ("verify_duties", "I8", "stood open beside the duty's row"),
    ("verify_runs", "I9", "lost the link between run, token and worker"),
    ("verify_revived", "I12", "came back without an audit row"),
    ("verify_places", "place", "stood in two places at once"),
    ("verify_endings", "place", "ended again after being done"),
    ("verify_lanes", "lane", "stood in a lane that is not there"),
    ("verify_ready", "ready", "became ready where no worker would find it"),
)
"""Statement, invariant (``I``: of the model's list), and what the jobs found did."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken invariant. ``rows`` are the first jobs of ``count``: id, place, problem, seen."""

    invariant: str
    summary: str
    rows: list[dict[str, object]]
    count: int


@query
def check(app: str | None, *, full: bool = False) -> Steps[list[Finding]]:
    """The invariants that are broken, for one app or (None) for all; an empty list is good news.

    Looks at the newest ``WINDOW`` rows of each table: 40 ms on SQLite, 160 ms on PostgreSQL, however
    large they are. With ``full`` at all of them: 7 s for 1,000,000 endings on either, and up to 90 s
    for 1,000,000 open jobs on PostgreSQL, whose every id is looked up in each day of the history; on
    SQLite the write-ahead log cannot be cut back meanwhile. Jobs without a lane belong to no app, and
    are named for every app.
    """
    params = {"app": app, "window": EVERYTHING if full else WINDOW, "rows": ROWS_MAX}
    found = []
    for statement, invariant, problem in CHECKS:
        rows = yield Call(statement, params, alone=statement == CHECKS[0][0])
        if rows:
            count = rows[0][0]
            jobs = [dict(zip(("id", "place", "problem", "seen"), row[1:], strict=True)) for row in rows]
            summary = f"{count} {'job' if count == 1 else 'jobs'} {problem}"
            found.append(Finding(invariant, summary, jobs, count))
    return found
