"""Plain PostgreSQL sessions that carry out our statements, one at a time, in an order that a test decides.

A session can be *gated*: each row of ``dutiful.job`` (or another table) that its statement looks at
makes it wait for a lock that the test holds. So a test can let others commit in the middle of one
statement, after its snapshot was taken and before it locks a row.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg import sql

from dutiful.engines.postgres import SESSION, PostgresEngine
from dutiful.sql.render import render
from tests.contract.world import World

ROLE = "dutiful_plain"
GATE = 7701
PATIENCE_S = 20.0

ISOLATIONS = ("read committed", "repeatable read")


class Session:
    """One connection; ``isolation`` is what its transactions are by default."""

    def __init__(self, world: World, isolation: str = "read committed") -> None:
        self.world = world
        settings = SESSION | {"default_transaction_isolation": isolation.replace(" ", r"\ ")}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self.raw = psycopg.connect(
            cast(PostgresEngine, world.engine).conninfo,
            autocommit=True,
            options=options,
            cursor_factory=psycopg.RawCursor,
        )
        self.pid = self.raw.info.backend_pid
        self._thread = ThreadPoolExecutor(1)

    def call(self, name: str, **params: Any) -> list[tuple[Any, ...]]:
        """Carry out one of our statements, with the world's clock."""
        text, names = render("postgres", name, "dollar", True).parts[0]
        return self.execute(text, *(self.world.clock() if key == "now" else params[key] for key in names))

    def execute(self, text: str, *params: Any) -> list[tuple[Any, ...]]:
        cursor = self.raw.execute(cast(Any, text), params)
        return cursor.fetchall() if cursor.description else []

    def start(self, name: str, **params: Any) -> Future[list[tuple[Any, ...]]]:
        """The same, beside the test."""
        return self._thread.submit(self.call, name, **params)

    def start_text(self, text: str, *params: Any) -> Future[list[tuple[Any, ...]]]:
        return self._thread.submit(self.execute, text, *params)

    def begin(self) -> None:
        self.raw.execute("BEGIN")

    def commit(self) -> None:
        self.raw.execute("COMMIT")

    def rollback(self) -> None:
        self.raw.execute("ROLLBACK")

    def close(self) -> None:
        self._thread.shutdown()
        self.raw.close()

    def wait_until_blocked(self) -> None:
        """Until this session waits for a lock."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.world.sql("SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted", self.pid):
                return
            time.sleep(0.005)
        raise AssertionError("the session waits for nothing")


@contextmanager
def sessions(world: World, number: int, isolation: str = "read committed") -> Iterator[list[Session]]:
    made = [Session(world, isolation) for _ in range(number)]
    try:
        yield made
    finally:
        for session in made:
            session.close()


@contextmanager
def gated(world: World, session: Session, table: str) -> Iterator[None]:
    """Within, ``session`` waits at each row of the table; it goes on when the block is left.

    By row security, which is asked for a row before any lock on it is taken.
    """
    try:
        world.sql(f"CREATE ROLE {ROLE}")
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        pass  # another test's
    world.sql(f"GRANT USAGE ON SCHEMA dutiful TO {ROLE}")
    world.sql(f"GRANT ALL ON ALL TABLES IN SCHEMA dutiful TO {ROLE}")
    world.sql(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA dutiful TO {ROLE}")
    world.sql(
        "CREATE OR REPLACE FUNCTION public.gate() RETURNS boolean LANGUAGE plpgsql VOLATILE AS"
        f" $$ BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN true; END $$"
    )
    name = sql.Identifier("dutiful", table).as_string()
    world.sql(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    world.sql(f"CREATE POLICY gate ON {name} FOR SELECT TO {ROLE} USING (public.gate())")
    for verb, clause in (("UPDATE", "USING"), ("DELETE", "USING"), ("INSERT", "WITH CHECK")):
        world.sql(f"CREATE POLICY gate_{verb} ON {name} FOR {verb} TO {ROLE} {clause} (true)")
    session.raw.execute(f"SET ROLE {ROLE}")
    world.sql(f"SELECT pg_advisory_lock({GATE})")
    try:
        yield
    finally:
        world.sql(f"SELECT pg_advisory_unlock({GATE})")
