"""A store with a clock that tests move, and short words for what jobs and workers do in it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from dutiful.engines.contract import Engine
from dutiful.engines.postgres import PostgresEngine
from dutiful.engines.sqlite import SqliteEngine
from dutiful.model.jobs import Ending, Failure, Lane, Lapsed, Lease, NewWorker
from dutiful.operations import claims, enqueue, lanes, settle, verify, workers
from dutiful.operations.plan import Operation
from dutiful.sql import sqlite_names
from tests.contract import planting, warm
from tests.contract.stores import APP, SECOND, Clock, new

DAY = 86_400 * SECOND
LEASE = 30 * SECOND
KNOWN = {"send": 1}
TABLES = (
    "lane", "queue", "job", "dead", "history", "duty", "failure", "worker", "chore", "audit", "effect",
    "checked", "ledger", "gate", "place", "schedule", "declared",
    "occurrence", "lock", "lock_ask", "action", "ack", "audit_chain", "bulk", "bulk_item",
)  # fmt: skip
"""All tables that operations write; the counter of ready numbers is none: a refusal may use one up."""

JOB_TABLES = ("job", "dead", "history", "duty", "failure", "audit", "effect")

OTHER = "00000000-0000-7000-8000-00000000000f"
"""The job that did the duty of which another is a duplicate."""

RAISED = Failure("ValueError", "no", "Traceback …")


class Eye:
    """Sees what is committed in a store, through a connection of nobody's."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.touched = False
        """Whether a hand was in the tables: then nobody can say what should be in them."""
        self._connection: Any = None

    def close(self) -> None:
        if self._connection is not None and not self._warm:
            self._connection.close()

    @property
    def _warm(self) -> bool:
        return warm.knows(str(getattr(self.engine, "url", "")))

    def sql(self, text: str, *params: object) -> list[tuple[Any, ...]]:
        """Rows by a connection of nobody's; parameters are ``%s``. Commits by itself."""
        if self._connection is None:
            self._connection = self._open()
        self.touched = self.touched or not text.lstrip().upper().startswith("SELECT")
        if self.engine.name == "postgres":
            cursor = self._connection.execute(text, params)
            return cursor.fetchall() if cursor.description else []
        return list(self._connection.raw.execute(sqlite_names(text).replace("%s", "?"), params).fetchall())

    def _open(self) -> Any:
        if self.engine.name == "postgres":
            import psycopg

            if self._warm:
                return warm.connection(cast(PostgresEngine, self.engine).url)
            return psycopg.connect(cast(PostgresEngine, self.engine).conninfo, autocommit=True)
        store = cast(SqliteEngine, self.engine)
        return store._driver.connect(store.path, timeout_s=5)  # one file, one SQLite library

    def table(self, name: str) -> list[dict[str, Any]]:
        """All rows of a table, ids and tokens as text, truth values as such."""
        columns = _columns(self, name)
        rows = self.sql(f"SELECT {', '.join(columns)} FROM dutiful.{name}")
        return sorted((dict(zip(columns, map(_plain, row), strict=True)) for row in rows), key=repr)

    def tables(self, names: Sequence[str] = TABLES) -> dict[str, list[dict[str, Any]]]:
        """What is committed, to be compared with a later look."""
        return {name: self.table(name) for name in names}

    def row(self, job_id: str) -> dict[str, Any]:
        """The job's row wherever it is: live, dead, or its latest ending; ``place`` says where."""
        for place, order in (("job", ""), ("dead", ""), ("history", " ORDER BY finished_at DESC LIMIT 1")):
            columns = _columns(self, place)
            found = self.sql(f"SELECT {', '.join(columns)} FROM dutiful.{place} WHERE id = %s{order}", job_id)
            if found:
                row = dict(zip(columns, map(_plain, found[0]), strict=True))
                return {"state": "dead"} | row | {"place": place}
        return {"place": None, "state": None}

    def state(self, job_id: str) -> str | None:
        row = self.row(job_id)
        return f"{row['state']}({row['outcome']})" if row.get("outcome") else row["state"]


