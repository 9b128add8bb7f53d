"""A verb over many dead jobs: stored, walked in batches under a lease, gone on with after a crash.

Which jobs it is about is a list, made by one statement when it begins: not one more and not one less than was
counted then, however many die meanwhile. Each batch is one transaction: it judges its jobs anew, acts,
marks each item and moves the counts; whatever is killed, a batch was done or was not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec.structs import asdict

from ..model.errors import BulkNotFound, BulkRefused
from ..model.ids import make_id
from . import dead_sets
from .audit import NOWHERE
from .bulk_values import Bulk, Item, Step, Wanted
from .dead_sets import Choice, Judged
from .plan import Call, Steps, as_json, operation, query

__all__ = ["Bulk", "Item", "Step", "Wanted"]

BATCH: Final = 500
LEASE_US: Final = 15_000_000
KEEP_US: Final = 90 * 86_400_000_000
"""How long bulk operations and their lists are kept after their end."""
ALL: Final = 1 << 62
LAST_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"

Verb = Literal["retry", "discard", "undo"]
AUDITED: Final = {"retry": "retry", "discard": "waive", "undo": "unwaive"}


# ── beginning ───────────────────────────────────────────────────────────────────────────────


@operation
def begin(
    app: str,
    verb: Verb,
    wanted: Wanted,
    *,
    actor: str,
    how: str = "",
    address: str = "",
    reason: str = "",
    choice: Choice = "leave",
    pace: int | None = None,
    start_at_us: int | None = None,
    limit: int | None = None,
    expected: int | None = None,
) -> Steps[Bulk]:
    """Store a bulk operation over all dead jobs that fit now (the latest deaths first, at most ``limit``).

    ``pace`` is how many a second at most; ``start_at_us`` when it may begin. With ``expected`` it is refused
    where the count is another than the one that its person saw. Raises BulkRefused.
    """
    [(now,)] = yield Call("now")
    bulk, bound = make_id(), now - wanted.older_us
    listing = {"bulk": bulk, "app": app, "bound": bound, "limit": ALL if limit is None else limit}
    [(count,)] = yield Call("list_for_bulk", {**listing, **wanted.params})
    if expected is not None and count != expected:
        raise BulkRefused(
            f"{count:,} jobs fit now, and {expected:,} did when they were looked at.", hint="Look again."
        )
    words = f"dead jobs{wanted}" + ("" if limit is None else f", at most {limit:,}")
    stored = {"wanted": as_json(asdict(wanted)), "filter": words, "choice": choice, "bound": bound}
    who = {"actor": actor, "how": how, "address": address, "reason": reason}
    when = {"pace": pace, "start_at": now if start_at_us is None else start_at_us}
    params = {"id": bulk, "app": app, "verb": verb, "intended": count, "undoes": None}
    yield Call("add_bulk", {**params, **stored, **who, **when})
    yield _said(app, bulk, f"bulk {verb}", "", "begun", who, words, bound, count)
    return (yield from find(app, bulk))


@operation
def undo(
    app: str, undoes: str, *, actor: str, how: str = "", address: str = "", reason: str = ""
) -> Steps[Bulk]:
    """Take back a bulk discard: all that it discarded are to be dead again.

    Raises BulkNotFound, BulkRefused.
    """
    first = yield from find(app, undoes)
    if first.verb != "discard":
        raise BulkRefused(f"Only what was discarded can be taken back; this was a bulk {first.verb}.")
    if first.state == "running":
        raise BulkRefused(f"Bulk operation {undoes} is still under way.", hint=f"dutiful bulk abort {undoes}")
    [(now,)] = yield Call("now")
    bulk = make_id()
    [(count,)] = yield Call("list_for_undo", {"bulk": bulk, "undoes": undoes})
    words = f"what bulk operation {undoes} discarded"
    stored = {"wanted": "{}", "filter": words, "choice": "leave", "bound": now}
    who = {"actor": actor, "how": how, "address": address, "reason": reason}
    when = {"pace": None, "start_at": now}
    params = {"id": bulk, "app": app, "verb": "undo", "intended": count, "undoes": undoes}
    yield Call("add_bulk", {**params, **stored, **who, **when})
    yield _said(app, bulk, "bulk undo", "", "begun", who, words, now, count)
    return (yield from find(app, bulk))


# ── looking ─────────────────────────────────────────────────────────────────────────────────


def find(app: str, bulk: str) -> Steps[Bulk]:
    """Raises BulkNotFound."""
    rows = yield Call("find_bulk", {"id": bulk})
    if not rows or rows[0][1] != app:
        raise BulkNotFound(f"There is no bulk operation {bulk!r} in app {app!r}.")
    return Bulk(*rows[0])


@query
def show(app: str, bulk: str) -> Steps[Bulk]:
    """One bulk operation; raises BulkNotFound."""
    return (yield from find(app, bulk))


@query
def listed(app: str, *, before_us: int | None = None, limit: int = 50) -> Steps[list[Bulk]]:
    """Bulk operations, the latest first."""
    params = {"app": app, "before": ALL if before_us is None else before_us, "limit": limit}
    return [Bulk(*row) for row in (yield Call("list_bulks", params, alone=True))]


@query
def items(bulk: str, *, state: str | None = None, after: int = 0, limit: int = 500) -> Steps[list[Item]]:
    """What became of its jobs: those in ``state``, or else all that were not simply done."""
    params = {"bulk": bulk, "state": state, "after": after, "limit": limit}
    return [Item(*row) for row in (yield Call("list_items", params, alone=True))]


@query
def counts(bulk: str) -> Steps[dict[str, int]]:
    """How many of its items are in which state: counted, not remembered."""
    return dict((yield Call("count_items", {"bulk": bulk}, alone=True)))


@query
def page(
    app: str, wanted: Wanted, *, bound_us: int, after: tuple[int, str] | None = None, limit: int = BATCH
) -> Steps[list[tuple[str, int, int]]]:
    """A page of what would be meant: (id, run_no, died_at_us)."""
    at, last = after if after is not None else (bound_us, LAST_ID)
    params = {"app": app, "after": at, "after_id": last, "limit": limit, **wanted.params}
    return [(row[0], row[1], row[2]) for row in (yield Call("page_for_bulk", params, alone=True))]


# ── steering ────────────────────────────────────────────────────────────────────────────────


@operation
def steer(
    app: str, bulk: str, verb: Literal["pause", "resume", "abort"], *, actor: str, reason: str = ""
) -> Steps[Bulk]:
    """Pause, resume or abort; when this returns nothing more is done. Raises BulkNotFound, BulkRefused."""
    before = yield from find(app, bulk)
    key = {"id": bulk, "app": app}
    if verb == "pause":
        moved = yield Call("pause_bulk", key)
    elif verb == "resume":
        moved = yield Call("resume_bulk", key)
    else:
        moved = yield Call("abort_bulk", key)
    if not moved:
        raise BulkRefused(f"Cannot {verb} bulk operation {bulk}: it is {before.state}.")
    after = yield from find(app, bulk)
    who = {"actor": actor, "how": None, "address": None, "reason": reason}
    said = _said(
        app,
        bulk,
        f"{verb} bulk",
        before.state,
        after.state,
        who,
        after.filter,
        after.bound_us,
        after.intended,
    )
    yield Call("add_audit", {**said.params, "done": moved[0][0], "skipped": moved[0][1], "action_id": None})
    return after


# ── walking ─────────────────────────────────────────────────────────────────────────────────


@query
def left(app: str) -> Steps[tuple[bool, bool]]:
    """Whether rows of the audit are not in its chain yet, and whether nobody walks a bulk operation."""
    [(chains, walks)] = yield Call("people_left", {"app": app}, alone=True)
    return bool(chains), bool(walks)


@query
def to_walk(app: str) -> Steps[list[str]]:
    """Bulk operations that nobody walks at the moment."""
    return [row[0] for row in (yield Call("bulks_to_walk", {"app": app}, alone=True))]


@operation
def step(bulk: str, walker: str, *, most: int = BATCH, lease_us: int = LEASE_US) -> Steps[Step]:
    """Carry out the next batch, if this bulk operation is ours to walk: one transaction."""
    rows = yield Call("hold_bulk", {"id": bulk, "walker": walker, "lease": lease_us})
    if not rows:
        known = yield Call("find_bulk", {"id": bulk})
        return Step(False, over=bool(known) and Bulk(*known[0]).state == "done")
    app, verb, actor, how, address, reason, choice, pace, paced_from, paced, last, intended, undoes, now = (
        rows[0]
    )
    if pace is not None:
        allowed = (now - paced_from) * pace // 1_000_000 + 1 - paced
        if allowed <= 0:
            return Step(True, wait_us=1_000_000 // pace - (allowed * 1_000_000 // pace))
        most = min(most, allowed)
    found = yield Call("next_items", {"bulk": bulk, "after": last, "limit": most})
    runs = {row[1]: row[2] for row in found}
    fate, queues = yield from _carry_out(app, verb, choice, undoes, list(runs), runs)
    acted = [one for one, (state, _) in fate.items() if state in ("done", "duplicate")]
    if acted:
        before, after = {"retry": ("dead", "ready"), "discard": ("dead", "done(waived)")}.get(
            verb, ("done(waived)", "dead")
        )
        ended = {one: "done(duplicate)" if fate[one][0] == "duplicate" else after for one in acted}
        said = [{"id": one, "before": before, "after": ended[one]} for one in acted]
        who = {"actor": actor, "how": how or None, "address": address or None, "reason": reason}
        yield Call(
            "add_audits", {**who, "app": app, "verb": AUDITED[verb], "action_id": bulk, "rows": as_json(said)}
        )
    marks = [{"no": row[0], "state": fate[row[1]][0], "why": fate[row[1]][1]} for row in found]
    marked = yield Call("mark_items", {"bulk": bulk, "rows": as_json(marks)})
    assert len(marked) == len(found), "an item was marked twice"
    over = yield from _move(
        bulk, walker, found[-1][0] if found else intended, len(acted), len(found) - len(acted), 0
    )
    return Step(True, over, len(found), queues=frozenset(queues))


@operation
def fail(bulk: str, walker: str, why: str) -> Steps[None]:
    """The next item alone cannot be carried out, whatever is tried: it is marked as failed, and passed."""
    rows = yield Call("hold_bulk", {"id": bulk, "walker": walker, "lease": LEASE_US})
    found = (yield Call("next_items", {"bulk": bulk, "after": rows[0][10], "limit": 1})) if rows else ()
    if not found:
        return
    marks = [{"no": found[0][0], "state": "failed", "why": why}]
    yield Call("mark_items", {"bulk": bulk, "rows": as_json(marks)})
    yield from _move(bulk, walker, found[0][0], 0, 0, 1)


@operation
def leave(bulk: str, walker: str) -> Steps[None]:
    """Stop walking: another may go on at once."""
    yield Call("leave_bulk", {"id": bulk, "walker": walker}, alone=True)


@operation
def forget() -> Steps[None]:
    """Forget bulk operations that ended longer than ``KEEP_US`` ago."""
    yield Call("forget_bulks", {"keep": KEEP_US})
    yield Call("forget_bulk_rows", {"keep": KEEP_US})


# ── the parts ───────────────────────────────────────────────────────────────────────────────

Fate = dict[str, tuple[str, str | None]]
"""What becomes of each job: the state of its item, and why."""


def _carry_out(
    app: str, verb: str, choice: str, undoes: str | None, ids: Sequence[str], runs: Mapping[str, int]
) -> Steps[tuple[Fate, set[str]]]:
    if not ids:
        return {}, set()
    if verb == "undo":
        stay = yield from dead_sets.unwaive(app, ids, dict(runs))
        return {one: ("skipped", stay[one]) if one in stay else ("done", None) for one in ids}, set()
    jobs = yield from dead_sets.judge(app, ids)
    fate: Fate = {}
    meant: list[Judged] = []
    for job in jobs:
        if job.task and job.run_no != runs[job.id]:
            fate[job.id] = ("skipped", f"it was retried meanwhile, and died again after run {job.run_no}")
        elif not job.task:
            fate[job.id] = ("skipped", job.why)
        else:
            meant.append(job)
    if verb == "discard":
        gone = yield from dead_sets.close(meant, "waived")
        for job in meant:
            fate[job.id] = ("done", None) if job.id in gone else ("skipped", "it is not dead any more")
        return fate, set()
    twins = [job for job in meant if job.bucket == "done"]
    closed = yield from dead_sets.close(twins, "duplicate")
    fate |= {job.id: ("duplicate", job.why) for job in twins if job.id in closed}
    safe = [job for job in meant if job.bucket == "safe" or (job.bucket == "choice" and choice == "retry")]
    back = yield from dead_sets.retry(app, safe)
    for job in meant:
        if job.id in back:
            fate[job.id] = ("done", None)
        elif job.id not in fate:
            fate[job.id] = ("skipped", job.why or "another job holds its key")
    return fate, {job.queue for job in safe if job.id in back}


def _move(bulk: str, walker: str, last: int, done: int, skipped: int, failed: int) -> Steps[bool]:
    """The counts, and if this was the last batch, the audit's word of it."""
    params = {
        "id": bulk,
        "walker": walker,
        "last_no": last,
        "done": done,
        "skipped": skipped,
        "failed": failed,
    }
    [(state, all_done, all_skipped, all_failed, intended, words, bound)] = yield Call("move_bulk", params)
    if state != "done":
        return False
    [row] = yield Call("find_bulk", {"id": bulk})
    ended = Bulk(*row)
    who = {"actor": ended.actor, "how": ended.how, "address": ended.address, "reason": ended.reason}
    said = _said(ended.app, bulk, f"bulk {ended.verb}", "running", "done", who, words, bound, intended)
    yield Call("add_audit", {**said.params, "done": all_done, "skipped": all_skipped + all_failed})
    return True


def _said(
    app: str,
    bulk: str,
    verb: str,
    before: str,
    after: str,
    who: Mapping[str, str | None],
    words: str,
    bound: int,
    intended: int,
) -> Call:
    """The audit row of a bulk operation itself."""
    what: dict[str, object] = {
        "app": app,
        "verb": verb,
        "subject": f"bulk:{bulk}",
        "before": before,
        "after": after,
    }
    frozen: dict[str, object] = {"filter": words, "bound": bound, "intended": intended, "action_id": bulk}
    return Call("add_audit", {**NOWHERE, **what, **who, **frozen})
