"""Runs that an effect ends: in doubt, or coming back later; whatever the body made of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..app import events
from ..app.effects import EffectMeans
from ..app.events import emit
from ..app.running import Run
from ..model.effects import EffectStop, EffectWaits
from ..model.jobs import Ending, Failure, Lease
from ..model.retry import SNOOZE_US_MIN
from .masking import masked

if TYPE_CHECKING:
    from ..app.app import App
    from ..app.task import Task

logger = logging.getLogger("dutiful.worker")


def give_effects(app: App, task: Task[..., Any], lease: Lease, run: Run) -> None:
    """Give the run its means for effects; :func:`go_by_effects` belongs at the end of its body."""
    # In a batch the run is that of one job of many, and the next time perhaps of another one.
    refusal = (
        "a body that is called for many jobs at once has no duty to call for" if task.policy.batch else ""
    )
    run._effects, run._stop = EffectMeans(app.engine, app.name, lease.token, refusal), None


def go_by_effects(run: Run) -> None:
    """Raise what an effect said of the run, if one said that it must end.

    A body that swallows it (a bare ``except:``), or raises something else instead, ends so all the same.
    """
    if run._stop is not None:
        raise run._stop


def stopped(task: Task[..., Any], lease: Lease, stop: EffectStop) -> Ending:
    """The ending of a run that an effect ended."""
    about: dict[str, Any] = {"job_id": lease.job_id, "task": lease.task, "attempt": lease.attempt}
    if isinstance(stop, EffectWaits) and task.policy.delivery != "at_most_once":
        delay_us = max(stop.delay_us, SNOOZE_US_MIN)
        emit(
            logger,
            logging.INFO,
            events.JOB_SNOOZED,
            **about,
            delay_s=delay_us / 1e6,
            why=masked(task, lease.args, stop.why),
        )
        return Ending("snooze", lease.job_id, lease.token, lease.run_no, delay_us=delay_us, charged=False)
    # A started at_most_once body is never run again by the machine, so it has nothing to wait for.
    why = str(stop)
    emit(logger, logging.ERROR, events.JOB_IN_DOUBT, **about, why=masked(task, lease.args, why))
    return Ending(
        "doubt",
        lease.job_id,
        lease.token,
        lease.run_no,
        reason=why,
        failure=Failure("EffectInDoubt", why),
        started=task.policy.delivery == "at_most_once",
    )
