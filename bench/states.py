"""States in which a rate should stay what it was when all was fresh: stores full of other jobs, many lanes.

Each is made in a store that was just drained once, and that first rate is what it is compared with. Finished
and scheduled jobs are made in SQL, as ``stock`` has it; those that wait are enqueued, since there is no
faster honest way. *Analysed*: the live table was empty when the planner last looked at it, as it is whenever
autovacuum comes after a drain.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench import stock

QUEUES = 100
PRIORITIES = tuple(range(9, -1, -1))
"""The highest first: that is whose job begins first."""

Sql = Callable[[str], Any]


def finished(sql: Sql, engine: str, lane: int, count: int, days: range) -> None:
    """That many endings, evenly over these days of the past (``range(0, 7)``: the last week)."""
    now = time.time_ns() // 1_000
    first = now - days.stop * stock.DAY_US
    if engine == "postgres":
        sql(f"SELECT dutiful.add_history_days({first}, {len(days)})")
    at = f"({first} + {len(days) * stock.DAY_US // max(count, 1)} * g.n)"
    sql(_filled(stock.ENDED, engine, lane, count, at))
    sql("ANALYZE dutiful.history")


def scheduled(sql: Sql, engine: str, lane: int, count: int) -> None:
    """That many jobs that are due in a month."""
    at = f"{time.time_ns() // 1_000 - stock.DAY_US}"
    sql(_filled(stock.WAITING, engine, lane, count, at))
    sql("ANALYZE dutiful.job")


def _filled(text: str, engine: str, lane: int, count: int, at: str) -> str:
    words = {name: word.format(ms=f"({at} / 1000)", n="g.n") for name, word in stock.WORDS[engine].items()}
    return text.format(
        count=stock.COUNT.format(count=count),
        at=at,
        lane=lane,
        later=time.time_ns() // 1_000 + 30 * stock.DAY_US,
        begun="NULL",
        delivery="'at_least_once'",
        key="NULL",
        **words,
    )
