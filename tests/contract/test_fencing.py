"""The fence: who lost its run writes nothing, however it ends; tokens and numbers name runs for good."""

from __future__ import annotations

import pytest

from dutiful.model.jobs import Lease
from dutiful.operations import settle, workers
from tests.contract.stores import SECOND
from tests.contract.world import RAISED, World, ending

ENDINGS = ("complete", "duplicate", "fail", "bury", "snooze", "release", "doubt")


def overtaken(world: World) -> tuple[Lease, Lease]:
    """A run that was taken over by another one, and that other one."""
    world.keyed()
    [stale] = world.claim()
    world.die(world.run(workers.live())[-1].id)
    world.sql("UPDATE dutiful.job SET suspect = false WHERE id = %s", stale.job_id)
    [fresh] = world.claim()
    assert (fresh.job_id, fresh.run_no) == (stale.job_id, stale.run_no + 1)
    return stale, fresh


def check_a_stale_worker_writes_nothing(world: World) -> None:
    for verb in ENDINGS:
        stale, fresh = overtaken(world)
        before = world.tables()
        assert not world.end(stale, verb), f"a stale {verb} was taken for the owner's"
        assert world.tables() == before, f"a stale {verb} wrote"
        assert world.end(fresh, "complete"), f"after a stale {verb}"
    assert world.verify() == []


def test_a_stale_worker_writes_nothing(world: World) -> None:
    check_a_stale_worker_writes_nothing(world)


@pytest.mark.parametrize("ended", ENDINGS)
def test_a_run_ends_once(store_world: World, ended: str) -> None:
    world = store_world
    world.keyed()
    [lease] = world.claim()
    assert world.end(lease, ended)
    before = world.tables()
    for verb in ENDINGS:
        assert not world.end(lease, verb)
    assert world.tables() == before


def test_of_a_batch_the_stale_ones_are_named_and_the_others_end(world: World) -> None:
    stale, fresh = overtaken(world)
    others = [(world.keyed(), verb) for verb in ENDINGS]
    leases = {lease.job_id: lease for lease in world.claim(limit=9)}
    endings = [ending(leases[job], verb) for job, verb in others]
    batch = [ending(stale, "complete"), *endings, ending(stale, "bury"), ending(stale, "fail")]

    lost = world.run(settle.settle(batch, 1))

    assert sorted(end.verb for end in lost) == ["bury", "complete", "fail"]
    assert {end.job_id for end in lost} == {stale.job_id}
    states = [world.state(job) for job, _ in others]
    assert states == [
        "done(performed)", "done(duplicate)", "ready", "dead", "ready", "ready", "in_doubt",
    ]  # fmt: skip
    assert world.row(stale.job_id)["token"].replace("-", "") == fresh.token.replace("-", "")
    assert world.verify() == []


def test_an_empty_batch_is_nothing(world: World) -> None:
    assert world.run(settle.settle([], 1)) == []


def test_the_right_token_on_another_job_ends_neither(store_world: World) -> None:
    world = store_world
    world.keyed(), world.keyed()
    one, other = world.claim(limit=2)
    before = world.tables()
    mixed = ending(one, "complete")
    for verb in ENDINGS:
        mixed = ending(one, verb)
        lost = world.run(settle.settle([type(mixed)(**_fields(mixed) | {"job_id": other.job_id})], 1))
        assert len(lost) == 1
    assert world.tables() == before


def _fields(end: object) -> dict[str, object]:
    return {name: getattr(end, name) for name in end.__struct_fields__}  # type: ignore[attr-defined]


def check_numbers(world: World) -> None:
    """What each ending does to the numbers: run_no only grows, an attempt is charged or given back."""
    job = world.keyed()
    seen = []
    for verb in ("fail", "snooze", "fail", "release", "lapse", "fail", "complete"):
        worker = world.worker()
        [lease] = world.claim(worker)
        if verb == "lapse":
            world.die(worker)
            world.sql("UPDATE dutiful.job SET suspect = false")
        else:
            assert world.end(lease, verb, **({"delay_us": 0} if verb in ("fail", "snooze") else {}))
        row = world.row(job)
        seen.append((verb, row["run_no"], row["attempt"]))
        assert row["last_token"].replace("-", "") == lease.token.replace("-", "")
    assert seen == [
        ("fail", 1, 1),
        ("snooze", 2, 1),
        ("fail", 3, 2),
        ("release", 4, 2),
        ("lapse", 5, 2),
        ("fail", 6, 3),
        ("complete", 7, 4),
    ]
    said = [(row["run_no"], row["attempt"], row["kind"]) for row in world.failures(job)]
    assert sorted(said) == [
        (1, 1, "ValueError"),
        (3, 2, "ValueError"),
        (5, 2, "WorkerLost"),
        (6, 3, "ValueError"),
    ]


