"""What the database means to do for the statements of a page: which tables it would read from end to end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

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
        plan = _sqlite(eye, text, values) if engine == "sqlite" else _postgres(eye, text, values)
        yield from (table for table in plan if table in BIG)


def _sqlite(eye: Eye, text: str, values: list[Any]) -> Iterator[str]:
    """Not "USING INDEX": by an index it reads in an order, and stops at the page's end."""
    eye.sql("SELECT 1")
    from dutiful.sql import sqlite_names

    rows = eye._connection.raw.execute(f"EXPLAIN QUERY PLAN {sqlite_names(text)}", values)
    for row in rows:
        found = re.match(r"SCAN (?:TABLE )?(\S+)(.*)", row[3])
        if found and "USING" not in found[2]:
            yield _table_of(text, found[1])


def _table_of(text: str, alias: str) -> str:
    found = re.search(rf"dutiful_(\w+) AS {re.escape(alias)}\b", text)
    return found[1] if found else alias.removeprefix("dutiful_")


def _postgres(eye: Eye, text: str, values: list[Any]) -> Iterator[str]:
    """By the plan for these values, and by the one for any: a session that asks often may use either."""
    from psycopg import sql

    arguments = sql.SQL(", ").join(sql.Literal(value) for value in values)
    eye.sql("SELECT 1")
    session = eye._connection
    session.execute(sql.SQL("PREPARE asked AS {}").format(sql.SQL(text)))
    try:
        for mode in ("force_custom_plan", "force_generic_plan"):
            session.execute(f"SET plan_cache_mode = {mode}")
            execute = sql.SQL("EXECUTE asked({})").format(arguments) if values else sql.SQL("EXECUTE asked")
            [(plan,)] = session.execute(sql.SQL("EXPLAIN (FORMAT json) {}").format(execute)).fetchall()
            for node in nodes(json.loads(plan) if isinstance(plan, str) else plan):
                if node["Node Type"] == "Seq Scan" and _rows_of(session, node["Relation Name"]) >= MANY:
                    yield re.sub(r"_(rest|\d{8})$", "", node["Relation Name"])
    finally:
        session.execute("DEALLOCATE asked")
        session.execute("RESET plan_cache_mode")


def _rows_of(session: Any, table: str) -> float:
    [(rows,)] = session.execute("SELECT reltuples FROM pg_class WHERE relname = %s", [table]).fetchall()
    return float(rows)
