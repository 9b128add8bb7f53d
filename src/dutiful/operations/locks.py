"""Locks by name: granted in the order in which they were asked for, for a lease, each with a number.

Whoever grants holds the lock's row, drops what has lapsed, and counts in a later statement: so nobody counts
what another is about to change. A holder's slot is unique, too, should that ever fail. Who waits has a row
with a ticket, and asks again when a look says that it may be its turn; nothing is granted on behalf of
others, so that no grant is given to one who is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..model.lock_errors import LockNotHeld
from ..model.locks import TICKET_US, Answer, Holder, LockAsk, LockLine
from .audit import note
from .plan import Call, Steps, as_json, operation, query

LIST_MAX = 1000


@operation
def ask(wanted: LockAsk) -> Steps[Answer]:
    """Ask for a lock, or whether it is our turn now. The same token asked again is the same ask."""
    key = {"app": wanted.app, "name": wanted.name}
    slots, grant_no, ticket = yield from _locked(wanted)
    yield Call("drop_lapsed_asks", key)
    asks = yield Call("list_asks", key)
    now_us = asks[0][7] if asks else 0
    holders = tuple(Holder(row[4], row[2], row[5], row[6]) for row in asks if row[2] is not None)
    mine = next((row for row in asks if row[0] == wanted.token), None)
    if mine is not None and mine[2] is not None:
        return Answer(mine[2])
    if slots != wanted.slots:
        if [row for row in asks if row is not mine]:
            return Answer(slots=slots)
        yield Call("set_lock_slots", {**key, "slots": wanted.slots})
        slots = wanted.slots
    before = sum(row[2] is None and (mine is None or row[1] < mine[1]) for row in asks)
    free = slots - len(holders) - before
    if free < 1 and not wanted.waits:
        return Answer(None, False, holders, now_us)
    if mine is None:
        yield Call("note_ticket", {**key, "ticket": ticket + 1})
        span = min(TICKET_US, wanted.lease_us) if free < 1 else wanted.lease_us
        given = {"ticket": ticket + 1, "token": wanted.token, "who": wanted.who, "span": span}
        yield Call("add_ask", {**key, **given})
    if free < 1:
        return Answer(None, True, holders, now_us)
    taken = {row[3] for row in asks}
    slot = next(number for number in range(1, slots + 1) if number not in taken)
    granted = {"grant_no": grant_no + 1, "slot": slot, "lease": wanted.lease_us, "token": wanted.token}
    yield Call("grant_ask", granted)
    yield Call("note_grant", {**key, "grant_no": grant_no + 1})
    return Answer(grant_no + 1)


def _locked(wanted: LockAsk) -> Steps[tuple[int, int, int]]:
    """The lock's slots, last grant and last ticket, its row being held from now on."""
    key = {"app": wanted.app, "name": wanted.name}
    rows = yield Call("lock_lock", key)
    if not rows:
        yield Call("make_lock", {**key, "slots": wanted.slots})
        rows = yield Call("lock_lock", key)
    slots, grant_no, ticket = rows[0]
    return slots, grant_no, ticket


@operation
def renew(tokens: Sequence[str]) -> Steps[set[str]]:
    """Move on the leases and tickets of these; returns those that have not lapsed before."""
    rows = yield Call("renew_asks", {"tokens": as_json(list(tokens))}, alone=True)
    return {row[0] for row in rows}


@query
def turns(tokens: Sequence[str]) -> Steps[set[str]]:
    """Which of these waiters should ask again: a slot seems free for them, or their ticket is gone."""
    rows = yield Call("lock_turns", {"tokens": as_json(list(tokens))}, alone=True)
    return set(tokens) - {row[0] for row in rows if row[1] < 1}


@operation
def release(token: str) -> Steps[bool]:
    """Give back what this token holds, or its place; False if another has passed it by, or it was broken."""
    rows = yield Call("drop_ask", {"token": token}, alone=True)
    return bool(rows)


@query
def listed(
    app: str | None,
    name: str | None = None,
    limit: int = LIST_MAX,
    after: tuple[str | None, int] = (None, 0),
) -> Steps[list[LockLine]]:
    """Who holds and who waits, by name, in order; who lapsed and was not passed by yet is there, too.

    ``after`` is the name and the ticket of the last line of the page before, of one app.
    """
    params = {"app": app, "name": name, "limit": limit, "behind": after[0], "ticket": after[1]}
    rows = yield Call("list_locks", params, alone=True)
    return [LockLine(*row) for row in rows]


@operation
def break_lock(
    app: str, name: str, *, actor: str, reason: str, grant_no: int | None = None
) -> Steps[list[tuple[int, str]]]:
    """Take a lock from those who hold it, or from that grant alone; returns numbers and holders. Audited.

    They learn it at their next renewal, and may be at work until then. Raises LockNotHeld.
    """
    yield Call("lock_lock", {"app": app, "name": name})
    rows = yield Call("list_asks", {"app": app, "name": name})
    held = [row[2] for row in rows if row[2] is not None and grant_no in (None, row[2])]
    if not held:
        which = "" if grant_no is None else f" with grant {grant_no}"
        raise LockNotHeld(f"Nobody holds lock {name!r} of app {app!r}{which}.")
    broken = []
    for number in held:
        for (who,) in (yield Call("break_ask", {"app": app, "name": name, "grant_no": number})):
            broken.append((number, who))
            yield note("break", app, actor, f"lock:{name}", f"grant {number} of {who}", "free", reason)
    return broken
