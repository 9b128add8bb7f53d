"""A large store by a few statements of SQL: the dead of many causes, and a little or much of all else.

The causes are mixed, as they die: neighbours on a page lie far apart in the table.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import dutiful
from dutiful.engines.contract import Engine
from dutiful.model.jobs import NewWorker
from dutiful.model.schedules import Spec
from dutiful.operations import acks, bulk, lanes, metrics, registry, retention, workers
from dutiful.operations.bulk import Wanted
from dutiful.operations.plan import as_json
from dutiful.sql import EngineName
from tests.contract.world import Eye

APP = "shop"
TASKS, QUEUES, WORKERS, SCHEDULES, ACKED = 30, 4, 40, 20, 30
DAY = 86_400_000_000
PIECE = 100_000
"""So many rows by one statement."""

SERIES: dict[EngineName, str] = {
    "postgres": "SELECT g AS i FROM generate_series({first}::bigint, {last}) AS g",
    "sqlite": "WITH RECURSIVE g(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM g WHERE i < {last})"
    " SELECT i FROM g",
}
ID: dict[EngineName, str] = {
    "postgres": """
        (substr(lpad(to_hex({ms}), 12, '0'), 1, 8) || '-' || substr(lpad(to_hex({ms}), 12, '0'), 9, 4)
         || '-7' || substr(md5('{salt}' || i), 1, 3) || '-a' || substr(md5('{salt}' || i), 4, 3)
         || '-' || substr(md5('{salt}' || i), 7, 12))::uuid""",
    "sqlite": """
        substr(printf('%012x', {ms}), 1, 8) || '-' || substr(printf('%012x', {ms}), 9, 4)
        || '-7' || printf('%03x', i % 4096) || '-a' || lower(substr(hex(randomblob(2)), 1, 3))
        || '-' || lower(hex(randomblob(6)))""",
}
"""Ids as they are made: by their time, and chance behind it."""

ARGS: dict[EngineName, str] = {
    "postgres": """convert_to('{"order":' || i || ',"to":"c' || i || '@example.com"}', 'UTF8')""",
    "sqlite": """CAST('{"order":' || i || ',"to":"c' || i || '@example.com"}' AS blob)""",
}

DEAD = """
    INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, claimed_at, worker, run_no, attempt,
           epoch, args_version, crashes, crashes_max, reason, delivery, task, args, fingerprint)
    SELECT {id}, {lane} + i % {groups} % {queues}, {at}, {at} - 2000000, {at} - 2000000, {at} - 1000000,
           1 + i % {workers}, 1, 1, 1, 1, 0, 3, 'error', 'at_least_once', 'task' || (i % {groups} % {tasks}),
           {args}, 'cause' || (i % {groups}) FROM ({series}) AS s"""
HISTORY = """
    INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, worker, run_no,
           attempt, epoch, args_version, crashes, crashes_max, state, outcome, delivery, task, args)
    SELECT {id}, {at}, {lane} + i % {queues}, {at} - 2000000, {at} - 2000000, {at} - i % 1000000 - 1000,
           1 + i % {workers}, 1, 1, 1, 1, 0, 3, 'done', 'performed', 'at_least_once',
           'task' || (i % {tasks}), {args} FROM ({series}) AS s"""
WAITING = """
    INSERT INTO dutiful.job (id, lane, ready_seq, run_at, enqueued_at, args_version, crashes_max, delivery,
           task, args, state, doubt_at, doubt)
    SELECT {id}, {lane} + i % {queues}, {seq}, {at}, {at}, 1, 3, 'at_most_once', 'task' || (i % {tasks}),
           {args}, {state} FROM ({series}) AS s"""
FAILED = """
    INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message, traceback,
           fingerprint)
    SELECT d.id, 1, 1, d.died_at, d.worker, 'TimeoutError', 'no answer for order 17 from smtp.example',
           'File "shop/mail.py", line 40, in send', d.fingerprint FROM dutiful.dead AS d"""
AUDIT = """
    INSERT INTO dutiful.audit (at, actor, verb, app, subject, before, after, reason, how, address)
    SELECT {at}, 'ann', 'retry', '{app}', 'job' || i, 'dead', 'ready', 'the provider is back', 'web',
           '10.0.0.7' FROM ({series}) AS s"""
OCCURRED = """
    INSERT INTO dutiful.occurrence (app, schedule, at, skipped, upto, instants, made_at, task, key, job_id)
    SELECT '{app}', 'report' || (i % {schedules}), {at}, {no}, {at}, 1, {at}, 'task1', 'k' || i, {id}
      FROM ({series}) AS s"""
ALERT = """
    INSERT INTO dutiful.alert (app, key, raised_at, number, sentence, size, told, owner)
    SELECT '{app}', 'group:cause' || i, {at}, 'unseen', 'TimeoutError in task1: 3,333 jobs dead', 3333,
           3333, '' FROM ({series}) AS s"""
LOCK = """
    INSERT INTO dutiful.lock (app, name, slots)
    SELECT '{app}', 'tenant' || (i % 50), 1 FROM ({series}) AS s"""
LOCKED = """
    INSERT INTO dutiful.lock_ask (token, app, name, ticket, who, lease, asked_at, until)
    SELECT 't' || i, '{app}', 'tenant' || (i % 50), i, 'web-1:' || i, 30000000, {at}, {at} + 6000000000
      FROM ({series}) AS s"""
POINTS = """
    INSERT INTO dutiful.rollup (app, grain, at, queue, task, done, failed, waits, runs)
    SELECT '{app}', {grain}, {first} + i / {tasks} * {grain}, {queue}, {task}, 7, 1,
           '{{"612":2,"655":3,"711":2}}', '{{"515":4,"530":3}}' FROM ({series}) AS s"""


@dataclass(frozen=True)
class Size:
    """How many there are of what."""

    dead: int = 1_000_000
    groups: int = 300
    history: int = 100_000
    waiting: int = 10_000
    doubts: int = 200
    audit: int = 100_000
    alerts: int = 200
    points: bool = True


SMALL = Size(dead=100_000, history=20_000, waiting=2_000, audit=20_000)


def app_of(url: str) -> dutiful.App:
    """The shop's code, with all its tasks."""
    app = dutiful.App(APP, url, release="2026.11.2")
    for number in range(QUEUES):
        app.queue(f"queue{number}", target="1h")
    for number in range(TASKS):
        app.task(name=f"task{number}", queue=f"queue{number % QUEUES}", owner="mail team")(_body)
    return app


