"""Random worlds in which something was lost: is all of it found, nothing doubled, and no alarm false?

``python -m tests.contract.reconcile_worlds --worlds 1000 [--engine postgres]``. A world is a shop: orders,
of which some were enqueued and some of these done. Then jobs are lost with their duties, effects, rows of
the ledger, or all since a backup was made; the clock is moved; jobs end while passes look. Two passes later
each order has one receipt, or is reported to be missing where our own records contradict the business data,
which no machine may settle.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg

from devtools.servers import PostgresServer
from dutiful import App
from dutiful.app.reconcile_pass import Sweep
from dutiful.operations import reconcile
from dutiful.testing import run_all
from tests.contract.markets import DAY, HOUR, MINUTE, ORDERS, RECEIPTS, Market

FAULTS = ("jobs", "effects", "ledger", "backup", "clock")


@dataclass
class World:
    """What became of one."""

    seed: int
    lost: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    repaired: int = 0
    reported: int = 0
    wrong: list[str] = field(default_factory=list)


class Busy(Sweep):
    """Jobs end between the looks of this pass."""

    chance: random.Random

    def _read_in_flight(self, spool: Any) -> None:
        super()._read_in_flight(spool)
        run_all(self._app, limit=10_000) if self.chance.random() < 0.5 else None

    def _read_expected(self, spool: Any) -> None:
        super()._read_expected(spool)
        run_all(self._app, limit=10_000) if self.chance.random() < 0.3 else None


def explore(seed: int, url: str) -> World:
    """Make one world in an empty store, and look."""
    chance, found = random.Random(seed), World(seed)
    market = Market(url)
    try:
        _live(market, chance, found)
    finally:
        market.close()
    return found


def _live(market: Market, chance: random.Random, found: World) -> None:
    orders = list(range(1, chance.randint(4, 30)))
    for order in orders:
        market.order(order, ago_us=chance.randint(0, 6 * DAY))
    for order in chance.sample(orders, len(orders) * chance.randint(3, 10) // 10):
        market.send.enqueue(order)
    if chance.random() < 0.7:
        run_all(market.app)
    saved = FileBackup(market) if market.app.engine.name == "sqlite" else RowsBackup(market)
    if "backup" in (faults := set(chance.sample(FAULTS, chance.randint(1, 4)))):
        saved.take()
    more = list(range(100, 100 + chance.randint(0, 6)))
    for order in more:
        market.order(order, ago_us=chance.randint(HOUR, DAY))
        market.send.enqueue(order)
    if chance.random() < 0.5:
        run_all(market.app)
    _break(market, chance, faults, saved, found)
    for number in range(2):
        _pass(market, chance, found, number)
        run_all(market.app)
        market.later(30 * MINUTE)
    _judge(market, found)


def _break(market: Market, chance: random.Random, faults: set[str], saved: Backup, found: World) -> None:
    if "backup" in faults:
        saved.restore()
        found.lost["backup"] += 1
    keys = [row[0] for row in market.sql("SELECT key FROM dutiful.job WHERE key IS NOT NULL")]
    done = [row[0] for row in market.sql(f"SELECT order_id FROM {RECEIPTS}")]
    if "jobs" in faults and keys:
        for key in chance.sample(keys, chance.randint(1, len(keys))):
            market.sql("DELETE FROM dutiful.job WHERE key = %s", key)
            market.sql("DELETE FROM dutiful.duty WHERE key = %s", key)
            found.lost["jobs"] += 1
    if "effects" in faults and done:
        for order in chance.sample(done, chance.randint(1, len(done))):
            market.sql(f"DELETE FROM {RECEIPTS} WHERE order_id = %s", order)
            found.lost["effects"] += 1
    if "ledger" in faults and done:
        for order in chance.sample(done, chance.randint(1, len(done))):
            for table in ("ledger", "duty"):
                market.sql(f"DELETE FROM dutiful.{table} WHERE key = %s", f"receipt:{order}")
            found.lost["ledger"] += 1
    if "clock" in faults:
        market.later(chance.randint(-2 * HOUR, 5 * HOUR))
        found.lost["clock"] += 1


def _pass(market: Market, chance: random.Random, found: World, number: int) -> None:
    """One pass; what it calls missing was neither done nor in flight when it began."""
    market.later(1_000_000)  # what ended at the very instant of a pass may have ended within it
    lacking = _lacking(market)
    sweep = Busy(market.app, market.one, by="worlds", whole=True)
    sweep.chance = chance
    result = sweep.run()
    called = _called(market)
    if result.made.governed.said == "stopped":  # more than twenty: a person says that it is right
        assert result.run is not None and result.enqueued <= 20
        market.app.engine.run(reconcile.approve("shop", result.run, actor="worlds"))
        found.repaired += result.enqueued
        result = market.sweep(whole=True)
        called |= _called(market)
    if number == 0:
        found.missing = len(lacking)
        found.wrong += [f"order {order} is called missing, and is not" for order in sorted(called - lacking)]
        found.wrong += [f"order {order} is missing, and was not found" for order in sorted(lacking - called)]
    found.repaired += result.enqueued


def _called(market: Market) -> set[int]:
    """What is called missing now."""
    return {int(one.key.partition(":")[2]) for one in market.found(limit=1_000) if one.kind == "missing"}


def _lacking(market: Market) -> set[int]:
    """Old enough, without a receipt and without an open job: the truth."""
    upto = market.shown(market.clock.at_us - 15 * MINUTE)
    since = market.shown(market.clock.at_us - 7 * DAY)
    text = (
        f"SELECT o.id FROM {ORDERS} AS o WHERE o.paid_at <= '{upto}' AND o.paid_at >= '{since}'"
        f" AND NOT EXISTS (SELECT 1 FROM {RECEIPTS} AS r WHERE r.order_id = o.id)"
        " AND NOT EXISTS (SELECT 1 FROM dutiful.job AS j WHERE j.key = 'receipt:' || o.id)"
    )
    return {row[0] for row in market.sql(text)}


def _judge(market: Market, found: World) -> None:
    receipts = Counter(market.receipts())
    found.wrong += [f"order {order} has {n} receipts" for order, n in receipts.items() if n > 1]
    upto = market.shown(market.clock.at_us - HOUR)
    old = {row[0] for row in market.sql(f"SELECT id FROM {ORDERS} WHERE paid_at <= '{upto}'")}
    reported = {one.key: one for one in market.found(limit=1_000)}
    for order in sorted(old - receipts.keys()):
        one = reported.get(f"receipt:{order}")
        if one is None or one.kind != "missing" or one.made:
            found.wrong.append(f"order {order} has no receipt, and nobody is told")
        else:
            found.reported += 1


class Backup(Protocol):
    """All that a store holds, as it was."""

    def take(self) -> None: ...

    def restore(self) -> None: ...


class FileBackup:
    """By SQLite's own means."""

    def __init__(self, market: Market) -> None:
        self._path = market.app.engine.path  # type: ignore[attr-defined]
        self._saved = sqlite3.connect(":memory:")

    def take(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=10)) as live:
            live.backup(self._saved)

    def restore(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=10)) as live:
            self._saved.backup(live)


