"""A Celery app as users write it, at its most careful settings: acknowledge late, requeue what is lost."""

from __future__ import annotations

import os
import signal
from typing import Any

from celery import Celery, signals

import dutiful
from tests.processes.support.once_jobs import charge_once, connect, note

app = Celery("shop", broker=os.environ["ONCE_BROKER"])
app.conf.update(
    broker_transport_options={"visibility_timeout": 1},
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
)

charge = app.task(name="charge", autoretry_for=(dutiful.StoreBusy,), retry_backoff=True)(charge_once)


@app.task(name="bound", bind=True)
@dutiful.once_per("bound:{order_id}", connect=connect)
def bound(self: Any, order_id: int) -> str:
    """With Celery's own first argument."""
    return str(self.request.id)


@signals.task_postrun.connect
def returned(retval: Any = None, **_: Any) -> None:
    """The body has returned and its transaction is committed; the message is acknowledged after this."""
    note(retval)
    if os.environ.get("ONCE_HOLD"):
        signal.pause()  # until SIGKILL
