"""The books (I11): every way in is accepted once, every way out accounted for; what disappears is missed."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dutiful.model.jobs import NewJob
from dutiful.operations import books, doubts, enqueue, lanes, people, retention, verify
from dutiful.sql import EngineName
from tests.contract.planting import Change, planted
from tests.contract.stores import APP, loaded, new, pruned
from tests.contract.world import DAY, World, world_at


def fold(world: World) -> None:
    while world.run(books.fold()):
        pass


def open_books(world: World) -> None:
    """As it is soon after a worker's start: there is a lane, and the bookkeeper came by."""
    world.run(lanes.declare(APP, [("default", 0)], [], {}))
    fold(world)


def lacks(world: World) -> dict[str, int]:
    """What the books lack now, by task, as a full look at I11 says it."""
    counted = world.run(books.count(APP)).get(APP, {})
    wrong = {one.task: one.n for one in books.lacks(counted)}
    found = [one for one in world.run(verify.check(APP, full=True)) if one.invariant == "I11"]
    assert bool(found) == bool(wrong)
    return wrong


def accepted(world: World) -> int:
    counted = world.run(books.count(APP)).get(APP, {})
    return sum(what.get("accepted", 0) for what in counted.values())


def a_day(world: World) -> None:
    """Something of everything that can become of a job."""
    for key in ("a", "b", "c", "d", "e", None, "twice", "twice"):
        world.clock.advance(1)
        world.run(enqueue.one(APP, new(key)))
    [one, *_] = many = [new(), new("m1"), new("m1"), new("m2")]
    world.run(enqueue.many(APP, many))
    assert world.run(enqueue.many(APP, [new(), one]))[1].duplicate
    done, dead, back, waived = world.claim(limit=4)
    for lease, verb in ((done, "complete"), (dead, "bury"), (back, "release"), (waived, "bury")):
        world.end(lease, verb)
    gone = world.worker()
    lost = world.claim(gone, 2)
    world.die(gone)
    world.clock.advance(1)
    world.run(people.retry(APP, dead.job_id, actor="ann"))
    world.run(doubts.waive(APP, waived.job_id, actor="ann", reason="so"))
    world.clock.advance(1)
    world.run(doubts.unwaive(APP, waived.job_id, actor="ann", reason="no"))
    world.run(people.cancel(APP, lost[0].job_id, actor="ann"))
    world.clock.advance(1)
    world.run(people.retry(APP, lost[0].job_id, actor="ann", args_hash='{"n":1}'))
    world.claim(limit=2)


def test_a_day_balances_at_every_moment(store_world: World) -> None:
    world = store_world
    open_books(world)
    a_day(world)
    assert lacks(world) == {}
    fold(world)
    assert lacks(world) == {}
    world.run(books.keep(world.run(books.count())))
    kept = world.run(books.books(APP))
    assert kept is not None and kept.difference == 0 and kept.missing == kept.surplus == 0
    assert kept.accepted == 11 and kept.revived == 2  # the waived and the cancelled one
    assert sum(kept.states.values()) == 13
    assert kept.folded_at_us == kept.counted_at_us == kept.now_us == world.clock()


def test_a_job_whose_row_is_deleted_is_missed(store_world: World) -> None:
    world = store_world
    open_books(world)
    a_day(world)
    ready = [row["id"] for row in world.table("job") if row["state"] == "ready"]
    world.sql("DELETE FROM dutiful.job WHERE id = %s", ready[0])
    assert lacks(world) == {"send": 1}
    world.run(books.keep(world.run(books.count())))
    [found] = [one for one in world.run(verify.check(APP)) if one.invariant == "I11"]
    assert found.count == 1 and found.rows[0]["problem"] == "1 missing" and found.rows[0]["seen"] == APP
    kept = world.run(books.books(APP))
    assert kept is not None and kept.difference == kept.missing == 1


