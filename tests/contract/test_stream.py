"""A stream of rows becomes jobs in batches: in order, in memory that does not grow, and with its end told."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator

import pytest

from dutiful import App
from dutiful.app import bulk
from dutiful.app.bulk import Streamed
from dutiful.app.task import Task
from dutiful.engines.contract import Engine
from dutiful.model.errors import CommitUnknown, EnqueueError, InvalidOption
from dutiful.operations import books, inspect
from dutiful.operations.plan import Operation
from tests.contract import lenders
from tests.contract.test_bound import place

Sent = Task[[int], None]


@pytest.fixture
def app(rows_url: str) -> Iterator[App]:
    app = App("shop", rows_url)

    @app.task(name="send")
    def send(n: int) -> None: ...

    @app.task(name="charge", once="charge:{n}")
    def charge(n: int) -> None: ...

    app.migrate()
    yield app
    app.close()


@pytest.fixture(params=["sync", "async", "async rows"])
def stream(app: App, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> object:
    """Calls a stream by one of its faces; batches are small."""
    monkeypatch.setattr(bulk, "STREAM_BATCH", 10)
    monkeypatch.setattr(bulk, "COPY_FROM", 5)

    async def slowly(rows: object) -> AsyncIterator[object]:
        for row in rows:  # type: ignore[attr-defined]
            yield row

    async def called(task: object, rows: object, **more: object) -> Streamed:
        given = slowly(rows) if request.param == "async rows" else rows
        try:
            return await app.aenqueue_stream(task, given, **more)  # type: ignore[arg-type]
        finally:
            await app.leave_loop()

    if request.param == "sync":
        return app.enqueue_stream
    return lambda *args, **more: asyncio.run(called(*args, **more))


def stored(app: App) -> list[int]:
    """What the jobs were given, the first enqueued first."""
    found: list[int] = []
    after = None
    while lines := app.engine.run(inspect.jobs("shop", limit=50, after=after)):
        found += (int(line.args.partition(":")[2].rstrip("}")) for line in lines)
        after = lines[-1].id
    return found[::-1]


def test_all_rows_become_jobs_in_their_order(app: App, stream: object) -> None:
    told: list[Streamed] = []
    rows: list[object] = [*range(20), *((n,) for n in range(20, 24)), {"n": 24}]
    done = stream(app.find_task("send"), iter(rows), told=told.append)  # type: ignore[operator]
    assert done == Streamed(25, 0) and done.rows == 25
    assert [one.rows for one in told] == [10, 20, 25]
    assert stored(app) == list(range(25))
    app.engine.run(books.fold())
    assert books.lacks(app.engine.run(books.count()).get("shop", {})) == []


def test_none_and_just_a_batch(app: App, stream: object) -> None:
    send = app.find_task("send")
    assert stream(send, []) == Streamed(0, 0)  # type: ignore[operator]
    assert stream(send, range(10)) == Streamed(10, 0)  # type: ignore[operator]
    assert stored(app) == list(range(10))


def test_given_again_it_is_the_same_jobs(app: App, stream: object) -> None:
    charge = app.find_task("charge")
    assert stream(charge, range(15)) == Streamed(15, 0)  # type: ignore[operator]
    assert stream(charge, range(18)) == Streamed(3, 15)  # type: ignore[operator]
    assert sorted(stored(app)) == list(range(18))


def test_what_stops_it_says_how_many_rows_are_stored(app: App, stream: object) -> None:
    def broken(n: int) -> Iterator[int]:
        yield from range(n)
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="gone") as stopped:
        stream(app.find_task("send"), broken(27))  # type: ignore[operator]
    assert stopped.value.__notes__ == ["The first 20 rows are stored; to go on, skip as many."]
    assert stored(app) == list(range(20))
    with pytest.raises(EnqueueError, match="argument n") as refused:
        stream(app.find_task("send"), [*range(12), "no"])  # type: ignore[operator]
    assert refused.value.__notes__ == ["The first 10 rows are stored; to go on, skip as many."]


def test_in_a_transaction_of_the_callers_it_is_the_callers(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "STREAM_BATCH", 10)
    monkeypatch.setattr(bulk, "COPY_FROM", 5)
    url = str(app.engine.url)
    if app.engine.name == "sqlite":
        make = lenders.APSW["apsw"] if url.endswith("apsw") else lenders.SQLITE["sqlite3"]
    else:
        make = lenders.POSTGRES["psycopg"]
    lender = make(place(url))
    for end, count in ((lender.rollback, 0), (lender.commit, 25)):
        lender.begin()
        app.enqueue_stream(app.find_task("send"), range(25), connection=lender.lent)
        end()
        assert stored(app) == list(range(count))
    lender.begin()
    with pytest.raises(EnqueueError) as refused:
        app.enqueue_stream(app.find_task("send"), [*range(12), "no"], connection=lender.lent)
    assert not hasattr(refused.value, "__notes__")  # nothing is stored before the caller commits
    lender.rollback()
    lender.close()


def test_an_answer_that_was_lost_is_asked_for_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "STREAM_BATCH", 10)
    engine: Engine = app.engine
    run, lost = engine.run, [True, False, False]

    def losing(operation: Operation[object]) -> object:
        done = run(operation)
        if lost and lost.pop(0):
            raise CommitUnknown("the answer was lost")
        return done

    monkeypatch.setattr(engine, "run", losing)
    done = app.enqueue_stream(app.find_task("send"), range(25))
    monkeypatch.undo()
    assert done.rows == 25 and stored(app) == list(range(25))


def test_options_that_name_one_job_are_refused(app: App) -> None:
    send = app.find_task("send")
    for using in (send.using(once="a"), send.using(id=app.new_id())):
        with pytest.raises(InvalidOption):
            app.enqueue_stream(using, [1])


def test_its_memory_does_not_grow_with_the_rows(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "STREAM_BATCH", 1_000)

    def peak(rows: int) -> int:
        tracemalloc.start()
        try:
            app.enqueue_stream(app.find_task("send"), range(rows))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # connections, statements
    few, many = peak(2 * bulk.STREAM_BATCH), peak(6 * bulk.STREAM_BATCH)
    assert many < 1.2 * few


@pytest.mark.parametrize("task", ["send", "charge"])
def test_a_bad_row_ends_a_slow_source_at_once(app: App, task: str) -> None:
    """It is told of before the next row is asked for, though its batch is not full."""
    asked: list[int] = []

    async def slowly() -> AsyncIterator[object]:
        for n in range(10):
            asked.append(n)
            yield n if n != 2 else "two"

    async def called() -> None:
        try:
            await app.aenqueue_stream(app.find_task(task), slowly())
        finally:
            await app.leave_loop()

    with pytest.raises(EnqueueError, match="n"):
        asyncio.run(called())
    assert asked == [0, 1, 2] and stored(app) == []
