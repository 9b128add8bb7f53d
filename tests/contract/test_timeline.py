"""A job's story: everything that is written down of it, once and in order, also where it is long."""

from __future__ import annotations

import pytest

from dutiful.model.errors import JobNotFound
from dutiful.operations import people, retention, timeline
from tests.contract.stores import APP, SECOND
from tests.contract.test_retention import prune
from tests.contract.world import DAY, World


def story(world: World, job: str) -> list[str]:
    return [one.what for one in world.run(timeline.timeline(APP, job))]


def test_a_story_has_everything_in_order(store_world: World) -> None:
    world = store_world
    job = world.enqueue()
    for verb in ("fail", "snooze", "release", "bury"):
        world.clock.advance(SECOND)
        [lease] = world.claim()
        world.clock.advance(SECOND)
        world.end(lease, verb, **({"delay_us": 0} if verb in ("fail", "snooze") else {}))
    world.clock.advance(SECOND)
    world.run(people.retry(APP, job, actor="ann", reason="mended"))
    world.clock.advance(SECOND)
    [lease] = world.claim()
    assert story(world, job) == ["accepted", "failed", "snoozed", "released", "failed", "retry", "began"]
    world.clock.advance(SECOND)
    world.end(lease, "complete")
    entries = world.run(timeline.timeline(APP, job))
    assert [one.what for one in entries][-2:] == ["retry", "performed"]
    assert [one.run_no for one in entries] == [None, 1, 2, 3, 4, None, 5]
    assert entries[1].detail == "ValueError: no" and entries[5].who == "ann"
    assert entries[2].delay_us is not None and entries[3].delay_us is None
    assert entries[1].host == "here"
    with pytest.raises(JobNotFound):
        world.run(timeline.timeline("other", job))


def test_a_long_story_comes_in_pages(store_world: World) -> None:
    world = store_world
    job = world.enqueue()
    [lease] = world.claim()
    cast = "::uuid" if world.engine.name == "postgres" else ""
    numbers = (
        "SELECT i FROM generate_series(10, 20009) AS s(i)"
        if cast
        else "WITH RECURSIVE s(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM s WHERE i < 20009)"
        " SELECT i FROM s"
    )
    world.sql(
        "INSERT INTO dutiful.event (job_id, run_no, at, what)"
        f" SELECT %s{cast}, n.i, {world.clock()} + n.i / 3, 'snoozed' FROM ({numbers}) AS n",
        job,
    )
    seen: list[int | None] = []
    after = timeline.START
    while page := world.run(timeline.timeline(APP, job, after=after, limit=5000)):
        seen += [one.run_no for one in page]
        after = page[-1].cursor
    assert seen[0] is None and seen[1] == lease.run_no and seen[2:] == list(range(10, 20_010))
    back: list[int | None] = []
    before = None
    while page := world.run(timeline.backwards(APP, job, before=before, limit=5000)):
        back += [one.run_no for one in page]
        before = page[-1].cursor
    assert back == seen[::-1]


def test_events_go_when_their_job_is_forgotten(store_world: World) -> None:
    world = store_world
    world.run(retention.prepare())
    world.enqueue()
    for verb in ("snooze", "complete"):
        [lease] = world.claim()
        world.end(lease, verb, **({"delay_us": 0} if verb in ("fail", "snooze") else {}))
        world.clock.advance(DAY)
        prune(world, 3 * DAY)
        assert len(world.table("event")) == 1
    world.clock.advance(9 * DAY)
    prune(world, 3 * DAY)
    assert world.table("event") == []
