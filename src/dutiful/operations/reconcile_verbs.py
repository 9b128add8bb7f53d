"""What people do with reconciliations: ask for a pass, pause, resume; each with an audit row.

To approve what the governor stopped is in :mod:`.reconcile`, beside the passes that stop.
"""

from __future__ import annotations

from ..model.errors import ReconcileRefused
from ..model.keys import near
from .audit import note
from .plan import Call, Steps, operation, typed
from .reconcile import Stored


@operation
def run_now(app: str, name: str, *, actor: str, reason: str = "", whole: bool = False) -> Steps[Stored]:
    """A pass is due now, of the whole window or of what is new; the next worker that looks makes it.

    Raises ReconcileRefused where it is paused, or no live worker has the code that declares it.
    """
    before = yield from _known(app, name)
    if before.paused:
        raise ReconcileRefused(
            f"Reconciliation {name} is paused by {before.paused_by}, so no worker makes a pass.",
            hint=f"Resume it first: dutiful reconcile {name} --resume",
        )
    if not before.live:
        raise ReconcileRefused(
            f"No live worker declares reconciliation {name}, so nobody would make a pass.",
            hint=f"Start a worker of this app; or make one yourself: dutiful reconcile {name} --app …",
        )
    yield Call("ask_for_pass", {"app": app, "name": name, "whole": whole})
    what = "a pass over the whole window" if whole else "a quick pass"
    yield note("run_reconcile", app, actor, f"reconcile {name}", before.state, f"{what} is due", reason)
    return (yield from _known(app, name))


@operation
def pause(app: str, name: str, *, actor: str, reason: str, for_us: int | None = None) -> Steps[Stored]:
    """No worker makes a pass, for so long or until it is resumed. Raises ReconcileRefused."""
    before = yield from _known(app, name)
    until = None if for_us is None else before.now_us + for_us
    yield Call("pause_reconcile", {"app": app, "name": name, "by": actor, "reason": reason, "until": until})
    after = "paused" if until is None else "paused until"
    yield note("pause_reconcile", app, actor, f"reconcile {name}", before.state, after, reason)
    return (yield from _known(app, name))


@operation
def resume(app: str, name: str, *, actor: str, reason: str = "") -> Steps[Stored]:
    """It goes on, with a pass now. Raises ReconcileRefused where it is not paused."""
    before = yield from _known(app, name)
    if not (yield Call("resume_reconcile", {"app": app, "name": name})):
        raise ReconcileRefused(f"Reconciliation {name} is not paused.")
    after = yield from _known(app, name)
    yield note("resume_reconcile", app, actor, f"reconcile {name}", before.state, after.state, reason)
    return after


def _known(app: str, name: str) -> Steps[Stored]:
    rows = yield Call("look_at_reconciles", {"app": app})
    found = {row[0]: row for row in rows}
    if name not in found:
        raise ReconcileRefused(f"There is no reconciliation {name!r} in the store{near(name, list(found))}.")
    return typed(Stored, found[name], flags=(27, 28))
