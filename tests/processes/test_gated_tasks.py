"""Declared gates, with a real worker: orders, locks, shares and rates of all kinds of tasks."""

from __future__ import annotations

import threading
import time

from dutiful import App, Lock, Order, Rate, Transaction
from dutiful.model.retry import Snooze
from dutiful.operations import verify
from dutiful.testing import run_all
from dutiful.worker.options import WorkerOptions
from dutiful.worker.worker import Worker


class Watch:
    """How many bodies of each name ran at once at most, and the order of their beginnings."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.begun: dict[str, list[int]] = {}

    def enter(self, name: str, n: int) -> None:
        with self.lock:
            self.now[name] = self.now.get(name, 0) + 1
            self.most[name] = max(self.most.get(name, 0), self.now[name])
            self.begun.setdefault(name, []).append(n)

    def leave(self, name: str) -> None:
        with self.lock:
            self.now[name] -= 1


def test_a_worker_keeps_orders_and_locks_and_empties_the_queue(store_url: str) -> None:
    app, watch = App("gated", store_url), Watch()
    app.migrate()

    @app.task(name="pack", order="customer:{customer}", lock=Lock("bench", slots=3), fair="tenant:{customer}")
    def pack(customer: int, n: int) -> None:
        watch.enter(f"c{customer}", n)
        watch.enter("bench", n)
        time.sleep(0.001)
        watch.leave("bench")
        watch.leave(f"c{customer}")
        if n % 10 == 3 and watch.begun[f"c{customer}"].count(n) < 2:
            raise Snooze("50ms")

    @app.task(name="book", delivery="exactly_once", order=Order("account:{account}"))
    def book(account: int, n: int, *, tx: Transaction) -> None:
        watch.enter(f"a{account}", n)
        watch.leave(f"a{account}")

    @app.task(name="book_many", delivery="exactly_once", group=10, lock="ledger:{n}")
    def book_many(n: int, *, tx: Transaction) -> None:
        watch.enter("many", n)
        watch.leave("many")

    for n in range(60):
        pack.enqueue(n % 3, n)
        book.enqueue(n % 2, n)
        book_many.enqueue(n % 7)
    Worker(app, WorkerOptions(until_empty=True, concurrency=8)).run()
    assert watch.most["bench"] <= 3
    for customer in range(3):
        assert watch.most[f"c{customer}"] == 1
        # A snoozed one keeps its place: it begins again before any other does.
        assert list(dict.fromkeys(watch.begun[f"c{customer}"])) == list(range(customer, 60, 3))
        assert watch.begun[f"c{customer}"] == sorted(watch.begun[f"c{customer}"])
    for account in range(2):
        assert watch.begun[f"a{account}"] == list(range(account, 60, 2))
    assert len(watch.begun["many"]) == 60
    assert app.engine.run(verify.check("gated", full=True)) == []
    app.close()


def test_a_worker_starts_no_more_than_the_rate_allows(store_url: str) -> None:
    app, begun = App("rated", store_url), list[float]()
    app.migrate()

    @app.task(name="ask", rate=Rate(20, per="1s", key="host:{host}", burst=4))
    def ask(host: str) -> None:
        begun.append(time.monotonic())

    for _ in range(24):
        ask.enqueue("x")
    before = time.monotonic()
    Worker(app, WorkerOptions(until_empty=True)).run()
    # The last of 24 begins no sooner than 20 intervals after the bucket was full.
    assert len(begun) == 24
    assert max(begun) - before >= (24 - 4) / 20 - 0.01
    app.close()


def test_what_is_run_in_place_passes_gates_too(store_url: str) -> None:
    app, begun = App("inplace", store_url), list[int]()
    app.migrate()

    @app.task(name="t", order="o", lock="l", rate=Rate(10, per="1s", burst=10))
    def t(n: int) -> None:
        begun.append(n)

    for n in range(5):
        t.enqueue(n)
    run_all(app)
    assert begun == list(range(5))
    app.close()
