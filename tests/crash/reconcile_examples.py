"""Examples of the operations of reconciliation, on a store in which one has found something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from dutiful.model.ids import make_id
from dutiful.model.jobs import NewJob, NewWorker
from dutiful.model.reconcile import Governed, Rule
from dutiful.operations import reconcile, reconcile_verbs, reconcile_views, workers
from dutiful.operations.plan import Operation
from dutiful.operations.reconcile import Counts, Found, Pass

APP = "shop"
RULE = Rule("send", "t", 600_000_000, 60_000_000, 86_400_000_000)
COUNTS = Counts(expected=5, ok=1, missing=3, people=1)
PASS = Pass("send", True, "me", 1, 0, 1, COUNTS, 20, Governed(3))
STOPPED = replace(PASS, name="wrong", governed=Governed(20, "stopped"))
UNDER_WAY = replace(PASS, name="under way")


def job(key: str) -> NewJob:
    return NewJob(
        id=make_id(), task="t", queue="r", priority=0, args=b'{"n":1}', args_hash="h", key=key,
        on_duplicate="keep",
    )  # fmt: skip


def found(*keys: str, enqueued: bool = True) -> list[Found]:
    """Missing duties, to be enqueued."""
    return [Found(key, "missing", 1, job=job(key) if enqueued else None) for key in keys]


def prepare(world: Any) -> tuple[int, int, int]:
    """One has found missing duties, one whose job is there, and a dead one; one was stopped; one is left.

    Returns the passes of the first two, and one of a third that is under way.
    """
    run = world.engine.run
    run(reconcile.declare(APP, world.me, [RULE, replace(RULE, name="wrong"), replace(RULE, name="idle")]))
    run(reconcile_verbs.pause(APP, "idle", actor="ann", reason="a move"))
    leaver = run(workers.register(NewWorker(APP, "host", 1, 30_000_000, 1, '["q"]', '{"t":1}')))
    run(reconcile.declare(APP, leaver, [replace(RULE, name="left")]))
    run(workers.leave(leaver))
    number, _ = run(reconcile.act(APP, PASS, None, [*found("m1", "keyed"), Found("dead", "people", 1)]))
    run(reconcile.finish(APP, PASS, number, 1, "here", 600_000_000))
    stopped, _ = run(reconcile.act(APP, STOPPED, None, found("w1", enqueued=False)))
    run(reconcile.finish(APP, STOPPED, stopped, 1, "here", 600_000_000))
    under_way, _ = run(reconcile.act(APP, UNDER_WAY, None, []))
    return number, stopped, under_way


AGAIN = [*found("m1", "m2"), Found("keyed", "stuck", 1)]

OTHER = replace(RULE, grace_us=1)

EXAMPLES: dict[str, Callable[[Any], Operation[Any]]] = {
    "reconcile.look": lambda w: reconcile.look(APP),
    "reconcile.declare": lambda w: reconcile.declare(APP, w.me, [replace(RULE, name="new")]),
    "reconcile.declare of another rule": lambda w: reconcile.declare(APP, w.me, [OTHER]),
    "reconcile.adopt": lambda w: reconcile.adopt(APP, OTHER),
    "reconcile.end": lambda w: reconcile.end(APP, "left"),
    "reconcile.take": lambda w: reconcile.take(APP, RULE, "me", 60_000_000),
    "reconcile.holders": lambda w: reconcile.holders(APP, ["t"], ["dead", "keyed", "none"]),
    "reconcile.worked": lambda w: reconcile.worked(APP, ["t"], ["dead", "keyed", "none"]),
    "reconcile.ended": lambda w: reconcile.ended(APP, ["t"], ["dead", "keyed", "none"]),
    "reconcile.before": lambda w: reconcile.before(APP, "send"),
    "reconcile.act": lambda w: reconcile.act(APP, PASS, None, AGAIN),
    "reconcile.act in a pass": lambda w: reconcile.act(APP, UNDER_WAY, w.passes[2], AGAIN),
    "reconcile.open_keys": lambda w: reconcile.open_keys(APP, "send", "", 10),
    "reconcile.close": lambda w: reconcile.close(APP, "send", w.passes[0] + 1, ["m1", "dead"]),
    "reconcile.finish": lambda w: reconcile.finish(APP, PASS, w.passes[0], 2, "there", 600_000_000),
    "reconcile.fail": lambda w: reconcile.fail(APP, "send", "no such table", 600_000_000),
    "reconcile.approve": lambda w: reconcile.approve(APP, w.passes[1], actor="ann"),
    "reconcile_verbs.run_now": lambda w: reconcile_verbs.run_now(APP, "send", actor="ann", whole=True),
    "reconcile_verbs.pause": lambda w: reconcile_verbs.pause(
        APP, "send", actor="ann", reason="a move", for_us=9
    ),
    "reconcile_verbs.resume": lambda w: reconcile_verbs.resume(APP, "idle", actor="ann"),
    "reconcile_views.open_counts": lambda w: reconcile_views.open_counts(APP),
    "reconcile_views.page": lambda w: reconcile_views.page(APP, "send", "missing", after=(1, "m1")),
    "reconcile_views.closed": lambda w: reconcile_views.closed(APP, "send", before=(1 << 60, "m1")),
    "reconcile_views.runs": lambda w: reconcile_views.runs(APP),
    "reconcile_views.findings": lambda w: reconcile_views.findings(APP, "send"),
}