def test_run_numbers_only_grow_and_attempts_are_charged_as_the_table_says(world: World) -> None:
    check_numbers(world)


def test_a_failure_that_is_not_charged_gives_its_attempt_back(store_world: World) -> None:
    world = store_world
    job = world.keyed()
    [lease] = world.claim()
    assert world.end(lease, "fail", charged=False, delay_us=0)
    assert (world.row(job)["run_no"], world.row(job)["attempt"]) == (1, 0)
    assert [row["attempt"] for row in world.failures(job)] == [0]


def test_tokens_never_repeat(store_world: World) -> None:
    world = store_world
    for _ in range(40):
        world.enqueue()
    tokens = set()
    for _ in range(5):
        leases = world.claim(limit=100)
        assert len(leases) == 40
        tokens |= {lease.token for lease in leases}
        world.run(settle.settle([ending(lease, "release") for lease in leases], 1))
    assert len(tokens) == 200
    assert world.verify() == []


def test_a_retried_job_begins_to_count_anew_and_its_runs_go_on(store_world: World) -> None:
    from dutiful.operations import people

    world = store_world
    job = world.keyed()
    [lease] = world.claim()
    world.end(lease, "bury")
    world.run(people.retry("shop", job, actor="ann"))
    [second] = world.claim()
    assert (second.run_no, second.attempt, second.crashes) == (2, 1, 0)
    assert not world.end(lease, "complete")
    assert world.end(second, "complete")
    assert world.verify() == []


# ── read-back ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verb", ENDINGS)
def test_read_back_says_what_became_of_an_ending_without_an_answer(world: World, verb: str) -> None:
    world.keyed()
    [lease] = world.claim()
    asked = ending(lease, verb)
    assert world.run(settle.who_holds([asked])) == {lease.job_id: "running"}
    assert world.end(lease, verb)
    assert world.run(settle.who_holds([asked])) == {lease.job_id: "committed"}


def test_read_back_of_a_run_that_was_taken_over(world: World) -> None:
    stale, fresh = overtaken(world)
    asked = settle.who_holds([ending(stale, "complete")])
    assert world.run(asked) == {stale.job_id: "superseded"}
    assert world.end(fresh, "complete")
    assert world.run(asked) == {stale.job_id: "superseded"}
    assert world.run(settle.who_holds([ending(stale, "fail")])) == {stale.job_id: "superseded"}
    gone = ending(Lease("018f0000-0000-7000-8000-000000000000", *_rest(stale)), "complete")
    assert world.run(settle.who_holds([gone])) == {gone.job_id: "superseded"}


@pytest.mark.parametrize("verb", ENDINGS)
def test_read_back_of_a_run_that_lapsed_is_not_taken_for_an_ending(store_world: World, verb: str) -> None:
    """A lapse moves the token just as an ending does."""
    world = store_world
    world.keyed(), world.keyed(crashes_max=1)
    child = world.worker(alone=True)
    [first] = world.claim(worker := world.worker())
    [last] = world.claim(child)
    world.die(worker)
    world.run(workers.report_dead(child))
    assert (world.state(first.job_id), world.state(last.job_id)) == ("ready", "dead")
    asked = [ending(first, verb), ending(last, verb)]
    assert set(world.run(settle.who_holds(asked)).values()) == {"superseded"}


def _rest(lease: Lease) -> list[object]:
    return [getattr(lease, name) for name in list(Lease.__struct_fields__)[1:]]


# ── what is kept ────────────────────────────────────────────────────────────────────────────


def test_what_a_run_died_of_is_kept_as_it_was_said(store_world: World) -> None:
    world = store_world
    job = world.keyed()
    said = type(RAISED)("Ünicode", 'it\'s "50%" :now $1 ;\n--', "line 1\nline 2")
    [lease] = world.claim()
    assert world.end(lease, "fail", failure=said, delay_us=SECOND)
    [row] = world.failures(job)
    assert (row["kind"], row["message"], row["traceback"]) == (said.kind, said.message, said.traceback)
    assert (row["run_no"], row["failed_at"]) == (1, world.clock())


@pytest.mark.parametrize("result", [None, b"null", '{"é":"\\u0001 %s :now"}'.encode(), b"1.5"])
def test_a_result_is_kept_as_it_was_given(store_world: World, result: bytes | None) -> None:
    world = store_world
    job = world.keyed()
    [lease] = world.claim()
    assert world.end(lease, "complete", result=result)
    assert world.row(job)["result"] == (None if result is None else result.decode())
