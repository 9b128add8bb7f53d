"""Failure groups: each cause counted exactly, whatever becomes of the dead, folded or not."""

from __future__ import annotations

import pytest

from dutiful.model.jobs import Failure
from dutiful.operations import doubts, enqueue, groups, inspect, people, workers
from dutiful.sql import EngineName
from tests.contract.planting import Change, planted
from tests.contract.stores import APP, SECOND, new
from tests.contract.world import World, world_at

HOUR = 3600 * SECOND


def die(world: World, cause: str | None, message: str = "no") -> str:
    world.run(enqueue.one(APP, new()))
    [lease] = world.claim()
    world.end(lease, "bury", reason="error", failure=Failure("ValueError", message, "", cause))
    return lease.job_id


def fold(world: World) -> None:
    while world.run(groups.fold()):
        pass


def counts(world: World) -> dict[str, tuple[int, int]]:
    """By cause: dead now, and deaths ever. The queue's count of its dead is that of the table, too."""
    [queue] = world.run(inspect.queues(APP))
    assert queue.dead == len(world.table("dead")), "the queue's dead"
    return {one.fingerprint: (one.n, one.deaths) for one in world.run(groups.groups(APP, gone=True))}


def check_counts(world: World) -> None:
    a, b, c = die(world, "f1"), die(world, "f1"), die(world, None)
    assert counts(world) == {"f1": (2, 2), "error:send": (1, 1)}
    fold(world)
    assert counts(world) == {"f1": (2, 2), "error:send": (1, 1)}
    world.run(people.retry(APP, a, actor="ann"))
    world.run(doubts.waive(APP, b, actor="ann", reason="so"))
    assert counts(world) == {"f1": (0, 2), "error:send": (1, 1)}
    fold(world)
    assert [one.fingerprint for one in world.run(groups.groups(APP))] == ["error:send"]
    world.clock.advance(1)
    world.run(doubts.unwaive(APP, b, actor="ann", reason="no"))
    fold(world)
    assert counts(world) == {"f1": (1, 3), "error:send": (1, 1)}, "back under its old cause"
    assert world.table("death") == []
    assert {row["id"] for row in world.table("dead")} == {b, c}


def test_a_group_counts_deaths_revivals_and_discards(store_world: World) -> None:
    check_counts(store_world)


def test_a_group_says_what_when_and_how_often(store_world: World) -> None:
    world = store_world
    first = die(world, "f1", "order 17 of 'ann' has no address")
    world.clock.advance(HOUR)
    die(world, "f1", "order 4711 of 'bob' has no address")
    last = die(world, "f1", "order 1 of 'bob' has no address")
    fold(world)
    [one] = world.run(groups.groups(APP))
    assert (one.kind, one.title) == ("ValueError", "order <n> of <text> has no address")
    assert (one.task, one.reason, one.n) == ("send", "error", 3)
    assert one.last_at_us - one.first_at_us == HOUR and one.job_id == last
    assert [n for _, n in world.run(groups.hours(APP, "f1", 0))] == [1, 2]
    assert world.run(groups.group(APP, "f1")) == one and world.run(groups.group(APP, "f2")) is None
    world.run(people.retry(APP, first, actor="ann"))
    assert len(world.run(groups.members(APP, "f1"))) == 2


def test_pages_of_a_group_and_of_a_task_hold_each_once(store_world: World) -> None:
    world = store_world
    wanted = {die(world, "f1") for _ in range(7)}
    die(world, "f2")
    seen: list[str] = []
    after = None
    while page := world.run(groups.members(APP, "f1", after=after, limit=3)):
        seen += [job.id for job in page]
        after = (page[-1].ended_at_us, page[-1].id)
    assert len(seen) == 7 and set(seen) == wanted
    assert len(world.run(groups.of_task(APP, "send"))) == 8
    assert world.run(groups.of_task(APP, "other")) == world.run(groups.members("other", "f1")) == []


def test_a_job_that_killed_its_worker_has_a_cause(store_world: World) -> None:
    world = store_world
    world.run(enqueue.one(APP, new(crashes_max=1)))
    parent = world.worker()
    child = world.worker(alone=True, parent=parent)
    assert world.claim(child) and world.run(workers.report_dead(child))
    assert counts(world) == {"poison:send": (1, 1)}


BUGS: dict[str, dict[EngineName, dict[str, list[Change]]]] = {
    "a fold that counts twice": {
        "postgres": {"drop_deaths": [("WHERE", "WHERE false AND")]},
        "sqlite": {"drop_deaths": [("WHERE", "WHERE false AND")]},
    },
    "departures are no deaths, and are not counted": {
        "postgres": {"fold_groups": [("n = g.n \\+ excluded.n", "n = g.n + excluded.deaths")]},
        "sqlite": {"fold_groups": [("n = n \\+ excluded.n", "n = n + excluded.deaths")]},
    },
    "readers see only what is folded": {
        "postgres": {"list_groups": [("WHERE l.app = :app\n", "WHERE false\n")]},
        "sqlite": {"list_groups": [("WHERE l.app = :app\n", "WHERE false\n")]},
    },
    "a lane's count begins anew with each fold": {
        "postgres": {"fold_lanes": [("n = c.n \\+ excluded.n", "n = excluded.n")]},
        "sqlite": {"fold_lanes": [("n = n \\+ excluded.n", "n = excluded.n")]},
    },
    "a queue's dead are those that are folded": {
        "postgres": {"queue_stats": [(r"UNION ALL SELECT d\.lane, d\.n FROM \S+ AS d", "")]},
        "sqlite": {"queue_stats": [(r"UNION ALL SELECT d\.lane, d\.n FROM \S+ AS d", "")]},
    },
    "a restored death forgets its cause": {
        "postgres": {"unwaive_dead": [("f.job_id = h.id AND", "false AND")]},
        "sqlite": {"unwaive_dead": [("f.job_id = h.id AND", "false AND")]},
    },
}


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_planted_bugs_are_noticed(store_world: World, bug: str) -> None:
    changes = BUGS[bug][store_world.engine.name]
    with planted(store_world.engine.name, changes), pytest.raises(AssertionError):
        check_counts(store_world)


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
@pytest.mark.parametrize("trigger", ["deaths_came", "deaths_left"])
def test_a_death_or_departure_that_is_not_noted_is_noticed(
    engine: str, trigger: str, request: pytest.FixtureRequest
) -> None:
    """Not in a statement of ours: the table watches whoever moves jobs."""
    with world_at(request.getfixturevalue(f"{engine}_url")) as world:
        name = f"{trigger} ON dutiful.dead" if engine == "postgres" else f"dutiful_{trigger}"
        world.sql(f"DROP TRIGGER {name}")
        with pytest.raises(AssertionError):
            check_counts(world)
