"""Settle doubts in the calling thread, as a worker does by the tasks' lookups."""

from __future__ import annotations

from ..app.app import App
from ..model.durations import Duration, microseconds
from ..model.effects import QUIET_US
from ..worker.lookups import Found, ask_here, in_doubt, look_up, names_of


def look_up_all(app: App, *, quiet: Duration | None = None) -> dict[str, Found]:
    """Ask the lookup of each job in doubt, once; returns what became of them, by job id.

    "confirmed", "refuted" (the job is ready again), "left" (it cannot tell, or it is not proven yet that the
    old run is dead) or "over" (somebody else decided). ``quiet`` is how long a run must have been dead
    before "surely not" counts (default 5 minutes).
    """
    quiet_us = QUIET_US if quiet is None else microseconds(quiet, what="quiet")
    ids = [doubt.id for name in names_of(app) for doubt in in_doubt(app, name)]
    return {id: look_up(app, id, ask_here, quiet_us=quiet_us) for id in ids}
