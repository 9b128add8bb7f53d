"""Looking at jobs: found wherever they are, listed page by page, counted by queue."""

from __future__ import annotations

from typing import Any

import pytest

from dutiful.model.errors import JobNotFound
from dutiful.operations import audit, enqueue, inspect, lanes, people
from dutiful.operations.inspect import JobLine
from tests.contract.stores import APP, SECOND, new
from tests.contract.world import KNOWN, World

MISSING = "018f0000-0000-7000-8000-000000000000"


def pages(world: World, limit: int, **wanted: Any) -> list[JobLine]:
    """All jobs, page by page."""
    found: list[JobLine] = []
    while True:
        after = found[-1].id if found else None
        page = world.run(inspect.jobs(APP, after=after, limit=limit, **wanted))
        found += page
        if len(page) < limit:
            return found


def dead_pages(world: World, limit: int, **wanted: Any) -> list[JobLine]:
    found: list[JobLine] = []
    while True:
        after = (found[-1].ended_at_us or 0, found[-1].id) if found else None
        page = world.run(inspect.dead(APP, after=after, limit=limit, **wanted))
        found += page
        if len(page) < limit:
            return found


def one_of_each(world: World) -> dict[str, str]:
    """A job in each state, oldest first."""
    ids = {}
    for state in ("done", "dead", "cancelled", "running", "scheduled", "ready"):
        ids[state] = world.keyed(delay_us=9 * SECOND if state == "scheduled" else 0)
        world.clock.advance(SECOND)
        if state in ("done", "dead"):
            [lease] = world.claim()
            assert world.end(lease, "complete" if state == "done" else "bury")
        elif state == "running":
            world.claim()
        elif state == "cancelled":
            world.run(people.cancel(APP, ids[state], actor="ann"))
    return ids


def test_a_job_is_found_wherever_it_is(world: World) -> None:
    ids = one_of_each(world)
    seen = {state: world.run(inspect.job(APP, job)) for state, job in ids.items()}
    assert {state: (view.id, view.state, view.outcome, view.place) for state, view in seen.items()} == {
        "done": (ids["done"], "done", "performed", 3),
        "dead": (ids["dead"], "dead", None, 2),
        "cancelled": (ids["cancelled"], "cancelled", None, 3),
        "running": (ids["running"], "running", None, 1),
        "scheduled": (ids["scheduled"], "ready", None, 1),
        "ready": (ids["ready"], "ready", None, 1),
    }
    assert seen["dead"].reason == "exhausted"
    assert bytes(seen["done"].result or b"") == b'{"ok":1}'
    assert seen["running"].worker is not None and seen["scheduled"].ready_seq is None
    for state in ("done", "dead", "cancelled"):
        assert seen[state].ended_at_us is not None
    for view in seen.values():
        assert (view.app, view.queue, view.priority, view.task) == (APP, "default", 0, "send")
        assert bytes(view.args) == b'{"n":1}' and view.now_us == world.clock()
        assert view.suspect is False


def test_a_job_that_came_back_is_found_alive(world: World) -> None:
    ids = one_of_each(world)
    for state in ("dead", "cancelled"):
        assert world.run(people.retry(APP, ids[state], actor="ann")).place == 1
        assert world.run(inspect.job(APP, ids[state])).state == "ready"
    lines = [line for line in pages(world, 50) if line.id == ids["cancelled"]]
    assert [line.state for line in lines] == ["ready"]


def test_the_latest_ending_counts(store_world: World) -> None:
    world = store_world
    job = world.keyed()
    for _ in range(3):
        world.run(people.cancel(APP, job, actor="ann"))
        world.clock.advance(SECOND)
        world.run(people.retry(APP, job, actor="ann"))
    [lease] = world.claim()
    assert world.end(lease, "complete")
    assert world.run(inspect.job(APP, job)).outcome == "performed"
    assert world.verify() == []


@pytest.mark.parametrize("job", [MISSING, "another app's"])
def test_a_job_that_is_not_there_is_said_to_be_missing(world: World, job: str) -> None:
    if job != MISSING:
        job = world.run(enqueue.one("other", new())).id
    for operation in (
        inspect.job(APP, job),
        people.retry(APP, job, actor="ann"),
        people.cancel(APP, job, actor="ann"),
    ):
        with pytest.raises(JobNotFound):
            world.run(operation)


def test_lists_go_page_by_page_newest_first(world: World) -> None:
    ids = one_of_each(world)
    world.run(enqueue.one("other", new()))
    for limit in (1, 2, 4, 50):
        assert [line.id for line in pages(world, limit)] == sorted(ids.values(), reverse=True)
    wanted = {"done": ["done"], "dead": ["dead"], "cancelled": ["cancelled"], "running": ["running"]}
    wanted["ready"] = ["ready", "scheduled"]
    wanted["in_doubt"] = []
    for state, names in wanted.items():
        for limit in (1, 50):
            assert [line.id for line in pages(world, limit, state=state)] == [ids[name] for name in names]


