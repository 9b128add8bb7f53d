"""exactly_once: work, ledger and completion are one commit, whatever the body does."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dutiful import App, Run, Snooze
from dutiful.app.transactions import AsyncTransaction, Transaction
from dutiful.model.errors import InvalidTask, JobNotFound
from dutiful.model.jobs import Ending, Lane, Lease, NewWorker
from dutiful.operations import claims, lanes, people, settle, verify, workers
from dutiful.operations.plan import Step
from dutiful.testing import Outcome, run_all
from dutiful.worker.run import acarry_out, carry_out, run_of
from tests.contract.shops import TABLE, Shop, add


@pytest.fixture
def shop(rows_url: str) -> Iterator[Shop]:
    app = App("shop" + secrets.token_hex(4), rows_url)
    app.migrate()
    yield Shop(app)
    app.close()


@pytest.fixture(params=["plain", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Body = Callable[[Transaction, int], Any]


def credit(shop: Shop, kind: str, then: Callable[[Any], Any] = lambda tx: None, **options: Any) -> Any:
    """A task that leaves a receipt, and does something more."""
    options = {"delivery": "exactly_once", "once": "credit:{order_id}", "retry": 0} | options

    if kind == "plain":

        @shop.app.task(name="credit", **options)
        def plain(order_id: int, *, tx: Transaction) -> int:
            tx.execute(*add(order_id, "work"))
            then(tx)
            return order_id * 2

        return plain

    @shop.app.task(name="credit", **options)
    async def looped(order_id: int, *, tx: AsyncTransaction) -> int:
        await tx.execute(*add(order_id, "work"))
        value = then(tx)
        if hasattr(value, "__await__"):
            await value
        return order_id * 2

    return looped


def claimed(shop: Shop) -> list[Lease]:
    """What a worker would have claimed."""
    engine = shop.app.engine
    row = NewWorker(
        app=shop.app.name, host="here", pid=1, lease_us=30_000_000, concurrency=1, queues="[]", tasks="{}"
    )
    worker = engine.run(workers.register(row))
    asked = [Lane(row.id) for row in engine.run(lanes.lanes(shop.app.name))]
    return engine.run(claims.claim(worker, asked, shop.app.known(), 10)).leases


def carried(app: App, lease: Lease) -> Ending:
    """The run of that lease, without what stores its ending."""
    task = app.find_task(lease.task)
    if task.is_async:
        return asyncio.run(_acarried(app, lease))
    return carry_out(app, task, lease, run_of(lease))


async def _acarried(app: App, lease: Lease) -> Ending:
    try:
        return await acarry_out(app, app.find_task(lease.task), lease, run_of(lease))
    finally:
        await app.leave_loop()


def only(outcomes: list[Outcome]) -> Outcome:
    [outcome] = outcomes
    return outcome


def test_work_ledger_and_completion_are_one(shop: Shop, kind: str) -> None:
    task = credit(shop, kind, result=True)
    handle = task.enqueue(7)
    assert only(run_all(shop.app)).verb == "committed"
    assert shop.receipts() == [(7, "work")]
    assert shop.works() == 1
    assert handle.result("1s") == 14
    assert shop.app.engine.run(verify.check(shop.app.name, full=True)) == []


def test_what_raises_keeps_nothing(shop: Shop, kind: str) -> None:
    def no(tx: Any) -> None:
        raise ValueError("no")

    task = credit(shop, kind, no)
    handle = task.enqueue(7)
    outcome = only(run_all(shop.app))
    assert (outcome.verb, outcome.kind) == ("bury", "ValueError")
    assert (shop.receipts(), shop.works()) == ([], 0)
    assert handle.job().state == "dead"


def test_a_second_job_of_a_duty_that_is_done_does_nothing(shop: Shop, kind: str) -> None:
    """Two jobs of one duty, as a forgotten duty row makes them: the ledger remembers longer."""
    task = credit(shop, kind)
    first = task.using(remember="0s").enqueue(7)
    assert only(run_all(shop.app)).verb == "committed"
    second = task.using(remember="0s").enqueue(7)
    assert second.id != first.id
    assert only(run_all(shop.app)).verb == "duplicate"
    job = second.job()
    assert (job.state, job.outcome) == ("done", "duplicate")
    assert shop.receipts() == [(7, "work")]
    assert shop.app.engine.run(verify.check(shop.app.name, full=True)) == []


def test_again_is_done_once_more(shop: Shop, kind: str) -> None:
    task = credit(shop, kind)
    task.enqueue(7)
    run_all(shop.app)
    task.using(again="the customer asked").enqueue(7)
    assert only(run_all(shop.app)).verb == "committed"
    assert (len(shop.receipts()), shop.works()) == (2, 2)


def test_a_retried_job_works(shop: Shop, kind: str) -> None:
    fail = [True]

    def once_bad(tx: Any) -> None:
        if fail:
            fail.clear()
            raise ValueError("no")

    handle = credit(shop, kind, once_bad).enqueue(7)
    run_all(shop.app)
    shop.app.engine.run(people.retry(shop.app.name, handle.id, actor="anna"))
    assert only(run_all(shop.app)).verb == "committed"
    assert shop.receipts() == [(7, "work")]


@pytest.mark.parametrize("how", ["token", "gone"])
def test_a_run_that_is_over_keeps_nothing(shop: Shop, kind: str, how: str) -> None:
    """Its job was taken from it meanwhile: the completion's fence refuses, and the work goes back."""

    def steal(tx: Any) -> Any:
        # In the same transaction, for on SQLite nobody else can write: what is seen at the end counts.
        jobs, other = JOBS[tx._work.engine_name]
        return tx.execute(f"UPDATE {jobs} SET token = {other}" if how == "token" else f"DELETE FROM {jobs}")

    credit(shop, kind, steal).enqueue(7)
    outcome = only(run_all(shop.app))
    assert outcome.verb == "lost"
    assert (shop.receipts(), shop.works()) == ([], 0)


