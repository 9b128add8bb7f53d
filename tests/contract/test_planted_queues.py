"""Planted bugs of limits, pauses and lateness: each check is true of the sound code, and notices."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import pytest

from dutiful.engines.contract import Engine
from dutiful.engines.urls import open_engine
from dutiful.model.jobs import Ending, Failure, Lane
from dutiful.operations import claims, enqueue, inspect, lanes, people, queues, settle, verify, workers
from dutiful.operations.plan import Step
from tests.contract import planting
from tests.contract.stores import opened
from tests.contract.world import Eye
from tests.crash.examples import APP, KNOWN, World, job, worker

Check = Callable[[Engine, str], bool]
SLOTS = 3


def two_workers_share_a_limit(engine: Engine, url: str) -> bool:
    """Both count before either writes, if nothing keeps them apart. Together never above it."""
    engine.run(lanes.declare(APP, [("q", 0)], [("q", None)], {"q": SLOTS}))
    who = [engine.run(workers.register(worker())) for _ in range(2)]
    both = threading.Barrier(2)

    def counted(step: Step) -> None:
        if getattr(step, "name", "") == "other_shares":
            try:
                both.wait(1.0)
            except threading.BrokenBarrierError:
                pass  # the other one waits for the lock

    def take(me: int) -> None:
        mine = open_engine(url)
        mine.observe = counted
        mine.run(queues.take_share(APP, "q", me, 2, 0))
        mine.close()

    threads = [threading.Thread(target=take, args=(me,)) for me in who]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = sum(row["slots"] for row in Eye(engine).table("queue_share"))
    found = engine.run(verify.look("verify_shares", APP))
    assert (found is not None) == (held > SLOTS), "the checker says the same"
    return held == SLOTS


def a_persons_limit_wins_over_the_declared_one(engine: Engine, url: str) -> bool:
    """Also over what a program declares after it; taken back, the declared one holds."""
    engine.run(lanes.declare(APP, [("q", 0)], [("q", None)], {"q": SLOTS}))
    me = engine.run(workers.register(worker()))
    engine.run(queues.limit(APP, "q", 1, actor="ann", reason="the bank is slow"))
    engine.run(lanes.declare(APP, [("q", 0)], [("q", None)], {"q": SLOTS}))
    held = engine.run(queues.take_share(APP, "q", me, SLOTS, 0))
    [row] = engine.run(lanes.lanes(APP))
    back = engine.run(queues.limit(APP, "q", None, actor="ann", reason="it is well again"))
    after = engine.run(queues.take_share(APP, "q", me, SLOTS, 0))
    return (held, row.slots, back.slots, after) == (1, 1, SLOTS, SLOTS)


def workers_learn_of_a_persons_limit(engine: Engine, url: str) -> bool:
    """What a beat is compared with changes, both when it is set and when it is taken back."""
    engine.run(lanes.declare(APP, [("q", 0)], [("q", None)], {}))
    turns = [engine.run(lanes.lanes(APP))[0].turn]
    for slots in (2, None):
        engine.run(queues.limit(APP, "q", slots, actor="ann", reason="the bank is slow"))
        turns.append(engine.run(lanes.lanes(APP))[0].turn)
    return len(set(turns)) == 3


def a_worker_that_may_still_run_something_keeps_its_slots(engine: Engine, url: str) -> bool:
    """It was marked gone, and its runs have not lapsed."""
    engine.run(lanes.declare(APP, [("q", 0)], [("q", None)], {"q": SLOTS}))
    gone, me = (engine.run(workers.register(worker())) for _ in range(2))
    engine.run(queues.take_share(APP, "q", gone, SLOTS, 0))
    engine.run(enqueue.one(APP, job()))
    [row] = engine.run(lanes.lanes(APP))
    engine.run(claims.claim(gone, [Lane(row.id)], KNOWN, 1))
    engine.run(workers.bury([gone], silent=False))
    return engine.run(queues.take_share(APP, "q", me, SLOTS, 0)) == 0


def a_paused_queue_gives_nothing(engine: Engine, url: str) -> bool:
    world = World(engine)
    engine.run(queues.pause(APP, "q", actor="ann", reason="work on it"))
    taken = engine.run(claims.claim(world.me, [world.lane], KNOWN, 10)).leases
    engine.run(queues.resume(APP, "q", actor="ann"))
    return not taken and bool(engine.run(claims.claim(world.me, [world.lane], KNOWN, 10)).leases)


def _late(world: World, token: str, verb: str) -> Ending:
    end = world.leases[0]
    said = Failure("TooLate", "m")
    return Ending(verb, end.job_id, token, end.run_no, begun=False, reason="stale", failure=said)  # type: ignore[arg-type]


def a_stale_word_skips_nothing(engine: Engine, url: str, verb: str = "skip") -> bool:
    world = World(engine)
    end = _late(world, world.leases[1].token, verb)
    refused = engine.run(settle.settle([end], world.me)) == [end]
    return refused and engine.run(inspect.job(APP, end.job_id)).state == "running"


def only_who_was_asked_to_stop_is_cancelled(engine: Engine, url: str) -> bool:
    world = World(engine)
    end = _late(world, world.leases[0].token, "abort")
    return engine.run(settle.settle([end], world.me)) == [end]


def a_skipped_job_frees_its_duty(engine: Engine, url: str) -> bool:
    world = World(engine)
    lease = next(one for one in world.leases if one.key is not None)
    end = Ending("skip", lease.job_id, lease.token, lease.run_no, begun=False)
    engine.run(settle.settle([end], world.me))
    return lease.job_id not in {row["job_id"] for row in Eye(engine).table("duty")}


def a_request_to_stop_stays(engine: Engine, url: str) -> bool:
    world = World(engine)
    lease = world.leases[0]
    engine.run(people.call_off(APP, lease.job_id, actor="ann"))
    engine.run(workers.leave(world.me))
    heir = engine.run(workers.register(worker()))
    mine = engine.run(claims.claim(heir, [world.lane], KNOWN, 100)).leases
    return [one.cancel_at_us is not None for one in mine if one.job_id == lease.job_id] == [True]


def a_failure_keeps_when_it_was_due(engine: Engine, url: str) -> bool:
    world = World(engine)
    lease = world.leases[1]
    failed = Ending("fail", lease.job_id, lease.token, lease.run_no, delay_us=1, failure=Failure("E", "m"))
    assert engine.run(settle.settle([failed], world.me)) == []
    return bool(Eye(engine).row(lease.job_id)["due_at"] == lease.run_at_us)


BUGS: list[tuple[str, Check, str, dict[str, tuple[str, str]]]] = [
    (
        "shares are counted without the lock",
        two_workers_share_a_limit,
        "lock_queue",
        {"postgres": (" FOR NO KEY UPDATE", "")},
    ),
    (
        "shares of others are not counted",
        two_workers_share_a_limit,
        "other_shares",
        dict.fromkeys(("postgres", "sqlite"), ("sum(s.slots)", "0 * sum(s.slots)")),
    ),
    (
        "the declared limit wins over a person's",
        a_persons_limit_wins_over_the_declared_one,
        "lock_queue",
        dict.fromkeys(("postgres", "sqlite"), ("coalesce(q.limit_slots, q.slots)", "q.slots")),
    ),
    (
        "workers are not told that a limit was set",
        workers_learn_of_a_persons_limit,
        "limit_queue",
        dict.fromkeys(("postgres", "sqlite"), ("turn = q.turn + 1,", "")),
    ),
    (
        "workers are not told that a limit was taken back",
        workers_learn_of_a_persons_limit,
        "unlimit_queue",
        dict.fromkeys(("postgres", "sqlite"), ("turn = turn + 1,", "")),
    ),
    (
        "slots of a worker that is gone are free at once",
        a_worker_that_may_still_run_something_keeps_its_slots,
        "drop_shares_of_gone",
        dict.fromkeys(("postgres", "sqlite"), ("w.reaped_at IS NULL", "w.gone_at IS NULL")),
    ),
    (
        "the claim does not look at pauses",
        a_paused_queue_gives_nothing,
        "claim_jobs",
        dict.fromkeys(("postgres", "sqlite"), ("q.paused_at IS NOT NULL AND", "false AND")),
    ),
    (
        "no fence on skip",
        a_stale_word_skips_nothing,
        "close_jobs",
        {"postgres": ("j.token = e.token AND", ""), "sqlite": ("(id, token) IN", "(id, token) NOT IN")},
    ),
    (
        "no fence on expire",
        lambda engine, url: a_stale_word_skips_nothing(engine, url, "expire"),
        "expire_jobs",
        {
            "postgres": ("j.token = e.token AND", ""),
            "sqlite": ("(id, token) IN", "(id, token) NOT IN"),
        },
    ),
    (
        "a run is cancelled that nobody asked to stop",
        only_who_was_asked_to_stop_is_cancelled,
        "close_jobs",
        {
            "postgres": ("j.cancel_at IS NOT NULL", "true"),
            "sqlite": ("cancel_at IS NOT NULL", "id IS NOT NULL"),
        },
    ),
    (
        "a skipped job keeps its duty",
        a_skipped_job_frees_its_duty,
        "close_jobs",
        {"postgres": ("AND d.epoch = 1", "AND d.epoch = 0"), "sqlite": ("epoch = 1", "epoch = 0")},
    ),
    (
        "a retry is due anew",
        a_failure_keeps_when_it_was_due,
        "return_jobs",
        dict.fromkeys(("postgres", "sqlite"), ("coalesce(j.due_at, j.run_at) END", "NULL END")),
    ),
    (
        "the claim does not say that somebody asked",
        a_request_to_stop_stays,
        "claim_jobs",
        {"postgres": ("c.cancel_at", "NULL"), "sqlite": ("deadline, cancel_at", "deadline, NULL")},
    ),
]


@pytest.mark.parametrize(("name", "check", "statement", "edits"), BUGS, ids=[bug[0] for bug in BUGS])
def test_a_planted_bug_is_noticed(
    rows_url: str, name: str, check: Check, statement: str, edits: dict[str, tuple[str, str]]
) -> None:
    with opened(rows_url) as engine:
        if engine.name not in edits:
            pytest.skip("who writes on SQLite is alone")
        assert check(engine, rows_url)
    sound, broken = edits[engine.name]
    with opened(rows_url) as engine:
        eye = Eye(engine)
        for table in (
            "queue_share",
            "queue",
            "job",
            "dead",
            "history",
            "duty",
            "failure",
            "ledger",
            "effect",
        ):
            eye.sql(f"DELETE FROM dutiful.{table}")
        with planting.planted(engine.name, {statement: [(re.escape(sound), broken)]}):
            try:
                noticed = not check(engine, rows_url)
            except Exception as error:  # the schema refused what the broken statement wrote
                print(error)
                noticed = True
        assert noticed, name
