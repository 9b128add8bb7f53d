"""Bulk operations: exactly the jobs that were counted, each once, whoever walks and whatever is killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from dutiful.model.errors import BulkNotFound, BulkRefused, NotAllowed, ReasonNeeded
from dutiful.model.operators import Operator
from dutiful.operations import bulk, dead_sets
from dutiful.operations.plan import Call
from dutiful.supervise.ops import Ops, Wanted, action_id
from dutiful.worker import bulks
from tests.contract.people import EVERY, dead, many_dead, ops_in, wait, walk
from tests.contract.stores import APP, SECOND
from tests.contract.world import DAY, World, world_at


@pytest.fixture
def world(rows_url: str) -> Iterator[World]:
    with world_at(rows_url) as world:
        yield world


@pytest.fixture
def ops(world: World) -> Ops:
    return ops_in(world)


def begun(ops: Ops, wanted: Wanted = EVERY, **more: object) -> str:
    outcome = ops.retry_all(wanted, reason="mended", **more)  # type: ignore[arg-type]
    assert outcome.value is not None
    return outcome.value.id


def states(world: World, ids: list[str]) -> set[str | None]:
    return {world.state(one) for one in ids}


def step(world: World, bulk_id: str, most: int, walker: str = "w") -> bulk.Step:
    done: bulk.Step = world.run(bulk.step(bulk_id, walker, most=most))
    return done


# ── D3 ──────────────────────────────────────────────────────────────────────────────────────


def test_d3_exactly_those_that_were_counted_are_retried_while_others_die(world: World, ops: Ops) -> None:
    counted = many_dead(world, 12)
    bulk_id = begun(ops)
    newcomers = many_dead(world, 3, queue="new")
    step(world, bulk_id, 5)
    newcomers += many_dead(world, 2, queue="new")
    world.clock.advance(SECOND)
    walk(ops, bulk_id)
    done = ops.bulk(bulk_id)
    assert (done.intended, done.done, done.skipped, done.failed, done.state) == (12, 12, 0, 0, "done")
    assert states(world, counted) == {"ready"}
    assert states(world, newcomers) == {"dead"}
    audited = [row for row in ops.audit(limit=99) if row.verb == "retry"]
    assert sorted(row.subject for row in audited) == sorted(counted)
    assert {row.action_id for row in audited} == {bulk_id}
    last = ops.audit(limit=1)[0]
    assert (last.verb, last.intended, last.done, last.skipped) == ("bulk retry", 12, 12, 0)


def test_d3_one_that_was_retried_meanwhile_and_died_again_is_left(world: World, ops: Ops) -> None:
    [job, other] = many_dead(world, 2)
    bulk_id = begun(ops)
    ops.retry(job)
    [lease] = world.claim()
    world.end(lease, "bury")
    walk(ops, bulk_id)
    assert (world.state(job), world.state(other)) == ("dead", "ready")
    [item] = ops.bulk_items(bulk_id)
    assert (item.job_id, item.state) == (job, "skipped") and "died again after run 2" in str(item.why)


def test_the_count_that_a_person_saw_is_the_count_that_is_done(world: World, ops: Ops) -> None:
    many_dead(world, 3)
    with pytest.raises(BulkRefused, match="3 jobs fit now, and 2 did"):
        ops.retry_all(EVERY, expected=2)
    assert world.table("bulk") == world.table("bulk_item") == []


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Wanted(), "abc"),
        (Wanted(queue="mail"), "b"),
        (Wanted(task="send"), "abc"),
        (Wanted(task="none"), ""),
        (Wanted(error="VALUEerror: n"), "abc"),
        (Wanted(error="%"), ""),
        (Wanted(older_us=DAY), "a"),
        (Wanted(unseen=True), "abc"),
        (Wanted(queue="mail", older_us=DAY), ""),
    ],
)
def test_a_filter_is_what_it_says(world: World, wanted: Wanted, fits: str) -> None:
    old = dead(world)
    world.clock.advance(2 * DAY)
    jobs = {"a": old, "b": dead(world, queue="mail"), "c": dead(world)}
    ops = ops_in(world)
    assert ops.preflight(wanted).total == len(fits)
    bulk_id = begun(ops, wanted)
    walk(ops, bulk_id)
    assert {name for name, job in jobs.items() if world.state(job) == "ready"} == set(fits)


def test_a_limit_takes_the_latest(world: World, ops: Ops) -> None:
    first = dead(world)
    world.clock.advance(1)
    last = dead(world)
    walk(ops, begun(ops, limit=1))
    assert (world.state(first), world.state(last)) == ("dead", "ready")


# ── D4 ──────────────────────────────────────────────────────────────────────────────────────


def kinds(world: World) -> dict[str, str]:
    """A dead job of each kind that a retry tells apart; "lives" is not dead."""
    from dutiful.model.effects import Terms
    from dutiful.operations import effects, starts

    jobs = {"safe": dead(world), "keyed": dead(world, "own"), "held": dead(world, "taken")}
    jobs["twin"] = dead(world, "made")
    world.enqueue("taken")
    other = world.enqueue("made")
    begun_once = world.enqueue(delivery="at_most_once")
    called = world.enqueue()
    leases = {lease.job_id: lease for lease in world.claim(limit=99)}
    world.end(leases[other], "complete")
    world.run(starts.start(APP, leases[begun_once]))
    world.end(leases[begun_once], "bury", started=True)
    lease = leases[called]
    caller = effects.Caller(APP, "send", lease.job_id, "pay", "key of pay", lease.job_id, lease.token)
    world.run(effects.intend(caller, Terms.of("pay", remembered="1d"), None))
    world.run(effects.end_call(caller, 1, "no answer", refused=False))
    world.end(lease, "bury")
    jobs |= {"begun": begun_once, "called": called, "lives": world.enqueue(queue="later")}
    return jobs


BUCKETS = {
    "safe": "safe", "keyed": "safe", "held": "refused", "twin": "done", "begun": "choice", "called": "choice",
    "lives": "refused",
}  # fmt: skip


def test_d4_the_buckets_are_exact(world: World, ops: Ops) -> None:
    jobs = kinds(world)
    found = ops.preflight(Wanted(ids=tuple(jobs.values())))
    by_id = {one.id: bucket for bucket in dead_sets.BUCKETS for one in found.examples[bucket]}
    assert {name: by_id[job] for name, job in jobs.items()} == BUCKETS
    assert found.counts == {"safe": 2, "done": 1, "choice": 2, "refused": 2}
    assert "effect 'pay' has no known outcome" in found.whys["choice"]
    running = world.enqueue()
    world.claim(limit=9)
    [judged] = world.run(dead_sets.look(APP, [running]))
    assert (judged.bucket, judged.why) == ("refused", "it is running: a worker has its lease")


@pytest.mark.parametrize("choice", ["leave", "retry"])
def test_d4_each_bucket_comes_to_what_was_said_of_it(world: World, ops: Ops, choice: str) -> None:
    jobs = kinds(world)
    del jobs["lives"]
    bulk_id = begun(ops, choice=choice)
    walk(ops, bulk_id)
    assert {name: world.state(job) for name, job in jobs.items()} == {
        "safe": "ready",
        "keyed": "ready",
        "held": "dead",
        "twin": "done(duplicate)",
        "begun": "ready" if choice == "retry" else "dead",
        "called": "ready" if choice == "retry" else "dead",
    }
    done = ops.bulk(bulk_id)
    left = 1 if choice == "retry" else 3
    assert (done.intended, done.done, done.skipped) == (6, 6 - left, left)
    whys = {item.job_id: str(item.why) for item in ops.bulk_items(bulk_id, state="skipped")}
    assert len(whys) == left and "holds its key 'taken'" in whys[jobs["held"]]
    assert world.row(jobs["twin"])["same_as"] is not None


def test_of_two_dead_jobs_with_one_key_one_comes_back(world: World, ops: Ops) -> None:
    first = dead(world, "k")
    second = dead(world, "k")  # it took the duty over
    bulk_id = begun(ops)
    walk(ops, bulk_id)
    assert sorted([world.state(first) or "", world.state(second) or ""]) == ["dead", "ready"]
    assert ops.bulk(bulk_id).skipped == 1


# ── D7 and its like ─────────────────────────────────────────────────────────────────────────


def test_d7_a_batch_that_is_cut_anywhere_was_done_or_was_not(world: World, ops: Ops) -> None:
    class Cut(Exception):
        pass

    ids = many_dead(world, 4)
    bulk_id = begun(ops)
    for after in range(1, 12):
        seen = 0

        def cut(_step: Call, after: int = after) -> None:
            nonlocal seen
            seen += 1
            if seen == after:
                raise Cut

        tables = world.tables(("bulk", "bulk_item", "dead", "job", "audit"))
        world.engine.observe = cut  # type: ignore[attr-defined]
        try:
            step(world, bulk_id, 2)
        except Cut:
            assert world.tables(("bulk", "bulk_item", "dead", "job", "audit")) == tables
        else:
            break
        finally:
            world.engine.observe = None  # type: ignore[attr-defined]
    walk(ops, bulk_id)
    assert states(world, ids) == {"ready"}
    assert [world.audits(one) for one in ids] == [["retry"]] * 4
    done = ops.bulk(bulk_id)
    assert done.done + done.skipped + done.failed == done.intended == 4


def test_d7_another_goes_on_when_the_lease_of_whoever_walked_is_over(world: World, ops: Ops) -> None:
    many_dead(world, 6)
    bulk_id = begun(ops)
    assert step(world, bulk_id, 2, "the dead one").count == 2
    assert not step(world, bulk_id, 2, "too early").held
    assert world.run(bulk.to_walk(APP)) == []
    world.clock.advance(bulk.LEASE_US + 1)
    assert world.run(bulk.to_walk(APP)) == [bulk_id]
    assert step(world, bulk_id, 9, "the next").over
    assert not step(world, bulk_id, 2, "the dead one").held
    assert world.run(bulk.counts(bulk_id)) == {"done": 6}


def test_two_who_walk_at_once_do_nothing_twice(world: World, ops: Ops) -> None:
    ids = many_dead(world, 40)
    bulk_id = begun(ops)
    world.clock.advance(1)

    def go(name: str) -> None:
        until = time.monotonic() + 100
        while not bulks.walk(world.engine, bulk_id, name, lambda _: True, most=3):
            assert time.monotonic() < until, "who holds it does not go on, and lets nobody else"

    threads = [threading.Thread(target=go, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert ops.bulk(bulk_id).done == 40
    assert all(world.audits(one) == ["retry"] for one in ids)


def test_what_cannot_be_carried_out_is_marked_and_passed(
    world: World, ops: Ops, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = many_dead(world, 5)
    bad, retry = ids[2], dead_sets.retry

    def picky(app: str, jobs: list[dead_sets.Judged]) -> object:
        jobs = list(jobs)
        if bad in [job.id for job in jobs]:
            raise RuntimeError("this one cannot be")
        return retry(app, jobs)

    monkeypatch.setattr(dead_sets, "retry", picky)
    bulk_id = begun(ops)
    walk(ops, bulk_id)
    done = ops.bulk(bulk_id)
    assert (done.done, done.failed, done.state) == (4, 1, "done")
    [item] = ops.bulk_items(bulk_id, state="failed")
    assert (item.job_id, item.why) == (bad, "RuntimeError: this one cannot be")


# ── steering ────────────────────────────────────────────────────────────────────────────────


def test_pause_resume_and_abort(world: World, ops: Ops) -> None:
    ids = many_dead(world, 6)
    bulk_id = begun(ops)
    step(world, bulk_id, 2)
    ops.steer(bulk_id, "pause")
    assert not step(world, bulk_id, 2).held
    ops.steer(bulk_id, "resume")
    assert step(world, bulk_id, 2).count == 2
    ops.steer(bulk_id, "abort", reason="enough")
    assert not step(world, bulk_id, 2).held
    done = ops.bulk(bulk_id)
    assert (done.state, done.done, done.left) == ("aborted", 4, 2)
    assert sorted(str(world.state(one)) for one in ids) == ["dead"] * 2 + ["ready"] * 4
    for verb in ("pause", "resume", "abort"):
        with pytest.raises(BulkRefused, match="aborted"):
            ops.steer(bulk_id, verb)  # type: ignore[arg-type]
    assert [row.verb for row in ops.audit() if row.subject == f"bulk:{bulk_id}"] == [
        "abort bulk", "resume bulk", "pause bulk", "bulk retry",
    ]  # fmt: skip


def test_a_pace_is_kept_and_a_start_waited_for(world: World, ops: Ops) -> None:
    many_dead(world, 10)
    start = world.clock.at_us + 60 * SECOND
    bulk_id = begun(ops, pace=2, start_at_us=start)
    assert not step(world, bulk_id, 9).held
    assert world.run(bulk.to_walk(APP)) == []
    world.clock.at_us = start
    assert step(world, bulk_id, 9).count == 1
    paced = step(world, bulk_id, 9)
    assert (paced.count, paced.wait_us) == (0, SECOND // 2)
    world.clock.advance(paced.wait_us)
    assert step(world, bulk_id, 9).count == 1
    world.clock.advance(2 * SECOND)
    assert step(world, bulk_id, 9).count == 4


def test_discarded_in_bulk_and_taken_back(world: World, ops: Ops) -> None:
    ids = [*many_dead(world, 3), dead(world, "a"), dead(world, "b")]
    before = {one: world.row(one) for one in ids}
    outcome = ops.discard_all(EVERY, reason="the shop closes")
    assert outcome.value is not None
    walk(ops, outcome.value.id)
    assert states(world, ids) == {"done(waived)"}
    world.enqueue("b", again="it is needed after all")  # another job has that duty now
    taken_back = ops.undo_all(outcome.value.id)
    assert taken_back.value is not None
    walk(ops, taken_back.value.id)
    back = {one: world.row(one) for one in ids}
    assert states(world, ids[:4]) == {"dead"} and world.state(ids[4]) == "done(waived)"
    for one in ids[:4]:
        assert {**back[one], "died_at": 0} == {**before[one], "died_at": 0}
    [item] = ops.bulk_items(taken_back.value.id)
    assert item.why == "another job holds its key"


def test_only_a_discard_that_is_over_is_taken_back(world: World, ops: Ops) -> None:
    many_dead(world, 2)
    discarding = ops.discard_all(EVERY, reason="r").value
    assert discarding is not None
    with pytest.raises(BulkRefused, match="under way"):
        ops.undo_all(discarding.id)
    walk(ops, discarding.id)
    with pytest.raises(BulkRefused, match="this was a bulk retry"):
        ops.undo_all(begun(ops))
    with pytest.raises(BulkNotFound):
        ops.undo_all("none")


# ── who may ─────────────────────────────────────────────────────────────────────────────────


def test_a_bulk_operation_begins_once(world: World, ops: Ops) -> None:
    many_dead(world, 2)
    once = action_id()
    first = ops.retry_all(EVERY, action_id=once)
    second = ops.retry_all(EVERY, action_id=once)
    assert second.replayed and second.said == first.said and len(world.table("bulk")) == 1


def test_bulk_asks_for_both_permissions_and_for_its_reason(
    world: World, ops: Ops, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dutiful.supervise import bulk_ops

    many_dead(world, 3)
    for perms in (["view", "bulk"], ["view", "retry"]):
        with pytest.raises(NotAllowed):
            ops_in(world, Operator("ann", perms=perms)).retry_all(EVERY)
    scoped = ops_in(world, Operator("ann", perms="operator", queues=("mail",)))
    with pytest.raises(NotAllowed):
        scoped.retry_all(EVERY)
    assert scoped.retry_all(Wanted(queue="mail")).value is not None
    with pytest.raises(ReasonNeeded):
        ops.discard_all(EVERY, reason="")
    monkeypatch.setattr(bulk_ops, "REASON_ABOVE", 2)
    with pytest.raises(ReasonNeeded):
        ops.retry_all(EVERY)
    assert ops.retry_all(EVERY, limit=2).value is not None


def test_old_ones_are_forgotten_with_their_lists(world: World, ops: Ops) -> None:
    many_dead(world, 2)
    walk(ops, begun(ops))
    world.run(bulk.forget())
    assert len(world.table("bulk_item")) == 2
    world.clock.advance(bulk.KEEP_US + 1)
    world.run(bulk.forget())
    assert world.table("bulk_item") == world.table("bulk") == []


def test_the_walker_stops_when_it_is_told_to(world: World, ops: Ops) -> None:
    many_dead(world, 4)
    bulk_id = begun(ops)
    assert not bulks.walk(world.engine, bulk_id, "w", lambda _: True, most=1)
    assert ops.bulk(bulk_id).walker is None and ops.bulk(bulk_id).done == 1
    assert ops.walk(bulk_id, wait)
