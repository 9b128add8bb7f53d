"""What the database means to do for the statements of a page: which tables it would read from end to end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from dutiful.engines.postgres import SESSION
from dutiful.operations.plan import Call, Operation, Steps
from dutiful.sql import EngineName
from dutiful.sql.render import render
from tests.contract.test_claim_plans import nodes
from tests.contract.world import Eye

T = TypeVar("T")

BIG = ("dead", "history", "failure", "audit", "bulk_item", "rollup", "effect", "occurrence")
"""Tables that grow for as long as an app lives. Live jobs are as many as wait; a page counts them."""


MANY = 5_000
"""PostgreSQL reads a table of some pages from end to end, and is right; a day of the history may be empty."""


WHOLE = ("Seq Scan", "Index Scan", "Index Only Scan")
"""What reads all of a table where no index has a condition: our sessions are made to avoid sorts."""


PULSE = re.compile(r"\(SELECT h\.finished_at FROM \S+ AS h ORDER BY h\.id .*?LIMIT 1\)")
"""One row by the end of the primary key, which no plan tells from a walk along all of it."""


class Recorder:
    """Stands for a reader, and notes the statements that it is asked for, each with its latest parameters."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.asked: dict[str, Mapping[str, Any]] = {}

    def run(self, operation: Operation[T]) -> T:
        """As the reader does."""
        found: T = self._reader.run(replace(operation, begin=lambda: self._noted(operation.begin())))
        return found

    def close(self) -> None:
        """As the reader does."""
        self._reader.close()

    def _noted(self, steps: Steps[T]) -> Steps[T]:
        rows: Any = None
        while True:
            try:
                step = next(steps) if rows is None else steps.send(rows)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if isinstance(step, Call):
                self.asked[step.name] = step.params
            rows = yield step


def scans(eye: Eye, name: str, given: Mapping[str, Any], now: int) -> Iterator[str]:
    """The big tables that the statement would read in full."""
    engine: EngineName = eye.engine.name
    for text, names in render(engine, name, "qmark" if engine == "sqlite" else "dollar", True).parts:
        values = [{**given, "now": now}[one] for one in names]
        text = PULSE.sub("1", text)
        plan = _sqlite(eye, text, values) if engine == "sqlite" else _postgres(eye, text, values)
        yield from (table for table in plan if table in BIG)


def _sqlite(eye: Eye, text: str, values: list[Any]) -> Iterator[str]:
    """Not "USING INDEX": so it reads in an order and stops at the page's end, if it need not sort."""
    eye.sql("SELECT 1")
    from dutiful.sql import sqlite_names

    plan = eye._connection.raw.execute(f"EXPLAIN QUERY PLAN {sqlite_names(text)}", values)
    rows = [row[3] for row in plan]
    sorts = any("TEMP B-TREE FOR ORDER BY" in row for row in rows)
    for row in rows:
        if found := re.match(r"(SCAN|SEARCH) (\S+)(.*)", row):
            whole = found[1] == "SCAN" and (sorts or "USING" not in found[3])
            if whole or "AUTOMATIC" in found[3]:
                yield _table_of(text, found[2])


def _table_of(text: str, alias: str) -> str:
    found = re.search(rf"dutiful_(\w+) AS {re.escape(alias)}\b", text)
    return found[1] if found else alias.removeprefix("dutiful_")


def _postgres(eye: Eye, text: str, values: list[Any]) -> Iterator[str]:
    """By the plan for these values, and by the one for any: a session that asks often may use either."""
    from psycopg import sql

    arguments = sql.SQL(", ").join(sql.Literal(value) for value in values)
    eye.sql("SELECT 1")
    session = eye._connection
    for name, value in SESSION.items():
        if name.startswith("enable_"):
            session.execute(f"SET {name} = {value}")
    session.execute(sql.SQL("PREPARE asked AS {}").format(sql.SQL(text)))
    try:
        for mode in ("force_custom_plan", "force_generic_plan"):
            session.execute(f"SET plan_cache_mode = {mode}")
            execute = sql.SQL("EXECUTE asked({})").format(arguments) if values else sql.SQL("EXECUTE asked")
            [(plan,)] = session.execute(sql.SQL("EXPLAIN (FORMAT json) {}").format(execute)).fetchall()
            for node in nodes(json.loads(plan) if isinstance(plan, str) else plan):
                whole = "Index Cond" not in node and node["Node Type"] in WHOLE
                if whole and _rows_of(session, node["Relation Name"]) >= MANY:
                    yield re.sub(r"_(rest|\d{8})$", "", node["Relation Name"])
    finally:
        session.execute("DEALLOCATE asked")
        session.execute("RESET ALL")


def _rows_of(session: Any, table: str) -> float:
    [(rows,)] = session.execute("SELECT reltuples FROM pg_class WHERE relname = %s", [table]).fetchall()
    return float(rows)
