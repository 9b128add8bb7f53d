"""Jobs, queues and findings as parts of JSON documents; the field names are frozen by tests."""

from __future__ import annotations

from typing import Any

from ..operations.effects import EffectView
from ..operations.inspect import FailureView, JobLine, JobView, QueueView
from ..operations.why import shown_state
from .printing import raw
from .times import iso


def of_line(line: JobLine) -> dict[str, Any]:
    """A job in a list: ``args_text`` is cut at 200 characters."""
    dead = line.state == "dead"
    return {
        "id": line.id,
        "state": line.state,
        "shown": shown_state(line.state, line.run_at_us, line.attempt, line.now_us),
        "outcome": None if dead else line.outcome,
        "reason": line.outcome if dead else None,
        "task": line.task,
        "queue": line.queue,
        "priority": line.priority,
        "key": line.key,
        "attempt": line.attempt,
        "crashes": line.crashes,
        "enqueued_at": iso(line.enqueued_at_us),
        "run_at": iso(line.run_at_us),
        "claimed_at": iso(line.claimed_at_us),
        "ended_at": iso(line.ended_at_us),
        "error": None if line.kind is None else {"kind": line.kind, "message": line.message},
        "args_text": line.args,
    }


def of_job(job: JobView) -> dict[str, Any]:
    """One job whole, its arguments and result as the JSON that they are."""
    return {
        "id": job.id,
        "app": job.app,
        "state": job.state,
        "shown": shown_state(job.state, job.run_at_us, job.attempt, job.now_us),
        "outcome": job.outcome,
        "reason": job.reason,
        "task": job.task,
        "queue": job.queue,
        "priority": job.priority,
        "key": job.key,
        "epoch": job.epoch,
        "delivery": job.delivery,
        "run_no": job.run_no,
        "attempt": job.attempt,
        "crashes": job.crashes,
        "suspect": job.suspect,
        "enqueued_at": iso(job.enqueued_at_us),
        "run_at": iso(job.run_at_us),
        "claimed_at": iso(job.claimed_at_us),
        "started_at": iso(job.started_at_us),
        "in_doubt_at": iso(job.doubt_at_us),
        "doubt": job.doubt,
        "ended_at": iso(job.ended_at_us),
        "cancel_asked_at": iso(job.cancel_at_us),
        "deadline": iso(job.deadline_us),
        "worker": job.worker,
        "args_version": job.args_version,
        "args": raw(job.args),
        "result": raw(job.result),
    }


def of_failure(failure: FailureView) -> dict[str, Any]:
    """What one run died of."""
    return {
        "run_no": failure.run_no,
        "attempt": failure.attempt,
        "failed_at": iso(failure.failed_at_us),
        "worker": failure.worker,
        "kind": failure.kind,
        "message": failure.message,
        "traceback": failure.traceback,
    }


def of_effect(effect: EffectView) -> dict[str, Any]:
    """One call to the world outside; ``settled_by`` is "run", "lookup", or who said so."""
    return {
        "name": effect.name,
        "key": effect.key,
        "state": effect.state,
        "job_id": effect.job_id,
        "run_no": effect.run_no,
        "calls": effect.tries,
        "calls_open": effect.calls_open,
        "asked_at": iso(effect.asked_at_us),
        "sent_at": iso(effect.sent_at_us),
        "came_back_at": iso(effect.ended_at_us),
        "settled_at": iso(effect.settled_at_us),
        "settled_by": effect.settled_by,
        "remembered_s": None if effect.remembered_us is None else effect.remembered_us / 1e6,
        "margin_s": effect.margin_us / 1e6,
        "error": effect.error,
        "result": raw(effect.result),
    }


def of_queue(queue: QueueView, workers: int) -> dict[str, Any]:
    """One queue; spans in seconds."""
    late = _late_us(queue)
    return {
        "name": queue.name,
        "due": queue.due,
        "later": queue.later,
        "running": queue.running,
        "in_doubt": queue.in_doubt,
        "dead": queue.dead,
        "oldest_due_at": iso(queue.oldest_us),
        "oldest_due_s": None if late is None else late / 1e6,
        "target_s": None if queue.target_us is None else queue.target_us / 1e6,
        "late": is_late(queue),
        "workers": workers,
        "limit": queue.slots,
        "slots_taken": queue.taken,
        "limit_declared": queue.declared,
        "limited": None
        if queue.limited_at_us is None
        else {
            "at": iso(queue.limited_at_us),
            "to": queue.limit_slots,
            "by": queue.limited_by,
            "reason": queue.limit_reason,
        },
        "paused": None
        if queue.paused_at_us is None
        else {
            "at": iso(queue.paused_at_us),
            "until": iso(queue.paused_until_us),
            "by": queue.paused_by,
            "reason": queue.pause_reason,
        },
    }


def is_late(queue: QueueView) -> bool:
    """Whether its oldest due job waits for longer than the queue's target."""
    late = _late_us(queue)
    return late is not None and queue.target_us is not None and late > queue.target_us


def _late_us(queue: QueueView) -> int | None:
    return None if queue.oldest_us is None else max(0, queue.now_us - queue.oldest_us)
