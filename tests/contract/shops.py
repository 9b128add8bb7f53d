"""An application's own table beside its jobs, and a look at what is committed there."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any, cast

from dutiful import App
from dutiful.engines.contract import Engine
from dutiful.engines.postgres import PostgresEngine
from dutiful.engines.sqlite import SqliteEngine

TABLE = "receipt_" + secrets.token_hex(4)
"""One name a process: databases are used again, and two processes may share one."""


class Shop:
    """One app on one store, with a table in which every committed work leaves a row."""

    def __init__(self, app: App, database: str | None = None) -> None:
        self.app = app
        self.database = database
        self.engine: Engine = app.engine_of(database)
        self.sql(f"DROP TABLE IF EXISTS {TABLE}")
        self.sql(f"CREATE TABLE {TABLE} (order_id bigint, note text)")

    @property
    def ledger(self) -> str:
        return "dutiful.ledger" if self.engine.name == "postgres" else "dutiful_ledger"

    def sql(self, text: str, *params: Any) -> list[tuple[Any, ...]]:
        """By a connection of nobody's; parameters are ``?``. Commits by itself."""
        with self._connection() as raw:
            if self.engine.name == "postgres":
                cursor = raw.execute(text.replace("?", "%s"), params)
                return cursor.fetchall() if cursor.description else []
            return list(raw.execute(text, params).fetchall())

    def receipts(self) -> list[tuple[int, str]]:
        return sorted(self.sql(f"SELECT order_id, note FROM {TABLE}"))

    def works(self) -> int:
        """How many duties the ledger says are done."""
        rows = self.sql(f"SELECT count(*) FROM {self.ledger} WHERE kind = 'work' AND app = ?", self.app.name)
        return int(rows[0][0])

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        if self.engine.name == "postgres":
            import psycopg

            with psycopg.connect(cast(PostgresEngine, self.engine).conninfo, autocommit=True) as raw:
                yield raw
            return
        store = cast(SqliteEngine, self.engine)
        second = store._driver.connect(store.path, timeout_s=5)
        try:
            yield second.raw
        finally:
            second.close()

    @contextlib.contextmanager
    def held(self, *statements: str) -> Iterator[None]:
        """Another session that has executed these and not committed; it rolls back at the end."""
        with self._connection() as raw:
            raw.execute("BEGIN")
            for text in statements:
                raw.execute(text)
            yield
            raw.execute("ROLLBACK")


def add(order_id: int, note: str) -> tuple[str, dict[str, Any]]:
    """The arguments of ``tx.execute`` that leave a receipt."""
    return f"INSERT INTO {TABLE} (order_id, note) VALUES (:order_id, :note)", {
        "order_id": order_id,
        "note": note,
    }