def test_a_list_can_be_of_one_task_or_queue(store_world: World) -> None:
    world = store_world
    mail, other = world.enqueue(queue="mail"), world.enqueue(task="other")
    for name, wanted in ((mail, {"queue": "mail"}), (other, {"task": "other"})):
        assert [line.id for line in pages(world, 2, **wanted)] == [name]
    assert pages(world, 2, queue="mail", task="other") == []
    for lease in world.claim(limit=9):
        world.end(lease, "bury")
    assert [line.id for line in dead_pages(world, 1, queue="mail")] == [mail]
    assert dead_pages(world, 1, task="other") == []


def test_the_dead_are_listed_by_death_with_the_last_thing_said(world: World) -> None:
    jobs = [world.keyed() for _ in range(7)]
    leases = world.claim(limit=9)
    died = [leases[place] for place in (3, 1, 6, 0, 5, 2, 4)]
    for number, lease in enumerate(died):
        world.clock.advance(SECOND if number % 2 else 0)  # some die in the same moment
        assert world.end(lease, "bury")
    expected = sorted(jobs, key=lambda job: (world.row(job)["died_at"], job), reverse=True)
    for limit in (1, 2, 3, 50):
        lines = dead_pages(world, limit)
        assert [line.id for line in lines] == expected
    assert {(line.state, line.outcome, line.kind, line.message) for line in lines} == {
        ("dead", "exhausted", "ValueError", "no")
    }


def test_long_arguments_are_cut_in_lists(store_world: World) -> None:
    world = store_world
    job = world.enqueue(args='"' + "ö" * 500 + '"')
    [line] = pages(world, 5)
    assert (line.id, line.args) == (job, '"' + "ö" * 199)


def test_failures_are_listed_oldest_first(world: World) -> None:
    job = world.keyed()
    for _ in range(3):
        [lease] = world.claim()
        assert world.end(lease, "fail", delay_us=0)
    seen = world.run(inspect.failures(job))
    assert [(line.run_no, line.attempt, line.kind) for line in seen] == [
        (1, 1, "ValueError"),
        (2, 2, "ValueError"),
        (3, 3, "ValueError"),
    ]
    assert world.run(inspect.failures(MISSING)) == []


def test_what_people_did_is_listed_oldest_first(world: World) -> None:
    job = world.keyed()
    world.run(people.cancel(APP, job, actor="ann", reason="wrong address"))
    world.clock.advance(SECOND)
    world.run(people.retry(APP, job, actor="bob", reason="right after all"))
    rows = world.run(audit.of(job))
    assert [{name: row[name] for name in ("actor", "verb", "before", "after", "reason")} for row in rows] == [
        {
            "actor": "ann",
            "verb": "cancel",
            "before": "ready",
            "after": "cancelled",
            "reason": "wrong address",
        },
        {
            "actor": "bob",
            "verb": "retry",
            "before": "cancelled",
            "after": "ready",
            "reason": "right after all",
        },
    ]
    assert [row["at"] for row in rows] == [world.clock() - SECOND, world.clock()]


def test_queues_are_counted(world: World) -> None:
    start = world.clock()
    ids = one_of_each(world)
    world.run(lanes.declare(APP, [("empty", 0)], [("default", 60 * SECOND), ("declared", None)]))
    world.run(lanes.declare(APP, [], [("declared", 5)]))
    world.run(enqueue.one("other", new()))
    [declared, default, empty] = world.run(inspect.queues(APP))
    assert (default.due, default.later, default.running, default.in_doubt, default.dead) == (1, 1, 1, 0, 1)
    assert (default.oldest_us, default.target_us) == (world.row(ids["ready"])["run_at"], 60 * SECOND)
    assert (declared.name, declared.target_us, declared.due, declared.oldest_us) == ("declared", 5, 0, None)
    assert (empty.name, empty.target_us) == ("empty", None)
    assert default.now_us == world.clock() > start


def test_what_is_left_to_do_is_counted_for_known_tasks_of_some_queues(world: World) -> None:
    ids = one_of_each(world)
    world.enqueue(task="unknown"), world.enqueue(queue="other")
    left = world.run(inspect.unfinished(APP, ["default"], KNOWN))
    assert (left.ready, left.running) == (2, 1)
    assert left.next_run_at_us == world.row(ids["ready"])["run_at"]
    assert world.run(inspect.unfinished(APP, ["nowhere"], KNOWN)).ready == 0
