"""The jobs that a floor stores: plain values for dutiful's statements, made before the clock starts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dutiful.engines.contract import Engine
from dutiful.model.ids import make_id
from dutiful.model.jobs import NewWorker
from dutiful.operations.lanes import declare, lanes
from dutiful.operations.workers import register

APP, QUEUE, PRIORITY, TASK = "bench", "default", 0, "noop"
BATCH = 100  # jobs claimed, and jobs completed, by one statement
BULK = 10_000  # jobs stored by one transaction, as by one bulk enqueue of dutiful's
KNOWN = json.dumps({TASK: 1})
LEASE_US = 3_600_000_000


@dataclass(frozen=True)
class Stand:
    """Where a floor's jobs stand: their lane, and the row of the worker that claims them."""

    lane: int
    worker: int

    @classmethod
    def made_by(cls, engine: Engine) -> Stand:
        """Tables, a lane and a worker, made by dutiful's own operations; none of this is timed."""
        engine.migrate()
        engine.run(declare(APP, [(QUEUE, PRIORITY)]))
        [lane] = engine.run(lanes(APP))
        worker = NewWorker(APP, "floor", os.getpid(), LEASE_US, BATCH, queues=QUEUE, tasks=TASK)
        return cls(lane.id, engine.run(register(worker)))

    def claim(self, mark: int = 0) -> dict[str, Any]:
        """Parameters of ``claim_jobs`` for a batch after ``mark``."""
        where = json.dumps([{"lane": self.lane, "mark": mark}])
        return {"worker": self.worker, "lanes": where, "known": KNOWN, "n": BATCH, "promote": False}


def arguments(index: int) -> bytes:
    """What a job of ours with one integer has for arguments."""
    return b'{"index":%d}' % index


def singles(jobs: int) -> list[dict[str, Any]]:
    """Parameters of ``enqueue_job``, one after another."""
    return [
        {
            "app": APP,
            "id": make_id(),
            "task": TASK,
            "queue": QUEUE,
            "priority": PRIORITY,
            "args": arguments(index),
            "args_version": 1,
            "delay": 0,
            "run_at": None,
            "delivery": "at_least_once",
            "crashes_max": 3,
        }
        for index in range(jobs)
    ]


def copied(jobs: int, lane: int, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Rows of a bulk load, in the order of ``columns``; ``ready_seq`` counts where it is asked for."""
    now = time.time_ns() // 1_000
    fixed = {
        "lane": lane,
        "run_at": now,
        "enqueued_at": now,
        "delivery": "at_least_once",
        "crashes_max": 3,
        "task": TASK,
        "args_version": 1,
    }
    rows = []
    for index in range(jobs):
        varying = {"id": make_id(), "ready_seq": index + 1, "args": arguments(index)}
        rows.append(tuple(varying[name] if name in varying else fixed[name] for name in columns))
    return rows


def endings(claimed: Sequence[tuple[Any, ...]]) -> str:
    """The parameter of ``complete_jobs`` for rows of ``claim_jobs``: their ids and tokens."""
    return json.dumps([{"id": row[ID], "token": row[TOKEN], "result": None} for row in claimed])


HORIZON, ID, READY_SEQ, TOKEN = 0, 2, 4, 5
"""Columns of ``claim_jobs``."""