def test_a_job_that_nobody_enqueued_is_told(store_world: World) -> None:
    world = store_world
    open_books(world)
    job = world.enqueue()
    world.sql("DELETE FROM dutiful.delta")
    assert lacks(world) == {"send": -1}
    world.sql("DELETE FROM dutiful.job WHERE id = %s", job)
    assert lacks(world) == {}


def test_what_was_there_before_the_books_is_taken_over(store_world: World) -> None:
    world = store_world
    a_day(world)
    world.sql("DELETE FROM dutiful.delta")  # as if stored before there were any
    world.enqueue()
    assert lacks(world) == {}, "books that are not open are not judged"
    fold(world)
    assert lacks(world) == {}
    world.enqueue()
    assert lacks(world) == {}
    world.sql("DELETE FROM dutiful.history")
    assert sum(lacks(world).values()) > 0


def test_endings_that_are_forgotten_are_counted(store_world: World) -> None:
    world = store_world
    open_books(world)
    a_day(world)
    world.run(retention.prepare())
    before = len(world.table("history"))
    world.clock.advance(30 * DAY)
    pruned(world.run, 7 * DAY)
    assert before and world.table("history") == []
    assert lacks(world) == {}
    fold(world)
    assert lacks(world) == {}


def test_a_repeated_id_that_had_ended_is_not_accepted_again(store_world: World) -> None:
    world = store_world
    open_books(world)
    job = world.enqueue()
    [lease] = world.claim()
    world.end(lease, "complete")
    again = NewJob(id=job, task="send", queue="default", priority=0, args=b"{}", args_hash="h", repeated=True)
    assert world.run(enqueue.one(APP, again)).duplicate
    assert world.run(enqueue.many(APP, [again, new()]))[0].duplicate
    assert accepted(world) == 2 and lacks(world) == {}


def test_a_bulk_load_is_accepted(pg_world: World) -> None:
    world = pg_world
    open_books(world)
    world.run(loaded(50))
    assert accepted(world) == 50 and lacks(world) == {}


@pytest.mark.parametrize("how", ["commit", "rollback"])
def test_an_enqueue_in_a_callers_transaction_is_accepted_with_it(store_world: World, how: str) -> None:
    world = store_world
    open_books(world)
    world.enqueue()
    with callers(world) as connection:
        bound = world.engine.bind(connection)
        bound.run(enqueue.many(APP, [new(), new("k")]))
        getattr(connection, how)()
    assert accepted(world) == (3 if how == "commit" else 1) and lacks(world) == {}


def callers(world: World) -> Any:
    """A connection such as a caller has, with a transaction open."""
    engine: Any = world.engine
    if engine.name == "postgres":
        import psycopg

        return psycopg.connect(engine.conninfo)
    if "apsw" in type(engine._driver).__name__.lower():
        pytest.skip("apsw has no commit(): test_bound tries its transactions")
    connection = sqlite3.connect(engine.path, isolation_level=None, timeout=10)
    connection.execute("BEGIN IMMEDIATE")
    return contextlib.closing(connection)


def test_no_false_alarm_under_load(rows_url: str) -> None:
    """Producers, a settler, a pruner and two folders at once; whoever looks never sees a difference."""
    with world_at(rows_url) as world:
        crowd(world)


