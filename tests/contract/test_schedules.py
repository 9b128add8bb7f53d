"""Schedules in a store: each occurrence once, whoever looks; what is not made is written down, and why."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from dutiful.model.errors import ScheduleRefused
from dutiful.model.ids import make_id
from dutiful.model.jobs import NewJob
from dutiful.model.missed import BATCH
from dutiful.model.schedules import ALL_MAX, Spec, instant_text, occurrence_key
from dutiful.operations import schedule_verbs, schedules
from dutiful.operations.schedules import Declared, Fired, Stored
from tests.contract.stores import APP, SECOND
from tests.contract.world import World

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


START = at("2026-01-15T00:00:30")


def declared(name: str = "report", **fields: Any) -> Declared:
    fields = fields or {"every_us": MINUTE}

    def make(instant: int) -> NewJob:
        key = occurrence_key(name, instant)
        return NewJob(make_id(), "send", "q", 0, b'{"n":1}', key=key, args_hash="h", run_at_us=instant)

    return Declared(name, Spec("send", **fields), make)


def begun(world: World, *all: Declared) -> int:
    """A worker that declares these, at START."""
    world.clock.at_us = START
    worker = world.worker(lease_us=10**15)
    world.run(schedules.declare(APP, worker, list(all)))
    return worker


def stored(world: World, name: str = "report") -> Stored:
    [one] = [one for one in world.run(schedules.look(APP)) if one.name == name]
    return one


def fire(world: World, one: Declared) -> Fired:
    """As a worker does: as long as more is due."""
    whole = Fired()
    while True:
        fired: Fired = world.run(schedules.fire(APP, one))
        whole.made += fired.made
        whole.skipped += fired.skipped
        whole.waiting += fired.waiting
        if not fired.more:
            return whole


def ledger(world: World, name: str = "report", limit: int = 500) -> list[tuple[str, str, int]]:
    """The ledger, oldest first: state, first instant, how many."""
    rows = world.run(schedule_verbs.ledger(APP, name, limit=limit))
    return [(one.state, instant_text(one.at_us)[11:], one.instants) for one in reversed(rows)]


def jobs(world: World) -> list[str]:
    return sorted(row["key"] for row in world.table("job"))


def test_an_occurrence_is_one_job_with_the_instant_in_its_duty(world: World) -> None:
    one = declared()
    begun(world, one)
    assert stored(world).next_at_us == at("2026-01-15T00:01")
    assert not fire(world, one).made
    world.clock.at_us = at("2026-01-15T00:01")
    [(name, instant, job_id)] = fire(world, one).made
    assert (name, instant) == ("report", at("2026-01-15T00:01"))
    row = world.row(job_id)
    assert (row["key"], row["run_at"]) == ("report/2026-01-15T00:01Z", instant)
    assert row["ready_seq"] is not None
    assert not fire(world, one).made
    assert ledger(world) == [("enqueued", "00:01Z", 1)]
    assert stored(world).next_at_us == at("2026-01-15T00:02")


def test_many_who_look_at_once_make_one(store_world: World) -> None:
    world, one = store_world, declared()
    begun(world, one)
    made: list[Any] = []
    for minute in range(1, 11):
        world.clock.at_us = START + minute * MINUTE
        barrier = threading.Barrier(4)

        def go(barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            made.extend(world.run(schedules.fire(APP, one)).made)

        threads = [threading.Thread(target=go) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(made) == len(jobs(world)) == len(set(jobs(world))) == 10


@pytest.mark.parametrize(
    ("missed", "made", "waits", "skipped"),
    [("run_last", 1, 0, 9), ("run_all", 10, 0, 0), ("skip", 0, 0, 10), ("people", 0, 10, 0)],
)
def test_after_a_downtime(world: World, missed: Any, made: int, waits: int, skipped: int) -> None:
    one = declared(cron="0 * * * *", missed=missed)
    begun(world, one)
    world.clock.at_us = START + 10 * HOUR + MINUTE + SECOND
    fired = fire(world, one)
    assert (len(fired.made), fired.waiting, fired.skipped) == (made, waits, skipped)
    assert len(jobs(world)) == made
    assert sum(count for _, _, count in ledger(world)) == 10
    if missed == "run_last":
        assert ledger(world) == [("skipped", "01:00Z", 9), ("enqueued", "10:00Z", 1)]
    if missed == "people":
        assert world.run(schedule_verbs.waiting(APP)) == {"report": (10, at("2026-01-15T01:00"))}
    # What is due now, on time, is made whatever is said of missed ones.
    world.clock.at_us = at("2026-01-15T12:00:10")
    assert "report/2026-01-15T12:00Z" in [occurrence_key(n, a) for n, a, _ in fire(world, one).made]


def test_a_long_downtime_is_bounded_and_the_bound_is_recorded(store_world: World) -> None:
    world, one = store_world, declared(every_us=SECOND, missed="run_all", grace_us=0)
    begun(world, one)
    gone = 2 * BATCH + 777
    world.clock.at_us = START + gone * SECOND + 1
    fired = fire(world, one)
    assert (len(fired.made), fired.skipped) == (ALL_MAX, gone - ALL_MAX)
    first, *rest = ledger(world)
    assert first == ("skipped", "00:00:31Z", gone - ALL_MAX)
    assert {state for state, _, _ in rest} == {"enqueued"} and len(rest) == ALL_MAX


def test_a_changed_rule_begins_at_the_change(store_world: World) -> None:
    world = store_world
    old = declared(cron="0 * * * *", missed="run_all")
    begun(world, old)
    world.clock.at_us = at("2026-01-15T02:20")
    new = declared(cron="30 * * * *", missed="run_all")
    fired = world.run(schedules.declare(APP, world.worker(), [new]))
    assert [instant_text(a)[11:] for _, a, _ in fired.made] == ["01:00Z", "02:00Z"]  # due by the old rule
    assert stored(world).next_at_us == at("2026-01-15T02:30")
    world.clock.at_us = at("2026-01-15T03:00:01")
    assert not fire(world, old).made  # a worker of the release before
    assert [a for _, a, _ in fire(world, new).made] == [at("2026-01-15T02:30")]
    assert len(jobs(world)) == len(set(jobs(world))) == 3


def test_a_deploy_that_is_taken_back(store_world: World) -> None:
    world = store_world
    old, new = declared(cron="0 * * * *"), declared(cron="30 * * * *")
    begun(world, old)
    second = world.worker(lease_us=10**15)
    world.run(schedules.declare(APP, second, [new]))
    assert stored(world).spec_text == new.spec.text and stored(world).current
    world.die(second)
    assert not stored(world).current and stored(world).live
    world.run(schedules.adopt(APP, old))
    assert stored(world).spec_text == old.spec.text and stored(world).current


def test_a_removed_schedule_is_gone_and_shown(store_world: World) -> None:
    world, one = store_world, declared(every_us=MINUTE)
    worker = begun(world, one)
    assert not world.run(schedules.end(APP, "report"))
    world.die(worker)
    world.clock.at_us += 3 * MINUTE
    assert not stored(world).live
    assert world.run(schedules.end(APP, "report"))
    assert stored(world).gone_at_us == world.clock.at_us
    [row] = world.run(schedule_verbs.ledger(APP, "report"))
    assert (row.state, row.instants, row.why) == ("skipped", 3, "the schedule was removed")
    assert not fire(world, one).made
    world.clock.at_us += 10 * MINUTE
    world.run(schedules.declare(APP, world.worker(), [one]))  # and comes back: nothing is made up for
    assert stored(world).gone_at_us is None
    world.clock.at_us += MINUTE
    assert len(fire(world, one).made) == 1


def test_a_pause_is_recorded_and_ends(store_world: World) -> None:
    world, one = store_world, declared(every_us=MINUTE, missed="run_all")
    begun(world, one)
    world.clock.at_us = START + MINUTE
    fire(world, one)
    paused = world.run(schedule_verbs.pause(APP, "report", actor="ann", reason="disk", for_us=5 * MINUTE))
    assert paused.paused and paused.next_at_us == START + 6 * MINUTE
    world.clock.at_us = START + 5 * MINUTE
    assert not fire(world, one).made
    world.clock.at_us = START + 6 * MINUTE
    assert not stored(world).paused
    fire(world, one)
    assert ledger(world) == [("enqueued", "00:01Z", 1), ("skipped", "00:02Z", 5)]
    world.clock.at_us = START + 7 * MINUTE
    fire(world, one)
    assert ledger(world)[-1] == ("enqueued", "00:07Z", 1)
    assert world.audits("report") == ["pause"]


def test_a_pause_ends_when_a_person_says_so(store_world: World) -> None:
    world, one = store_world, declared(every_us=MINUTE)
    begun(world, one)
    world.run(schedule_verbs.pause(APP, "report", actor="ann", reason="disk"))
    assert stored(world).next_at_us is None
    world.clock.at_us = START + 3 * MINUTE
    world.run(schedule_verbs.resume(APP, "report", actor="bob"))
    assert stored(world).due
    fire(world, one)
    world.clock.at_us = START + 4 * MINUTE
    fire(world, one)
    assert ledger(world) == [("skipped", "00:01Z", 3), ("enqueued", "00:04Z", 1)]
    with pytest.raises(ScheduleRefused, match="not paused"):
        world.run(schedule_verbs.resume(APP, "report", actor="bob"))


def test_a_person_runs_what_waits_and_leaves_out_another(store_world: World) -> None:
    world, one = store_world, declared(cron="0 * * * *", missed="people")
    begun(world, one)
    world.clock.at_us = at("2026-01-15T02:10")
    fire(world, one)
    first, second = at("2026-01-15T01:00"), at("2026-01-15T02:00")
    job_id, duplicate = world.run(
        schedule_verbs.run(APP, "report", first, one.make, actor="ann", reason="go")
    )
    assert world.row(job_id)["key"] == "report/2026-01-15T01:00Z" and not duplicate
    assert world.run(schedule_verbs.run(APP, "report", first, one.make, actor="bob")) == (job_id, True)
    world.run(schedule_verbs.skip(APP, "report", second, actor="ann", reason="too late"))
    with pytest.raises(ScheduleRefused, match="that waits"):
        world.run(schedule_verbs.skip(APP, "report", second, actor="ann", reason="too late"))
    assert ledger(world) == [("enqueued", "01:00Z", 1), ("skipped", "02:00Z", 1)]
    assert world.audits("report") == ["run", "skip"]
    # What was skipped can still be run: its own row then stands beside the skip.
    world.run(schedule_verbs.run(APP, "report", second, one.make, actor="ann"))
    assert ("enqueued", "02:00Z", 1) in ledger(world)


def test_a_run_by_hand_and_the_tick_of_the_same_second_are_one(store_world: World) -> None:
    world, one = store_world, declared(every_us=MINUTE)
    begun(world, one)
    world.clock.at_us = at("2026-01-15T00:01:00") + 200_000
    by_hand, _ = world.run(schedule_verbs.run(APP, "report", None, one.make, actor="ann"))
    assert fire(world, one).made == []
    assert [row["id"] for row in world.table("job")] == [by_hand]


def test_what_is_not_there_is_refused_with_the_nearest_name(store_world: World) -> None:
    world = store_world
    begun(world, declared())
    with pytest.raises(ScheduleRefused, match="did you mean report"):
        world.run(schedule_verbs.pause(APP, "reprot", actor="ann", reason="x"))
    with pytest.raises(ScheduleRefused, match="no occurrence at"):
        world.run(schedule_verbs.run(APP, "report", 60 * SECOND, declared().make, actor="ann"))


def test_the_ledger_is_pruned_but_what_waits_stays(store_world: World) -> None:
    world, one = store_world, declared(cron="0 * * * *", missed="people")
    begun(world, one)
    world.clock.at_us = at("2026-01-15T02:00:10")
    fire(world, one)
    world.clock.at_us += 90 * 24 * HOUR
    world.run(schedules.prune(APP, 90 * 24 * HOUR - 30 * MINUTE))
    assert ledger(world) == [("waiting", "01:00Z", 1)]


def test_a_zone_unknown_here_does_not_stop_a_deploy(store_world: World) -> None:
    world, one = store_world, declared(cron="0 * * * *")
    begun(world, one)
    strange = one.spec.text.replace("UTC", "Mars/Base")
    world.sql("UPDATE dutiful.schedule SET spec = %s", strange)
    world.run(schedules.declare(APP, world.worker(), [one]))
    assert stored(world).spec_text == one.spec.text
