"""The names of everything that is logged; a line is a name and its fields, never prose.

Loggers are ``dutiful.app`` and ``dutiful.worker``. Nothing here configures logging.
"""

from __future__ import annotations

import logging

WORKER_STARTED = "worker_started"
WORKER_STOPPED = "worker_stopped"
WORKER_DRAINING = "worker_draining"
WORKER_HALTED = "worker_halted"
WORKER_EXPELLED = "worker_expelled"
LEASE_AT_RISK = "lease_at_risk"
STORE_LOST = "store_lost"
STORE_BACK = "store_back"
CLOCK_SKEWED = "clock_skewed"
JOB_DONE = "job_done"
JOB_FAILED = "job_failed"
JOB_SNOOZED = "job_snoozed"
JOB_BURIED = "job_buried"
JOB_IN_DOUBT = "job_in_doubt"
LOOKUP_UNSURE = "lookup_unsure"
DOUBT_SETTLED = "doubt_settled"
START_FAILED = "start_failed"
JOB_LATE = "job_late"
JOB_SKIPPED = "job_skipped"
JOB_EXPIRED = "job_expired"
JOB_CANCELLED = "job_cancelled"
JOB_RELEASED = "job_released"
JOB_TIMED_OUT = "job_timed_out"
JOB_CRASHED = "job_crashed"
JOB_LAPSED = "job_lapsed"
RUN_OVER = "run_over"
THREAD_STUCK = "thread_stuck"
TASKS_UNKNOWN = "tasks_unknown"
REAP_BRAKED = "reap_braked"
CHORE_FAILED = "chore_failed"
CHILD_STARTED = "child_started"
CHILD_ENDED = "child_ended"
CHILD_START_FAILED = "child_start_failed"
CODE_CHANGED = "code_changed"
COMMIT_UNKNOWN = "commit_unknown"
LOCK_AT_RISK = "lock_at_risk"
LOCK_BROKEN = "lock_broken"
LOCK_LOST = "lock_lost"
EFFECT_NOT_NOTED = "effect_not_noted"
BOOKS_DIFFER = "books_differ"
INVARIANT_BROKEN = "invariant_broken"
SCHEDULE_FIRED = "schedule_fired"
SCHEDULE_MISSED = "schedule_missed"
SCHEDULE_GONE = "schedule_gone"
RECONCILED = "reconciled"
RECONCILE_FAILED = "reconcile_failed"
RECONCILE_GONE = "reconcile_gone"
FINGERPRINT_FAILED = "fingerprint_failed"
BULK_ITEM_FAILED = "bulk_item_failed"
ALERT_SENT = "alert_sent"
ALERT_FAILED = "alert_failed"
HEARTBEAT_FAILED = "heartbeat_failed"


def emit(logger: logging.Logger, level: int, event: str, **fields: object) -> None:
    """One event: ``job_failed job_id=… attempt=2``; the fields are on the record, too."""
    if logger.isEnabledFor(level):
        text = " ".join(f"{name}={value!r}" for name, value in fields.items() if name != "exc_info")
        logger.log(
            level,
            "%s %s",
            event,
            text,
            exc_info=fields.get("exc_info"),  # type: ignore[arg-type]
            extra={"event": event, "fields": fields},
        )