def crowd(world: World) -> None:
    open_books(world)
    stop, errors = threading.Event(), []
    seed = random.randrange(1 << 30)

    def repeatedly(act: Callable[[random.Random], None], number: int) -> threading.Thread:
        def work() -> None:
            dice = random.Random(seed + number)
            try:
                while not stop.is_set():
                    act(dice)
            except BaseException as error:
                errors.append(error)
                stop.set()

        return threading.Thread(target=work)

    engine: Any = world.engine
    me = world.worker()

    def produce(dice: random.Random) -> None:
        if dice.random() < 0.5:
            engine.run(enqueue.one(APP, new()))
        else:
            engine.run(enqueue.many(APP, [new() for _ in range(dice.randrange(1, 9))]))

    def settle(dice: random.Random) -> None:
        for lease in world.claim(me, 5):
            world.end(lease, dice.choice(("complete", "bury", "release")))

    def prune(dice: random.Random) -> None:
        engine.run(retention.prune(0))
        time.sleep(0.01)

    looks = 0
    acts = [
        produce,
        settle,
        prune,
        lambda dice: engine.run(books.fold()),
        lambda dice: engine.run(books.fold()),
    ]
    threads = [repeatedly(act, number) for number, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    try:
        until = time.monotonic() + 30
        while (looks < 60 or accepted(world) < 200) and time.monotonic() < until and not errors:
            found = {one.task: one.n for one in books.lacks(engine.run(books.count(APP)).get(APP, {}))}
            assert found == {}, f"seed {seed}"
            looks += 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors, f"seed {seed}: {errors[0]!r}"
    assert looks >= 60 and accepted(world) >= 200
    assert lacks(world) == {}


# ── planted bugs ────────────────────────────────────────────────────────────────────────────

ACCEPTED = "SELECT s.lane, s.task, 1 FROM stored AS s"
Bug = dict[EngineName, dict[str, list[Change]]]
BUGS: dict[str, Bug] = {
    "an enqueue without a delta": {
        "postgres": {"enqueue_job": [(ACCEPTED, r"\g<0> WHERE false")]},
        "sqlite": {"enqueue_job": [(r"AND changes\(\) = 1", "AND false")]},
    },
    "a keyed enqueue without a delta": {
        "postgres": {"enqueue_keyed_job": [(ACCEPTED, r"\g<0> WHERE false")]},
        "sqlite": {"enqueue_keyed_job": [(r"(l.id, :task, 1.*?) AND changes\(\) = 1", r"\1 AND false")]},
    },
    "many jobs count as one": {
        "postgres": {"enqueue_jobs": [("a.task, a.n", "a.task, 1")]},
        "sqlite": {"enqueue_jobs": [(r"json_extract\(a.value, '\$.n'\)", "1")]},
    },
    "what was not stored is accepted all the same": {
        "postgres": {"count_accepted": [("a.task, a.n", "a.task, 0 * a.n")]},
        "sqlite": {"count_accepted": [(r"json_extract\(a.value, '\$.n'\)", "0")]},
    },
    "a prune that does not count": {
        "postgres": {"prune_history": [("SELECT dutiful.drop_history_before.*",
                                        "DELETE FROM dutiful.history WHERE finished_at < :now - :keep")]},
        "sqlite": {"prune_history": [("'pruned', count.*?AS o", r"\g<0> WHERE false")]},
    },
    "a fold that counts twice": {
        "postgres": {"fold_deltas": [(r"sum\(g.n\)", "sum(2 * g.n)")]},
        "sqlite": {"fold_deltas": [(r"DELETE FROM .*?LIMIT :limit\);", "")]},
    },
    "a fold that loses": {
        "postgres": {"fold_deltas": [("n = b.n \\+ excluded.n", "n = excluded.n")]},
        "sqlite": {"fold_deltas": [("n = n \\+ excluded.n", "n = excluded.n")]},
    },
    "a retry of a cancelled job that is not counted": {
        "postgres": {"revive_ended": [("'revived', 1", "'revived', 0")]},
        "sqlite": {"revive_ended": [("'revived', 1", "'revived', 0")]},
    },
    "an undone waiver that is not counted": {
        "postgres": {"unwaive_dead": [("'revived', 1", "'revived', 0")]},
        "sqlite": {"unwaive_dead": [("'revived', 1", "'revived', 0")]},
    },
}  # fmt: skip


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_planted_bugs_are_noticed(store_world: World, bug: str) -> None:
    world = store_world
    if "apsw" in str(type(getattr(world.engine, "_driver", ""))).lower():
        pytest.skip("the SQL is the same as for sqlite3")
    open_books(world)
    with planted(world.engine.name, BUGS[bug][world.engine.name]):
        a_day(world)
        fold(world)
        world.enqueue()
        fold(world)
        world.run(retention.prepare())
        world.clock.advance(30 * DAY)
        pruned(world.run, 7 * DAY)
    assert lacks(world) != {}
