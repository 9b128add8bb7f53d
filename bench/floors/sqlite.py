"""The floor on SQLite: the standard library's sqlite3, one connection, dutiful's statements, no framework.

Write-ahead log and ``synchronous=NORMAL``, as dutiful has by default. A drain claims 100 and ends 100, each
in a transaction of its own. One at a time is ``enqueue_job`` and a commit; bulk is ``executemany`` of
one plain insert in transactions of a thousand. A start latency is a bare commit, seen by ``data_version``.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import Any

from bench.floors.bell_sqlite import Bell
from bench.floors.rows import APP, ID, TASK, Stand, copied, endings, singles
from bench.floors.timing import timed
from bench.subject import Drained, Subject
from dutiful.engines.sqlite import SqliteEngine
from dutiful.operations.enqueue import COPY_COLUMNS
from dutiful.sql.render import render

BULK = 1_000  # jobs in one transaction of the bulk enqueue
WARM = 10
COLUMNS = (*COPY_COLUMNS, "ready_seq")
INSERT = f"INSERT INTO main.dutiful_job ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


class Floor(Subject):
    name = "floor-sqlite"
    store = "sqlite"
    rates = {
        "enqueue_one": 10_000,
        "enqueue_bulk": 100_000,
        "drain": 30_000,
        "drain_once": 1_500,
        "drain_group": 1_500,
    }

    def prepare(self) -> None:
        path = self.place.url.removeprefix("sqlite:///")
        with closing(SqliteEngine(path)) as engine:
            self.stand = Stand.made_by(engine)
        self.connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")

    def enqueue_one(self, jobs: int) -> float:
        for row in singles(WARM):
            self._run("enqueue_job", row)
        rows = singles(jobs)
        began = time.perf_counter()
        for row in rows:
            self._run("enqueue_job", row)
        return time.perf_counter() - began

    def enqueue_bulk(self, jobs: int) -> float:
        rows = copied(jobs, self.stand.lane, COLUMNS)
        began = time.perf_counter()
        for start in range(0, jobs, BULK):
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany(INSERT, rows[start : start + BULK])
            self.connection.execute("COMMIT")
        return time.perf_counter() - began

    def drain(self, jobs: int) -> Drained:
        self.enqueue_bulk(jobs)
        claim = self.stand.claim()
        left = jobs
        with timed(jobs) as drained:
            while left:
                claimed = [row for row in self._run("claim_jobs", claim) if row[ID] is not None]
                assert claimed, f"{left} jobs cannot be claimed"
                assert len(self._run("complete_jobs", {"rows": endings(claimed)})) == len(claimed)
                left -= len(claimed)
        return drained()

    def drain_once(self, jobs: int, connections: int = 1) -> Drained:
        """BEGIN IMMEDIATE; ledger; a user's insert; the completion; COMMIT: one writer, one at a time."""
        self.enqueue_bulk(jobs)
        self.connection.execute("CREATE TABLE bench_work (n bigint)")
        claim = self.stand.claim()
        left = jobs
        with timed(jobs) as drained:
            while left:
                claimed = [row for row in self._run("claim_jobs", claim) if row[ID] is not None]
                assert claimed, f"{left} jobs cannot be claimed"
                for row in claimed:
                    duty = {"app": APP, "task": TASK, "key": row[ID], "epoch": 1, "id": row[ID]}
                    duty |= {"token": row[5], "run_no": row[6], "result": None}
                    self.connection.execute("BEGIN IMMEDIATE")
                    self._execute("begin_work", duty)
                    self.connection.execute("INSERT INTO bench_work (n) VALUES (:n)", {"n": 1})
                    assert self._execute("finish_work", duty)
                    self.connection.execute("COMMIT")
                left -= len(claimed)
        return drained()

    drain_group = drain_once

    def latency(self, jobs: int, hints: bool = True) -> list[float]:
        return Bell(self.place).latency(jobs)

    def _run(self, name: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        """One statement of dutiful's in one transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        rows = self._execute(name, params)
        self.connection.execute("COMMIT")
        return rows

    def _execute(self, name: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        """One statement of dutiful's, which may have several parts."""
        given = {**params, "now": time.time_ns() // 1_000}
        rows: list[tuple[Any, ...]] = []
        for text, names in render("sqlite", name, "named").parts:
            rows = self.connection.execute(text, {each: given[each] for each in names}).fetchall()
        return rows
