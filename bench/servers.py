"""The servers of a run, started when first asked for, and an empty store on them for each measurement.

They run on this machine with all that makes a commit durable left on: a benchmark without fsync would
flatter whoever commits most often. PostgreSQL has its usual settings otherwise, except that checkpoints are
far apart, so that none falls into one contestant's measurement and not into another's. Redis keeps an
append-only file that is flushed every second, which is what manuals of queues on it advise.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.contestants import Contestant
from devtools.hosting import ServerFailed
from devtools.servers import PostgresServer, RedisServer

POSTGRES_SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
}
COUNTING = {"shared_preload_libraries": "pg_stat_statements"}
REDIS_SETTINGS = ("--appendonly", "yes", "--appendfsync", "everysec")


class Missing(Exception):
    """A server that is not installed here; the text is shown in the table."""


class Servers:
    """``with Servers() as servers``: PostgreSQL lives from its first use until the end of the block."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._postgres: PostgresServer | None = None
        self._missing: str | None = None
        self._numbers = itertools.count()

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def fresh(self, contestant: Contestant, folder: Path) -> Iterator[str]:
        """The URL of an empty store for ``contestant``, taken away at the end. Raises ``Missing``."""
        if contestant.store == "sqlite":
            yield f"sqlite:///{folder / 'jobs.db'}"
        elif contestant.store == "redis":
            with ExitStack() as stack:
                try:
                    server = stack.enter_context(RedisServer(REDIS_SETTINGS))
                except ServerFailed as failed:
                    raise Missing(_first_line(failed)) from failed
                yield server.url()
        else:
            postgres = self.postgres()
            name = f"bench_{contestant.name.replace('-', '_')}_{next(self._numbers)}"
            postgres.drop_database(name)
            try:
                yield postgres.create_database(name)
            finally:
                postgres.drop_database(name)

    def postgres(self) -> PostgresServer:
        """The server, started at the first call; a failed start is remembered."""
        with self._lock:
            if self._missing:
                raise Missing(self._missing)
            if self._postgres is None:
                try:
                    self._postgres = self._started()
                except ServerFailed as failed:
                    self._missing = _first_line(failed)
                    raise Missing(self._missing) from failed
            return self._postgres

    def _started(self) -> PostgresServer:
        try:
            server = self._stack.enter_context(PostgresServer({**POSTGRES_SETTINGS, **COUNTING}))
        except ServerFailed:  # some builds come without the contributed modules
            return self._stack.enter_context(PostgresServer(POSTGRES_SETTINGS))
        _count_statements(server.url())
        return server


def _count_statements(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as session:
        session.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")


def _first_line(failed: ServerFailed) -> str:
    return str(failed).splitlines()[0]