class World(Eye):
    """One store, through one face (``run`` or ``arun``)."""

    def __init__(self, engine: Engine, face: str = "run", clock: Clock | None = None) -> None:
        super().__init__(engine)
        self.face = face
        self.clock = clock or Clock()
        engine.clock = self.clock
        self._loop = asyncio.Runner() if face == "arun" else None
        self._keys = itertools.count(1)

    def close(self) -> None:
        super().close()
        if self._loop is not None:
            if isinstance(self.engine, PostgresEngine):
                self._loop.run(self.engine.leave_loop())
            self._loop.close()

    def run(self, operation: Operation[Any]) -> Any:
        if self._loop is None:
            return self.engine.run(operation)
        return self._loop.run(self.engine.arun(operation))

    # ── looking ─────────────────────────────────────────────────────────────────────────────

    def failures(self, job_id: str) -> list[dict[str, Any]]:
        return [row for row in self.table("failure") if row["job_id"] == job_id]

    def audits(self, job_id: str) -> list[str]:
        return [row["verb"] for row in self.table("audit") if row["subject"] == job_id]

    def verify(self) -> list[verify.Finding]:
        return cast("list[verify.Finding]", self.run(verify.check(None, full=True)))

    # ── doing ───────────────────────────────────────────────────────────────────────────────

    def enqueue(self, key: str | None = None, **options: Any) -> str:
        return cast(str, self.run(enqueue.one(APP, new(key, **options))).id)

    def keyed(self, **options: Any) -> str:
        """A job with a key of its own."""
        return self.enqueue(f"k{next(self._keys)}", **options)

    def worker(self, *, alone: bool = False, parent: int | None = None, lease_us: int = LEASE) -> int:
        row = NewWorker(
            app=APP,
            host="here",
            pid=1,
            lease_us=lease_us,
            concurrency=10,
            queues="[]",
            tasks="{}",
            parent=parent,
            alone=alone,
        )
        return cast(int, self.run(workers.register(row)))

    def lanes(self, *queues: str) -> list[Lane]:
        """The lanes of these queues (of all), higher priority first."""
        rows = [row for row in self.run(lanes.lanes(APP)) if not queues or row.queue in queues]
        return [Lane(row.id) for row in sorted(rows, key=lambda row: (row.queue, -row.priority))]

    def claim(
        self, worker: int | None = None, limit: int = 1, queue: str | None = None, **options: Any
    ) -> list[Lease]:
        worker = worker if worker is not None else self.worker()
        asked = self.lanes(*([queue] if queue else []))
        return cast("list[Lease]", self.run(claims.claim(worker, asked, KNOWN, limit, **options)).leases)

    def claim_suspect(self, child: int) -> Lease | None:
        asked = [lane.id for lane in self.lanes()]
        return cast("Lease | None", self.run(claims.claim_suspect(child, asked, KNOWN)))

    def end(self, lease: Lease, verb: str, **fields: Any) -> bool:
        """Whether the run was still this lease's to end."""
        return not self.run(settle.settle([ending(lease, verb, **fields)], 1))

    def die(self, *gone: int, recorded: Sequence[int] = (), begun: Sequence[str] = ()) -> list[Lapsed]:
        """These workers die in company, and one pass of the reaper follows."""
        self.run(workers.bury(list(gone), silent=False))
        return cast("list[Lapsed]", self.run(workers.lapse(recorded, begun)))


def ending(lease: Lease, verb: str, **fields: Any) -> Ending:
    """As a worker would make it: a snooze and a release give their attempt back."""
    usual: dict[str, dict[str, Any]] = {
        "complete": {"result": b'{"ok":1}'},
        "duplicate": {"same_as": OTHER},
        "fail": {"failure": RAISED, "delay_us": 15 * SECOND},
        "bury": {"failure": RAISED, "reason": "exhausted"},
        "snooze": {"delay_us": 15 * SECOND, "charged": False},
        "release": {"charged": False, "begun": False, "reason": "the body was cut off"},
        "abort": {"reason": "it was asked to stop"},
        "skip": {"reason": "too late", "begun": False},
        "expire": {"reason": "stale", "failure": Failure("TooLate", "too late"), "begun": False},
        "doubt": {"reason": "who knows", "failure": Failure("EffectInDoubt", "who knows")},
    }
    return Ending(cast(Any, verb), lease.job_id, lease.token, lease.run_no, **(usual[verb] | fields))


@contextmanager
def world_at(url: str, face: str = "run") -> Iterator[World]:
    """At its end the checker looks at all of it, unless a hand was in the tables or a bug was planted."""
    with warm.lent(url) as engine:
        world = World(engine, face)
        plants = len(planting.PLANTED)
        try:
            yield world
            if not (world.touched or len(planting.PLANTED) > plants):
                assert _checked(world, url) == []
        finally:
            world.close()


def _checked(world: World, url: str) -> list[verify.Finding]:
    return warm.check(url, None, world.clock) if warm.knows(url) else world.verify()


def _columns(eye: Eye, table: str) -> list[str]:
    known: dict[str, list[str]] = eye.__dict__.setdefault("_known_columns", {})
    if table not in known:
        if eye.engine.name == "postgres":
            rows = eye.sql(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = 'dutiful' AND table_name = %s ORDER BY ordinal_position",
                table,
            )
        else:
            rows = eye.sql(f"SELECT name FROM pragma_table_info('dutiful_{table}')")
        known[table] = [row[0] for row in rows]
    return known[table]


def _plain(value: object) -> object:
    """A UUID as text, bytes as text, a truth value as a number: the same on both engines."""
    import uuid

    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode()
    return int(value) if isinstance(value, bool) else value
