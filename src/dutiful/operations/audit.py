"""Who did what to which job, when and why: a row in the action's own transaction, and a chain over the rows.

The chain is made longer a moment after the rows were committed, by whoever comes first (the process that
acted, else a worker), under a lock that is held for that alone: chained in the action's own transaction,
each person's verb, and each enqueue with ``again=`` inside a caller's long transaction, would wait for all
before it. A row's hash is taken over the row and the hash before it, so that a row that is changed or
removed is named by :func:`check`; one that is not chained yet could be changed unseen, and is counted.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from .plan import Call, Steps, as_json, operation, query

PIECE = 500
FAR = 1 << 62

NOWHERE: dict[str, object] = dict.fromkeys(
    ("how", "address", "action_id", "filter", "bound", "intended", "done", "skipped")
)
"""What a row says of how somebody came to act, where nobody said it."""


class AuditRow(Struct, frozen=True):
    """One row. ``how`` is "cli", "web"…; ``filter`` and the counts are of bulk operations."""

    id: int
    at_us: int
    actor: str
    verb: str
    app: str
    subject: str
    before: str
    after: str
    reason: str
    how: str | None
    address: str | None
    action_id: str | None
    filter: str | None
    bound_us: int | None
    intended: int | None
    done: int | None
    skipped: int | None
    chain_no: int | None
    hash: str | None


class Broken(Struct, frozen=True):
    """A place at which the chain does not hold: which row, and what is wrong there."""

    chain_no: int
    id: int | None
    problem: str


class Checked(Struct, frozen=True):
    """What a look at the chain found: up to where it holds, its last hash, what is broken, what waits."""

    rows: int
    head: str
    broken: tuple[Broken, ...]
    waiting: int
    waiting_since_us: int | None
    now_us: int


def note(verb: str, app: str, actor: str, subject: str, before: str, after: str, reason: str) -> Call:
    """The call that leaves the audit row; the action's operation yields it."""
    said = {"verb": verb, "app": app, "actor": actor, "subject": subject, "before": before, "after": after}
    return Call("add_audit", {**NOWHERE, **said, "reason": reason})


@query
def of(subject: str) -> Steps[list[dict[str, object]]]:
    """What people did to one job, oldest first."""
    rows = yield Call("list_audit", {"subject": subject})
    names = ("at", "actor", "verb", "before", "after", "reason")
    return [dict(zip(names, row, strict=True)) for row in rows]


@query
def page(
    app: str | None,
    *,
    actor: str | None = None,
    verb: str | None = None,
    subject: str | None = None,
    action_id: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Steps[list[AuditRow]]:
    """What people did, the latest first; ``before`` is the last id of the page before."""
    params: dict[str, object] = {"app": app, "actor": actor, "verb": verb, "subject": subject}
    params |= {"action_id": action_id, "before": FAR if before is None else before, "limit": limit}
    return [AuditRow(*row) for row in (yield Call("page_audit", params, alone=True))]


# ── the chain ───────────────────────────────────────────────────────────────────────────────


def digest(row: AuditRow, chain_no: int, previous: str) -> str:
    """The hash of a row at its place: over all that it says, and the hash before it."""
    said = [*astuple(row)[:-2], chain_no, previous]
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()


@operation
def chain(limit: int = PIECE) -> Steps[int]:
    """Put rows that are not in the chain yet into it; returns how many these were."""
    waiting = yield Call("unchained_audits", {"limit": 1}, alone=True)
    if not waiting:
        return 0
    yield Call("make_audit_chain")
    [(chain_no, previous)] = yield Call("lock_audit_chain")
    # Only now, under the lock: what others chained meanwhile is not to be seen as waiting.
    found = [AuditRow(*row) for row in (yield Call("unchained_audits", {"limit": limit}))]
    if not found:
        return 0
    placed: list[dict[str, object]] = []
    for row in found:
        chain_no += 1
        previous = digest(row, chain_no, previous)
        placed.append({"id": row.id, "chain_no": chain_no, "hash": previous})
    yield Call("chain_audits", {"rows": as_json(placed)})
    yield Call("move_audit_chain", {"chain_no": chain_no, "hash": previous})
    return len(found)


@query
def check(*, known_no: int | None = None, known_hash: str = "", broken_max: int = 20) -> Steps[Checked]:
    """Look over the whole chain, in one snapshot where the store has one for each transaction.

    ``known_no`` and ``known_hash`` are of an earlier look, noted elsewhere: whoever may write to the store
    could make the whole chain anew, but not so that it still has that hash there.
    """
    heads = yield Call("see_audit_chain")
    head_no, head = heads[0] if heads else (0, "")
    marks = {head_no: (head, "the chain does not go on as it was left here")}
    if known_no is not None:
        marks[known_no] = (known_hash, "its hash is not the one that was noted")
    broken: list[Broken] = []
    previous, expected, full = "", 1, True
    while full and len(broken) < broken_max:
        found = yield Call("walk_audit_chain", {"after": expected - 1, "limit": PIECE})
        full = len(found) == PIECE
        for row in (AuditRow(*one) for one in found):
            number = row.chain_no or 0
            if number != expected:
                broken.append(Broken(expected, None, _removed(expected, number - 1)))
            elif row.hash != digest(row, number, previous):
                broken.append(Broken(number, row.id, _changed(row)))
            elif number in marks and row.hash != marks[number][0]:
                broken.append(Broken(number, row.id, marks[number][1]))
            previous, expected = row.hash or "", number + 1
    if not full and expected <= max(marks):
        broken.append(Broken(expected, None, _removed(expected, max(marks))))
    [(waiting, since, now)] = yield Call("count_unchained")
    return Checked(expected - 1, previous, tuple(broken[:broken_max]), waiting, since, now)


def _removed(first: int, last: int) -> str:
    return (
        f"row {first} of the chain: removed"
        if first == last
        else f"rows {first} to {last} of the chain: removed"
    )


def _changed(row: AuditRow) -> str:
    return f"{row.verb} of {row.subject} by {row.actor}: changed after it was written"
