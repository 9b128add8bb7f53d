"""Gates: who is let through when, through every way in and every way out."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from dutiful.model.gates import Gate
from dutiful.model.jobs import Lease
from dutiful.operations import doubts, enqueue, gates, people, starts, verify
from tests.contract.stores import APP, SECOND, new
from tests.contract.world import World

ORDER = Gate("order", "customer:7", 1)
PASS = Gate("order", "customer:7", 1, passes=True)
LOCK = Gate("lock", "account:1", 1)
TWO = Gate("lock", "account:1", 2)


@pytest.fixture
def world(store_world: World) -> World:
    """Both faces run the same operations: one is enough here."""
    return store_world


def put(world: World, *doors: Gate, **options: Any) -> str:
    """A job with these gates."""
    return str(world.run(enqueue.one(APP, new(None, gates=doors, **options))).id)


def claimed(world: World, limit: int = 10) -> list[str]:
    return [lease.job_id for lease in world.claim(limit=limit, promote=True)]


def lease_of(world: World) -> Lease:
    [lease] = world.claim(limit=10)
    return lease


@pytest.mark.parametrize("door", [ORDER, LOCK])
def test_one_at_a_time_and_in_turn(world: World, door: Gate) -> None:
    jobs = [put(world, door) for _ in range(3)]
    for job in jobs:
        lease = lease_of(world)
        assert lease.job_id == job
        assert claimed(world) == []
        assert world.end(lease, "complete")
    assert world.table("place") == []


def test_a_lock_has_as_many_places_as_it_says(world: World) -> None:
    jobs = [put(world, TWO) for _ in range(4)]
    first = world.claim(limit=10)
    assert [lease.job_id for lease in first] == jobs[:2]
    assert world.end(first[1], "complete")
    assert claimed(world) == [jobs[2]]
    assert claimed(world) == []


def test_other_keys_go_their_way(world: World) -> None:
    jobs = [put(world, Gate("lock", f"account:{n}", 1)) for n in (1, 1, 2)]
    assert claimed(world) == [jobs[0], jobs[2]]


def test_many_at_once_keep_their_order(world: World) -> None:
    many = [new(None, gates=(Gate("order", f"c:{n % 3}", 1),)) for n in range(9)]
    world.run(enqueue.many(APP, many))
    seen = []
    while leases := world.claim(limit=10):
        assert len({lease.job_id for lease in leases}) == 3
        for lease in leases:
            seen.append(lease.job_id)
            assert world.end(lease, "complete")
    for n in range(3):
        assert [job for job in seen if job in {m.id for m in many[n::3]}] == [m.id for m in many[n::3]]


def test_a_retry_keeps_its_place_in_an_order(world: World) -> None:
    first, second = put(world, ORDER), put(world, ORDER)
    assert world.end(lease_of(world), "fail", delay_us=15 * SECOND)
    assert claimed(world) == []
    world.clock.advance(16 * SECOND)
    [again] = world.claim(limit=10, promote=True) or world.claim(limit=10)
    assert again.job_id == first
    assert world.end(again, "complete")
    assert claimed(world) == [second]


def test_a_retry_gives_its_lock_back_and_comes_again_behind_the_others(world: World) -> None:
    first, second = put(world, LOCK), put(world, LOCK)
    assert world.end(lease_of(world), "fail", delay_us=15 * SECOND)
    lease = lease_of(world)
    assert lease.job_id == second
    world.clock.advance(16 * SECOND)
    assert world.run(gates.come()) == 1
    assert claimed(world) == []
    assert world.end(lease, "complete")
    assert claimed(world) == [first]


@pytest.mark.parametrize("verb", ["release", "snooze", "fail"])
@pytest.mark.parametrize("door", [ORDER, LOCK])
def test_whoever_is_handed_back_at_once_stands_in_line(world: World, verb: str, door: Gate) -> None:
    first, second = put(world, door), put(world, door)
    assert world.end(lease_of(world), verb, delay_us=0)
    expected = first if door is ORDER else second
    assert claimed(world) == [expected]


def test_a_lapse_keeps_the_order_and_frees_the_lock(world: World) -> None:
    for door in (ORDER, LOCK):
        for _ in range(2):
            put(world, door)
    gone = world.worker()
    assert len(world.claim(gone, limit=10)) == 2
    assert len(world.die(gone)) == 2
    taken = world.claim(limit=10)
    assert len(taken) == 1, "the lock's next; the order's head is a suspect"
    assert taken[0].attempt == 1
    assert world.claim_suspect(world.worker(alone=True)) is not None


def test_a_dead_head_blocks_until_it_is_closed(world: World) -> None:
    first, second, third = (put(world, ORDER) for _ in range(3))
    assert world.end(lease_of(world), "bury")
    assert claimed(world) == []
    world.run(people.retry(APP, first, actor="ann"))
    lease = lease_of(world)
    assert lease.job_id == first
    assert world.end(lease, "bury")
    world.run(doubts.waive(APP, first, actor="ann", reason="enough"))
    lease = lease_of(world)
    assert lease.job_id == second
    assert world.end(lease, "complete")
    assert claimed(world) == [third]


def test_a_dead_head_is_passed_by_where_that_is_declared(world: World) -> None:
    first, second, third = (put(world, PASS) for _ in range(3))
    assert world.end(lease_of(world), "bury")
    lease = lease_of(world)
    assert lease.job_id == second
    world.run(people.retry(APP, first, actor="ann"))
    assert claimed(world) == []
    assert world.end(lease, "complete")
    lease = lease_of(world)
    assert lease.job_id == third
    assert world.end(lease, "complete")
    assert claimed(world) == [first], "it came again behind the others"


def test_a_head_in_doubt_blocks(world: World) -> None:
    first, second = put(world, ORDER, delivery="at_most_once"), put(world, ORDER)
    lease = lease_of(world)
    world.run(starts.start(APP, lease))
    assert world.end(lease, "doubt")
    assert claimed(world) == []
    world.run(doubts.refute(APP, first, actor="ann", accept_risk=True))
    lease = lease_of(world)
    assert lease.job_id == first
    world.run(starts.start(APP, lease))
    assert world.end(lease, "complete")
    assert claimed(world) == [second]


def test_cancelling_who_waits_moves_the_others_up(world: World) -> None:
    _, second, third = (put(world, LOCK) for _ in range(3))
    world.run(people.cancel(APP, second, actor="ann"))
    lease = lease_of(world)
    world.run(people.retry(APP, second, actor="ann"))
    assert world.end(lease, "complete")
    lease = lease_of(world)
    assert lease.job_id == third
    assert world.end(lease, "complete")
    assert claimed(world) == [second]


def test_cancelling_who_is_through_lets_the_next_through(world: World) -> None:
    first, second = put(world, LOCK), put(world, LOCK)
    world.run(people.cancel(APP, first, actor="ann"))
    assert claimed(world) == [second]


def test_a_job_of_later_waits_in_its_order_and_takes_no_lock(world: World) -> None:
    later, behind = put(world, ORDER, delay_us=60 * SECOND), put(world, ORDER)
    free = put(world, LOCK, delay_us=60 * SECOND)
    now = put(world, LOCK)
    assert claimed(world) == [now]
    world.clock.advance(61 * SECOND)
    world.run(gates.come())
    [lease] = world.claim(limit=10, promote=True) or world.claim(limit=10)
    assert lease.job_id == later
    assert world.end(lease, "complete")
    assert claimed(world) == [behind]
    assert world.row(free)["gate"] is not None, "it came when it was due, and waits"


def test_several_gates_are_passed_one_after_another(world: World) -> None:
    one = put(world, Gate("order", "a", 1), LOCK)
    two = put(world, Gate("order", "b", 1), LOCK)
    three = put(world, Gate("order", "a", 1), LOCK)
    order = []
    for _ in range(3):
        lease = lease_of(world)
        assert claimed(world) == []
        order.append(lease.job_id)
        assert world.end(lease, "complete")
    assert order == [one, two, three]
    assert world.table("place") == []


def test_more_slots_let_more_through(world: World) -> None:
    first, second = put(world, LOCK), put(world, LOCK)
    assert claimed(world) == [first]
    third = put(world, TWO)
    world.run(gates.mend(world.run(gates.jams())))
    assert claimed(world) == [second]
    assert world.run(gates.jams()) == []
    assert third


def test_a_share_keeps_the_queue_open_for_others(world: World) -> None:
    crowd = [new(None, gates=(Gate("fair", "tenant:1", 100),)) for _ in range(250)]
    world.run(enqueue.many(APP, crowd))
    few = [put(world, Gate("fair", "tenant:2", 100)) for _ in range(3)]
    worker = world.worker()
    first = world.claim(worker, limit=100)
    second = world.claim(worker, limit=100)
    assert [lease.job_id for lease in second] == few
    for lease in first:
        world.end(lease, "complete")
    assert len(world.claim(worker, limit=100)) == 100


def rate(burst: int, per_us: int = SECOND) -> Gate:
    return Gate("rate", "host:x", 0, per_us=per_us, burst=burst)


def test_a_rate_grants_its_burst_and_then_one_each(world: World) -> None:
    jobs = [put(world, rate(2)) for _ in range(6)]
    [gate] = world.run(gates.busy_rates())
    assert world.run(gates.grant(gate)).starts == 0, "two were free, and granted as they came"
    assert claimed(world) == jobs[:2]
    assert world.run(gates.grant(gate)).starts == 0
    world.clock.advance(SECOND)
    assert world.run(gates.grant(gate)).starts == 1
    world.clock.advance(60 * SECOND)
    assert world.run(gates.grant(gate)).starts == 1, "what was granted and has not begun is kept back"
    assert claimed(world) == jobs[2:4]
    world.clock.advance(60 * SECOND)
    assert world.run(gates.grant(gate)).starts == 2
    assert claimed(world) == jobs[4:]
    world.clock.advance(60 * SECOND)
    assert world.run(gates.grant(gate)).starts == 0
    assert world.run(gates.busy_rates()) == []


def test_no_window_has_more_starts_than_the_rate_and_its_burst(world: World) -> None:
    steps = itertools.cycle([100_000, 900_000, 50_000, 2_500_000, 10])
    for _ in range(30):
        put(world, rate(3))
    [gate] = world.run(gates.busy_rates())
    worker, began = world.worker(), []
    for step, _ in zip(steps, range(80), strict=False):
        world.clock.advance(step)
        world.run(gates.grant(gate))
        if step != 900_000:
            for lease in world.claim(worker, limit=10):
                began.append(world.clock())
                world.end(lease, "fail" if len(began) % 7 == 0 else "complete", delay_us=0)
    assert len(began) >= 30
    for i, start in enumerate(began):
        for j in range(i, len(began)):
            assert j - i + 1 <= (began[j] - start) / SECOND + 3


@pytest.mark.parametrize("fair_first", [True, False])
def test_a_share_is_passed_before_a_rate_lest_a_crowd_fill_its_line(world: World, fair_first: bool) -> None:
    """The other way round, as the founding design had it, others stand behind all the crowd."""

    def doors(tenant: int) -> tuple[Gate, ...]:
        both = (Gate("fair", f"tenant:{tenant}", 100), rate(1))
        return both if fair_first else both[::-1]

    world.run(enqueue.many(APP, [new(None, gates=doors(1)) for _ in range(250)]))
    few = [new(None, gates=doors(2)) for _ in range(3)]
    world.run(enqueue.many(APP, few))
    line = sorted((row["seq"], str(row["job_id"])) for row in world.table("place") if row["rate"])
    before = next(n for n, (_, job) in enumerate(line) if job == few[0].id)
    assert before == (100 if fair_first else 250)


# ── who does not wait ───────────────────────────────────────────────────────────────────────


def taken(world: World, lease: Lease, *doors: Gate) -> gates.Taken:
    return world.run(gates.take(APP, lease.job_id, lease.token, doors))


def test_places_are_taken_at_the_claim_and_given_back_at_the_end(world: World) -> None:
    for _ in range(3):
        put(world)
    first, second, third = world.claim(limit=10)
    assert taken(world, first, LOCK) == gates.Taken()
    assert taken(world, second, LOCK).busy == LOCK
    waits = put(world, LOCK)
    assert claimed(world) == []
    assert world.end(first, "complete")
    assert taken(world, third, LOCK).busy == LOCK, "who waited in line came first"
    assert claimed(world) == [waits]


@pytest.mark.parametrize("how", ["fail", "release", "bury", "doubt", "lapse", "skip"])
def test_whichever_way_it_leaves_its_place_is_free(world: World, how: str) -> None:
    put(world, delivery="at_most_once" if how == "doubt" else "at_least_once")
    put(world)
    worker = world.worker()
    lease, other = world.claim(worker, limit=1)[0], world.claim(limit=1)[0]
    assert taken(world, lease, LOCK) == gates.Taken()
    if how == "lapse":
        world.die(worker)
    else:
        if how == "doubt":
            world.run(starts.start(APP, lease))
        assert world.end(lease, how, **({"delay_us": SECOND} if how == "fail" else {}))
    assert world.table("place") == []
    assert taken(world, other, LOCK) == gates.Taken()
    if how in ("fail", "release", "lapse"):
        world.clock.advance(2 * SECOND)
        again = world.claim(limit=10, promote=True) or world.claim(limit=10)
        alone = None if again else world.claim_suspect(world.worker(alone=True))
        assert [one.job_id for one in (again or [alone]) if one] == [lease.job_id], (
            "it runs again, from no line"
        )


def test_a_run_that_is_over_takes_nothing(world: World) -> None:
    put(world)
    lease = lease_of(world)
    world.end(lease, "release")
    assert taken(world, lease, LOCK).lost
    assert world.table("place") == []


def test_all_places_are_taken_or_none(world: World) -> None:
    for _ in range(2):
        put(world)
    first, second = world.claim(limit=10)
    other = Gate("lock", "account:2", 1)
    assert taken(world, first, LOCK) == gates.Taken()
    assert taken(world, second, other, LOCK).busy == LOCK
    assert len(world.table("place")) == 1


def test_starts_are_taken_at_the_claim_within_the_rate(world: World) -> None:
    began = []
    for step in [0, 0, 0, 400_000, 700_000, 0, 5_000_000, 0, 0, 0, 300_000]:
        world.clock.advance(step)
        put(world)
        lease = lease_of(world)
        if taken(world, lease, rate(2)).busy is None:
            began.append(world.clock())
        world.end(lease, "complete")
        for gate in world.run(gates.busy_rates()):
            world.run(gates.grant(gate))
    assert len(began) == 5
    for i, start in enumerate(began):
        for j in range(i, len(began)):
            assert j - i + 1 <= (began[j] - start) / SECOND + 2


# ── slots that are lowered ──────────────────────────────────────────────────────────────────


def test_fewer_slots_leave_in_who_is_in_and_let_nobody_follow_until_there_is_room(world: World) -> None:
    jobs = [put(world, TWO) for _ in range(3)]
    first, second = world.claim(limit=10)
    put(world, LOCK)
    assert found(world) == set(), "they were let in when there were two"
    assert world.end(first, "complete")
    assert claimed(world) == [] and found(world) == set()
    assert world.end(second, "complete")
    assert claimed(world) == [jobs[2]]
    assert found(world) == set()


def found(world: World) -> set[str]:
    return {one.invariant for one in world.run(verify.check(APP, full=True))}


def test_one_more_than_the_lowered_slots_is_noticed(world: World) -> None:
    for _ in range(2):
        put(world, TWO)
    assert len(world.claim(limit=10)) == 2
    late = put(world, LOCK)
    world.sql("UPDATE dutiful.job SET gate = NULL, gate_seq = NULL, ready_seq = 1 WHERE id = %s", late)
    assert claimed(world) == [late]
    assert "I13" in found(world)
