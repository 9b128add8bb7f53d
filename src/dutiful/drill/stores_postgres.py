"""Scratch databases on the app's PostgreSQL server: a template with the fixture, and copies made ahead."""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from ..app.app import App
from ..engines.urls import open_engine
from .boundaries import by_itself
from .shim_asyncpg import asyncpg_shim, is_current
from .shim_postgres import postgres_shim
from .shim_sqlalchemy import sqlalchemy_shim
from .states import Table
from .stores import Fixture, World, job_text, sql_of

AHEAD = 3
PREFIX = "dutiful_drill_"

COLUMNS = """
SELECT c.oid::regclass::text, a.attname,
       coalesce(pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%%', false) OR a.attidentity <> '',
       coalesce(array_position(k.conkey, a.attnum), 0), coalesce(array_length(k.conkey, 1), 0),
       (SELECT min(f.confrelid::regclass::text) FROM pg_constraint AS f
         WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.conkey = ARRAY[a.attnum])
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
  LEFT JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype = 'p'
 WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
   AND c.oid::regclass::text <> ALL (%s)
 ORDER BY 1, a.attnum
"""
"""Every table of the user's: column, whether the database numbers it, its place in the key, what it names."""


class PostgresStore:
    """See :class:`~dutiful.drill.stores.Store`. Copies are made by other sessions, ahead of their use."""

    mark = "%s"
    shimmed = "asyncpg"

    def __init__(self, app: App, fixture: Fixture) -> None:
        self._url = app.url
        self.source = urlsplit(app.url).path.strip("/")
        self._name = f"{PREFIX}{secrets.token_hex(4)}"
        self._numbers = itertools.count(1)
        self._made: deque[Future[str]] = deque()
        self._rest: list[Future[None]] = []
        self._makers = ThreadPoolExecutor(2, "dutiful-drill")
        self._template = f"{self._name}_t"
        self._admin(f'CREATE DATABASE "{self._template}"')
        engine = open_engine(self.url(self._template))
        engine.migrate()
        engine.close()
        with psycopg.connect(self.url(self._template)) as connection:
            named = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'dutiful'::regnamespace"
            self.ours = [row[0] for row in connection.execute(named).fetchall()]
            if callable(fixture):
                fixture(connection)
            elif (sql := sql_of(fixture)) is not None:
                connection.execute(sql)
        for _ in range(AHEAD):
            self._order()

    def url(self, name: str) -> str:
        """The URL of a database on the same server."""
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))

    def _admin(self, sql: str) -> None:
        with by_itself(), psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(sql)

    def _order(self) -> None:
        name = f"{self._name}_{next(self._numbers)}"

        def make() -> str:
            self._admin(f'CREATE DATABASE "{name}" TEMPLATE "{self._template}"')
            return name

        self._made.append(self._makers.submit(make))

    def make(self) -> PostgresWorld:
        """See :class:`~dutiful.drill.stores.Store`."""
        self._order()
        return PostgresWorld(self, self._made.popleft().result())

    def drop(self, name: str) -> None:
        """Drop a copy, by and by."""
        self._rest.append(self._makers.submit(self._admin, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    def rest(self) -> None:
        """See :class:`~dutiful.drill.stores.Store`."""
        for made in self._made:
            made.result()
        for rest in self._rest:
            rest.result()

    def shims(self, world: Callable[[], World]) -> ExitStack:
        """See :class:`~dutiful.drill.stores.Store`."""

        def place(name: str) -> str | None:
            if name == self.source or name.startswith(f"{self._name}_"):
                return urlsplit(world().url).path.strip("/")
            return None

        def current(connection: Any) -> bool:
            if hasattr(connection, "is_closed"):  # asyncpg's
                return is_current(connection, place(self.source))
            return not connection.closed and connection.info.dbname == place(self.source)

        stack = ExitStack()
        stack.enter_context(postgres_shim(place))
        asyncpg_shim(place, stack)
        stack.enter_context(sqlalchemy_shim(current))
        return stack

    def close(self) -> None:
        """See :class:`~dutiful.drill.stores.Store`."""
        for made in self._made:
            with contextlib.suppress(Exception):
                self.drop(made.result())
        self.drop(self._template)
        for rest in self._rest:
            rest.result()
        self._makers.shutdown()


class PostgresWorld:
    """One copy."""

    def __init__(self, store: PostgresStore, name: str) -> None:
        self._store, self.name = store, name
        self.url = store.url(name)
        self._connection: psycopg.Connection[Any] | None = None

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(self.url, autocommit=True)
        return self._connection

    def tables(self) -> dict[str, Table]:
        """See :class:`~dutiful.drill.stores.World`."""
        found: dict[str, Table] = {}
        keys: dict[str, list[tuple[int, str]]] = {}
        connection = self._open()
        for name, column, numbered, at, size, names in connection.execute(
            COLUMNS, (self._store.ours,)
        ).fetchall():
            table = found.setdefault(name, Table(name, [], []))
            table.columns.append(column)
            if at:
                keys.setdefault(name, []).append((at, column))
                if numbered and size == 1:
                    table.serial = column
            if names is not None:
                table.references[column] = names
        for name, table in found.items():
            table.key = [column for _, column in sorted(keys.get(name, []))]
            table.rows = connection.execute(f"SELECT * FROM {name}").fetchall()
        return found

    def jobs(self, without: str) -> Counter[str]:
        """See :class:`~dutiful.drill.stores.World`."""
        sql = "SELECT task, args, key FROM dutiful.job WHERE id <> %s"
        return Counter(job_text(*row) for row in self._open().execute(sql, (without,)).fetchall())

    def write(self, sql: str, params: tuple[Any, ...]) -> None:
        """See :class:`~dutiful.drill.stores.World`."""
        self._open().execute(sql, params)

    def waits(self) -> bool:
        """See :class:`~dutiful.drill.stores.World`."""
        sql = (
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock')"
        )
        row = self._open().execute(sql).fetchone()
        return row is not None and bool(row[0])

    def close(self) -> None:
        """See :class:`~dutiful.drill.stores.World`."""
        if self._connection is not None:
            self._connection.close()
        self._store.drop(self.name)
