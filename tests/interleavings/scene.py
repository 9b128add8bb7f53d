"""What the sessions find: workers that live and fell silent, and a job of every kind; put back in a moment.

The rows are made once, by the product's own operations, and kept beside the tables. Before each schedule
they are put back as they were: the same ids, the same tokens.
"""

from __future__ import annotations

import json
from typing import Any

import psycopg

from dutiful.engines.postgres import PostgresEngine
from dutiful.model.ids import make_id
from dutiful.model.jobs import Ending, Failure, Lane, Lease, NewJob, NewWorker
from dutiful.operations import claims, enqueue, lanes, people, settle, starts, verify, workers
from dutiful.operations.plan import Operation

APP = "shop"
SECOND = 1_000_000
LEASE_US = 30 * SECOND
KNOWN = {"at_least": 1, "exact": 1, "most": 1}
TABLES = tuple(
    [
        "lane",
        "queue",
        "job",
        "dead",
        "history",
        "duty",
        "failure",
        "worker",
        "chore",
        "audit",
        "ledger",
        "effect",
    ]  # all that are written
)
RAISED = Failure("ValueError", "no", "Traceback …")


class Clock:
    """Stands still."""

    at_us = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.at_us


class Scene:
    """The jobs and workers, by name."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = Clock()
        self.engine = PostgresEngine(url, clock=self.clock)
        self.engine.migrate()
        self.jobs: dict[str, str] = {}
        self.leases: dict[str, Lease] = {}
        self.workers: dict[str, int] = {}
        self.lane = Lane(0)
        self._eye = psycopg.connect(url, autocommit=True)
        self._lay_out()
        self._keep()

    def close(self) -> None:
        self._eye.close()
        self.engine.close()

    def run(self, operation: Operation[Any]) -> Any:
        return self.engine.run(operation)

    # ── laying out ──────────────────────────────────────────────────────────────────────────

    def new(self, key: str | None = None, task: str = "at_least", **options: Any) -> NewJob:
        """A job to be; its arguments' hash is the arguments themselves."""
        fields: dict[str, Any] = {"id": make_id(), "task": task, "queue": "q", "priority": 0}
        args = options.pop("args", '{"n":1}')
        delivery = {"exact": "exactly_once", "most": "at_most_once"}.get(task, "at_least_once")
        return NewJob(**fields, args=args.encode(), args_hash=args, key=key, delivery=delivery, **options)

    def worker(self, name: str, **options: Any) -> int:
        row = NewWorker(APP, "host", 1, LEASE_US, 4, "[]", "{}", **options)
        self.workers[name] = self.run(workers.register(row))
        return self.workers[name]

    def _store(self, name: str, *given: Any, **options: Any) -> str:
        job = self.new(*given, **options)
        self.jobs[name] = self.run(enqueue.one(APP, job)).id
        return self.jobs[name]

    def _claimed(self, name: str, worker: str, *given: Any, **options: Any) -> Lease:
        """A job that this worker runs. The only ready one, when it is claimed."""
        self._store(name, *given, **options)
        [lease] = self.run(claims.claim(self.workers[worker], [self.lane], KNOWN, 1)).leases
        self.leases[name] = lease
        return lease

    def _lay_out(self) -> None:
        self.run(lanes.declare(APP, [("q", 0)]))
        self.lane = Lane(self.run(lanes.lanes(APP))[0].id)
        self.worker("silent")
        self._claimed("of the silent", "silent", "k-silent")
        self._claimed("most of the silent", "silent", "k-most-silent", "most")
        self.run(starts.start(APP, self.leases["most of the silent"]))
        self._claimed("exact of the silent", "silent", "k-exact", "exact")
        self.clock.at_us += LEASE_US + SECOND
        self.worker("busy")
        self.worker("other")
        lease = self._claimed("dead", "busy", "k-dead")
        self._end(lease, "bury", reason="error", failure=RAISED)
        lease = self._claimed("done", "busy", "k-done")
        self._end(lease, "complete", result=b"1")
        self._store("cancelled", "k-cancelled")
        self.run(people.cancel(APP, self.jobs["cancelled"], actor="ann"))
        lease = self._claimed("doubted", "busy", "k-doubted", "most")
        self.run(starts.start(APP, lease))
        self._end(lease, "doubt", reason="it was cut off", failure=RAISED, started=True)
        self._claimed("running", "busy", "k-running")
        self._claimed("plain running", "busy")
        self._claimed("exact", "busy", "k-exact-running", "exact")
        self._claimed("most", "busy", "k-most", "most")
        self._store("ready", "k-ready")
        self._store("plain ready")
        self.clock.at_us += SECOND

    def _end(self, lease: Lease, verb: Any, **fields: Any) -> None:
        ending = Ending(verb, lease.job_id, lease.token, lease.run_no, **fields)
        assert self.run(settle.settle([ending], self.workers["busy"])) == []

    # ── putting back, and looking ───────────────────────────────────────────────────────────

    def _keep(self) -> None:
        self._eye.execute("CREATE TABLE public.work (duty text, job text)")
        self._eye.execute("CREATE SCHEMA kept")
        for table in TABLES:
            self._eye.execute(f"CREATE TABLE kept.{table} AS TABLE dutiful.{table}")  # type: ignore[arg-type]
        row = self._eye.execute("SELECT last_value FROM dutiful.ready_seq").fetchone()
        assert row is not None
        puts = "; ".join(
            f"DELETE FROM dutiful.{name}; INSERT INTO dutiful.{name} OVERRIDING SYSTEM VALUE TABLE kept.{name}"  # noqa: E501
            for name in TABLES
        )
        self._put_back = (
            f"BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM public.work; {puts};"
            f" SELECT setval('dutiful.ready_seq', {row[0]}); COMMIT"
        )
        lists = ", ".join(
            f"'{table}', (SELECT coalesce(json_agg(t), '[]') FROM {schema}.{table} AS t)"
            for schema, table in [*(("dutiful", name) for name in TABLES), ("public", "work")]
        )
        self._look = f"SELECT json_build_object({lists})::text"

    def put_back(self) -> None:
        """Everything is as it was."""
        self._eye.execute(self._put_back)  # type: ignore[arg-type]

    def look(self) -> dict[str, list[dict[str, Any]]]:
        """All tables, as they are."""
        row = self._eye.execute(self._look).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return dict(json.loads(row[0]))

    def verify(self) -> list[verify.Finding]:
        found = self.run(verify.check(None, full=True))
        return list(found)

    def vacuum(self) -> None:
        """What was put back often leaves much behind."""
        for table in TABLES:
            self._eye.execute(f"VACUUM dutiful.{table}")  # type: ignore[arg-type]