JOBS = {"postgres": ("dutiful.job", "gen_random_uuid()"), "sqlite": ("dutiful_job", "'another'")}


def test_its_own_enqueues_join(shop: Shop, kind: str) -> None:
    @shop.app.task(name="follow")
    def follow(n: int) -> None:
        pass

    seen: list[str] = []

    def ask(tx: Any) -> Any:
        if kind == "plain":
            seen.append(follow.enqueue(1).id)
            seen.extend(h.id for h in shop.app.enqueue_many(follow, [2, 3]))
            return None
        return _ask()

    async def _ask() -> None:
        seen.append((await follow.aenqueue(1)).id)
        seen.extend(h.id for h in await shop.app.aenqueue_many(follow, [2, 3]))

    fail = [True]

    def ask_and_fail(tx: Any) -> Any:
        value = ask(tx)
        return _then_raise(value) if value is not None else _raise()

    def _raise() -> None:
        if fail:
            raise ValueError("no")

    async def _then_raise(value: Any) -> None:
        await value
        _raise()

    task = credit(shop, kind, ask_and_fail)
    handle = task.enqueue(7)
    assert only(run_all(shop.app)).verb == "bury"
    for one in seen:
        with pytest.raises(JobNotFound):
            shop.app.handle(one).job()
    fail.clear()
    seen.clear()
    shop.app.engine.run(people.retry(shop.app.name, handle.id, actor="anna"))
    assert [o.verb for o in run_all(shop.app)] == ["committed", *["complete"] * 3]
    assert all(shop.app.handle(one).job().state == "done" for one in seen)


def test_it_may_open_late_or_never(shop: Shop, kind: str) -> None:
    options: dict[str, Any] = {"delivery": "exactly_once", "retry": 0}
    if kind == "plain":

        @shop.app.task(name="late", **options)
        def late(n: int, *, run: Run) -> None:
            with run.transaction() as tx:
                tx.execute(*add(n, "one"))
            with run.transaction() as tx:
                tx.execute(*add(n, "two"))

        @shop.app.task(name="never", **options)
        def never(n: int, *, run: Run) -> None:
            pass
    else:

        @shop.app.task(name="late", **options)
        async def alate(n: int, *, run: Run) -> None:
            async with run.transaction() as tx:
                await tx.execute(*add(n, "one"))
            async with run.transaction() as tx:
                await tx.execute(*add(n, "two"))

        @shop.app.task(name="never", **options)
        async def anever(n: int, *, run: Run) -> None:
            pass

        late, never = alate, anever  # type: ignore[assignment]
    late.enqueue(1)
    never.enqueue(2)
    assert [o.verb for o in run_all(shop.app)] == ["committed", "committed"]
    assert shop.receipts() == [(1, "one"), (1, "two")]
    assert shop.works() == 2
    assert shop.app.engine.run(verify.check(shop.app.name, full=True)) == []


