"""Runs that nobody knows the end of: what puts a job in doubt, and the late word that takes it out."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec.structs import replace

from dutiful.model.jobs import Failure
from dutiful.operations import settle, starts, workers
from tests.contract.sessions import gated, sessions
from tests.contract.stores import APP
from tests.contract.ways import cut_off, in_doubt, ready, running, started
from tests.contract.world import RAISED, World, ending

CUT: dict[str, Any] = {
    "started": True,
    "begun": True,
    "reason": "out of time",
    "failure": Failure("TimedOut", "out of time"),
}
STRANGERS = ("f" * 32, "ffffffff-ffff-4fff-bfff-ffffffffffff")


def test_a_started_body_that_is_cut_off_is_in_doubt(world: World) -> None:
    case = started(world, "default", False)
    assert world.end(case.lease, "release", **CUT)
    row = world.row(case.job)
    assert (row["state"], row["doubt"], row["doubt_at"]) == ("in_doubt", "out of time", world.clock())
    assert (row["token"], row["worker"], row["ready_seq"], row["suspect"]) == (None, None, None, 0)
    [said] = world.failures(case.job)
    assert (said["kind"], said["message"], said["attempt"]) == ("TimedOut", "out of time", 0)
    assert said["worker"] == case.worker, "whose death would prove that the body does nothing any more"
    assert (
        world.claim() == [] and world.claim(promote=True) == [] and world.claim_suspect(case.worker) is None
    )
    assert world.verify() == []


def test_one_that_had_not_started_goes_back(world: World) -> None:
    case = running(world, "default", False)
    assert world.end(case.lease, "release", **CUT)
    row = world.row(case.job)
    assert (row["state"], row["attempt"], row["doubt"], row["suspect"]) == ("ready", 0, None, 0)
    assert world.failures(case.job) == []
    assert world.verify() == []


def check_a_started_body_is_never_made_ready(world: World) -> None:
    for verb in ("fail", "snooze", "release"):
        case = started(world, verb, False)
        before = world.tables()
        assert not world.end(case.lease, verb), f"a started body was handed back: {verb}"
        assert world.tables() == before
        assert world.end(case.lease, verb, started=True)
        assert world.state(case.job) == "in_doubt"
    assert world.verify() == []


def test_a_started_body_is_never_made_ready(store_world: World) -> None:
    check_a_started_body_is_never_made_ready(store_world)


def check_a_started_body_lapses_into_doubt(world: World) -> None:
    for alone in (False, True):
        case = started(world, f"queue {alone}", alone)
        [lapsed] = world.die(case.worker)
        assert lapsed.doubt and not lapsed.last, "a started body was taken back"
        row = world.row(case.job)
        assert (row["state"], row["suspect"], row["crashes"]) == ("in_doubt", 0, 0)
        assert alone or row["doubt"] == "the body was cut off: its worker died"
        [said] = world.failures(case.job)
        assert (said["kind"], said["worker"]) == ("WorkerLost", case.worker)
    assert world.claim(promote=True) == [] and world.claim_suspect(world.worker()) is None
    assert world.verify() == []


def test_a_started_body_lapses_into_doubt(world: World) -> None:
    check_a_started_body_lapses_into_doubt(world)


def test_an_empty_pass_beside_doubts_lapses_nothing(store_world: World) -> None:
    case = started(store_world, "default", False)
    store_world.die(case.worker)
    before = store_world.tables()
    assert store_world.run(workers.lapse()) == []
    assert store_world.tables() == before


def check_a_start_in_the_middle_of_a_lapse(world: World) -> None:
    """The reaper has read the row before the start was committed, and locks it after that."""
    case = running(world, "default", False)
    world.run(workers.bury([case.worker], silent=False))
    with sessions(world, 1) as [reaper]:
        with gated(world, reaper, "job"):
            lapsing = reaper.start("lapse_jobs", recorded="[]", begun="[]", only=None)
            reaper.wait_until_blocked()
            assert world.run(starts.start(APP, case.lease)).what == "stored"
        assert lapsing.result(20) == [], "a started body was taken back"
    assert [one.doubt for one in world.run(workers.lapse())] == [True]
    assert world.verify() == []


def test_a_start_in_the_middle_of_a_lapse(pg_world: World) -> None:
    check_a_start_in_the_middle_of_a_lapse(pg_world)


def test_a_lapse_in_the_middle_of_a_start(pg_world: World) -> None:
    """The start has read the row as its own, and waits for the reaper: then it is not its own any more."""
    world = pg_world
    case = running(world, "default", False)
    row = world.row(case.job)
    with sessions(world, 1) as [late]:
        with gated(world, late, "job"):
            params = {"app": APP, "task": row["task"], "key": row["key"]}
            starting = late.start("start_job", **params, id=case.job, token=case.lease.token)
            late.wait_until_blocked()
            world.die(case.worker)
        assert starting.result(20) == []
    assert world.table("ledger") == [] and world.state(case.job) == "ready"
    assert world.verify() == []


def test_a_batch_of_all_kinds_ends_each_as_it_must(world: World) -> None:
    begun, idle = started(world, "a", False), running(world, "b", False)
    other, late = running(world, "c", False), cut_off(world, "d", False)
    lost = world.run(
        settle.settle(
            [
                ending(begun.lease, "release", **CUT),
                ending(idle.lease, "release", **CUT),
                ending(other.lease, "fail"),
                ending(late.lease, "complete", started=True),
            ],
            1,
        )
    )
    assert lost == []
    jobs = (begun.job, idle.job, other.job, late.job)
    assert [world.state(job) for job in jobs] == ["in_doubt", "ready", "ready", "done(performed)"]
    assert world.verify() == []


# ── the late word ───────────────────────────────────────────────────────────────────────────


def test_a_late_return_closes_the_doubt_and_keeps_what_it_was(world: World) -> None:
    case = cut_off(world, "default", False)
    assert world.end(case.lease, "complete", started=True, result=b'"sent"')
    row = world.row(case.job)
    assert (row["state"], row["outcome"], row["result"]) == ("done", "performed", '"sent"')
    assert (row["doubt"], row["last_token"].replace("-", "")) == (
        "the body was cut off",
        case.lease.token.replace("-", ""),
    )
    assert row["started_at"] is not None
    assert world.verify() == []


def test_a_late_error_makes_it_dead_and_says_what_was_raised(world: World) -> None:
    case = cut_off(world, "default", False)
    assert world.end(case.lease, "bury", started=True, reason="error")
    row = world.row(case.job)
    assert (row["place"], row["reason"], row["attempt"]) == ("dead", "error", 1)
    [said] = world.failures(case.job)
    assert (said["kind"], said["message"], said["attempt"]) == (RAISED.kind, RAISED.message, 1)
    assert world.verify() == []


def check_only_the_last_token_closes_a_doubt(world: World) -> None:
    case = cut_off(world, "default", False)
    before = world.tables()
    for verb, token in itertools.product(("complete", "bury"), STRANGERS):
        stranger = ending(case.lease, verb, started=True)
        lost = world.run(settle.settle([replace(stranger, token=token)], 1))
        assert len(lost) == 1, "a stranger closed a doubt"
        assert world.tables() == before, "a stranger closed a doubt"


def test_only_the_last_token_closes_a_doubt(store_world: World) -> None:
    check_only_the_last_token_closes_a_doubt(store_world)


@pytest.mark.parametrize("verb", ["complete", "bury"])
def test_a_late_word_counts_in_doubt_alone(store_world: World, verb: str) -> None:
    """The last token of a job that was made ready again, or of an effect's doubt, ends nothing."""
    world = store_world
    for case in (ready(world, "a", False), in_doubt(world, "b", False)):
        before = world.tables()
        assert not world.end(case.lease, verb, started=True)
        assert world.tables() == before


# ── read-back ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verb", ["complete", "bury"])
def test_read_back_of_a_late_word(world: World, verb: str) -> None:
    case = cut_off(world, "default", False)
    asked = ending(case.lease, verb, started=True)
    assert world.run(settle.who_holds([asked])) == {case.job: "running"}, "it may still be said"
    assert world.end(case.lease, verb, started=True)
    assert world.run(settle.who_holds([asked])) == {case.job: "committed"}


def test_read_back_of_a_run_that_was_cut_off(world: World) -> None:
    for case in (started(world, "a", False), running(world, "b", False)):
        asked = ending(case.lease, "release", **CUT)
        assert world.run(settle.who_holds([asked])) == {case.job: "running"}
        assert world.end(case.lease, "release", **CUT)
        assert world.run(settle.who_holds([asked])) == {case.job: "committed"}
        assert world.run(settle.who_holds([ending(case.lease, "duplicate")])) == {case.job: "superseded"}
