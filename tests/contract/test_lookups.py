"""``lookup=`` of a task: what it is given, and what is done with what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from dutiful import App, Run, Unsure, testing
from dutiful.model.errors import InvalidTask
from dutiful.model.jobs import Failure, Lane, NewWorker
from dutiful.operations import audit, claims, inspect, lanes, settle, starts, verify, workers
from tests.contract.stores import SECOND, Clock
from tests.contract.world import ending

MINUTE = 60 * SECOND


class Post:
    """Letters that may have been sent; ``says`` is what the lookup finds out."""

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self.app = App("post", url, clock=self.clock)
        self.app.migrate()
        self.says: Any = None
        self.asked: list[dict[str, Any]] = []
        self.sent: list[int] = []

        @self.app.task(delivery="at_most_once", name="send", lookup=self.look)
        def send(letter: int, to: str = "ann", *, run: Run = Run.given) -> None:
            self.sent.append(letter)

        @self.app.task(delivery="at_most_once", name="asend", lookup=self.alook)
        def asend(letter: int, to: str = "ann") -> None: ...

        @self.app.task(delivery="at_most_once", name="unasked")
        def unasked(letter: int) -> None: ...

        self.tasks: dict[str, Any] = {"send": send, "asend": asend, "unasked": unasked}

    def look(self, letter: int, to: str) -> Any:
        self.asked.append({"letter": letter, "to": to})
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says

    async def alook(self, letter: int, **more: Any) -> Any:
        return self.look(letter, **more)

    def in_doubt(self, task: str = "send", kind: str = "Killed") -> str:
        """A letter whose body was cut off."""
        id: str = self.tasks[task].enqueue(7).id
        run = self.app.engine.run
        me = run(workers.register(NewWorker("post", "here", 1, 30 * SECOND, 1, "[]", "{}")))
        lane = [Lane(row.id) for row in run(lanes.lanes("post"))]
        [lease] = run(claims.claim(me, lane, self.app.known(), 1)).leases
        assert run(starts.start("post", lease)).what == "stored"
        cut = ending(lease, "release", started=True, failure=Failure(kind, "cut"))
        assert run(settle.settle([cut], me)) == []
        return id

    def asks(self, function: Any) -> None:
        """From now on the lookup of "send" is this one, which takes no arguments."""
        send = self.app.tasks["send"]
        assert send.lookup is not None
        send.lookup = replace(send.lookup, function=function, names=())

    def job(self, id: str) -> inspect.JobView:
        return self.app.engine.run(inspect.job("post", id))

    def clean(self) -> bool:
        return self.app.engine.run(verify.check("post", full=True)) == []


@pytest.fixture
def post(rows_url: str) -> Iterator[Post]:
    found = Post(rows_url)
    yield found
    found.app.close()


@pytest.mark.parametrize("task", ["send", "asend"])
def test_what_was_found_is_confirmed_with_the_evidence(post: Post, task: str) -> None:
    id = post.in_doubt(task)
    post.says = {"mailbox": 3}
    assert testing.look_up_all(post.app) == {id: "confirmed"}
    job = post.job(id)
    assert (job.state, job.outcome, job.result) == ("done", "performed", b'{"mailbox":3}')
    assert post.asked == [{"letter": 7, "to": "ann"}]
    [noted] = post.app.engine.run(audit.of(id))
    assert (noted["actor"], noted["verb"]) == ("lookup", "confirm")
    assert post.app.handle(id).result() is None, "evidence is no result of a task that gives none"
    assert testing.look_up_all(post.app) == {} and post.clean()


def test_found_is_found_whatever_it_gave(post: Post) -> None:
    id = post.in_doubt()
    post.says = object()
    assert testing.look_up_all(post.app) == {id: "confirmed"}
    assert post.job(id).result is None
    assert "could not be stored" in str(post.app.engine.run(audit.of(id))[0]["reason"])


def test_surely_not_begins_it_anew_once_the_old_run_was_dead_for_long(post: Post) -> None:
    id = post.in_doubt()
    assert testing.look_up_all(post.app) == {id: "left"}
    post.clock.advance(6 * MINUTE)
    assert testing.look_up_all(post.app) == {id: "refuted"}
    assert (post.job(id).state, post.job(id).epoch) == ("ready", 2)
    assert [done.verb for done in testing.run_all(post.app)] == ["complete"]
    assert post.sent == [7] and post.clean()


@pytest.mark.parametrize("kind", ["CutOff", "TimedOut", "WorkerLost"])
def test_surely_not_is_not_enough_while_the_old_run_may_live(post: Post, kind: str) -> None:
    id = post.in_doubt(kind=kind)
    post.clock.advance(60 * MINUTE)
    assert testing.look_up_all(post.app) == {id: "left"}
    assert post.job(id).state == "in_doubt"
    post.says = True
    assert testing.look_up_all(post.app) == {id: "confirmed"}, "but what was found is enough"


def test_what_was_looked_up_too_early_is_not_acted_upon(post: Post) -> None:
    """The run may have gone on after the look; that it is dead for long now says nothing of then."""
    id = post.in_doubt()

    def slow() -> Any:
        post.clock.advance(60 * MINUTE)
        return None

    post.asks(slow)
    assert testing.look_up_all(post.app) == {id: "left"}
    assert testing.look_up_all(post.app) == {id: "refuted"}


@pytest.mark.parametrize("says", [Unsure(), Unsure("the server is down"), ValueError("a bug")])
def test_unsure_and_errors_leave_it(post: Post, says: Exception) -> None:
    id = post.in_doubt()
    post.clock.advance(60 * MINUTE)
    post.says = says
    assert testing.look_up_all(post.app) == {id: "left"}
    assert post.job(id).state == "in_doubt" and post.app.engine.run(audit.of(id)) == []


def test_who_decided_meanwhile_is_not_overruled(post: Post) -> None:
    from dutiful.operations import doubts

    id = post.in_doubt()
    post.clock.advance(60 * MINUTE)

    def beaten() -> Any:
        post.app.engine.run(doubts.waive("post", id, actor="ann", reason="enough"))
        return "found"

    post.asks(beaten)
    assert testing.look_up_all(post.app) == {id: "over"}
    assert post.job(id).outcome == "waived"


def test_tasks_without_a_lookup_are_left_to_people(post: Post) -> None:
    post.in_doubt("unasked")
    assert testing.look_up_all(post.app) == {}


# ── the declaration ─────────────────────────────────────────────────────────────────────────


def body(order: int, note: str = "") -> None: ...


@pytest.mark.parametrize(
    "look",
    [
        lambda order: None,
        lambda note, order: None,
        lambda: None,
        lambda **all: None,
        lambda order, own="default": None,
    ],
)
def test_a_lookup_takes_the_arguments_that_it_names(look: Any) -> None:
    task = App("x", "sqlite://").task(delivery="at_most_once", lookup=look)(body)
    assert task.lookup is not None
    task.lookup.function(**task.lookup.arguments({"order": 1, "note": "n"}))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"lookup": lambda x: None}, "takes 'x', which is no argument"),
        ({"lookup": lambda *all: None}, "by name"),
        ({"lookup": lambda order, /: None}, "by name"),
        ({"lookup": "look"}, "no function"),
        ({"lookup": lambda order: None, "delivery": "at_least_once"}, "for at_most_once tasks"),
        ({"lookup": lambda order: None, "delivery": "exactly_once"}, "for at_most_once tasks"),
    ],
)
def test_a_lookup_that_cannot_work_is_refused(how: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidTask, match=said):
        App("x", "sqlite://").task(**({"delivery": "at_most_once"} | how))(body)
