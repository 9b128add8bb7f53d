"""A worker's look at the invariants: what it finds is logged and kept, wherever it looked."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dutiful.operations import verify
from dutiful.worker import chores, verifying
from dutiful.worker.looked import at_once
from tests.contract.broken import dead, done, ready
from tests.contract.planting import planted
from tests.contract.stores import APP
from tests.contract.world import World


def noted(world: World) -> dict[str, verify.Checked]:
    return {one.name: one for one in world.run(verify.noted(APP))}


def test_a_look_that_finds_nothing_is_noted(store_world: World) -> None:
    world = store_world
    assert verifying.look_over(world.engine, APP, 0.5) == []  # not even a job
    ready(world), done(world), dead(world)
    assert world.run(verify.spans()) == []  # the newest rows are all
    world.clock.advance(1)
    assert verifying.look_over(world.engine, APP, 0.5) == []
    kept = noted(world)
    assert set(kept) == {name for name, _, _ in verify.CHECKS}
    assert {(one.at_us, one.found_at_us, one.finding) for one in kept.values()} == {
        (world.clock(), None, None)
    }


def test_what_is_found_is_logged_and_kept_until_a_look_at_every_row(
    store_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = store_world
    job = ready(world)
    world.sql("DELETE FROM dutiful.duty WHERE job_id = %s", job)
    with caplog.at_level(logging.ERROR, "dutiful.worker"):
        [found] = verifying.look_over(world.engine, APP, 0.5)
    assert (found.invariant, found.rows[0]["id"]) == ("I8", job)
    [line] = caplog.records
    fields = cast(Any, line).fields
    assert (cast(Any, line).event, fields["invariant"], fields["jobs"]) == ("invariant_broken", "I8", [job])

    at = world.clock()
    world.clock.advance(5)
    world.sql("DELETE FROM dutiful.job WHERE id = %s", job)
    assert verifying.look_over(world.engine, APP, 0.5) == []
    kept = noted(world)["verify_duties"]
    assert (kept.at_us, kept.found_at_us, kept.finding) == (at + 5, at, found)

    world.run(verify.note(APP, {"verify_duties": None}, full=True))
    assert noted(world)["verify_duties"].finding is None
    assert [one for one in world.run(verify.noted("other"))] == []


def test_chance_comes_to_the_old_rows_too(store_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the newest rows, and in each table: many looks find what one of the newest does not."""
    world = store_world
    monkeypatch.setattr(verify, "WINDOW", 2)
    old = dead(world)
    for _ in range(8):
        dead(world), done(world)
    world.sql("UPDATE dutiful.dead SET attempt = 5 WHERE id = %s", old)
    assert world.run(verify.check(APP)) == []
    looks = [verifying.look_over(world.engine, APP, chance / 50) for chance in range(50)]
    found = [one for look in looks for one in look]
    assert {(one.invariant, one.rows[0]["id"]) for one in found} == {("I7", old)}
    assert 0 < len(found) < 50


def test_a_check_that_cannot_be_made_leaves_the_others(
    store_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = store_world
    ready(world)
    verifying.look_over(world.engine, APP, 0.5)
    before = world.clock()
    world.clock.advance(1)
    with planted(world.engine.name, {"verify_runs": [("SELECT", "SELECT nothing,")]}):
        assert verifying.look_over(world.engine, APP, 0.5) == []
    instants = {name: one.at_us for name, one in noted(world).items()}
    assert instants.pop("verify_runs") == before
    assert set(instants.values()) == {before + 1}
    assert [cast(Any, line).fields["chore"] for line in caplog.records] == ["verify_runs"]


def test_one_worker_looks_for_all_of_an_app_and_no_longer_than_it_lives(store_world: World) -> None:
    world = store_world
    job = ready(world)
    world.sql("DELETE FROM dutiful.duty WHERE job_id = %s", job)

    def verifies(app: str) -> bool:
        stop = threading.Event()
        worker = SimpleNamespace(app=SimpleNamespace(name=app), engine=world.engine)
        chores.Chores.verify(
            cast(Any, SimpleNamespace(_worker=worker, _stop=stop, _looked=at_once(world.engine)))
        )
        return bool(world.run(verify.noted(app))) and noted(world)["verify_duties"].at_us == world.clock()

    assert verifies(APP)
    world.clock.advance(round(chores.VERIFY_S * 1e6) - 1)
    assert not verifies(APP)
    world.clock.advance(1)
    assert verifies(APP)

    world.clock.advance(1)
    assert verifying.look_over(world.engine, APP, 0.5, lambda: True) == []
    assert noted(world)["verify_duties"].at_us < world.clock()
