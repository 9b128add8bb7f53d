"""A shop whose orders want a receipt each, and a reconciliation that sees to it, on a clock to be moved."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from dutiful import App, Transaction
from dutiful.app.reconcile_pass import Result, Sweep
from dutiful.operations import reconcile, reconcile_views, workers
from dutiful.operations.reconcile_views import Finding
from dutiful.testing import run_all
from tests.contract.stores import Clock
from tests.contract.world import Eye

MARK = secrets.token_hex(4)
ORDERS, RECEIPTS = f"orders_{MARK}", f"receipts_{MARK}"
START = 1_768_435_200_000_000  # 15 January 2026
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EXPECTED = f"SELECT id AS order_id, paid_at AS due FROM {ORDERS} WHERE paid_at >= :since"
DONE = f"SELECT order_id FROM {RECEIPTS} WHERE sent_at >= :since"


class Market:
    """Its app has the task ``send``; ``more`` are words of ``app.reconcile``."""

    def __init__(self, url: str, *, delivery: Any = "exactly_once", late: Any = None, **more: Any) -> None:
        self.clock = Clock(START)
        self.app = App("shop", url, clock=self.clock)
        self.eye = Eye(self.app.engine)
        self.app.migrate()
        kind = "timestamptz" if self.app.engine.name == "postgres" else "text"
        for table in (ORDERS, RECEIPTS):
            self.sql(f"DROP TABLE IF EXISTS {table}")
        self.sql(f"CREATE TABLE {ORDERS} (id bigint PRIMARY KEY, paid_at {kind})")
        self.sql(f"CREATE TABLE {RECEIPTS} (order_id bigint, sent_at {kind})")

        if delivery == "exactly_once":

            @self.app.task(name="send", once="receipt:{order_id}", delivery="exactly_once", retry=0)
            def send(order_id: int, *, tx: Transaction) -> None:
                self.body(order_id)
                text = f"INSERT INTO {RECEIPTS} (order_id, sent_at) VALUES (:id, :at)"
                tx.execute(text, {"id": order_id, "at": self.shown(self.clock.at_us)})
        else:

            @self.app.task(name="send", once="receipt:{order_id}", delivery=delivery, retry=0)
            def send(order_id: int) -> None:
                self.body(order_id)
                self.receipt(order_id)

        self.send = send
        given = {
            "expected": EXPECTED,
            "done": DONE,
            "every": "10m",
            "grace": "15m",
            "window": "7d",
            "late": late,
        }
        self.one = self.app.reconcile(send, **given | more)
        worker = self.app.engine.run(workers.register(new_worker()))
        self.app.engine.run(reconcile.declare("shop", worker, [self.one.rule]))

    def body(self, order_id: int) -> None:
        """What the body does first; a test may put something else here."""

    def sql(self, text: str, *params: Any) -> list[tuple[Any, ...]]:
        return self.eye.sql(text, *params)

    def shown(self, at_us: int) -> str:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
        return at.strftime("%Y-%m-%d %H:%M:%S") + ("+00" if self.app.engine.name == "postgres" else "")

    def order(self, *ids: int, ago_us: int = HOUR) -> None:
        """Paid so long ago."""
        for id in ids:
            self.sql(f"INSERT INTO {ORDERS} VALUES (%s, %s)", id, self.shown(self.clock.at_us - ago_us))

    def receipt(self, order_id: int, ago_us: int = 0) -> None:
        self.sql(f"INSERT INTO {RECEIPTS} VALUES (%s, %s)", order_id, self.shown(self.clock.at_us - ago_us))

    def receipts(self) -> list[int]:
        return sorted(row[0] for row in self.sql(f"SELECT order_id FROM {RECEIPTS}"))

    def sweep(self, **more: Any) -> Result:
        return Sweep(self.app, self.one, by="test", **more).run()

    def later(self, us: int = 10 * MINUTE) -> None:
        self.clock.at_us += us

    def work(self) -> list[str]:
        return [one.verb for one in run_all(self.app)]

    def found(self, **more: Any) -> list[Finding]:
        return list(self.app.engine.run(reconcile_views.findings("shop", **more)))

    def close(self) -> None:
        for table in (ORDERS, RECEIPTS):
            self.sql(f"DROP TABLE IF EXISTS {table}")
        self.eye.close()
        self.app.close()


def new_worker() -> Any:
    from dutiful.model.jobs import NewWorker

    return NewWorker("shop", "host", 1, 10**15, 1, '["default"]', '{"send":1}')


def counted(result: Result) -> dict[str, int]:
    """The classes that were found, without nought."""
    counts = result.made.counts
    return {name: n for name in counts.__struct_fields__ if (n := getattr(counts, name))}
