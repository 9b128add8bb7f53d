"""What contract tests need beside an engine: two faces, a clock to move, and a second connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from dutiful.engines.contract import Engine
from dutiful.engines.postgres import PostgresEngine
from dutiful.engines.sqlite import SqliteEngine
from dutiful.model.ids import make_id, make_ids
from dutiful.model.jobs import Ending, Enqueued, Lane, Lease, NewJob, NewWorker
from dutiful.operations import claims, enqueue, retention, settle, workers
from dutiful.operations.plan import Operation
from dutiful.sql import sqlite_names
from tests.contract import warm

T = TypeVar("T")
Run = Callable[[Operation[Any]], Any]

APP = "shop"
SECOND = 1_000_000


class Clock:
    """Stands still until it is moved."""

    def __init__(self, at_us: int = 1_800_000_000_000_000) -> None:
        self.at_us = at_us

    def __call__(self) -> int:
        return self.at_us

    def advance(self, by_us: int) -> None:
        self.at_us += by_us


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """An engine with its tables made."""
    with warm.lent(url) as engine:
        yield engine


def face(engine: Engine, name: str) -> Run:
    """``engine.run``, or ``engine.arun`` on an event loop of its own."""
    if name == "run":
        return engine.run

    def run(operation: Operation[Any]) -> Any:
        async def carry_out() -> Any:
            try:
                return await engine.arun(operation)
            finally:
                if isinstance(engine, PostgresEngine):
                    await engine.leave_loop()

        return asyncio.run(carry_out())

    return run


def look(engine: Engine, sql: str, *params: object) -> list[tuple[Any, ...]]:
    """Rows as a connection of nobody's sees them: what is committed. Parameters are ``%s``."""
    if engine.name == "postgres":
        import psycopg

        with psycopg.connect(cast(PostgresEngine, engine).conninfo) as connection:
            return connection.execute(sql, params).fetchall()
    store = cast(SqliteEngine, engine)
    # By the engine's own driver: two SQLite libraries must not open one file.
    second = store._driver.connect(store.path, timeout_s=5)
    try:
        return list(second.raw.execute(sqlite_names(sql).replace("%s", "?"), params).fetchall())
    finally:
        second.close()


def write(engine: Engine, sql: str, *params: object) -> None:
    """Changes rows by hand, and commits."""
    if engine.name == "postgres":
        import psycopg

        with psycopg.connect(cast(PostgresEngine, engine).conninfo) as connection:
            connection.execute(sql, params)
        return
    look(engine, sql, *params)


def jobs(engine: Engine) -> list[str]:
    """The ids of all live jobs that are committed, by age."""
    uuid = "id::text" if engine.name == "postgres" else "id"
    return [row[0] for row in look(engine, f"SELECT {uuid} FROM dutiful.job ORDER BY id")]


def new(key: str | None = None, args: str = '{"n":1}', **options: Any) -> NewJob:
    """A job to be; its arguments' hash is the arguments themselves."""
    fields: dict[str, Any] = {"id": make_id(), "task": "send", "queue": "default", "priority": 0}
    return NewJob(**(fields | {"args": args.encode(), "key": key, "args_hash": args} | options))


def pruned(run: Run, keep_us: int) -> None:
    """Forget all endings that are older."""
    while run(retention.prune(keep_us)):
        pass


def loaded(count: int) -> Operation[list[Enqueued]]:
    """So many alike by COPY."""
    like = new()
    return enqueue.load(APP, like, make_ids(count), count * [like.args])


def store(run: Run, job: NewJob) -> Enqueued:
    """Enqueue one."""
    answer: Enqueued = run(enqueue.one(APP, job))
    return answer


def store_many(run: Run, batch: Iterable[NewJob]) -> list[Enqueued]:
    """Enqueue many at once."""
    answer: list[Enqueued] = run(enqueue.many(APP, list(batch)))
    return answer


def claim(engine: Engine, limit: int = 1) -> list[Lease]:
    """Claim what is ready, in all lanes, for a worker of its own."""
    fields: dict[str, Any] = {"app": APP, "host": "here", "pid": 1, "lease_us": 30 * SECOND}
    worker = engine.run(workers.register(NewWorker(**fields, concurrency=1, queues="", tasks="")))
    lanes = [Lane(row[0]) for row in look(engine, "SELECT id FROM dutiful.lane ORDER BY id")]
    return engine.run(claims.claim(worker, lanes, {"send": 99}, limit)).leases


def end(engine: Engine, verb: Any, **fields: Any) -> str:
    """Claim one job and end it so; returns its id."""
    [lease] = claim(engine)
    ending = Ending(verb, lease.job_id, lease.token, lease.run_no, **fields)
    assert engine.run(settle.settle([ending], 1)) == []
    return str(lease.job_id)