def test_a_duty_that_is_being_done_waits_uncharged(shop: Shop, kind: str) -> None:
    """The ledger's row, or the file, is another transaction's; that one may yet roll back."""
    task = credit(shop, kind)
    handle = task.enqueue(7)
    hold = (
        f"INSERT INTO {shop.ledger} (app, task, key, epoch, kind, at, run_no, job_id, token)"
        f" VALUES ('{shop.app.name}', 'credit', 'credit:7', 1, 'once', 1, NULL, NULL, NULL)"
    )
    [lease] = claimed(shop)
    with shop.held(hold):
        ending = carried(shop.app, lease)
    assert (ending.verb, ending.charged) == ("snooze", False)
    shop.app.engine.run(settle.settle([ending], 1))
    job = handle.job()
    assert (job.state, job.attempt, job.run_no) == ("ready", 0, 1)
    assert shop.receipts() == []


def test_a_snooze_takes_the_work_back(shop: Shop, kind: str) -> None:
    def later(tx: Any) -> None:
        raise Snooze("1m")

    credit(shop, kind, later).enqueue(7)
    assert only(run_all(shop.app)).verb == "snooze"
    assert (shop.receipts(), shop.works()) == ([], 0)


def test_a_result_too_large_keeps_nothing(shop: Shop) -> None:
    @shop.app.task(name="big", delivery="exactly_once", result=True, retry=0)
    def big(n: int, *, tx: Transaction) -> str:
        tx.execute(*add(n, "work"))
        return "x" * 100_000

    big.enqueue(1)
    assert only(run_all(shop.app)).verb == "bury"
    assert (shop.receipts(), shop.works()) == ([], 0)


def test_a_parameter_may_be_written_the_drivers_way(shop: Shop) -> None:
    @shop.app.task(name="native", delivery="exactly_once", retry=0)
    def native(n: int, *, tx: Transaction) -> None:
        mark = "%s" if tx._work.engine_name == "postgres" else "?"
        tx.execute(
            f"INSERT INTO {TABLE} VALUES ({mark}, '50%:of')".replace("%:", "%%:" if mark == "%s" else "%:"),
            (n,),
        )
        tx.execute(f"INSERT INTO {TABLE} VALUES (:n, '50%:of')", {"n": n + 1})

    native.enqueue(1)
    assert only(run_all(shop.app)).verb == "committed"
    assert shop.receipts() == [(1, "50%:of"), (2, "50%:of")]


@pytest.mark.parametrize("wrong", ["other delivery", "async in plain", "plain in async", "unknown database"])
def test_a_declaration_that_cannot_work_is_refused(rows_url: str, wrong: str) -> None:
    app = App("wrong", rows_url)
    with pytest.raises(InvalidTask):
        if wrong == "other delivery":

            @app.task()
            def one(*, tx: Transaction) -> None: ...

        elif wrong == "async in plain":

            @app.task(delivery="exactly_once")
            def two(*, tx: AsyncTransaction) -> None: ...

        elif wrong == "plain in async":

            @app.task(delivery="exactly_once")
            async def three(*, tx: Transaction) -> None: ...

        else:

            @app.task(delivery="exactly_once", database="shpo")
            def four(*, tx: Transaction) -> None: ...


class Cut(Exception):
    """Raised after a statement of ours, as if the power went."""


def test_cut_after_any_statement_of_ours_nothing_is_kept(shop: Shop, kind: str) -> None:
    """The transaction's own statements, one after the other: begin, and complete."""
    task = credit(shop, kind, retry=1000)
    for after in range(1, 5):
        handle = task.enqueue(after)
        [lease] = claimed(shop)
        seen: list[Step] = []

        def cut(step: Step, after: int = after, seen: list[Step] = seen) -> None:
            seen.append(step)
            if len(seen) == after:
                raise Cut

        shop.engine.observe = cut  # type: ignore[attr-defined]
        try:
            ending = carried(shop.app, lease)
        finally:
            shop.engine.observe = None  # type: ignore[attr-defined]
        if len(seen) < after:
            assert ending.verb == "committed"
            assert [step.name for step in seen] == ["begin_work", "finish_work"]
            break
        assert ending.verb == "fail"
        assert (shop.receipts(), shop.works()) == ([], 0)
        shop.app.engine.run(settle.settle([ending], 1))
        assert handle.job().state == "ready"
    else:
        raise AssertionError("never whole")
    assert shop.receipts() == [(after, "work")]
