"""Too late: each policy does what it says, by the database's clock at the claim, a month late included."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from dutiful import App, GiveUp, Late, RetryIn, Run, Snooze, Transaction
from dutiful.model.errors import DeclarationError
from dutiful.operations import inspect, people, queues, verify
from dutiful.testing import Clock, run_all

DELIVERIES: tuple[Any, ...] = ("at_least_once", "exactly_once", "at_most_once")
MONTH = "31d"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(rows_url: str, clock: Clock) -> Iterator[App]:
    app = App("shop", rows_url, clock=clock)
    app.migrate()
    yield app
    assert app.engine.run(verify.check(None, full=True)) == []
    app.close()


def state_of(app: App, id: str) -> tuple[str, str | None]:
    job = app.engine.run(inspect.job(app.name, id))
    return job.state, job.outcome or job.reason


@pytest.mark.parametrize(
    ("delivery", "late_by", "too_late"),
    [
        (DELIVERIES[0], "1d", False),
        (DELIVERIES[0], "1d1s", True),
        *((one, MONTH, True) for one in DELIVERIES),
    ],
)
@pytest.mark.parametrize(
    ("then", "ended"),
    [("run", ("done", "performed")), ("skip", ("done", "skipped")), ("dead", ("dead", "stale"))],
)
def test_each_policy(
    app: App, clock: Clock, delivery: Any, late_by: str, too_late: bool, then: str, ended: tuple[str, str]
) -> None:
    ran: list[int] = []

    @app.task(name="t", once="t:{n}", delivery=delivery, late=Late("1d", then=then))
    def t(n: int) -> None:
        ran.append(n)

    job = t.enqueue(1)
    clock.advance(late_by)
    run_all(app)
    done = ("done", "performed")
    assert state_of(app, job.id) == (ended if too_late else done)
    assert ran == ([1] if not too_late or then == "run" else [])
    found = app.engine.run(inspect.job(app.name, job.id))
    if too_late and then == "skip":
        assert "too late: it was due" in (found.reason or "")
        assert not t.enqueue(1).duplicate  # its duty is free again
    if too_late and then == "dead":
        [failure] = app.engine.run(inspect.failures(job.id))
        assert failure.kind == "TooLate" and "too late: it was due" in failure.message
        assert t.enqueue(1).duplicate == (delivery == "at_most_once")
    if too_late and then in ("skip", "dead"):
        assert (found.attempt, found.run_no) == (0, 1)


@pytest.mark.parametrize("together", ["group", "batch"])
def test_members_of_a_group_and_of_a_batch_are_judged_one_by_one(
    app: App, clock: Clock, together: str
) -> None:
    sizes: list[Any] = []
    if together == "group":

        @app.task(name="g", delivery="exactly_once", group=10, late=Late("1h", then="skip"))
        def g(n: int) -> None:
            sizes.append(n)

    else:

        @app.task(name="g", batch=10, late=Late("1h", then="skip"))  # type: ignore[no-redef]
        def g(ns: list[int]) -> None:
            sizes.extend(ns)

    task: Any = app.find_task("g")
    old = task.enqueue(1)
    clock.advance("2h")
    new = task.enqueue(2)
    run_all(app)
    assert state_of(app, old.id) == ("done", "skipped")
    assert state_of(app, new.id) == ("done", "performed")
    assert sizes == [2]


def test_another_task_takes_its_place_with_the_same_arguments(app: App, clock: Clock) -> None:
    told: list[tuple[int, str]] = []

    @app.task(name="apologise", once="sorry:{order}")
    def apologise(order: int, to: str = "x") -> None:
        told.append((order, to))

    @app.task(name="remind", once="remind:{order}", late=Late("1h", then=apologise))
    def remind(order: int, to: str) -> None:
        raise AssertionError("too late")

    job = remind.enqueue(7, to="ann")
    clock.advance("2h")
    run_all(app)
    assert state_of(app, job.id) == ("done", "skipped")
    assert told == [(7, "ann")]
    reason = app.engine.run(inspect.job(app.name, job.id)).reason or ""
    assert "apologise in its place, job " in reason
    assert state_of(app, reason.rpartition("job ")[2]) == ("done", "performed")


@pytest.mark.parametrize("wrong", ["names", "types", "more", "word", "app"])
def test_what_cannot_take_its_place_is_refused_at_declaration(app: App, wrong: str) -> None:
    other: Any = "later"
    if wrong == "names":
        other = app.task(name="o")(lambda x: None)
    elif wrong == "types":

        @app.task(name="o")
        def takes_text(n: str) -> None: ...

        other = takes_text
    elif wrong == "more":

        @app.task(name="o")
        def takes_more(n: int, m: int) -> None: ...

        other = takes_more
    elif wrong == "app":

        @App("other", "sqlite://").task(name="o")
        def is_elsewhere(n: int) -> None: ...

        other = is_elsewhere
    with pytest.raises(DeclarationError):

        @app.task(name="t", late=Late("1h", then=other))
        def t(n: int) -> None: ...


def test_a_retry_is_as_late_as_its_duty_and_a_snooze_is_not(app: App, clock: Clock) -> None:
    @app.task(name="fails", late=Late("1h", then="dead"))
    def fails() -> None:
        raise RetryIn("50m")

    @app.task(name="sleeps", late=Late("1h", then="dead"))
    def sleeps(*, run: Run) -> None:
        if run.run_no == 1:
            raise Snooze("2h")

    first, second = fails.enqueue(), sleeps.enqueue()
    run_all(app)
    clock.advance("55m")
    run_all(app)  # a try that is 55 minutes late is in time
    assert state_of(app, first.id)[0] == "ready"
    clock.advance("65m")
    run_all(app)
    assert state_of(app, first.id) == ("dead", "stale")
    assert state_of(app, second.id) == ("done", "performed")


def test_a_persons_retry_is_due_anew(app: App, clock: Clock) -> None:
    @app.task(name="t", late=Late("1h", then="dead"))
    def t() -> None: ...

    job = t.using(deadline="2h").enqueue()
    clock.advance(MONTH)
    run_all(app)
    assert state_of(app, job.id) == ("dead", "stale")
    app.engine.run(people.retry(app.name, job.id, actor="ann"))
    run_all(app)
    assert state_of(app, job.id) == ("done", "performed")


@pytest.mark.parametrize("way", ["span", "instant", "many", "later"])
def test_a_deadline_of_a_jobs_own(app: App, clock: Clock, way: str) -> None:
    @app.task(name="plain")
    def plain(n: int) -> None: ...

    @app.task(name="skips", once="s:{n}", late=Late("9d", then="skip"))
    def skips(n: int) -> None: ...

    options: dict[str, Any] = {"deadline": "1h"}
    if way == "instant":
        options = {"deadline": clock.now + timedelta(hours=1)}
    elif way == "later":
        options = {"deadline": "1h", "run_in": "1d"}
    ids = []
    for task in (plain, skips):
        using: Any = task.using(**options)
        [handle] = app.enqueue_many(using, [1]) if way == "many" else [using.enqueue(1)]
        ids.append(handle.id)
    in_time = plain.using(**options).enqueue(2)
    if way == "later":
        clock.advance("1d")
    clock.advance("1h")
    run_all(app, tasks=["nothing"])
    assert [state_of(app, id)[0] for id in ids] == ["ready", "ready"]
    app.engine.run(people.cancel(app.name, in_time.id, actor="ann"))
    clock.advance("1s")
    run_all(app)
    assert [state_of(app, id) for id in ids] == [("dead", "stale"), ("done", "skipped")]


def test_late_ones_are_counted(app: App, clock: Clock) -> None:
    app.queue("mail", target="5m")

    @app.task(name="skips", queue="mail", late=Late("1h", then="skip"))
    def skips() -> None: ...

    @app.task(name="dies", queue="mail", late=Late("1h", then="dead"))
    def dies() -> None: ...

    @app.task(name="never", queue="mail")
    def never() -> None: ...

    skips.enqueue(), dies.enqueue(), never.enqueue()
    run_all(app, tasks=[])
    from dutiful.operations import lanes

    app.engine.run(lanes.declare(app.name, [], app.queues.items()))
    clock.advance(MONTH)
    run_all(app)
    [counts] = app.engine.run(queues.late_counts(app.name, 86_400_000_000))
    assert (counts.queue, counts.skipped, counts.over_target, counts.stale) == ("mail", 1, 1, 1)


def test_exactly_once_work_that_is_too_late_is_not_begun(app: App, clock: Clock) -> None:
    @app.task(name="pay", once="pay:{n}", delivery="exactly_once", late=Late("1h", then="dead"))
    def pay(n: int, *, tx: Transaction) -> None:
        raise GiveUp("never")

    job = pay.enqueue(1)
    clock.advance(MONTH)
    run_all(app)
    assert state_of(app, job.id) == ("dead", "stale")
