"""The floor on PostgreSQL: psycopg, one connection, dutiful's statements prepared, no framework.

A drain claims 100 by ``claim_jobs`` from its mark, ends them by ``complete_jobs``, each committed by itself,
and begins again. One at a time is the prepared ``enqueue_job``; bulk is COPY into the same table and its
indexes. A start latency is a bare NOTIFY round trip between two processes (``bell_postgres``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import psycopg

from bench.floors import gate_postgres, once_postgres
from bench.floors.bell_postgres import Bell
from bench.floors.rows import BULK, HORIZON, ID, READY_SEQ, Stand, copied, endings, singles
from bench.floors.timing import timed
from bench.server_side import held_snapshot, server_pid
from bench.subject import Drained, Held, NotMeasured, Subject
from dutiful.engines.postgres import SESSION, PostgresEngine
from dutiful.operations.enqueue import COPY_COLUMNS
from dutiful.sql.render import render

SLICE = 30_000  # jobs stored at a time during a churn
WARM = 10


class Floor(Subject):
    name = "floor-postgres"
    store = "postgres"
    rates = {
        "enqueue_one": 2_500,
        "enqueue_bulk": 50_000,
        "drain": 24_000,
        "drain_once": 1_500,
        "drain_group": 1_500,
    }

    def prepare(self) -> None:
        with closing(PostgresEngine(self.place.url)) as engine:
            self.stand = Stand.made_by(engine)
        options = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
        self.connection: psycopg.Connection[Any] = psycopg.connect(
            self.place.url,
            autocommit=True,
            prepare_threshold=0,
            options=options,
            cursor_factory=psycopg.RawCursor,
        )
        self.mark = self.horizon = 0

    def enqueue_one(self, jobs: int) -> float:
        for row in singles(WARM):
            self._run("enqueue_job", row)
        stored = singles(jobs)
        began = time.perf_counter()
        for row in stored:
            self._run("enqueue_job", row)
        return time.perf_counter() - began

    def enqueue_bulk(self, jobs: int) -> float:
        self._copy(copied(WARM, self.stand.lane, COPY_COLUMNS))
        stored = copied(jobs, self.stand.lane, COPY_COLUMNS)
        bulks = [stored[start : start + BULK] for start in range(0, jobs, BULK)]
        began = time.perf_counter()
        for bulk in bulks:
            self._copy(bulk)
        return time.perf_counter() - began

    def drain(self, jobs: int) -> Drained:
        self._copy(copied(jobs, self.stand.lane, COPY_COLUMNS))
        server = server_pid(self.place.url)
        with timed(jobs, [] if server is None else [server]) as drained:
            self._drain(jobs)
        return drained()

    def drain_once(self, jobs: int, connections: int = 16) -> Drained:
        once_postgres.prepare(self.place.url)
        self._copy(copied(jobs, self.stand.lane, COPY_COLUMNS))
        return once_postgres.drain(self, jobs, connections)

    drain_group = drain_once

    def gates(self, jobs: int, single: bool = False) -> Mapping[str, float]:
        if single:
            raise NotMeasured("has bulks only")
        return gate_postgres.measure(self, jobs)

    def held(self, jobs: int, churn: int, budget_s: float) -> Held:
        fresh = self.drain(jobs)
        began, churned = time.monotonic(), 0
        rates: list[tuple[float, float]] = []
        with held_snapshot(self.place.url):
            while churned < churn and time.monotonic() - began < budget_s:
                part = min(SLICE, churn - churned)
                rate = self.drain(part).jobs_per_s
                rates.append((time.monotonic() - began, rate))
                churned += part
            return Held(fresh, self.drain(jobs), churned, rates)

    def latency(self, jobs: int, hints: bool = True) -> list[float]:
        if not hints:
            raise NotMeasured("a bell is a hint")
        return Bell(self.place).latency(jobs)

    def _drain(self, jobs: int) -> None:
        """Claim and complete until ``jobs`` are done; the mark moves as dutiful's workers move theirs."""
        left = jobs
        while left:
            claimed = self._claim()
            self._complete(claimed)
            left -= len(claimed)

    def _claim(self) -> list[tuple[Any, ...]]:
        found = self._run("claim_jobs", self.stand.claim(self.mark))
        claimed = [row for row in found if row[ID] is not None]
        assert claimed, "jobs that are open cannot be claimed"
        self.mark = max(self.mark, min(self.horizon, max(row[READY_SEQ] for row in claimed)))
        self.horizon = found[0][HORIZON]
        return claimed

    def _complete(self, claimed: list[tuple[Any, ...]]) -> None:
        assert len(self._run("complete_jobs", {"rows": endings(claimed)})) == len(claimed)

    def _copy(self, stored: list[tuple[Any, ...]]) -> None:
        text, _ = render("postgres", "copy_jobs", "dollar").parts[0]
        with self.connection.cursor() as cursor, cursor.copy(text.encode()) as copy:
            for row in stored:
                copy.write_row(row)

    def _run(self, name: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        text, names = render("postgres", name, "dollar").parts[0]
        cursor = self.connection.execute(text.encode(), [params[each] for each in names], binary=True)
        return cursor.fetchall() if cursor.description else []
