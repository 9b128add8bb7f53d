"""Who does not wait for a lock or a rate: skipped, or dead, with a reason that names the gate."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from dutiful import App, InvalidTask, Lock, Rate, Transaction
from dutiful.operations import inspect, verify
from dutiful.operations.why import why
from dutiful.testing import Clock, run_all
from dutiful.worker.options import WorkerOptions
from dutiful.worker.worker import Worker


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(store_url: str, clock: Clock) -> Iterator[App]:
    app = App("busy", store_url, clock=clock)
    app.migrate()
    yield app
    assert app.engine.run(verify.check(None, full=True)) == []
    app.close()


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once", "at_most_once"])
@pytest.mark.parametrize(
    ("on_busy", "state", "said"), [("skip", "done", "skipped"), ("dead", "dead", "gave_up")]
)
def test_a_busy_lock(app: App, delivery: Any, on_busy: Any, state: str, said: str) -> None:
    ran: list[int] = []

    @app.task(name="holds", lock="printer:{n}")
    def holds(n: int) -> None:
        ran.append(-n)

    options: dict[str, Any] = {"once": "tries:{n}", "lock": Lock("printer:{n}", on_busy=on_busy)}

    def plain(n: int) -> None:
        ran.append(n)

    def writes(n: int, *, tx: Transaction) -> None:
        ran.append(n)

    body: Any = writes if delivery == "exactly_once" else plain
    tries = app.task(name="tries", delivery=delivery, **options)(body)

    holds.enqueue(1)  # it is through, and holds its place
    job, free = tries.enqueue(1), tries.enqueue(2)
    ended = {one.job_id: one for one in run_all(app, tasks=["tries"])}
    assert ran == [2] and ended[free.id].verb in ("complete", "committed")
    seen = app.engine.run(inspect.job(app.name, job.id))
    assert (seen.state, seen.outcome or seen.reason) == (state, said)
    answer = app.engine.run(why(app.name, job.id))
    assert "lock printer:1" in f"{answer}"
    run_all(app)
    if on_busy == "skip":
        assert not tries.enqueue(1).duplicate, "it was not done: the duty is free"
        run_all(app)
        assert ran == [2, -1, 1]
    assert app.engine.run(inspect.job(app.name, free.id)).outcome == "performed"


def test_a_rate_that_has_no_start_to_spare(app: App, clock: Clock) -> None:
    ran: list[int] = []

    @app.task(name="asks", rate=Rate(1, per="10s", key="host:{host}", burst=2, on_busy="skip"))
    def asks(host: str, n: int) -> None:
        ran.append(n)

    for n in range(4):
        asks.enqueue("a", n)
    verbs = [one.verb for one in run_all(app)]
    assert ran == [0, 1] and verbs == ["complete", "complete", "skip", "skip"]
    clock.advance("10s")
    for n in (5, 6):
        asks.enqueue("a", n)
    run_all(app)
    assert ran == [0, 1, 5]


def test_a_worker_never_has_two_inside(store_url: str) -> None:
    app, lock, now, most, ran = App("worked", store_url), threading.Lock(), Counter[str](), Counter[str](), []
    app.migrate()

    @app.task(name="once", delivery="exactly_once", lock=Lock("bench", on_busy="skip"))
    def once(n: int, *, tx: Transaction) -> None:
        inside("tx")

    @app.task(name="plain", lock=Lock("bench", on_busy="skip"))
    def plain(n: int) -> None:
        inside("plain")

    def inside(name: str) -> None:
        with lock:
            now["bench"] += 1
            most["bench"] = max(most["bench"], now["bench"])
            ran.append(name)
        time.sleep(0.01)
        with lock:
            now["bench"] -= 1

    jobs = [task.enqueue(n).id for n in range(8) for task in (once, plain)]
    Worker(app, WorkerOptions(until_empty=True, concurrency=8)).run()
    ended = Counter(app.engine.run(inspect.job(app.name, id)).outcome for id in jobs)
    assert most["bench"] == 1
    assert ended["performed"] == len(ran) >= 1 and ended["performed"] + ended["skipped"] == 16
    assert app.engine.run(verify.check(None, full=True)) == []
    app.close()


def test_a_word_that_is_not_known_is_refused() -> None:
    for make in (lambda: Lock("a", on_busy="die"), lambda: Rate(1, on_busy="die")):  # type: ignore[arg-type]
        with pytest.raises(InvalidTask, match="on_busy"):
            make()