class RowsBackup:
    """The rows of all tables, put back without triggers, as a restored dump has them."""

    def __init__(self, market: Market) -> None:
        self._conninfo = market.app.engine.conninfo  # type: ignore[attr-defined]
        self._rows: dict[str, bytes] = {}

    def take(self) -> None:
        with psycopg.connect(self._conninfo) as live, live.cursor() as cursor:
            cursor.execute(
                "SELECT c.oid::regclass::text FROM pg_class AS c"
                " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
                " WHERE c.relkind = 'r' AND n.nspname IN ('dutiful', 'public')"
            )
            for (table,) in cursor.fetchall():
                with cursor.copy(f"COPY {table} TO STDOUT") as copy:
                    self._rows[table] = b"".join(bytes(part) for part in copy)

    def restore(self) -> None:
        with psycopg.connect(self._conninfo) as live, live.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(f"TRUNCATE {', '.join(self._rows)}")
            for table, rows in self._rows.items():
                with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                    copy.write(rows)


@contextmanager
def stores(engine: str) -> Iterator[Callable[[int], str]]:
    """Gives an empty store for each world."""
    if engine == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield lambda seed: f"sqlite:///{folder}/{seed}.db"
        return
    with PostgresServer() as server, ExitStack() as stack:
        App("shop", server.create_database("template_shop")).migrate()

        def made(seed: int) -> str:
            stack.close()
            name = f"world_{seed}"
            stack.callback(server.drop_database, name)
            return server.create_database(name, template="template_shop")

        yield made


def main() -> int:
    """Explore many; exit 1 if one of them went wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--worlds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--engine", choices=("sqlite", "postgres"), default="sqlite")
    given = parser.parse_args()
    began, lost, sums, bad = time.monotonic(), Counter[str](), Counter[str](), 0
    with stores(given.engine) as store:
        for seed in range(given.first, given.first + given.worlds):
            one = explore(seed, store(seed))
            lost += one.lost
            sums.update(missing=one.missing, repaired=one.repaired, reported=one.reported)
            if one.wrong:
                bad += 1
                print(f"seed {seed}: {'; '.join(one.wrong)}", flush=True)
    took = time.monotonic() - began
    print(f"{given.worlds} worlds, {bad} wrong; faults {dict(lost)}; {dict(sums)}; {took:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
