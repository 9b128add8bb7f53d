"""Jobs that are claimed and are not to begin: too late by their policy, or somebody asked them to stop.

And runs that were asked to stop and did: how they end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ..app import events
from ..app.events import emit
from ..app.lateness import in_place_of
from ..model.errors import DutifulError
from ..model.jobs import Ending, Failure, Lease
from ..model.late import judge_late
from ..operations import gates

if TYPE_CHECKING:
    from ..app.app import App
    from ..app.task import Task

logger = logging.getLogger("dutiful.worker")

ASKED = "it was asked to stop"


def sorted_out(app: App, leases: Iterable[Lease]) -> tuple[list[Lease], list[Ending]]:
    """What is to run, and the endings of what is not: given before any body, or durable start, of theirs."""
    wanted: list[Lease] = []
    endings: list[Ending] = []
    for lease in leases:
        ending = unwanted(app, lease)
        if ending is None:
            wanted.append(lease)
        else:
            endings.append(ending)
    return wanted, endings


def unwanted(app: App, lease: Lease) -> Ending | None:
    """How a claimed job ends that must not begin; None: it runs."""
    if lease.cancel_at_us is not None:
        emit(logger, logging.WARNING, events.JOB_CANCELLED, job_id=lease.job_id, task=lease.task)
        reason = f"{ASKED} while an earlier run was under way"
        return Ending("abort", lease.job_id, lease.token, lease.run_no, reason=reason, begun=False)
    task = app.find_task(lease.task)
    late = task.policy.late is not None or lease.deadline_us is not None
    verdict = judge_late(task.policy.late, lease) if late else None
    if verdict is None:
        return busy(app, task, lease)
    about: dict[str, Any] = {"job_id": lease.job_id, "task": lease.task, "why": verdict.why}
    end = Ending(
        "skip", lease.job_id, lease.token, lease.run_no, reason=verdict.why, begun=False, app=app.name
    )
    if verdict.then == "run":
        emit(logger, logging.WARNING, events.JOB_LATE, **about)
        return busy(app, task, lease)
    if verdict.then == "skip":
        emit(logger, logging.WARNING, events.JOB_SKIPPED, **about)
        return end
    if verdict.then == "dead":
        emit(logger, logging.ERROR, events.JOB_EXPIRED, **about)
        return replace(end, verb="expire", reason="stale", failure=Failure("TooLate", verdict.why))
    try:
        follow = in_place_of(task, lease, verdict.then)
    except Exception:
        return None  # it cannot be read: its run says so, and it is dead for that reason
    emit(logger, logging.WARNING, events.JOB_SKIPPED, **about, instead=follow.id)
    return replace(end, reason=f"{verdict.why}; {follow.task} in its place, job {follow.id}", follow=follow)


def busy(app: App, task: Task[..., Any], lease: Lease) -> Ending | None:
    """How a claimed job ends that does not wait (``on_busy=``) and finds a gate busy; None: it may begin."""
    if task.gates is None or not task.gates.judges:
        return None
    end = Ending("skip", lease.job_id, lease.token, lease.run_no, begun=False, app=app.name)
    try:
        wanted = task.gates.judged(task.codec.with_defaults(task.codec.decode(lease.args)))
    except Exception:
        return None  # it cannot be read: its run says so, and it is dead for that reason
    try:
        taken = app.engine.run(gates.take(app.name, lease.job_id, lease.token, wanted))
    except DutifulError as error:  # nobody knows whether it has its places: handed back, it has none
        emit(logger, logging.WARNING, events.CHORE_FAILED, chore="take", error=str(error))
        return replace(end, verb="release", charged=False)
    if taken.lost:
        return replace(end, verb="release", charged=False)  # which says that the run is over
    if taken.busy is None:
        return None
    why = f"busy: {taken.busy.kind} {taken.busy.key}"
    if taken.busy.on_busy == "skip":
        emit(logger, logging.WARNING, events.JOB_SKIPPED, job_id=lease.job_id, task=lease.task, why=why)
        return replace(end, reason=why)
    emit(logger, logging.ERROR, events.JOB_EXPIRED, job_id=lease.job_id, task=lease.task, why=why)
    failure = Failure("GateBusy", why)
    return replace(end, verb="bury", reason="gave_up", failure=failure)


def as_cancelled(task: Task[..., Any], lease: Lease, ending: Ending) -> Ending:
    """How a run ends that was asked to stop: what was done stands, and what is unknown stays in doubt.

    Whatever a body raises then is taken for obedience. An at_most_once body that had begun is dead if it
    raised, and in doubt if it was cut off: it may have done its work.
    """
    if ending.verb not in ("fail", "snooze", "release", "bury") or task.policy.delivery == "at_most_once":
        return ending
    emit(logger, logging.WARNING, events.JOB_CANCELLED, job_id=lease.job_id, task=lease.task)
    said = "" if ending.failure is None else f", and raised {ending.failure.kind}"
    return Ending(
        "abort", lease.job_id, lease.token, lease.run_no, reason=f"{ASKED}{said}", begun=ending.begun
    )
