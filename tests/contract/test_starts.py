"""The start of an at_most_once run: once per duty and epoch, durable, before the first line of the body."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dutiful import App, GiveUp, RetryIn, Run, Snooze, testing
from dutiful.model.errors import CommitUnknown, InvalidTask
from dutiful.operations import inspect, retention, starts, verify
from dutiful.operations.plan import Operation
from tests.contract.stores import APP
from tests.contract.ways import running
from tests.contract.world import DAY, World


def test_a_start_writes_the_nonce_and_the_instant(world: World) -> None:
    case = running(world, "default", False)
    assert world.run(starts.start(APP, case.lease)) == starts.Start("stored")
    row = world.row(case.job)
    assert (row["state"], row["started_at"], row["delivery"]) == ("running", world.clock(), "at_most_once")
    [noted] = world.table("ledger")
    assert (noted["kind"], noted["job_id"], noted["epoch"], noted["run_no"]) == ("start", case.job, 1, 1)
    assert (noted["key"], noted["token"]) == (row["key"], row["token"])
    assert world.verify() == []


def test_a_start_said_twice_is_one(world: World) -> None:
    case = running(world, "default", False)
    world.run(starts.start(APP, case.lease))
    before = world.tables(("job", "ledger"))
    world.clock.advance(5)
    assert world.run(starts.start(APP, case.lease)).what == "stored"
    assert world.tables(("job", "ledger")) == before


def check_a_run_that_lost_its_job_starts_nothing(world: World) -> None:
    case = running(world, "default", False)
    world.die(case.worker)
    assert world.run(starts.start(APP, case.lease)).what == "lost"
    assert world.table("ledger") == [] and world.row(case.job)["started_at"] is None


def test_a_run_that_lost_its_job_starts_nothing(world: World) -> None:
    check_a_run_that_lost_its_job_starts_nothing(world)


def test_a_job_without_a_key_is_its_own_duty(world: World) -> None:
    world.enqueue()
    [lease] = world.claim()
    assert world.run(starts.start(APP, lease)).what == "stored"
    [noted] = world.table("ledger")
    assert noted["key"] == noted["job_id"] == lease.job_id
    assert world.verify() == []


def check_the_ledger_outlives_the_duty(world: World) -> None:
    """The duty is forgotten after its time; its start is not, so that a late repeat does not begin."""
    first = world.enqueue("mail 7", remember_us=DAY, delivery="at_most_once")
    [lease] = world.claim()
    world.run(starts.start(APP, lease))
    world.end(lease, "complete", started=True)
    world.clock.advance(2 * DAY)
    world.run(retention.prune_duties(retention.START))
    second = world.enqueue("mail 7", delivery="at_most_once")
    assert second != first
    [lease] = world.claim()
    assert world.run(starts.start(APP, lease)) == starts.Start("done", first)
    assert world.row(second)["started_at"] is None
    assert world.end(lease, "duplicate", same_as=first)
    assert world.verify() == []


def test_the_ledger_outlives_the_duty(world: World) -> None:
    check_the_ledger_outlives_the_duty(world)


# ── from a worker's side ────────────────────────────────────────────────────────────────────


class Mail:
    """An app whose bodies note that they began; ``engine`` is where it looks."""

    def __init__(self, url: str) -> None:
        self.app = App("mail", url)
        self.app.migrate()
        self.begun: list[str] = []
        self.raises: BaseException | None = None

        @self.app.task(delivery="at_most_once", once="mail:{n}", name="send")
        def send(n: int, *, run: Run = Run.given) -> None:
            self.began(run)

        @self.app.task(delivery="at_most_once", once="mail:{n}", name="asend")
        async def asend(n: int, *, run: Run = Run.given) -> None:
            await asyncio.sleep(0)
            self.began(run)

        self.tasks: dict[str, Any] = {"send": send, "asend": asend}

    def began(self, run: Run) -> None:
        # What is on the disk when the body begins: through another engine, so that nothing is half way.
        other = App("mail", self.app.url)
        row = other.engine.run(inspect.job("mail", run.job_id))
        assert (row.state, row.delivery) == ("running", "at_most_once")
        assert row.started_at_us is not None, "a body began before its start was stored"
        other.close()
        self.begun.append(run.job_id)
        if self.raises is not None:
            raise self.raises

    def job(self, id: str) -> inspect.JobView:
        return self.app.engine.run(inspect.job("mail", id))

    def clean(self) -> bool:
        return self.app.engine.run(verify.check("mail", full=True)) == []


@pytest.fixture
def mail(rows_url: str) -> Any:
    found = Mail(rows_url)
    yield found
    found.app.close()


both_kinds = pytest.mark.parametrize("kind", ["send", "asend"])


@both_kinds
def test_a_body_begins_after_its_start(mail: Mail, kind: str) -> None:
    id = mail.tasks[kind].enqueue(7).id
    assert [done.verb for done in testing.run_all(mail.app)] == ["complete"]
    assert mail.begun == [id] and mail.job(id).outcome == "performed"
    assert mail.clean()


RAISED: list[tuple[BaseException, str]] = [
    (ValueError("no"), "error"),
    (RetryIn("1s"), "error"),
    (Snooze("1s"), "error"),
    (GiveUp("enough"), "gave_up"),
]


@pytest.mark.parametrize(
    ("kind", "raised", "reason"),
    [
        *(("send", *one) for one in RAISED),
        *(("asend", *one) for one in RAISED),
        ("send", KeyboardInterrupt(), "error"),  # (an event loop would end of it by itself)
    ],
)
def test_a_body_that_raises_is_dead_whatever_it_asks_for(
    mail: Mail, kind: str, raised: BaseException, reason: str
) -> None:
    mail.raises = raised
    id = mail.tasks[kind].enqueue(7).id
    assert [done.verb for done in testing.run_all(mail.app)] == ["bury"]
    assert (mail.job(id).state, mail.job(id).reason) == ("dead", reason)
    assert len(mail.begun) == 1
    assert mail.clean()


@both_kinds
@pytest.mark.parametrize("kept", [True, False], ids=["committed", "not committed"])
def test_a_start_without_an_answer_is_asked_for_and_not_guessed(mail: Mail, kind: str, kept: bool) -> None:
    unanswered = Unanswered(mail.app, kept, times=2)
    id = mail.tasks[kind].enqueue(7).id
    assert [done.verb for done in testing.run_all(mail.app)] == ["complete"]
    assert unanswered.times == 0
    assert mail.begun == [id]
    assert mail.clean()


@both_kinds
@pytest.mark.parametrize("kept", [True, False], ids=["committed", "not committed"])
def test_a_start_that_nobody_answers_for_is_not_begun(
    mail: Mail, kind: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dutiful.worker.starting.ASK_S", 0.1)
    unanswered = Unanswered(mail.app, kept, times=1000)
    id = mail.tasks[kind].enqueue(7).id
    assert len(testing.run_all(mail.app)) == 1
    unanswered.times = 0
    assert mail.begun == []
    assert (mail.job(id).state, mail.job(id).run_no) == ("in_doubt" if kept else "ready", 1)
    assert mail.clean()


class Unanswered:
    """The answers to starts are lost, ``times`` times; ``kept`` says whether they were carried out."""

    def __init__(self, app: App, kept: bool, times: int) -> None:
        self.kept, self.times = kept, times
        self.run, self.arun = app.engine.run, app.engine.arun
        app.engine.run, app.engine.arun = self.lossy, self.alossy  # type: ignore[method-assign]

    def lost(self, operation: Operation[Any]) -> bool:
        if operation.name != "start" or not self.times:
            return False
        self.times -= 1
        return True

    def lossy(self, operation: Operation[Any]) -> Any:
        lost = self.lost(operation)
        found = self.run(operation) if self.kept or not lost else None
        if lost:
            raise CommitUnknown("cut")
        return found

    async def alossy(self, operation: Operation[Any]) -> Any:
        lost = self.lost(operation)
        found = await self.arun(operation) if self.kept or not lost else None
        if lost:
            raise CommitUnknown("cut")
        return found


def test_arguments_that_cannot_be_read_start_nothing(mail: Mail) -> None:
    id = mail.tasks["send"].enqueue(7).id
    sql = "UPDATE dutiful.job SET args = %s" if mail.app.engine.name == "postgres" else None
    from tests.contract.world import Eye

    Eye(mail.app.engine).sql(sql or "UPDATE dutiful_job SET args = %s", b'{"m":1}')
    assert [done.verb for done in testing.run_all(mail.app)] == ["bury"]
    assert mail.begun == [] and mail.job(id).state == "dead"
    assert Eye(mail.app.engine).table("ledger") == []
    assert mail.clean()


# ── the declaration ─────────────────────────────────────────────────────────────────────────


def test_retries_are_refused_and_left_away_there_are_none() -> None:
    app = App("x", "sqlite://")
    for retry in (1, 8):
        with pytest.raises(InvalidTask, match="never run again"):
            app.task(delivery="at_most_once", retry=retry)(print_n)
    assert app.task(delivery="at_most_once")(print_n).policy.retry.times == 0
    assert app.task(delivery="at_most_once", retry=0, name="b")(print_n).policy.retry.times == 0
    assert app.task(name="c")(print_n).policy.retry.times == 8


def print_n(n: int) -> None:
    print(n)
