"""DBOS on PostgreSQL: one executor process, each job a workflow without steps, a poll every 10 ms.

By default it polls once a second. Its queue has no limit of concurrency (the default): a poll takes all that
is enqueued, and the workflows run as tasks of one event loop. Results are kept, since they are its record of
what was done. Pools of 20 connections (the default). Bulk is ``enqueue_in_transaction``, a thousand times in
one transaction; there is no call for many.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

import psycopg
import sqlalchemy
from dbos import DBOS, DBOSClient  # type: ignore[import-not-found,unused-ignore]

from bench.driven import Driven, python
from bench.marks import mark
from bench.subject import URL_VARIABLE

POLL_S = 0.01
QUEUE = "bench"
FINISHED = """
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, application_version,
       application_name, serialization, created_at, started_at_epoch_ms, completed_at)
SELECT '00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'), 'SUCCESS', 'noop', 'bench', 'bench', 'bench',
       'py_pickle', at, at, at
  FROM generate_series(1, {count}) AS g(n),
       LATERAL (SELECT (extract(epoch FROM now()) * 1000)::bigint) AS t(at)
"""
OPEN = "SELECT EXISTS (SELECT FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING', 'DELAYED'))"
OPTIONS: Any = {"workflow_name": "noop", "queue_name": QUEUE, "app_version": "bench"}


@DBOS.workflow(name="noop")
async def noop(index: int) -> None:
    mark(index)


class Peer(Driven):
    name = "dbos"
    store = "postgres"
    finished = FINISHED
    rates = {"enqueue_one": 300, "enqueue_bulk": 1_000, "drain": 800}

    def prepare(self) -> None:
        logging.getLogger("dbos").setLevel(logging.WARNING)
        DBOS.migrate(self.place.url)
        self.client = DBOSClient(system_database_url=self.place.url, application_name="bench")
        self.client.register_queue(QUEUE, polling_interval_sec=POLL_S)
        self.connection = psycopg.connect(self.place.url, autocommit=True)
        url = self.place.url.replace("postgresql:", "postgresql+psycopg:", 1)
        self.engine = sqlalchemy.create_engine(url)

    def enqueue(self, index: int) -> None:
        self.client.enqueue(OPTIONS, index)

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        with self.engine.begin() as transaction:
            for index in indexes:
                self.client.enqueue_in_transaction(transaction, OPTIONS, index)

    def has_open_jobs(self) -> bool:
        row = self.connection.execute(OPEN).fetchone()
        return row is not None and bool(row[0])

    def worker(self) -> Sequence[str]:
        return python("-m", "bench.peers.dbos")


def work() -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": os.environ[URL_VARIABLE],
            "application_version": "bench",
            "log_level": "WARNING",
        }
    )
    DBOS.launch()
    threading.Event().wait()


if __name__ == "__main__":
    work()
