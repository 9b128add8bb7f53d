"""A worker's shares of a limited queue when the limit is lowered while it runs."""

from __future__ import annotations

from dutiful.engines.contract import Engine
from dutiful.model.jobs import Lease
from dutiful.operations import lanes, queues, verify, workers
from dutiful.worker.shares import Shares
from tests.contract.stores import opened
from tests.contract.world import Eye
from tests.crash.examples import APP, worker


def shares(engine: Engine) -> tuple[int, Shares]:
    me = engine.run(workers.register(worker()))
    return me, Shares(engine, APP, lambda: me, 10, 30.0)


def running(one: Shares, count: int) -> list[str]:
    """So many runs of the queue are begun."""
    assert one.reserve("q", count) == count
    tokens = [f"{id(one)}.{number}" for number in range(count)]
    leases: list[Lease] = [_Lease(token) for token in tokens]  # type: ignore[misc]
    one.claimed("q", count, leases)
    return tokens


class _Lease:
    def __init__(self, token: str) -> None:
        self.token = token


def test_a_lowered_limit_holds_for_whoever_holds_more_of_it(rows_url: str) -> None:
    """Neither of the two is above the new limit, but both together are: who asks next gives up its part."""
    with opened(rows_url) as engine:
        engine.run(lanes.declare(APP, [("q", 0)], [("q", None)], {"q": 8}))
        (_, one), (_, other) = shares(engine), shares(engine)
        for each in (one, other):
            each.set_limits({"q": 8})
        ran = running(one, 4)
        running(other, 4)
        engine.run(queues.limit(APP, "q", 5, actor="ann", reason="the bank is slow"))
        for each in (one, other):
            each.set_limits({"q": 5})
        assert one.reserve("q", 1) == 0, "it keeps what it runs, and is asked again when that has ended"
        assert engine.run(verify.look("verify_shares", APP)) is None, "what runs was begun when it might"
        one.ended(ran)  # 4 run, all at the other one
        assert one.reserve("q", 4) == 1
        assert other.reserve("q", 1) == 0
        assert sum(row["slots"] for row in Eye(engine).table("queue_share")) == 5
        assert engine.run(verify.look("verify_shares", APP)) is None
        Eye(engine).sql("UPDATE dutiful.queue_share SET slots = slots + 4 WHERE slots = 1")
        found = engine.run(verify.look("verify_shares", APP))
        assert found is not None and "9 held by 2, 5 allowed" in str(found.rows)
