"""Planted bugs: what makes an occurrence one, and leaves none out, is broken; verify (I14) notices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from dutiful.model import missed
from dutiful.operations import schedule_verbs, schedules
from dutiful.sql import EngineName
from tests.contract.planting import PLANTED, Change, planted
from tests.contract.stores import APP
from tests.contract.test_schedules import HOUR, MINUTE, START, at, begun, declared, fire, jobs
from tests.contract.world import World, world_at


@pytest.fixture
def store_world(rows_url: str) -> Iterator[World]:
    with world_at(rows_url) as world:
        yield world


def engine_of(world: World) -> EngineName:
    return "postgres" if world.engine.name == "postgres" else "sqlite"


def found(world: World) -> list[object]:
    return [row["id"] for one in world.verify() if one.invariant == "I14" for row in one.rows]


BUGS: list[tuple[str, Mapping[str, list[Change]], object]] = [
    (
        "the watermark moves too far",
        {"move_schedule": [(r"covered_at = :covered,", "covered_at = :covered + 120000000,")]},
        "report/2026-01-15T00:02Z",
    ),
    (
        "a row is written of another instant",
        {"add_occurrence": [(r":at, false, :at", ":at + 1000000, false, :at + 1000000")]},
        "report/2026-01-15T00:01Z",
    ),
]


@pytest.mark.parametrize(("what", "changes", "named"), BUGS, ids=lambda value: str(value)[:30])
def test_verify_sees(
    store_world: World, what: str, changes: Mapping[str, list[Change]], named: object
) -> None:
    world, one = store_world, declared()
    begun(world, one)
    with planted(engine_of(world), changes):
        world.clock.at_us = at("2026-01-15T00:01")
        fire(world, one)
    world.clock.at_us = at("2026-01-15T00:05")
    assert named in found(world)


def test_verify_sees_a_skip_that_is_not_recorded(store_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world, one = store_world, declared(cron="0 * * * *", missed="skip")
    begun(world, one)
    world.clock.at_us = START + 5 * HOUR
    PLANTED.append("judge")
    monkeypatch.setattr(schedules, "judge", lambda *_, **__: [])
    fire(world, one)
    monkeypatch.undo()
    assert found(world) == [f"report/2026-01-15T0{hour}:00Z" for hour in range(1, 6)]


def test_verify_sees_a_job_that_two_occurrences_share(store_world: World) -> None:
    world, one = store_world, declared()
    begun(world, one)
    for minute in (1, 2):
        world.clock.at_us = START + minute * MINUTE
        fire(world, one)
    assert found(world) == []
    [first, second] = world.run(schedule_verbs.ledger(APP, "report"))
    world.sql("UPDATE dutiful.occurrence SET job_id = %s WHERE at = %s", first.job_id, second.at_us)
    assert set(found(world)) == {first.key, second.key}


def test_verify_sees_a_second_job_of_one_duty(store_world: World) -> None:
    world, one = store_world, declared()
    begun(world, one)
    world.clock.at_us = START + MINUTE
    fire(world, one)
    world.sql("UPDATE dutiful.duty SET job_id = %s", "00000000-0000-7000-8000-00000000000f")
    assert found(world) == ["report/2026-01-15T00:01Z"]


def test_a_schedule_that_is_not_judged_anew_under_its_lock_is_noticed(
    store_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its watermark's guard and the two unique keys, two who look at once make two."""
    world, one = store_world, declared()
    begun(world, one)
    PLANTED.append("stale")
    stale = world.run(schedules.look(APP))[0]
    made: list[object] = []
    for _ in range(2):  # both saw the schedule before either of them moved it
        world.clock.at_us = START + MINUTE

        def locked(app: str, name: str) -> object:
            from msgspec.structs import replace

            yield from ()
            return replace(stale, now_us=world.clock.at_us)

        monkeypatch.setattr(schedules, "_locked", locked)
        try:
            made += world.run(schedules.fire(APP, one)).made
        except Exception as error:  # the guard of move_schedule holds by itself
            made.append(type(error).__name__)
    assert [one if isinstance(one, str) else "made" for one in made] == ["made", "StoreBusy"]
    assert len(jobs(world)) == 1


def test_grace_is_what_keeps_a_hiccup_from_being_a_downtime() -> None:
    spec = declared(every_us=1_000_000).spec
    due = [START + second * 1_000_000 for second in range(1, 6)]
    assert [one.what for one in missed.judge(spec, due, START + 6_000_000)] == ["make"] * 5
    assert [one.what for one in missed.judge(spec, due, START + HOUR)] == ["skip", "make"]