def _body(order: int, to: str) -> None:
    raise TimeoutError


class Seeding:
    """Fills one store, a statement after the other."""

    def __init__(self, engine: Engine, eye: Eye, size: Size) -> None:
        self.engine, self.eye, self.size = engine, eye, size
        self.now = time.time_ns() // 1_000
        queues = [(f"queue{number}", 3_600_000_000) for number in range(QUEUES)]
        engine.run(lanes.declare(APP, [(name, 0) for name, _ in queues], queues, {}))
        self.lane = min(row.id for row in engine.run(lanes.lanes(APP)))

    def fill(self, text: str, count: int, *, span: int = 10 * DAY, salt: str = "x", **more: Any) -> None:
        """Carry it out for so many rows, spread over the time up to now."""
        name = self.engine.name
        for start in range(1, count + 1, PIECE):
            series = SERIES[name].format(first=start, last=min(count, start + PIECE - 1))
            at = f"({self.now - span} + i * {max(1, span // max(1, count))})"
            words = {
                "app": APP, "lane": self.lane, "at": at, "series": series, "groups": self.size.groups,
                "id": ID[name].format(ms=f"({at} / 1000)", salt=salt), "args": ARGS[name],
                "tasks": TASKS, "queues": QUEUES, "workers": WORKERS, "schedules": SCHEDULES,
                "no": "false" if name == "postgres" else "0",
            }  # fmt: skip
            made = text.format(**(words | more))
            self.eye.sql(made.replace("%", "%%") if name == "postgres" else made)

    def dead(self) -> None:
        """The dead, what each died of, and who ran them."""
        row = NewWorker(
            app=APP, host="web-2", pid=911, release="2026.11.2", lease_us=10**12, concurrency=8,
            queues=as_json([f"queue{number}" for number in range(QUEUES)]),
            tasks=as_json({f"task{number}": 1 for number in range(TASKS)}),
        )  # fmt: skip
        for _ in range(WORKERS):
            self.engine.run(workers.register(row))
        self.fill(DEAD, self.size.dead, salt="dead")
        self.eye.sql(FAILED)

    def others(self) -> None:
        """All else that a page shows. After the groups were folded, so that some can be acknowledged."""
        size = self.size
        self.engine.run(retention.prepare())
        self.fill(HISTORY, size.history, span=DAY // 4, salt="history")
        ready = "'ready', CAST(NULL AS bigint), CAST(NULL AS text)"
        self.fill(WAITING, size.waiting, span=DAY // 48, salt="ready", seq="i", state=ready)
        doubt = f"'in_doubt', {self.now}, 'nobody knows whether it began'"
        self.fill(WAITING, size.doubts, salt="doubt", seq="CAST(NULL AS bigint)", state=doubt)
        self.fill(AUDIT, size.audit)
        said = {"once": "order:{order_id}"}
        known = [
            registry.Declared(f"task{one}", 1, f"queue{one % QUEUES}", 0, "mail team", "at_least_once", said)
            for one in range(TASKS)
        ]
        self.engine.run(registry.register(APP, "2026.11.1", known))
        self.fill(ALERT, size.alerts)
        self.fill(LOCK, 50)
        self.fill(LOCKED, 200, span=DAY // 1440)
        spec = Spec("task1", "0 3 * * *").text
        for number in range(SCHEDULES):
            self.eye.sql(
                "INSERT INTO dutiful.schedule (app, name, task, spec, declared_at, changed_at, covered_at,"
                " next_at)"
                " VALUES (%s, %s, 'task1', %s, %s, %s, %s, %s)",
                APP, f"report{number}", spec, self.now, self.now, self.now, self.now + DAY,
            )  # fmt: skip
        self.fill(OCCURRED, SCHEDULES * 100, salt="occurred")
        if size.points:
            for grain, kept in metrics.KEPT.items():
                length = metrics.GRAINS[grain]
                count = min(kept, 30 * DAY) // length * TASKS
                first = (self.now - count // TASKS * length) // length * length
                some = {
                    "queue": f"'queue' || (i % {QUEUES})",
                    "task": f"'task' || (i % {TASKS})",
                }
                self.fill(POINTS, count, grain=length, first=first, **some)
                self.fill(POINTS, count // TASKS, grain=length, first=first, tasks=1, queue="''", task="''")
                for number in range(QUEUES):
                    sum_of = {"queue": f"'queue{number}'", "task": "''", "tasks": 1}
                    self.fill(POINTS, count // TASKS, grain=length, first=first, **sum_of)
        for number in range(ACKED):
            self.engine.run(acks.acknowledge(APP, f"group:cause{number}", actor="ann", note_text="known"))
        self.engine.run(bulk.begin(APP, "retry", Wanted(fingerprint="cause3"), actor="ann", limit=1_000))

    def settled(self) -> None:
        """PostgreSQL's statistics, as autovacuum would have taken them."""
        if self.engine.name == "postgres":
            self.eye.sql("VACUUM ANALYZE")
        else:
            self.eye.sql("PRAGMA wal_checkpoint(TRUNCATE)")
