"""Run jobs in the calling thread, as a worker does: claim, body, ending, each in its transaction."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from ..app.admission import let_come
from ..app.app import App
from ..app.running import Run
from ..app.task import Task
from ..model.ids import make_id
from ..model.jobs import Ending, Lane, Lease, NewWorker
from ..model.queues import parse_queues
from ..operations import claims, lanes, settle, workers
from ..worker.run import acarry_out, carry_out, run_of
from ..worker.unwanted import unwanted

LEASE_US = 3_600_000_000
observe: Callable[[App, Task[..., Any], Lease], None] | None = None
"""Called before each run, if it is set: the pytest plugin notes what is to be drilled."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended: ``verb`` is complete, fail, bury, snooze, skip or expire.

    ``kind`` and ``message`` say why.
    """

    job_id: str
    task: str
    run_no: int
    attempt: int
    verb: str
    kind: str = ""
    message: str = ""
    traceback: str = ""


def run(*, task: str = "test", duty_key: str | None = None, run_no: int = 1, attempt: int = 1) -> Run:
    """A run to call a task's function with: ``send_receipt(42, run=testing.run())``."""
    return Run(job_id=make_id(), task=task, run_no=run_no, attempt=attempt, duty_key=duty_key)


def run_all(
    app: App, *, queues: str | None = None, limit: int = 10_000, tasks: Collection[str] | None = None
) -> list[Outcome]:
    """Run every due job, and what those enqueue, until none is due; returns how each run ended.

    Nothing a body raises comes out of here: look at the outcomes, or at the jobs. Retries that wait
    for their backoff are not due; move the clock and call it again. ``tasks`` are the only ones to
    run, ``queues`` as for a worker. Raises RuntimeError after ``limit`` runs (a job that makes itself
    due for ever).
    """
    engine = app.engine
    known = {name: version for name, version in app.known().items() if tasks is None or name in tasks}
    names = queues or ",".join(sorted({t.policy.queue for t in app.tasks.values()} | set(app.queues)))
    order = parse_queues(names or "default")
    engine.run(lanes.declare(app.name, [(t.policy.queue, t.policy.priority) for t in app.tasks.values()]))
    me = engine.run(
        workers.register(
            NewWorker(
                app=app.name,
                host=socket.gethostname(),
                pid=os.getpid(),
                lease_us=LEASE_US,
                concurrency=1,
                queues="[]",
                tasks="{}",
            )
        )
    )
    outcomes: list[Outcome] = []
    loop: asyncio.Runner | None = None  # one for all: connections are an event loop's own
    try:
        while True:
            rows = engine.run(lanes.lanes(app.name))
            by_queue = {name: at for at, name in enumerate(order.order(random.random))}
            mine = sorted(
                (row for row in rows if row.queue in by_queue),
                key=lambda row: (by_queue[row.queue], -row.priority),
            )
            reply = engine.run(claims.claim(me, [Lane(row.id) for row in mine], known, 1, promote=True))
            if not reply.leases:
                lease = engine.run(claims.claim_suspect(me, [row.id for row in mine], known))
                if lease is None and not reply.promoted and not (app.gated and let_come(engine)):
                    return outcomes
                reply.leases.extend([lease] if lease is not None else [])
            for lease in reply.leases:
                if len(outcomes) >= limit:
                    engine.run(settle.settle([_back(lease.job_id, lease.token, lease.run_no)], me))
                    raise RuntimeError(f"{limit} jobs were run and some are due still")
                task, given = app.find_task(lease.task), run_of(lease)
                if observe is not None:
                    observe(app, task, lease)
                if (too_late := unwanted(app, lease)) is not None:
                    ending = too_late
                elif task.is_async:
                    loop = loop or asyncio.Runner()
                    ending = loop.run(acarry_out(app, task, lease, given))
                else:
                    ending = carry_out(app, task, lease, given)
                engine.run(settle.settle([ending], me))
                said = ending.failure
                outcomes.append(
                    Outcome(
                        lease.job_id,
                        lease.task,
                        lease.run_no,
                        lease.attempt,
                        ending.verb,
                        said.kind if said else "",
                        said.message if said else "",
                        said.traceback if said else "",
                    )
                )
    finally:
        if loop is not None:
            loop.run(app.leave_loop())
            loop.close()
        engine.run(workers.leave(me))


def _back(job_id: str, token: str, run_no: int) -> Ending:
    return Ending("release", job_id, token, run_no, begun=False, charged=False)
