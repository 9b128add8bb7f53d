"""Examples of the operations of reconciliation, on a store in which one has found something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dutiful.model.ids import make_id
from dutiful.model.jobs import NewJob
from dutiful.model.reconcile import Governed, Rule
from dutiful.operations import reconcile, reconcile_views, workers
from dutiful.operations.plan import Operation
from dutiful.operations.reconcile import Counts, Found, Pass

APP = "shop"
RULE = Rule("send", "t", 600_000_000, 60_000_000, 86_400_000_000)
COUNTS = Counts(expected=5, ok=1, missing=3, people=1)
PASS = Pass("send", True, "me", 1, 0, 1, COUNTS, 20, Governed(3))
STOPPED = replace(PASS, governed=Governed(20, "stopped"))


def job(key: str) -> NewJob:
    return NewJob(
        id=make_id(), task="t", queue="q", priority=0, args=b'{"n":1}', args_hash="h", key=key,
        on_duplicate="keep",
    )  # fmt: skip


def found(*keys: str, enqueued: bool = True) -> list[Found]:
    """Missing duties, to be enqueued."""
    return [Found(key, "missing", 1, job=job(key) if enqueued else None) for key in keys]


def passed(world: Any, made: Pass = PASS) -> int:
    """A pass has found duties that are missing, one whose job is there already, and one that is dead."""
    run = world.engine.run
    run(reconcile.declare(APP, world.me, [RULE]))
    number, _ = run(reconcile.act(APP, made, None, [*found("m1", "keyed"), Found("dead", "people", 1)]))
    run(reconcile.finish(APP, made, number, 1, "here", 600_000_000))
    return int(number)


def after(world: Any, make: Callable[[int], Operation[Any]], made: Pass = PASS) -> Operation[Any]:
    """Such a pass was made before."""
    return make(passed(world, made))


def left(world: Any) -> Operation[Any]:
    """Nobody declares it any more."""
    passed(world)
    world.engine.run(workers.leave(world.me))
    return reconcile.end(APP, "send")


AGAIN = [*found("m1", "m2"), Found("keyed", "stuck", 1)]

EXAMPLES: dict[str, Callable[[Any], Operation[Any]]] = {
    "reconcile.look": lambda w: after(w, lambda _: reconcile.look(APP)),
    "reconcile.declare": lambda w: reconcile.declare(APP, w.me, [RULE]),
    "reconcile.declare of another rule": lambda w: after(
        w, lambda _: reconcile.declare(APP, w.me, [replace(RULE, grace_us=1)])
    ),
    "reconcile.adopt": lambda w: after(w, lambda _: reconcile.adopt(APP, replace(RULE, grace_us=1))),
    "reconcile.end": left,
    "reconcile.take": lambda w: after(w, lambda _: reconcile.take(APP, RULE, "me", 60_000_000)),
    "reconcile.holders": lambda w: reconcile.holders(APP, ["t"], ["dead", "keyed", "none"]),
    "reconcile.worked": lambda w: reconcile.worked(APP, ["t"], ["dead", "keyed", "none"]),
    "reconcile.ended": lambda w: reconcile.ended(APP, ["t"], ["dead", "keyed", "none"]),
    "reconcile.before": lambda w: after(w, lambda _: reconcile.before(APP, "send")),
    "reconcile.act": lambda w: reconcile.act(APP, PASS, None, AGAIN),
    "reconcile.act in a pass": lambda w: after(w, lambda run: reconcile.act(APP, PASS, run, AGAIN)),
    "reconcile.open_keys": lambda w: after(w, lambda _: reconcile.open_keys(APP, "send", "", 10)),
    "reconcile.close": lambda w: after(w, lambda run: reconcile.close(APP, "send", run + 1, ["m1", "dead"])),
    "reconcile.finish": lambda w: after(
        w, lambda run: reconcile.finish(APP, PASS, run, 2, "there", 600_000_000)
    ),
    "reconcile.fail": lambda w: after(w, lambda _: reconcile.fail(APP, "send", "no such table", 600_000_000)),
    "reconcile.approve": lambda w: after(w, lambda run: reconcile.approve(APP, run, actor="ann"), STOPPED),
    "reconcile_views.runs": lambda w: after(w, lambda _: reconcile_views.runs(APP)),
    "reconcile_views.findings": lambda w: after(w, lambda _: reconcile_views.findings(APP, "send")),
}
