"""The books: what was accepted against what is there, so that a job that disappears is missed.

Accepted, and what was there when the books were opened, and endings that were undone, are together as many as
the live, the dead, the endings in the history and those that were forgotten (I11). What is accepted is a row
in the enqueue's own transaction (``delta``), which :func:`fold` adds up a moment later; what ended is the
history itself, so that no settle counts anything. :func:`count` reads all of it in one statement, which sees
one state of the database: a difference is never a matter of timing.

An app whose books are not open yet (nobody has folded since its first lane was made) has nothing to compare.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from .plan import Call, Row, Rows, Steps, as_json, operation, query

PIECE = 10_000
TASKS_MAX = 20
CREDIT = ("opened", "accepted", "revived")
STATES = ("ready", "running", "in_doubt", "dead", "done", "cancelled")


class Lacking(Struct, frozen=True):
    """A task whose jobs do not add up: ``n`` of them lack; below 0, so many were never accepted."""

    task: str
    n: int


class Books(Struct, frozen=True):
    """An app's books, as they were at ``counted_at_us`` (null: not counted yet).

    ``accepted`` has what was there when they were opened, too; ``states`` the jobs by state, of the done and
    cancelled the endings that are kept; ``pruned`` the endings that were forgotten; ``revived`` those that
    were undone, so that their job ends once more. ``folded_at_us``: when deltas were last folded.
    """

    app: str
    accepted: int
    revived: int
    pruned: int
    states: Mapping[str, int]
    missing: int
    surplus: int
    tasks: Sequence[Lacking]
    opened_at_us: int
    folded_at_us: int | None
    counted_at_us: int | None
    recounted_at_us: int | None
    now_us: int

    @property
    def difference(self) -> int:
        """Accepted less all that is accounted for; 0 when the books balance and no two errors cancel out."""
        return self.accepted + self.revived - sum(self.states.values()) - self.pruned


@operation
def turns(periods_us: Mapping[str, int]) -> Steps[tuple[frozenset[str], tuple[bool, bool]]]:
    """Take the turns that are due; which they are, and whether there is anything to fold.

    That is for :func:`fold`, and for that of the failure groups.
    """
    rows = yield Call("take_turns", {"turns": as_json(dict(periods_us))}, alone=True)
    ours = frozenset(row[0] for row in rows)
    deltas, deaths, unopened = rows[0][1:] if "fold" in ours else (False, False, False)
    return ours, (bool(deltas or unopened), bool(deaths))


@operation
def fold() -> Steps[bool]:
    """Add up deltas, and open the books of apps that have none; whether more are left for another call."""
    [(folded,)] = yield Call("fold_deltas", {"limit": PIECE})
    if folded < PIECE:
        if (yield Call("unopened_books")):
            yield Call("open_books")
        yield Call("note_folded")
    return bool(folded >= PIECE)


@query
def count(app: str | None = None) -> Steps[dict[str, dict[str, dict[str, int]]]]:
    """Everything in one look: app, task, and what it is (a state, or accepted, revived, pruned, opened).

    Reads every row of the live, the dead and the history, so it takes a second for some millions.
    """
    return (yield from _counted(app))


@operation
def keep(counted: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Steps[None]:
    """Note what :func:`count` came to, for those who ask :func:`books`."""
    for number, (app, tasks) in enumerate(sorted(counted.items())):
        sums: dict[str, int] = defaultdict(int)
        for what in tasks.values():
            for name, n in what.items():
                sums[name] += n
        lacking = lacks(tasks)
        yield Call(
            "keep_book",
            {name: sums[name] for name in (*STATES, "revived", "pruned")}
            | {
                "app": app,
                "accepted": sums["opened"] + sums["accepted"],
                "missing": sum(one.n for one in lacking if one.n > 0),
                "surplus": -sum(one.n for one in lacking if one.n < 0),
                "tasks": as_json([[one.task, one.n] for one in lacking[:TASKS_MAX]]),
            },
            alone=number == 0,
        )


@query
def books(app: str) -> Steps[Books | None]:
    """An app's books as they were when last counted; None where they are not open."""
    rows = yield Call("find_book", {"app": app}, alone=True)
    if not rows:
        return None
    row = rows[0]
    return Books(
        app,
        accepted=row[5],
        revived=row[6],
        pruned=row[7],
        states=dict(zip(STATES, row[8:14], strict=True)),
        missing=row[14],
        surplus=row[15],
        tasks=[Lacking(*one) for one in msgspec.json.decode(row[16])],
        opened_at_us=row[1],
        folded_at_us=row[2],
        counted_at_us=row[3],
        recounted_at_us=row[4],
        now_us=row[17],
    )


def lacks(tasks: Mapping[str, Mapping[str, int]]) -> list[Lacking]:
    """The tasks of an app that do not add up, the greatest difference first."""
    found = []
    for task, what in tasks.items():
        n = sum(what.get(name, 0) for name in CREDIT)
        n -= sum(what.get(name, 0) for name in (*STATES, "pruned"))
        if n:
            found.append(Lacking(task, n))
    return sorted(found, key=lambda one: (-abs(one.n), one.task))


def broken(app: str | None, *, full: bool, rows_max: int) -> Steps[list[Row]]:
    """What is wrong with the books, as rows of a check: how many jobs, the task, and what is said of it.

    ``full`` counts now; else it is told what the bookkeeper found when it last did.
    """
    if not full:
        return told((yield Call("verify_books", {"app": app, "rows": rows_max}, alone=True)), rows_max)
    counted = yield from _counted(app)
    return _said([(name, one) for name, tasks in sorted(counted.items()) for one in lacks(tasks)], rows_max)


def told(rows: Rows, rows_max: int) -> list[Row]:
    """The rows of the check ``verify_books`` in the same way."""
    return _said(
        [(name, Lacking(*one)) for name, _, said in rows for one in msgspec.json.decode(said)], rows_max
    )


def _said(found: Sequence[tuple[str, Lacking]], rows_max: int) -> list[Row]:
    total = sum(abs(one.n) for _, one in found)
    return [
        (total, one.task, "books", f"{abs(one.n)} {'missing' if one.n > 0 else 'never accepted'}", name)
        for name, one in found[:rows_max]
    ]


def _counted(app: str | None) -> Steps[dict[str, dict[str, dict[str, int]]]]:
    rows = yield Call("count_books", {"app": app}, alone=True)
    found: dict[str, dict[str, dict[str, int]]] = {}
    for name, task, what, n in rows:
        found.setdefault(name, {}).setdefault(task, {})[what] = int(n)
    return found
