"""A store in which much has happened: a million endings, and jobs that wait or died, all of them sound.

Made in SQL, because the clock does not run and a million jobs take their time. The endings lie in the days
before, every tenth delivery is exactly_once, every twentieth at_most_once, each with what it leaves behind
in the ledger; every fourth job has a declared key and the duty's row. Nothing here is ever due or claimed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from bench.floors.rows import APP
from dutiful.engines.contract import Engine
from dutiful.operations.lanes import declare, lanes

DAY_US = 86_400_000_000
DAYS = 7
QUEUE = "stock"
WAITING_PART, DIED_PART = 10, 100

# What the engines write differently: an id of version 7 from milliseconds and a number, and a token.
WORDS: Mapping[str, Mapping[str, str]] = {
    "postgres": {
        "id": "(lpad(to_hex({ms}), 12, '0') || '7000' || '8000' || lpad(to_hex({n}), 12, '0'))::uuid",
        "token": "gen_random_uuid()",
        "args": "'{{}}'::bytea",
    },
    "sqlite": {
        "id": "printf('%s-%s-7000-8000-%012x', substr(printf('%012x', {ms}), 1, 8),"
        " substr(printf('%012x', {ms}), 9), {n})",
        "token": "lower(hex(randomblob(16)))",
        "args": "x'7b7d'",
    },
}

COUNT = (
    "WITH RECURSIVE g(n) AS (SELECT CAST(1 AS bigint) UNION ALL SELECT g.n + 1 FROM g WHERE g.n < {count})"
)
DELIVERY = """CASE WHEN g.n % 10 = 0 THEN 'exactly_once' WHEN g.n % 20 = 5 THEN 'at_most_once'
       ELSE 'at_least_once' END"""
KEY = "CASE WHEN g.n % 4 = 0 THEN '{prefix}' || g.n END"
BEGUN = "CASE WHEN g.n % 20 = 5 THEN {at} END"

ENDED = """
{count} INSERT INTO dutiful.history (id, finished_at, lane, run_at, enqueued_at, claimed_at, started_at,
       worker, last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, state, outcome,
       delivery, task, key, args)
SELECT {id}, {at} + 2000, {lane}, {at}, {at}, {at} + 1000, {begun}, 1, {token}, 1, 1, 1, 1, 0, 3, 'done',
       'performed', {delivery}, 'noop', {key}, {args} FROM g
"""
DIED = """
{count} INSERT INTO dutiful.dead (id, died_at, lane, run_at, enqueued_at, claimed_at, started_at, worker,
       last_token, run_no, attempt, epoch, args_version, crashes, crashes_max, reason, delivery, task, key,
       args)
SELECT {id}, {at} + 2000, {lane}, {at}, {at}, {at} + 1000, {begun}, 1, {token}, 3, 3, 1, 1, 0, 3,
       'exhausted', {delivery}, 'noop', {key}, {args} FROM g
"""
WAITING = """
{count} INSERT INTO dutiful.job (id, lane, ready_seq, run_at, enqueued_at, last_token, run_no, attempt,
       args_version, crashes_max, delivery, task, key, args)
SELECT {id}, {lane}, NULL, {later}, {at}, {token}, 1, 1, 1, 3, {delivery}, 'noop', {key}, {args} FROM g
"""
FAILED = """
INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message)
SELECT d.id, d.run_no, d.attempt, d.died_at, 1, 'ValueError', 'no' FROM dutiful.dead AS d
"""
FAILED_ONCE = """
INSERT INTO dutiful.failure (job_id, run_no, attempt, failed_at, worker, kind, message)
SELECT j.id, j.run_no, j.attempt, j.enqueued_at, 1, 'ValueError', 'no' FROM dutiful.job AS j
 WHERE j.run_no > 0
"""
DONE = """
INSERT INTO dutiful.ledger (app, task, key, epoch, kind, at, run_no, job_id, token)
SELECT '{app}', x.task, coalesce(x.key, CAST(x.id AS text)), x.epoch,
       CASE WHEN x.delivery = 'at_most_once' THEN 'start' ELSE 'work' END, x.run_at, x.run_no, x.id,
       x.last_token
  FROM dutiful.{table} AS x WHERE x.delivery = 'at_most_once' OR x.delivery = '{work}'
"""
HELD = """
INSERT INTO dutiful.duty (app, task, key, job_id, taken_at, remember, args_hash)
SELECT '{app}', x.task, x.key, x.id, x.run_at, 604800000000, 'h'
  FROM dutiful.{table} AS x WHERE x.key IS NOT NULL
"""
CALLED = """
INSERT INTO dutiful.effect (app, task, duty, name, key, state, run_no, job_id, token, worker, asked_at,
       sent_at, settled_at, margin, request_hash, settled_by)
SELECT '{app}', h.task, coalesce(h.key, CAST(h.id AS text)), 'call', 'k', 'done', h.run_no, h.id,
       h.last_token, 1, h.claimed_at, h.claimed_at, h.finished_at, 0, 'h', 'run'
  FROM dutiful.history AS h WHERE h.delivery = 'exactly_once'
"""


def lane(engine: Engine) -> int:
    """The lane in which the stock stands, made for it."""
    engine.run(declare(APP, [(QUEUE, 0)]))
    [found] = [one.id for one in engine.run(lanes(APP)) if one.queue == QUEUE]
    return found


def fill(sql: Callable[[str], Any], engine: str, lane: int, ended: int) -> None:
    """Put ``ended`` endings, a tenth of that waiting and a hundredth dead into an empty store.

    ``sql`` runs a text, which names tables ``dutiful.job``.
    """
    waiting, died = ended // WAITING_PART, ended // DIED_PART
    now = time.time_ns() // 1_000
    words = WORDS[engine]

    def made(text: str, prefix: str, count: int, days: int) -> str:
        at = f"({now - days * DAY_US} + {days * DAY_US // max(count, 1)} * g.n)"
        named = {name: word.format(ms=f"({at} / 1000)", n="g.n") for name, word in words.items()}
        return text.format(
            count=COUNT.format(count=count),
            at=at,
            lane=lane,
            later=now + 30 * DAY_US,
            begun=BEGUN.format(at=at),
            delivery=DELIVERY,
            key=KEY.format(prefix=prefix),
            **named,
        )

    if engine == "postgres":
        sql(f"SELECT dutiful.add_history_days({now - DAYS * DAY_US}, {DAYS})")
        sql("SET session_replication_role = replica")  # the ledger's trigger asks for runs that settle
    sql(made(ENDED, "e", ended, DAYS))
    sql(made(DIED, "d", died, DAYS))
    sql(made(WAITING, "w", waiting, 1))
    sql(FAILED)
    sql(FAILED_ONCE)
    sql(DONE.format(app=APP, table="history", work="exactly_once"))
    sql(DONE.format(app=APP, table="dead", work=""))
    for table in ("history", "dead", "job"):
        sql(HELD.format(app=APP, table=table))
    sql(CALLED.format(app=APP))
    sql("ANALYZE")
